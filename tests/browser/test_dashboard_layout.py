"""The pages of kind `app` are as high as the window; only their parts scroll."""

import pytest
from playwright.sync_api import Page, expect

from .hosting import person
from .serving import Server

pytestmark = pytest.mark.browser

CHATS = 30
HEIGHTS = "[document.documentElement.scrollHeight, innerHeight]"


@pytest.mark.parametrize("width", [1200, 1000, 600])
def test_the_page_itself_does_not_scroll(server: Server, staff_page: Page, width: int) -> None:
    """With 25 unread chats it was 4310 px high: a wheel over the head moved everything away."""
    tokens = [server.token(person()) for _ in range(CHATS)]
    for token in tokens:
        server.say(token, "unread")
    staff_page.set_viewport_size({"width": width, "height": 860})
    for path in ("", "?archived=true", f"/chats/{server.chat_of(tokens[0])}"):
        staff_page.goto(f"{server.url}/dashboard{path}")
        expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
        height, window = staff_page.evaluate(HEIGHTS)
        assert height == window, path


def test_a_chat_is_printed_whole_and_without_the_controls(server: Server, staff_page: Page) -> None:
    """A print showed the part of the chat that was on screen, under the search and the buttons."""
    token = server.token(person())
    for number in range(40):
        server.say(token, f"message {number}\nsecond line")
    staff_page.goto(f"{server.url}/dashboard/chats/{server.chat_of(token)}")
    expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
    staff_page.emulate_media(media="print", color_scheme="dark")
    for control in (".top", "#reply", "#archive", "#list"):
        expect(staff_page.locator(control)).to_be_hidden()
    thread = staff_page.locator(".thread").bounding_box()
    assert thread is not None
    height, window = staff_page.evaluate(HEIGHTS)
    assert height >= thread["y"] + thread["height"] > window
    assert thread["y"] >= 0
    ink = (
        "(node) => [getComputedStyle(node).color, getComputedStyle(document.body).backgroundColor]"
    )
    colors = staff_page.locator(".bubble").first.evaluate(ink)
    assert colors == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


def test_a_fragment_without_a_content_type_is_read_as_html(
    server: Server, staff_page: Page
) -> None:
    """Firefox wrote "XML Parsing Error" to the console for each response that was not HTML."""
    server.say(server.token(person()), "first")
    fetched = staff_page.request.get(f"{server.url}/dashboard/cards").body()
    cards = fetched.replace(b"first", b"from the fragment").replace(b'version="', b'version="x')
    staff_page.route(
        "**/dashboard/cards",
        lambda route: route.fulfill(body=cards, content_type="application/octet-stream"),
    )
    server.say(server.token(person()), "second")
    expect(staff_page.get_by_text("from the fragment")).to_be_visible()

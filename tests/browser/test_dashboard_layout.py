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

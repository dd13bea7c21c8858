"""What staff type: shortcuts that keep out of the way, drafts that stay, a reply that is sent once. And no mouse at all."""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from .dashboard import WIDE, bubbles, card, live, open_chat, open_list, reply_box
from .engines import fetch
from .hosting import NewContext, person
from .serving import STAFF_EMAIL, STAFF_PASSWORD, Server

pytestmark = pytest.mark.browser


def _three_chats(server: Server) -> list[str]:
    """Newest first, as the list has them."""
    tokens = [server.token(person(), name=name) for name in ("Cleo", "Berta", "Anna")]
    for token in tokens:
        server.say(token, "hello")
    return [server.chat_of(token) for token in reversed(tokens)]


@pytest.fixture
def wide_page(server: Server, staff_cookies: Any, new_context: NewContext) -> Page:
    return new_context(storage_state=staff_cookies, viewport=WIDE).new_page()


def test_the_keys_do_what_the_help_says(server: Server, wide_page: Page) -> None:
    page, keys = wide_page, wide_page.keyboard
    anna, berta, cleo = _three_chats(server)
    open_list(page, server)
    keys.press("j")
    expect(card(page, anna).locator("a")).to_be_focused()
    keys.press("j")
    keys.press("j")
    expect(card(page, cleo).locator("a")).to_be_focused()
    keys.press("k")
    keys.press("Enter")
    expect(page.locator("#chat h1")).to_have_text("Berta")
    expect(page.locator("#chat h1")).to_be_focused()
    live(page)
    keys.press("r")
    expect(reply_box(page)).to_be_focused()
    keys.type("je ruk?/")  # all of them are letters here
    expect(reply_box(page)).to_have_value("je ruk?/")
    page.locator("#chat h1").focus()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    keys.press("e")  # not while the dialog is open
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    keys.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.locator("#chat h1").focus()
    keys.press("u")
    expect(page.get_by_text("Choose a chat")).to_be_visible()
    expect(card(page, berta).locator("a")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#chat h1")).to_have_text("Berta")
    keys.press("e")
    expect(card(page, berta)).to_have_count(0)
    expect(
        card(page, cleo).locator("a")
    ).to_be_focused()  # it took the place of the one that is gone
    archived = [item["id"] for item in server.staff("GET", "/admin/chats?archived=true")]
    assert berta in archived
    assert anna not in archived and cleo not in archived


def test_the_keys_keep_out_of_the_way_and_can_be_switched_off(
    server: Server, wide_page: Page
) -> None:
    """Polish and German keyboards write with AltGr, which Windows reports as Ctrl and Alt; browsers have keys of their own."""
    page = wide_page
    _three_chats(server)
    open_list(page, server)
    for modifiers in (
        "{ctrlKey: true, altKey: true}",
        "{modifierAltGraph: true}",
        "{metaKey: true}",
        "{isComposing: true}",
    ):
        assert page.evaluate(
            "(init) => document.body.dispatchEvent(new KeyboardEvent('keydown',"
            " { key: 'j', bubbles: true, cancelable: true, ...init }))",
            page.evaluate(f"({modifiers})"),
        ), modifiers
        expect(page.locator(".card a:focus")).to_have_count(0)
    page.keyboard.press("Control+j")
    page.keyboard.press("Shift+J")
    expect(page.locator(".card a:focus")).to_have_count(0)
    page.keyboard.press("j")
    expect(page.locator(".card a:focus")).to_have_count(1)
    page.keyboard.press("?")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    live(page)
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.locator(".card a:focus")).to_have_count(0)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_what_sends_and_what_does_not(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    server.say(token, "hello")
    open_chat(staff_page, server, server.chat_of(token))
    box, keys = reply_box(staff_page), staff_page.keyboard
    box.focus()
    low = box.bounding_box()
    keys.type("one")
    for _ in range(3):
        keys.press("Shift+Enter")
    keys.type("two")
    high = box.bounding_box()
    assert low and high
    assert high["height"] > low["height"] + 40
    for init in (
        "{isComposing: true}",
        "{keyCode: 229}",
    ):  # an input method's Enter; Safari's way to say so
        box.evaluate(
            f"(box) => box.dispatchEvent(new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, ...{init} }}))"
        )
    expect(box).to_have_value("one\n\n\ntwo")
    keys.press("Control+Enter")
    expect(bubbles(staff_page)).to_have_text(["hello", "one\n\n\ntwo"])
    box.fill("\n".join(str(line) for line in range(100)))
    grown = box.bounding_box()
    assert grown and grown["height"] <= 230
    box.fill("x" * 10_001)
    keys.press("Enter")
    expect(staff_page.get_by_role("alert")).to_have_text("Too long: 10000 characters are allowed.")
    box.fill("👍" * 10_000)  # as the server counts, these are 10,000
    keys.press("Enter")
    expect(bubbles(staff_page)).to_have_count(3)
    expect(box).to_have_value("")


def test_drafts_stay_with_their_chats(server: Server, wide_page: Page) -> None:
    anna, berta, _ = _three_chats(server)
    page = wide_page
    open_chat(page, server, anna)
    reply_box(page).fill("for Anna")
    card(page, berta).locator("a").click()
    expect(page.locator("#chat h1")).to_have_text("Berta")
    expect(reply_box(page)).to_have_value("")
    reply_box(page).fill("for Berta")
    page.reload()
    expect(reply_box(page)).to_have_value("for Berta")
    page.go_back()
    expect(reply_box(page)).to_have_value("for Anna")
    live(page)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(bubbles(page)).to_have_text(["hello", "for Anna"])
    page.reload()
    expect(reply_box(page)).to_have_value("")


def test_a_reply_whose_answer_was_lost_is_not_sent_twice(server: Server, staff_page: Page) -> None:
    """The server has it, the browser does not know: whatever staff do then, it is there once and leaves the box."""
    token = server.token(person())
    server.say(token, "hello")
    page = staff_page

    def lose_the_answer(route: Route) -> None:
        fetch(route)
        route.abort()

    for text, way in (("first", "again"), ("second", "stream"), ("third", "reload")):
        before = [message["content"] for message in server.stored(token)]
        open_chat(page, server, server.chat_of(token))
        page.route("**/admin/chats/*/messages", lose_the_answer, times=1)
        fragments = "**/dashboard/chats/*/messages*"
        if way != "stream":
            page.route(fragments, lambda route: route.abort())
        reply_box(page).fill(text)
        reply_box(page).press("Enter")
        if way != "stream":
            expect(page.get_by_role("alert")).to_contain_text("Your text is still here")
            expect(reply_box(page)).to_have_value(text)
            page.unroute(fragments)
        if way == "again":
            reply_box(page).press("Enter")
        if way == "reload":
            page.reload()
        expect(reply_box(page)).to_have_value("")
        expect(bubbles(page)).to_have_text([*before, text])
        assert [message["content"] for message in server.stored(token)] == [*before, text]


def test_without_a_mouse(server: Server, new_context: NewContext) -> None:
    """From the login to an answer and back, with Tab and Enter alone."""
    token = server.token(person(), name="Kay")
    server.say(token, "by keyboard")
    page = new_context(viewport=WIDE).new_page()
    keys = page.keyboard

    def tab_to(name: str, limit: int = 40) -> None:
        for _ in range(limit):
            keys.press("Tab")
            if name in page.evaluate(
                "document.activeElement.innerText || document.activeElement.name || ''"
            ):
                return
        raise AssertionError(f"{name} is not reached with Tab")

    page.goto(f"{server.url}/login")
    expect(page.locator("#email")).to_be_focused()
    keys.type(STAFF_EMAIL)
    keys.press("Tab")
    keys.type(STAFF_PASSWORD)
    keys.press("Enter")
    live(page)
    tab_to("by keyboard")
    keys.press("Enter")
    expect(page.locator("#chat h1")).to_be_focused()
    tab_to("content")
    keys.type("an answer")
    keys.press("Enter")
    expect(bubbles(page)).to_have_text(["by keyboard", "an answer"])
    keys.press("Shift+Tab")
    expect(page.get_by_role("region", name="Conversation")).to_be_focused()  # arrows scroll it
    keys.press("Shift+Tab")
    expect(page.get_by_role("button", name="Archive")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_text("Choose a chat")).to_be_visible()
    page.goto(f"{server.url}/dashboard/chats/{server.chat_of(token)}")
    keys.press("Tab")
    expect(page.get_by_role("link", name="Skip to the reply")).to_be_focused()
    keys.press("Enter")
    expect(reply_box(page)).to_be_focused()

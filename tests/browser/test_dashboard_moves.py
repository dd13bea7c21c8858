"""From chat to chat, back and forward, and within a page."""

import re
from typing import Any

import pytest
from playwright.sync_api import Route, ViewportSize, expect

from .dashboard import PHONE, WIDE, bubbles, card, live, open_chat, open_list, unread
from .hosting import NewContext, person
from .serving import Server

pytestmark = pytest.mark.browser

JUMP = """
async (hash) => {
  const arrived = new Promise((resolve) => addEventListener("hashchange", resolve, {once: true}));
  location.hash = hash;
  await arrived;
}"""
FORWARD = """
async () => {
  const moved = new Promise((resolve) => addEventListener("popstate", resolve, {once: true}));
  history.forward();
  await moved;
}"""
# What leaves the page or comes back to it, at once: a reload is asked for long before its request is sent.
WATCH_MOVES = """
window.moves = [];
navigation.addEventListener("navigate", (event) => { if (!event.hashChange) moves.push(event.navigationType); });
"""


def test_beside_the_list_chats_open_without_leaving_the_page(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    tokens = [server.token(person(), name=name) for name in ("Anna", "Berta")]
    for token in tokens:
        server.say(token, "hello")
    anna, berta = (server.chat_of(token) for token in tokens)
    page = new_context(storage_state=staff_cookies, viewport=WIDE).new_page()
    open_list(page, server)
    page.evaluate("window.neverReloaded = true")
    heading = page.locator("#chat h1")
    for chat, name in ((anna, "Anna"), (berta, "Berta")):
        card(page, chat).locator("a").click()
        expect(heading).to_have_text(name)
        expect(page).to_have_url(f"{server.url}/dashboard/chats/{chat}")
        expect(page).to_have_title(re.compile(rf"{name} · Support$"))
        expect(page.locator(".card [aria-current]")).to_have_attribute(
            "href", f"/dashboard/chats/{chat}"
        )
        live(page)
    server.say(tokens[0], "to the one that is not open")
    expect(card(page, anna).locator(".mark")).to_be_visible()
    server.say(tokens[1], "to the one that is")
    expect(bubbles(page)).to_have_text(["hello", "to the one that is"])
    expect(card(page, berta).locator(".preview")).to_have_text("to the one that is")
    expect(card(page, berta).locator(".mark")).to_have_count(0)
    assert unread(server, anna)
    assert not unread(server, berta)
    page.go_back()
    expect(heading).to_have_text("Anna")
    expect(bubbles(page)).to_have_text(["hello", "to the one that is not open"])
    page.go_forward()
    expect(heading).to_have_text("Berta")
    live(page)
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Choose a chat")).to_be_visible()
    expect(card(page, berta)).to_have_count(0)
    expect(page).to_have_url(f"{server.url}/dashboard")
    assert page.evaluate("window.neverReloaded")
    page.set_viewport_size(PHONE)
    card(page, anna).locator("a").click()
    expect(heading).to_have_text("Anna")
    assert page.evaluate("window.neverReloaded") is None  # on a phone each chat is a page


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_jump_within_the_page_fetches_and_reloads_nothing(
    server: Server, staff_cookies: Any, new_context: NewContext, size: ViewportSize
) -> None:
    """Browsers report it as a move through the history: the chat was fetched again, or the page reloaded, and the focus lost."""
    token = server.token(person())
    server.say(token, "hello")
    page = new_context(storage_state=staff_cookies, viewport=size).new_page()
    open_chat(page, server, server.chat_of(token))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("#")[0]))
    page.evaluate(WATCH_MOVES)
    page.evaluate(JUMP, "content")
    page.evaluate(JUMP, "message-1")
    assert page.evaluate("moves") == []
    assert page.url.partition("#")[0] not in asked


def test_who_goes_back_and_forward_again_before_the_chat_has_come_stays(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    """The chat to which somebody had gone back came late and was shown under the address of the other."""
    anna, berta = (server.token(person(), name=name) for name in ("Anna", "Berta"))
    for token in (anna, berta):
        server.say(token, "hello")
    to_anna, to_berta = (
        f"{server.url}/dashboard/chats/{server.chat_of(token)}" for token in (anna, berta)
    )
    page = new_context(storage_state=staff_cookies, viewport=WIDE).new_page()
    open_chat(page, server, server.chat_of(anna))
    card(page, server.chat_of(berta)).locator("a").click()
    expect(page.locator("#chat h1")).to_have_text("Berta")
    held: list[Route] = []
    page.route(to_anna, lambda route: held.append(route))
    with page.expect_request(to_anna):
        page.evaluate("history.back()")
    page.evaluate(FORWARD)
    with page.expect_request_finished(lambda request: request.url == to_anna):
        held[0].continue_()
    page.evaluate("new Promise((resolve) => setTimeout(resolve))")  # what came is in the page
    expect(page.locator("#chat h1")).to_have_text("Berta")
    expect(page).to_have_url(to_berta)

"""What was written and not acknowledged is kept, also through a page load, and sent in order, once."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from .engines import fetch, post_data
from .hosting import (
    NewContext,
    box,
    host_page,
    kept,
    messages,
    open_chat,
    person,
    wait_until_stored,
    write,
)
from .serving import Server

pytestmark = pytest.mark.browser

POSTS = "**/support_chat/messages"


def refuse(page: Page) -> None:
    page.context.route(
        POSTS, lambda route: route.abort() if route.request.method == "POST" else route.fallback()
    )


def allow(page: Page) -> None:
    page.context.unroute(POSTS)


def client_ids(page: Page) -> list[str]:
    """Fills with the client's id in each POST from now on."""
    seen: list[str] = []

    def note(route: Route) -> None:
        if route.request.method == "POST":
            seen.append(json.loads(post_data(route.request))["client_id"])
        route.fallback()

    page.context.route("**/messages", note)
    return seen


def test_unsent_messages_survive_a_reload_in_order_with_their_names(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    refuse(page)
    asked = client_ids(page)
    for text in ("one", "two", "three"):
        write(page, text)
    expect(page.locator("support-chat .retry")).to_have_count(3)
    page.reload()
    expect(messages(page)).to_have_text(["one", "two", "three"])
    expect(page.locator("support-chat .unsent")).to_have_count(3)
    allow(page)
    page.locator("support-chat .launcher").click()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    wait_until_stored(page, server, token, ["one", "two", "three"])
    assert len(set(asked)) == 3
    assert kept(page) == []
    page.reload()
    expect(messages(page)).to_have_text(["one", "two", "three"])
    wait_until_stored(page, server, token, ["one", "two", "three"])


def test_a_message_whose_answer_was_lost_with_the_page_is_stored_once(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)

    def lose_the_answer(route: Route) -> None:
        if route.request.method != "POST":
            return route.fallback()
        fetch(route)  # it is stored
        return route.abort()

    page.context.route(POSTS, lose_the_answer)
    with page.expect_event("requestfailed", lambda request: request.method == "POST"):
        write(page, "only once")
    page.context.unroute(POSTS)
    page.reload()
    wait_until_stored(page, server, token, ["only once"])
    expect(messages(page)).to_have_text(["only once"])


def test_the_unsent_messages_of_one_user_are_not_sent_as_anothers(
    server: Server, new_context: NewContext
) -> None:
    mine, theirs = server.token(person()), server.token(person())
    page = host_page(new_context(), server, token=mine)
    open_chat(page)
    refuse(page)
    write(page, "mine")
    expect(page.locator("support-chat .retry")).to_be_visible()
    page.evaluate("(token) => document.querySelector('support-chat').token = token", theirs)
    expect(messages(page)).to_have_count(0)
    allow(page)
    write(page, "theirs")
    wait_until_stored(page, server, theirs, ["theirs"])
    page.evaluate("(token) => document.querySelector('support-chat').token = token", mine)
    wait_until_stored(page, server, mine, ["mine"])


def test_a_strangers_first_message_survives_a_reload_without_a_server(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    open_chat(page)
    page.context.route("**/visitors", lambda route: route.abort())
    write(page, "Anybody there?")
    expect(page.locator("support-chat .retry")).to_be_visible()
    page.reload()
    expect(messages(page)).to_have_text(["Anybody there?"])
    page.context.unroute("**/visitors")
    page.locator("support-chat .launcher").click()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("support-chat .unsent")).to_have_count(0)
    assert kept(page) == ["visitor"]


def test_a_refused_message_can_be_given_up(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    write(page, "a \0 nobody can store")
    expect(page.locator("support-chat .failed")).to_contain_text("Not sent")
    page.get_by_role("button", name="Delete").click()
    expect(messages(page)).to_have_count(0)
    assert kept(page) == []
    expect(box(page)).to_be_focused()
    wait_until_stored(page, server, token, [])


def test_what_somebody_else_wrote_into_the_storage_does_no_harm(
    server: Server, new_context: NewContext
) -> None:
    sub = person()
    page = host_page(new_context(), server, token=server.token(sub))
    for junk in (
        "{",
        "[null]",
        "7",
        '[{"client_id": 1}]',
        '[{"client_id": "a", "content": "b", "created_at": "never"}]',
    ):
        page.evaluate(
            "([key, junk]) => localStorage.setItem(key, junk)",
            [f"support-chat:{server.url}/:outbox:{sub}", junk],
        )
        page.reload()
        open_chat(page)
        write(page, "fine")
        expect(page.locator("support-chat .unsent")).to_have_count(0)


def test_a_strangers_first_message_in_two_tabs_makes_one_visitor(
    server: Server, new_context: NewContext
) -> None:
    """Both tabs had it to send. When the server was back each made a visitor, and staff had the message twice."""
    context = new_context()
    context.route("**/visitors", lambda route: route.abort())
    first = host_page(context, server)
    open_chat(first)
    question = person()
    write(first, question)
    expect(first.locator("support-chat .retry")).to_be_visible()
    second = host_page(context, server)
    expect(second.locator("support-chat .retry")).to_be_attached()
    context.unroute("**/visitors")
    asked: list[Route] = []
    context.route("**/visitors", lambda route: asked.append(route))
    with context.expect_event("request", lambda request: request.url.endswith("/visitors")):
        for page in (first, second):
            page.evaluate("window.dispatchEvent(new Event('online'))")
    for page in (first, second):
        page.evaluate(
            "new Promise((resolve) => setTimeout(resolve))"
        )  # what else there is to ask is asked
    for route in asked:
        route.continue_()
    for page in (first, second):
        expect(page.locator("support-chat .unsent")).to_have_count(0)
    assert len(asked) == 1
    chats = server.staff("GET", "/admin/chats")
    assert [
        chat["message_count"] for chat in chats if chat["last_message_preview"] == question
    ] == [1]

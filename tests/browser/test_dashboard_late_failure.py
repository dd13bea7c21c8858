"""A request fails after its effect is on screen: the failure has nothing to say any more."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from .engines import post_data
from .hosting import person
from .serving import Server

pytestmark = pytest.mark.browser


def test_a_reply_that_the_stream_has_brought_is_not_reported_as_unsent(
    server: Server, staff_page: Page
) -> None:
    """ "Your text is still here" stood above an empty box, below the reply itself."""
    token = server.token(person())
    server.say(token, "question")
    chat = server.chat_of(token)
    held: list[Route] = []

    def hold(route: Route) -> None:
        body = json.loads(post_data(route.request))
        server.staff("POST", f"/admin/chats/{chat}/messages", body)
        held.append(route)

    staff_page.route("**/admin/chats/*/messages", hold)
    staff_page.goto(f"{server.url}/dashboard/chats/{chat}")
    expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
    staff_page.locator("#content").fill("answer")
    staff_page.locator("#content").press("Enter")
    expect(staff_page.locator(".message.own .bubble")).to_have_text(["answer"])
    expect(staff_page.locator("#content")).to_have_value("")
    held[0].abort()
    expect(staff_page.locator("#reply .primary")).to_be_enabled()
    expect(staff_page.locator("#problem")).to_have_text("")

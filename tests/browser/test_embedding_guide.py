"""The guide's page, script, token endpoint and policies, put together in a browser."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.embedding import guide
from tests.embedding.languages import User, token_of

from .hosting import NewContext, open_chat, person, write
from .serving import HOST_PAGE, IDENTITY_SECRET, Server

pytestmark = pytest.mark.browser

OTHER_ORIGIN, SAME_ORIGIN = re.findall(r"^Content-Security-Policy: (.*)$", guide.TEXT, re.MULTILINE)


def visit(
    context: BrowserContext, server: Server, *, origin: str, policy: str, token: str
) -> list[str]:
    """Opens the guide's page at `origin`; what it asks its own server for is gathered in the list."""
    (page_block,) = (block for block in guide.of("html") if "data-signed-in" in block.code)
    page = (
        f'<!doctype html><html lang="en"><title>A site</title><body>{page_block.code}</body></html>'
    )
    asked: list[str] = []

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        asked.append(path)
        if path == "/page":
            policy_here = policy.replace(guide.CHAT, server.url)
            headers = {
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": policy_here,
            }
            route.fulfill(body=page.replace(guide.CHAT, server.url), headers=headers)
        elif path == "/support-chat.js":
            route.fulfill(body=guide.block("support-chat.js").code, content_type="text/javascript")
        elif path == "/support-chat-token":
            route.fulfill(body=json.dumps({"token": token}), content_type="application/json")
        elif origin == server.url:
            route.continue_()
        else:
            route.fulfill(status=404)

    context.route(f"{origin}/**", answer)
    context.new_page().goto(f"{origin}/page")
    return asked


@pytest.mark.parametrize(
    ("where", "policy"), [("other", OTHER_ORIGIN), ("same", SAME_ORIGIN)], ids=["other", "same"]
)
def test_the_guides_page_chats_under_the_guides_policy(
    where: str, policy: str, server: Server, new_context: NewContext, tmp_path: Path
) -> None:
    """A violation of the policy would fail the test by `new_context`."""
    context = new_context()
    eva = User(person(), "eva@example.com", "Eva")
    token = token_of("node", tmp_path, eva, IDENTITY_SECRET)
    origin = HOST_PAGE if where == "other" else server.url
    asked = visit(context, server, origin=origin, policy=policy, token=token)
    (page,) = context.pages
    open_chat(page)
    write(page, "Is the blue tent in stock?")
    expect(page.locator("support-chat .unsent")).to_have_count(0)
    assert [message["content"] for message in server.stored(token)] == [
        "Is the blue tent in stock?"
    ]
    assert "/support-chat-token" in asked

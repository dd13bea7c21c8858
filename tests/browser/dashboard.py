"""How staff use the dashboard."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, ViewportSize, expect

from .serving import Server

WIDE = {"width": 1440, "height": 900}  # the list stays beside the chat
PHONE: ViewportSize = {"width": 390, "height": 844}


def card(page: Page, chat_id: str) -> Locator:
    return page.locator(f"#chat-{chat_id}")


def bubbles(page: Page) -> Locator:
    return page.locator(".message .bubble")


def reply_box(page: Page) -> Locator:
    return page.locator("#content")


def live(page: Page) -> None:
    """Waits until everything on screen is as the server has it."""
    expect(page.locator("body[data-live=yes]")).to_be_visible()


def open_list(page: Page, server: Server, query: str = "") -> None:
    page.goto(f"{server.url}/dashboard{query}")
    live(page)


def open_chat(page: Page, server: Server, chat_id: str, query: str = "") -> None:
    page.goto(f"{server.url}/dashboard/chats/{chat_id}{query}")
    live(page)


def unread(server: Server, chat_id: str) -> bool:
    return any(
        item["id"] == chat_id and item["unread"]
        for item in server.staff("GET", "/admin/chats?limit=200")
    )


@contextmanager
def no_connection(page: Page) -> Iterator[None]:
    """Cuts the page's stream, and refuses new ones and fragments for a while."""
    refused = (
        "**/admin/notifications/stream*",
        "**/dashboard/tabs",
        "**/dashboard/cards*",
        "**/messages?after=*",
    )
    for pattern in refused:
        page.route(pattern, lambda route: route.fulfill(status=503))
    page.evaluate(
        "window.dispatchEvent(new Event('pagehide')); window.dispatchEvent(new Event('focus'))"
    )
    yield
    for pattern in refused:
        page.unroute(pattern)
    page.evaluate("window.dispatchEvent(new Event('online'))")

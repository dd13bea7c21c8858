"""Pages of a website that embeds the widget, and how a person uses it there."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from .serving import HOST_PAGE, Server

STRICT_CSP = "default-src 'self'; script-src 'self' {chat}; connect-src 'self' {chat}"


class Chat(Protocol):
    """A chat server, or a proxy before one."""

    @property
    def url(self) -> str: ...


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head>
<body><h1>A shop</h1><button id="outside">A button of the shop</button>{element}
<script type="module" src="{chat}/widget.js" async></script></body></html>"""


def zone_at_noon() -> str:
    """A time zone in which it is about noon, so that what is sent now stays of today."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def person() -> str:
    """A user that no other test knows."""
    return f"user-{uuid.uuid4()}"


class Site(ThreadingHTTPServer):
    """A website on a port of its own, for what pages that a test answers itself cannot show."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SiteHandler)
        self.pages: dict[str, str] = {}
        self.policy = ""

    @property
    def origin(self) -> str:
        """Secure as https is: the name is localhost."""
        return f"http://localhost:{self.server_port}"


class _SiteHandler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        body = self.server.pages.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        kind = "javascript" if self.path.endswith(".js") else "html"
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.server.policy:
            self.send_header("Content-Security-Policy", self.server.policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever, args=[0.05])
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


def host_page(
    context: BrowserContext,
    server: Chat,
    *,
    origin: str = HOST_PAGE,
    token: str = "",
    attributes: str = "",
    head: str = "",
    element: str | None = None,
) -> Page:
    """Opens a page of a site with a strict Content-Security-Policy that has the widget in it."""
    credentials = f" token={json.dumps(token)}" if token else ""
    body = PAGE.format(
        chat=server.url,
        head=head,
        element=f"<support-chat{credentials} {attributes}></support-chat>"
        if element is None
        else element,
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": STRICT_CSP.format(chat=server.url),
    }

    def answer(route: Route) -> None:
        if route.request.resource_type == "document":
            route.fulfill(body=body, headers=headers)
        else:
            route.fulfill(status=404)

    context.route(f"{origin}/**", answer)
    page = context.new_page()
    page.goto(f"{origin}/")
    expect(launcher(page)).to_be_visible()
    return page


def launcher(page: Page) -> Locator:
    return page.locator("support-chat .launcher")


def panel(page: Page) -> Locator:
    return page.locator("support-chat .panel")


def box(page: Page) -> Locator:
    return page.locator("support-chat textarea")


def messages(page: Page) -> Locator:
    return page.locator("support-chat .message .bubble")


def open_chat(page: Page) -> None:
    """Opens the panel and waits until it is live, or waiting for a first message."""
    launcher(page).click()
    expect(panel(page)).to_be_visible()
    expect(page.locator("support-chat .dot.live, support-chat .dot.idle")).to_be_visible()


def set_visible(page: Page, visible: bool) -> None:
    """As if somebody switched to another tab, or back."""
    state = "visible" if visible else "hidden"
    page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            document.hasFocus = () => state === "visible";
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def kept(page: Page) -> list[str]:
    """What the browser keeps for the chat, by the end of its names."""
    names: list[str] = page.evaluate("Object.keys(localStorage).map((key) => key.split('/:')[1])")
    return sorted(names)


def write(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def wait_until_stored(page: Page, server: Server, token: str, contents: list[str]) -> None:
    """Waits until everything is sent, then compares with what the database has, in order."""
    expect(page.locator("support-chat .unsent")).to_have_count(0)
    assert [message["content"] for message in server.stored(token)] == contents


NewContext = Callable[..., BrowserContext]

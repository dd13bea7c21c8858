"""The back-forward cache: a page that people come back to is as they left it, and catches up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from .engines import CHROMIUM_ARGUMENTS, chromium_executable
from .hosting import PAGE, Site, box, messages, open_chat, person, running_site
from .serving import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def site() -> Iterator[Site]:
    """Pages that tests answer themselves are not kept by the browser."""
    with running_site() as site:
        yield site


@pytest.fixture
def keeping(browser: Browser) -> Iterator[BrowserContext]:
    """A browser with the cache, which Playwright switches off otherwise."""
    with_cache = browser.browser_type.launch(
        executable_path=chromium_executable(),
        args=CHROMIUM_ARGUMENTS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield with_cache.new_context()
    with_cache.close()


@pytest.mark.chromium_only("other engines keep no page with an open stream")
def test_a_page_from_the_back_forward_cache_is_live_again(
    tmp_path: Path, site: Site, keeping: BrowserContext
) -> None:
    with Server(tmp_path, origins=[site.origin]) as server:
        token = server.token(person())
        element = f'<support-chat token="{token}"></support-chat>'
        site.pages = {
            "/": PAGE.format(chat=server.url, head="", element=element),
            "/basket": "<!doctype html><title>Basket</title>",
        }
        page = keeping.new_page()
        page.goto(site.origin)
        open_chat(page)
        expect(page.locator("support-chat .dot.live")).to_be_visible()
        box(page).fill("half a tho")
        page.evaluate(
            "addEventListener('pageshow', (event) => { document.body.dataset.kept = event.persisted; })"
        )
        page.goto(f"{site.origin}/basket")
        # a page that nobody sees must not be the one that holds the stream
        assert page.evaluate("navigator.locks.query()") == {"held": [], "pending": []}
        server.reply(token, "while it was away")
        page.go_back(wait_until="commit")  # there is no load
        expect(page.locator("body")).to_have_attribute("data-kept", "true")
        expect(messages(page)).to_have_text(["while it was away"])
        expect(page.locator("support-chat .dot.live")).to_be_visible()
        expect(box(page)).to_have_value("half a tho")
        server.reply(token, "and live")
        expect(messages(page)).to_have_text(["while it was away", "and live"])

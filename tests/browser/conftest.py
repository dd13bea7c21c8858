"""A real server in a process of its own with a real database, and a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .chromium import ARGUMENTS, executable
from .serving import Server

WATCH_CSP = """
window.cspReports = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.cspReports.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
PATIENCE_MS = 10_000  # what a test waits for at most; on a busy machine everything takes longer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that do not kill it; tests keep apart by having users of their own."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts: people who share nothing. What went wrong on their pages fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error.stack or error.message}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def make(**options: object) -> BrowserContext:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH_CSP)
        context.on("page", watch)
        contexts.append(context)
        return context

    yield make
    reports = [report for context in contexts for page in context.pages for report in _csp_reports(page)]
    for context in contexts:
        context.close()
    assert wrong == []
    assert reports == []


def _csp_reports(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.cspReports ?? []")
    return found


@pytest.fixture
def staff_page(server: Server, new_context: Callable[..., BrowserContext]) -> Page:
    """Staff, logged in, on the list."""
    page = new_context().new_page()
    server.log_in(page)
    return page

"""A real server in a process of its own with a real database, and a real browser.

What is shared ends with this package: while Playwright runs, no other loop can, and other tests have loops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Dialog,
    Error,
    Page,
    expect,
    sync_playwright,
)

from tests.support.postgres import Cluster

from .engines import FIREFOX_SCRIPT, launch, without_scripts
from .serving import Server

WATCH_CSP = """
document.addEventListener("securitypolicyviolation", (event) =>
  window.reportViolation(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
PATIENCE_MS = 10_000  # what a test waits for at most; on a busy machine everything takes longer


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Server]:
    """One for all tests that do not kill it; tests keep apart by having users of their own."""
    with (
        contextmanager(cluster.database)() as url,
        Server(tmp_path_factory.mktemp("server"), database_url=url) as running,
    ):
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """One that a test may kill."""
    with Server(tmp_path) as running:
        yield running


@pytest.fixture(scope="package")
def engine(request: pytest.FixtureRequest) -> str:
    """The browser engine: of this module (test_firefox.py), or of this run, as `--engine` names it."""
    return getattr(request, "param", None) or str(request.config.getoption("engine"))


@pytest.fixture(autouse=True)
def chromium_only(request: pytest.FixtureRequest) -> None:
    """Skip tests that say why they cannot run with the driver of another engine."""
    mark = request.node.get_closest_marker("chromium_only")
    if mark and request.getfixturevalue("engine") != "chromium":
        pytest.skip(f"Chromium only: {mark.args[0]}")


@pytest.fixture(scope="package")
def browser(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launch(playwright, engine, tmp_path_factory.mktemp("browser"))
        yield running
        running.close()


@pytest.fixture
def new_context(engine: str, browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts: people who share nothing. What went wrong on their pages fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def failed(page: Page, error: Error) -> None:
        if engine != "firefox":  # where each line of the console about a request counts as one
            wrong.append(f"{page.url}: {error.stack or error.message}")

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: failed(page, error))
        page.on("dialog", opened)

    def make(**options: object) -> BrowserContext:
        scripts = engine != "firefox" or options.pop("java_script_enabled", True)
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        context.expose_function(
            "reportViolation", lambda report: wrong.append(f"content security policy: {report}")
        )
        context.add_init_script(WATCH_CSP + (FIREFOX_SCRIPT if engine == "firefox" else ""))
        if not scripts:
            without_scripts(context)
        context.on("page", watch)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="package")
def staff_cookies(server: Server, browser: Browser) -> Any:
    """From one login: the server takes five in 20 seconds."""
    context = browser.new_context()
    server.log_in(context.new_page())
    cookies = context.storage_state()
    context.close()
    return cookies


@pytest.fixture
def staff_page(
    server: Server, staff_cookies: Any, new_context: Callable[..., BrowserContext]
) -> Page:
    """Staff, logged in, on the list, which is live."""
    page = new_context(storage_state=staff_cookies).new_page()
    page.goto(f"{server.url}/dashboard")
    expect(page.locator("body[data-live=yes]")).to_be_visible()
    return page

"""The browsers that tests drive: Chromium, and Firefox with `--engine firefox`."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, Playwright, Request, Route

# --no-sandbox: tests run as root in containers; the others keep the browser from talking to anybody else
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # the tests' website has no address, the server has this machine's: the browser would ask a person about that
    "--disable-features=LocalNetworkAccessChecks",
]


FOUND = Path(__file__).parents[2] / ".venv" / "chromium"  # written by tools/chromium.py
PLAYWRIGHT = "playwright"
RELAY = Path(__file__).with_name("firefox_relay.py")
FIREFOX_NAMES = ("firefox-esr", "firefox")
# Playwright does not pass `reduced_motion` on: motion is always reduced.
FIREFOX_PREFERENCES: dict[str, str | float | bool] = {"ui.prefersReducedMotion": 1}
# What Playwright for Firefox leaves out, as a script in each page: the body of a POST, and errors
# apart from lines of the console.
FIREFOX_SCRIPT = """
const send = window.fetch;
window.fetch = (to, options) => {
  if (options?.method === "POST") sessionStorage.setItem("posted", options.body);
  return send(to, options);
};
window.addEventListener("error", (event) => window.reportViolation(`error: ${event.message}`));
window.addEventListener("unhandledrejection", (event) =>
  window.reportViolation(`rejection: ${event.reason}`));
"""


def chromium_executable() -> str | None:
    """The Chromium that `make` found, else the one in PATH; None lets Playwright use its own."""
    found = os.environ.get("CHROMIUM") or (
        FOUND.read_text().strip() if FOUND.exists() else shutil.which("chromium")
    )
    return None if found == PLAYWRIGHT else found


def post_data(request: Request) -> str:
    """The body of a POST, in Firefox that of the tab's last one."""
    return request.post_data or str(request.frame.evaluate("sessionStorage.getItem('posted')"))


def fetch(route: Route) -> APIResponse:
    """`route.fetch()`, which hangs in Firefox for a POST."""
    if route.request.method == "POST":
        return route.fetch(post_data=post_data(route.request))
    return route.fetch()


def without_scripts(context: BrowserContext) -> BrowserContext:
    """As `java_script_enabled=False`, which has no effect in Firefox. All scripts of our pages have addresses."""
    context.route(
        "**/*",
        lambda route: (
            route.abort() if route.request.resource_type == "script" else route.fallback()
        ),
    )
    return context


def launch(playwright: Playwright, engine: str, folder: Path) -> Browser:
    """Start the browser. `folder` takes the small program that stands in for Firefox."""
    if engine == "firefox":
        return _launch_firefox(playwright, folder)
    return playwright.chromium.launch(
        executable_path=chromium_executable(), args=CHROMIUM_ARGUMENTS
    )


def firefox_executable() -> str | None:
    """Firefox in PATH; None where there is none."""
    return next(filter(None, map(shutil.which, FIREFOX_NAMES)), None)


def _launch_firefox(playwright: Playwright, folder: Path) -> Browser:
    firefox = firefox_executable() or pytest.skip("needs firefox-esr")
    program = folder / "firefox"
    program.write_text(f'#!/bin/sh\nFIREFOX="{firefox}" exec "{sys.executable}" "{RELAY}" "$@"\n')
    program.chmod(0o700)
    return playwright.firefox.launch(
        channel="moz-firefox", executable_path=program, firefox_user_prefs=FIREFOX_PREFERENCES
    )

"""The browsers that tests drive: Chromium, and Firefox with `--engine firefox`."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Playwright

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
ENGINES = ("chromium", "firefox")


def chromium_executable() -> str | None:
    """The Chromium that `make` found, else the one in PATH; None lets Playwright use its own."""
    found = os.environ.get("CHROMIUM") or (
        FOUND.read_text().strip() if FOUND.exists() else shutil.which("chromium")
    )
    return None if found == PLAYWRIGHT else found


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
    firefox = firefox_executable()
    assert firefox is not None, "no Firefox in PATH; install firefox-esr"
    program = folder / "firefox"
    program.write_text(f'#!/bin/sh\nFIREFOX="{firefox}" exec "{sys.executable}" "{RELAY}" "$@"\n')
    program.chmod(0o700)
    return playwright.firefox.launch(channel="moz-firefox", executable_path=program)

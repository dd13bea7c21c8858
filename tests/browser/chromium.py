"""The browser that tests drive."""

import os
import shutil
from pathlib import Path

# --no-sandbox: tests run as root in containers; the others keep the browser from talking to anybody else
ARGUMENTS = [
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


def executable() -> str | None:
    """The Chromium that `make` found, else the one in PATH; None lets Playwright use its own."""
    found = os.environ.get("CHROMIUM") or (
        FOUND.read_text().strip() if FOUND.exists() else shutil.which("chromium")
    )
    return None if found == PLAYWRIGHT else found

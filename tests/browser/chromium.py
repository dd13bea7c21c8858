"""The browser that tests drive."""

import shutil

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


def executable() -> str | None:
    """The system's Chromium; None lets Playwright use its own."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

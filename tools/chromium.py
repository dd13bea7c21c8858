"""Finds a Chromium for the browser tests and writes its path into the file given as argument.

In this order: the environment variable CHROMIUM, the one in PATH, the system's package manager when root,
Playwright's own download (then the file says `playwright`). Each is started once before it is taken: what is
called chromium-browser is only a hint at a snap on some systems.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLAYWRIGHT = "playwright"
START_TIMEOUT_MS = 30_000  # a first start on a busy machine takes a few seconds
PACKAGE_MANAGERS = {
    "apt-get": (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"],
    ),
    "dnf": (["dnf", "install", "--assumeyes", "chromium"],),
    "apk": (["apk", "add", "chromium"],),
}


def main(result: Path) -> None:
    found = given() or in_path() or from_package_manager() or download()
    result.write_text(found + "\n")
    print(f"chatsvc: browser tests use {found}")


def given() -> str | None:
    path = os.environ.get("CHROMIUM")
    if path and not starts(path):
        sys.exit(
            f"chatsvc: CHROMIUM is {path}, which does not start; name another one, or unset it"
        )
    return path or None


def in_path() -> str | None:
    paths = filter(None, map(shutil.which, NAMES))
    return next(filter(starts, paths), None)


def from_package_manager() -> str | None:
    manager = next(filter(shutil.which, PACKAGE_MANAGERS), None)
    if manager is None or os.geteuid() != 0:
        return None
    print(f"chatsvc: installing Chromium with {manager}", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in PACKAGE_MANAGERS[manager]:
        subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
    return in_path()


def download() -> str:
    print("chatsvc: downloading Playwright's Chromium", flush=True)
    done = subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    if done.returncode != 0:
        sys.exit(
            "chatsvc: no Chromium for the browser tests; install one (package chromium), "
            "or say where it is: make test CHROMIUM=/path/to/chromium"
        )
    if not starts(PLAYWRIGHT):
        sys.exit(
            "chatsvc: the downloaded Chromium does not start for want of system libraries; install them: "
            "sudo .venv/bin/python -m playwright install-deps chromium"
        )
    return PLAYWRIGHT


def starts(path: str) -> bool:
    with sync_playwright() as playwright:
        try:
            executable = None if path == PLAYWRIGHT else path
            playwright.chromium.launch(executable_path=executable, timeout=START_TIMEOUT_MS).close()
        except Error:
            return False
        return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""WebKitGTK, driven by Selenium: its own small browser on a screen that nobody sees, with real clicks and keys."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import WebKitGTK
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

from tests.support.programs import path_of
from tests.support.waiting import wait

from .serving import STAFF_EMAIL, STAFF_PASSWORD, Server

BROWSERS = ("*/webkit2gtk-4.*/MiniBrowser", "*/webkitgtk-6.*/MiniBrowser")
SCREEN = "1400x1000x24"
LIMIT_S = 20.0  # what a test waits for at most; on a busy machine everything takes longer
RECOVERY_LIMIT_S = 40.0  # the longest pause between two attempts to connect is 30 s
# Without it the browser looks for services of a desktop that are not there.
ALONE = {"NO_AT_BRIDGE": "1", "GSETTINGS_BACKEND": "memory", "LANG": "en_GB.UTF-8"}


@contextmanager
def screen() -> Iterator[str]:
    """A display without a device. Yields its name, as DISPLAY has it."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [path_of("Xvfb"), "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield f":{number.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class WebKit:
    """One browser that knows nothing yet. A selector is looked for in the widget if `widget` is true."""

    def __init__(self, display: str, log: Path, *arguments: str) -> None:
        options = Options()
        options.binary_location = _browser()
        for argument in ("--automation", *arguments):
            options.add_argument(argument)
        service = Service(
            path_of("WebKitWebDriver"),
            log_output=str(log),
            env={**os.environ, **ALONE, "DISPLAY": display},
        )
        self.driver = WebKitGTK(options=options, service=service)

    def close(self) -> None:
        self.driver.quit()

    def script(self, source: str, *arguments: object) -> Any:
        return self.driver.execute_script(source, *arguments)

    # ---- what is on the page ----

    def find(self, selector: str, *, widget: bool = False) -> list[WebElement]:
        found: Any = self.driver
        if widget:
            found = self.driver.find_element(By.TAG_NAME, "support-chat").shadow_root
        elements: list[WebElement] = found.find_elements(By.CSS_SELECTOR, selector)
        return elements

    def one(self, selector: str, *, widget: bool = False) -> WebElement:
        """Wait for a visible element."""
        find = partial(self.find, selector, widget=widget)
        self.until(lambda: any(each.is_displayed() for each in find()), f"{selector} is visible")
        return next(each for each in find() if each.is_displayed())

    def texts(self, selector: str, *, widget: bool = False) -> list[str]:
        return [
            str(each.get_property("textContent")) for each in self.find(selector, widget=widget)
        ]

    def shows(self, expected: list[str], selector: str, *, widget: bool = False) -> None:
        """Wait until the elements have these texts."""
        texts = partial(self.texts, selector, widget=widget)
        self.until(lambda: texts() == expected, lambda: f"{expected}, not {texts()}")

    def until(
        self, condition: Callable[[], object], what: str | Callable[[], str] = "a condition"
    ) -> None:
        """Wait for a condition; what is not there yet, or replaced meanwhile, does not meet it."""

        def met() -> object:
            try:
                return condition()
            except WebDriverException:
                return False

        wait(met, what, RECOVERY_LIMIT_S)

    # ---- people ----

    def open_widget(self) -> None:
        self.one(".launcher", widget=True).click()
        self.one(".dot.live, .dot.idle", widget=True)

    def write(self, text: str) -> None:
        """Type a message into the widget, and send it with Enter."""
        self.one("textarea", widget=True).send_keys(text, "\ue007")

    def conversation(self, *texts: str) -> None:
        """Wait until the widget shows exactly these messages."""
        self.shows(list(texts), ".message .bubble", widget=True)

    def log_in(self, server: Server) -> None:
        self.driver.get(f"{server.url}/login")
        self.one("#email").send_keys(STAFF_EMAIL)
        self.one("#password").send_keys(STAFF_PASSWORD, "\ue007")
        self.one(".cards, .list, main")
        self.until(lambda: "/login" not in self.driver.current_url, "logged in")


def _browser() -> str:
    """The browser that comes with the driver. It is in no PATH."""
    found = [path for pattern in BROWSERS for path in Path("/usr/lib").glob(pattern)]
    assert found, "the package webkit2gtk-driver has no MiniBrowser"
    return str(found[0])

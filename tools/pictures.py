"""Take pictures of all pages and states in each engine, to be looked at.

`.venv/bin/python -m tools.pictures FOLDER chromium firefox webkit` writes FOLDER/ENGINE-LOOK-SCENE.png.
"""

import json
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import sync_playwright

from chatsvc.config.config import load_or_create_secret
from chatsvc.security import tokens
from tests.browser.engines import launch
from tests.browser.serving import STAFF_EMAIL, STAFF_PASSWORD, Server
from tests.browser.webkit import WebKit, screen
from tests.support.waiting import wait

WIDGET = "document.querySelector('support-chat')"
PART = f"{WIDGET}.shadowRoot.querySelector"
LIVE = "document.body.dataset.live === 'yes'"
LOGGED_IN = "!location.pathname.startsWith('/login')"
TEXTS = (
    "Hello! Does the Abendrot 3 stand on rock? https://example.com/tent?colour=red",
    "שלום, האוהל במלאי?\nSecond line, in English",
    "界" * 60 + " " + "x" * 90,
)


class Scene(NamedTuple):
    """A page; a script that brings it into its state; a condition that is true when it is there."""

    name: str
    path: str
    script: str = ""
    ready: str = "true"


class Look(NamedTuple):
    """A window and a colour scheme."""

    name: str
    width: int
    height: int
    dark: bool


LOOKS = (Look("wide", 1200, 800, dark=False), Look("phone", 390, 760, dark=True))


class Engine(NamedTuple):
    """What the pictures need of a driver."""

    go: Callable[[str], object]
    run: Callable[[str], Any]
    shoot: Callable[[Path], object]


def main(folder: Path, engines: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, Server(Path(data)) as server:
        chat = talk(server)
        for name in engines:
            for look in LOOKS:
                with opened(name, look, Path(data)) as engine:
                    for scene in scenes(server, chat):
                        take(
                            engine,
                            server.url,
                            scene,
                            folder / f"{name}-{look.name}-{scene.name}.png",
                        )
                print(f"{name}, {look.name}")


def talk(server: Server) -> str:
    """Fill the dashboard, and return the id of the chat that is shown."""
    for number in range(30):
        token = server.token(f"person-{number}", name=f"Person {number}", email="p@example.com")
        server.say(token, f"Question {number}: {TEXTS[number % len(TEXTS)]}")
    token = server.token("demo-kim", name="Kim Example", email="kim@example.com")
    for text in TEXTS:
        server.say(token, text)
        server.reply(token, f"Answer to: {text}")
    return server.chat_of(token)


def scenes(server: Server, chat: str) -> list[Scene]:
    visitor = server.user("", "POST", "/visitors", {})["user_id"]
    secret = load_or_create_secret(server.folder / "var")
    leave = urllib.parse.urlencode({"token": tokens.sign_unsubscribe(secret, visitor)})
    fill = f"""const set = (name, text) => {{ document.getElementById(name).value = text; }};
        set("email", {json.dumps(STAFF_EMAIL)}); set("password", {json.dumps(STAFF_PASSWORD)});"""
    send = "document.querySelector('form [type=submit], form button').click()"
    show = f"{WIDGET}.show()"
    live = f"{PART}('.dot.live') !== null"
    write = f"""const box = {PART}("textarea"); box.value = "Hello?"; box.dispatchEvent(new Event("input"));
        box.dispatchEvent(new KeyboardEvent("keydown", {{ key: "Enter", bubbles: true }}));"""
    return [
        Scene("demo", "/demo?as=kim"),
        Scene("widget", "/demo?as=kim", show, live),
        Scene("widget-empty", "/demo?as=visitor", show, f"{PART}('.dot.idle') !== null"),
        Scene("widget-contact", "", write, f"{PART}('.contact')?.checkVisibility()"),
        Scene("unsubscribe", f"/notices/unsubscribe?{leave}"),
        Scene("login", "/login"),
        Scene(
            "login-wrong",
            "",
            fill + "set('password', 'x');" + send,
            "document.querySelector('[role=alert]')",
        ),
        Scene("list", "/login", fill + send, f"{LOGGED_IN} && {LIVE}"),
        Scene("archived", "/dashboard?archived=true", ready=LIVE),
        Scene("chat", f"/dashboard/chats/{chat}", ready=LIVE),
        Scene(
            "help",
            "",
            "document.querySelector('.help, [aria-label=\"Keyboard shortcuts\"]').click()",
            "document.querySelector('dialog[open]')",
        ),
        Scene("search", "/dashboard/search?q=question"),
        Scene("search-nothing", "/dashboard/search?q=nothing-like-this"),
        Scene("account", "/dashboard/account"),
        Scene("missing", "/dashboard/nothing"),
    ]


def take(engine: Engine, url: str, scene: Scene, file: Path) -> None:
    """Bring the page into the state, wait for what moves, and take the picture."""
    if scene.path:
        engine.go(url + scene.path)
        wait(lambda: engine.run("return document.readyState === 'complete'"), scene.name)
    if "support-chat" in scene.script + scene.ready:
        wait(
            lambda: engine.run(f"return Boolean({WIDGET}?.shadowRoot?.querySelector('.launcher'))"),
            scene.name,
        )
    engine.run(scene.script)
    wait(lambda: _is_ready(engine, scene.ready), scene.name)
    wait(lambda: engine.run("return document.getAnimations().length === 0"), scene.name)
    engine.shoot(file)


def _is_ready(engine: Engine, condition: str) -> bool:
    try:
        return bool(engine.run(f"return Boolean({condition})"))
    except Exception:  # the page is on its way to another one
        return False


@contextmanager
def opened(name: str, look: Look, folder: Path) -> Iterator[Engine]:
    with ExitStack() as stack:
        if name == "webkit":
            display = stack.enter_context(screen())
            browser = WebKit(
                display, folder / "webkit.log", *(["--dark-mode"] if look.dark else [])
            )
            stack.callback(browser.close)
            browser.driver.set_window_size(look.width, look.height)
            yield Engine(
                browser.driver.get,
                browser.script,
                lambda file: browser.driver.save_screenshot(str(file)),
            )
            return
        playwright = stack.enter_context(sync_playwright())
        running = launch(playwright, name, folder)
        stack.callback(running.close)
        context = running.new_context(
            viewport={"width": look.width, "height": look.height},
            color_scheme="dark" if look.dark else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        yield Engine(
            page.goto,
            lambda source: page.evaluate(f"() => {{ {source} }}"),
            lambda file: page.screenshot(path=file),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["chromium", "firefox", "webkit"])

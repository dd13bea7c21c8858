"""Server: the program as people run it, and what tests ask of it beside the browser."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError

from playwright.sync_api import Page, expect

from chatsvc.security import tokens

ROOT = Path(__file__).parents[2]
IDENTITY_SECRET = "browser-tests-sign-tokens-with-this-one"
STAFF_EMAIL = "sam@example.com"
STAFF_PASSWORD = "correct horse battery"
# The site that embeds the widget; tests answer for it themselves. Browsers trust localhost as they trust https.
HOST_PAGE = "http://shop.localhost"
PLAIN_HOST_PAGE = "http://shop.test"  # one without https: no locks, no randomUUID
START_LIMIT_S = 60
STOP_LIMIT_S = 20
Json = dict[str, Any]


class Server:
    """One installation in `folder`: it may be started, killed and started again on the same port."""

    def __init__(self, folder: Path, origins: Sequence[str] = (HOST_PAGE, PLAIN_HOST_PAGE)) -> None:
        self.folder = folder
        self._origins = origins
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._staff_token = ""

    def __enter__(self) -> Self:
        self.start()
        self._command("create-admin", STAFF_EMAIL, "--password-stdin", stdin=STAFF_PASSWORD)
        self._staff_token = self._command("staff-token", STAFF_EMAIL).strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments(), env=self._environment(), stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._ready():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(STOP_LIMIT_S)

    # ---- people ----

    def log_in(self, page: Page) -> None:
        page.goto(f"{self.url}/login")
        page.get_by_label("E-mail").fill(STAFF_EMAIL)
        page.get_by_label("Password").fill(STAFF_PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("body[data-live=yes]")).to_be_visible()

    def token(
        self, sub: str, *, email: str | None = None, name: str | None = None, ttl_s: int = 3600
    ) -> str:
        return tokens.sign_identity(
            IDENTITY_SECRET.encode(), sub=sub, email=email, name=name, ttl_s=ttl_s
        )

    # ---- the API, as other programs use it ----

    def user(self, token: str, method: str, path: str, body: Json | None = None) -> Json:
        answer: Json = self._call(token, method, path, body)
        return answer

    def staff(self, method: str, path: str, body: Json | None = None) -> Any:
        return self._call(self._staff_token, method, path, body)

    def say(self, token: str, content: str) -> Json:
        return self.user(
            token,
            "POST",
            "/support_chat/messages",
            {"content": content, "client_id": str(uuid.uuid4())},
        )

    def chat_of(self, token: str) -> str:
        chat_id: str = self.user(token, "GET", "/support_chat")["id"]
        return chat_id

    def reply(self, token: str, content: str) -> Json:
        """Staff answer the user of this token."""
        answer: Json = self.staff(
            "POST", f"/admin/chats/{self.chat_of(token)}/messages", {"content": content}
        )
        return answer

    def stored(self, token: str) -> list[Json]:
        """All messages of the token's user, as the database has them."""
        messages: list[Json] = []
        while True:
            after = messages[-1]["seq"] if messages else 0
            page = self.user(token, "GET", f"/support_chat/messages?limit=200&after={after}")
            messages += page["messages"]
            if not page["has_more"]:
                return messages

    def _call(self, token: str, method: str, path: str, body: Json | None) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    # ---- the process ----

    def _arguments(self, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "server.py"), *arguments]

    def _command(self, *arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            self._arguments(*arguments),
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def _environment(self) -> dict[str, str]:
        settings = {
            "PORT": str(self.port),
            "DATA_DIR": str(self.folder / "var"),
            "PUBLIC_URL": self.url,
            "DEMO": "on",
            "IDENTITY_SECRETS": IDENTITY_SECRET,
            "ALLOWED_ORIGINS": ",".join(self._origins),
            "MESSAGE_RATE_USER": "0",
            "MESSAGE_RATE_STAFF": "0",
            "MESSAGE_RATE_ADDRESS": "0",
            "VISITOR_RATE_ADDRESS": "0",
        }
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("CHATSVC_")
        }
        return kept | {f"CHATSVC_{name}": value for name, value in settings.items()}

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (HTTPError, URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

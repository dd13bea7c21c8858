"""The program as people run it, and what tests ask of it beside the browser."""

import json
import sys
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import Page, expect

from chatsvc.security import tokens
from tests.support.ports import reserve_port
from tests.support.process import ROOT, Program, environment_with

IDENTITY_SECRET = "browser-tests-sign-tokens-with-this-one"
STAFF_EMAIL = "sam@example.com"
STAFF_PASSWORD = "correct horse battery"
# The site that embeds the widget. Tests answer for it themselves. Browsers trust localhost as
# they trust https.
HOST_PAGE = "http://shop.localhost"
PLAIN_HOST_PAGE = "http://shop.test"  # one without https: no locks, no randomUUID
REQUEST_LIMIT_S = 10.0
Json = dict[str, Any]


class Server(Program):
    """One installation in `folder`, on its embedded PostgreSQL unless there is a `database_url`."""

    def __init__(
        self,
        folder: Path,
        origins: Sequence[str] = (HOST_PAGE, PLAIN_HOST_PAGE),
        *,
        database_url: str | None = None,
    ) -> None:
        self.folder = folder
        self._staff_token = ""
        port = reserve_port()  # known before the start: it is part of the option PUBLIC_URL
        environment = environment_with(
            "CHATSVC",
            data_dir=folder / "var",
            public_url=f"http://127.0.0.1:{port}",
            demo="on",
            identity_secrets=IDENTITY_SECRET,
            allowed_origins=",".join(origins),
            message_rate_user=0,
            message_rate_staff=0,
            message_rate_address=0,
            visitor_rate_address=0,
            read_rate_user=0,
            read_rate_address=0,
            **({} if database_url is None else {"database_url": database_url}),
        )
        super().__init__(
            (sys.executable, str(ROOT / "server.py")),
            environment,
            folder / "server.log",
            port_option="CHATSVC_PORT",
            port=port,
        )

    def __enter__(self) -> Self:
        self.start()
        self._run("create-admin", STAFF_EMAIL, "--password-stdin", stdin=STAFF_PASSWORD)
        self._staff_token = self._run("staff-token", STAFF_EMAIL).strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, *arguments: str, stdin: str = "") -> str:
        done = self.command(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

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
        found: Json = self._call(token, method, path, body)
        return found

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
        """Have staff reply to the user of this token."""
        message: Json = self.staff(
            "POST", f"/admin/chats/{self.chat_of(token)}/messages", {"content": content}
        )
        return message

    def stored(self, token: str) -> list[Json]:
        """Return all stored messages of the token's user."""
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
        with urllib.request.urlopen(request, timeout=REQUEST_LIMIT_S) as response:
            return json.loads(response.read())

"""After a full run the server's log, in either form, holds no token, no password, no address and nothing that people wrote."""

import http.client
import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from chatsvc.security import tokens
from tests.support.process import ServerProcess
from tests.support.service import IDENTITY_SECRET, PASSWORD, SECRET_KEY

STAFF = "sam.staff@example.com"
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) [a-z.]+: .+")


class Client:
    """Asks one question per connection, and remembers what must not be in the log."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.secrets: set[str] = {PASSWORD, IDENTITY_SECRET.decode(), SECRET_KEY.decode(), STAFF}

    def secret(self, text: str) -> str:
        self.secrets.add(text)
        return text

    def ask(
        self, method: str, path: str, token: str | None = None, body: Any = None, **headers: str
    ) -> http.client.HTTPResponse:
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            head["Authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            body = json.dumps(body)
            head.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, head)
        answer = connection.getresponse()
        if "event-stream" not in (answer.getheader("Content-Type") or ""):
            answer.read()
        connection.close()
        return answer

    def raw(self, data: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass


def use_everything(server: ServerProcess, client: Client) -> None:
    """Every kind of proof, right and wrong, in every place where somebody might put it."""
    ask, secret = client.ask, client.secret
    assert server.command("create-admin", STAFF, "--password-stdin", stdin=PASSWORD).returncode == 0
    staff = secret(server.command("staff-token", STAFF).stdout.strip())
    user = secret(
        tokens.sign_identity(
            IDENTITY_SECRET,
            sub=secret("sub-4711"),
            email=secret("alice.user@example.com"),
            name=secret("Alice Liddell"),
            ttl_s=600,
        )
    )
    expired = secret(
        tokens.sign_identity(IDENTITY_SECRET, sub="sub-4711", email=None, name=None, ttl_s=-600)
    )
    assert (
        ask(
            "POST",
            "/support_chat/messages",
            user,
            {"content": secret("private words"), "client_id": secret("client-id-1")},
        ).status
        == 201
    )
    assert (
        ask(
            "POST",
            "/support_chat/messages",
            user,
            {"content": secret("other words"), "client_id": "client-id-1"},
        ).status
        == 409
    )
    assert (
        ask("POST", "/visitors", None, {"email": secret("victor.visitor@example.com")}).status
        == 201
    )
    assert ask("POST", "/visitors", None, {"email": secret("no address at all")}).status == 422
    assert ask("GET", "/support_chat/stream", user).status == 200
    assert ask("GET", "/admin/notifications/stream", staff).status == 200
    for token in (
        expired,
        secret("garbage-token"),
        secret("cs_garbage-token"),
        secret("cv_garbage-token"),
    ):
        assert ask("GET", "/support_chat", token).status == 401
    for path in ("/support_chat", "/admin/chats", "/dashboard", "/nope", "/login"):
        ask(
            "GET", f"{path}?token={user}&access_token={staff}&email={secret('query%40example.com')}"
        )
    cookie = (ask("GET", "/login").getheader("Set-Cookie") or "").partition(";")[0]
    xsrf = secret(cookie.partition("=")[2].strip('"'))
    for password in (secret("a wrong password"), PASSWORD):
        form = urlencode({"email": STAFF, "password": password, "_xsrf": xsrf})
        answer = ask(
            "POST",
            "/login",
            None,
            form,
            Cookie=cookie,
            Content_Type="application/x-www-form-urlencoded",
        )
    session = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    secret(session.partition("=")[2])
    assert answer.status == 303 and ask("GET", "/dashboard", Cookie=session).status == 200
    assert ask("POST", "/logout", Cookie=f"{session}; {cookie}", X_XSRFToken=xsrf).status == 303
    ask("GET", "/metrics", X_Forwarded_For=secret("198.51.100.77"))
    for header in (
        f"Authorization: Bearer {user}\x01",
        f"Cookie: chatsvc={staff}\x00",
        f"X {user}: y",
        f"Host: {user} x",
    ):
        client.raw(f"GET /support_chat HTTP/1.1\r\n{header}\r\n\r\n".encode("latin-1"))
    client.raw(
        f"POST /visitors HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{user}\r\n".encode()
    )
    client.raw(f"{user}\r\n\r\n".encode())


def forge_lines(client: Client) -> None:
    """Paths that would begin a line of their own, if they could; raw bytes are refused."""
    raw = (b"/\x85fake", b"/\xe2\x80\xa8fake", b"/\x9bfake")
    for path in (*raw, b"/%0a<3>fake", b"/%C2%85fake", b"/%E2%80%A8fake", b"/%9bfake"):
        client.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_holds_no_secret_and_every_line_is_one(
    server: ServerProcess, log_format: str, tmp_path: Path
) -> None:
    server.environment["CHATSVC_LOG_FORMAT"] = log_format
    server.environment["CHATSVC_LOG_REQUESTS"] = "all"
    server.start()
    client = Client(server.port)
    use_everything(server, client)
    forge_lines(client)
    assert server.stop() == 0
    log = server.log
    found = sorted(secret for secret in client.secrets if secret in log)
    assert not found, f"in the log: {found}"
    assert "/support_chat" in log and "?" not in log and "listening" in log
    for line in log.splitlines():
        assert LINE.fullmatch(line) if log_format == "text" else json.loads(line)["message"], line
        assert line.isprintable(), line
    assert not re.search(r"WARNING|ERROR|Traceback", log), log
    assert log.count("fake") == 4

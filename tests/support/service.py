"""A chatsvc running in the test's own process, on a real port and a real database."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders

from chatsvc.app import App
from chatsvc.config.config import Config, load
from chatsvc.pages.assets import Assets
from chatsvc.security import tokens
from chatsvc.security.passwords import Passwords, hash_password
from chatsvc.security.rate_limits import DEFAULT_RATES, Rates
from chatsvc.store import people
from chatsvc.streams.registry import DEFAULT_RHYTHM, Rhythm
from chatsvc.web.limits import ServerLimits
from tests.support.clock import Clock
from tests.support.sse import StreamClient

IDENTITY_SECRET = b"an identity secret for the tests that is long enough"
SECRET_KEY = b"a secret key for the tests, of more than 32 bytes"
PASSWORD = "correct horse battery"
NO_LIMITS = {
    "message_rate_user": 0,
    "message_rate_staff": 0,
    "message_rate_address": 0,
    "visitor_rate_address": 0,
    "read_rate_user": 0,
    "read_rate_address": 0,
    "streams_per_user": 0,
    "streams_per_staff": 0,
    "streams_per_address": 0,
}


def make_config(data_dir: Path, **changes: Any) -> Config:
    """The defaults of docs/api.md on a free port, one identity secret, no rate limits; `changes` by field."""
    config = load({"CHATSVC_DATA_DIR": str(data_dir), "CHATSVC_PORT": "0"})
    base: dict[str, Any] = {"identity_secrets": (IDENTITY_SECRET,), "port": 0, **NO_LIMITS}
    return msgspec.structs.replace(config, **{**base, **changes})


class Response(NamedTuple):
    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Service:
    """Start it with `await service.start()`; the fixture `service` does, and stops it."""

    def __init__(
        self,
        config: Config,
        database_url: str,
        *,
        rates: Rates = DEFAULT_RATES,
        passwords: Passwords | None = None,
        rhythm: Rhythm = DEFAULT_RHYTHM,
        server_limits: ServerLimits | None = None,
    ) -> None:
        self.rates_clock = Clock()  # however slow the machine is, no time passes for rate limits
        self.app = App(
            config,
            database_url,
            SECRET_KEY,
            rates=rates._replace(now=self.rates_clock),
            passwords=passwords,
            rhythm=rhythm,
            server_limits=server_limits,
            assets=_assets(),
        )
        self.database_url = database_url
        self.url = ""
        self._streams: list[StreamClient] = []
        self._client = AsyncHTTPClient(force_instance=True, max_clients=1000)

    async def start(self) -> "Service":
        sockets = await self.app.start()
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        self._client.close()
        for stream in self._streams:
            stream.close()
        await self.app.stop()

    # ---- who ----

    def user_token(self, sub: str = "alice", ttl_s: int = 3600, **claims: Any) -> str:
        email, name = claims.get("email", f"{sub}@example.com"), claims.get("name")
        return tokens.sign_identity(IDENTITY_SECRET, sub=sub, email=email, name=name, ttl_s=ttl_s)

    async def visitor_token(self, **profile: str) -> str:
        answer = await self.request("POST", "/visitors", body=profile)
        assert answer.status == 201, answer.text
        token: str = answer.json["token"]
        return token

    async def create_staff(self, email: str = "staff@example.com", name: str | None = "Sam") -> str:
        """A staff account with PASSWORD; returns its e-mail."""
        await self.app.db.write(people.save_staff, str(uuid4()), email, name, _password_hash())
        return email

    async def staff_token(self, email: str = "staff@example.com") -> str:
        """A staff token of a (new) staff account."""
        if await self.app.db.read(people.password_of, email) is None:
            await self.create_staff(email)  # again, it would end the tokens
        token = tokens.new_secret(tokens.STAFF_PREFIX)
        await self.app.db.write(
            people.create_staff_token, str(uuid4()), email, tokens.hash_token(token)
        )
        return token

    async def login(
        self, email: str = "staff@example.com", password: str = PASSWORD
    ) -> dict[str, str]:
        """The cookies of a browser that has logged in: `chatsvc` and `_xsrf`."""
        page = await self.request("GET", "/login")
        cookies = read_cookies(page)
        form = {"email": email, "password": password, "_xsrf": cookies["_xsrf"]}
        answer = await self.request("POST", "/login", form=form, cookies=cookies)
        assert answer.status == 303, answer.text
        return {**cookies, **read_cookies(answer)}

    # ---- what ----

    async def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        raw: bytes | None = None,
        form: dict[str, str] | None = None,
        cookies: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """One request. `body` is sent as JSON, `raw` as it is, `form` as a form; redirects are not followed."""
        head = dict(headers or {})
        if token is not None:
            head["Authorization"] = f"Bearer {token}"
        if cookies:
            head["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if body is not None:
            raw = json.dumps(body).encode()
            head.setdefault("Content-Type", "application/json")
        if form is not None:
            raw = urlencode(form).encode()
            head.setdefault("Content-Type", "application/x-www-form-urlencoded")
        request = HTTPRequest(
            self.url + path,
            method,
            head,
            raw,
            follow_redirects=False,
            allow_nonstandard_methods=True,
            decompress_response=False,
            request_timeout=30,
        )
        answer = await self._client.fetch(request, raise_error=False)
        return Response(answer.code, answer.headers, answer.body or b"")

    async def get(self, path: str, token: str | None = None, **options: Any) -> Response:
        return await self.request("GET", path, token=token, **options)

    async def post(
        self, path: str, token: str | None = None, body: Any = None, **options: Any
    ) -> Response:
        return await self.request("POST", path, token=token, body=body, **options)

    async def send(
        self, token: str, content: str, client_id: str | None = None, chat_id: str | None = None
    ) -> Any:
        """A message by a user, or by staff when `chat_id` is given; returns the stored one."""
        path = "/support_chat/messages" if chat_id is None else f"/admin/chats/{chat_id}/messages"
        body = (
            {"content": content}
            if client_id is None
            else {"content": content, "client_id": client_id}
        )
        answer = await self.post(path, token, body)
        assert answer.status in (200, 201), answer.text
        return answer.json

    async def chat_id(self, token: str) -> str:
        chat_id: str = (await self.get("/support_chat", token)).json["id"]
        return chat_id

    async def stream(
        self,
        token: str | None,
        path: str = "/support_chat/stream",
        cursor: int | str | None = None,
        **headers: str,
    ) -> StreamClient:
        """An open stream; `cursor` goes into Last-Event-ID."""
        head = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            head["Authorization"] = f"Bearer {token}"
        if cursor is not None:
            head["Last-Event-ID"] = str(cursor)
        client = await StreamClient.open(self.url + path, head)
        self._streams.append(client)
        return client


def read_cookies(answer: Response) -> dict[str, str]:
    """What the answer's Set-Cookie headers set."""
    pairs = (
        header.split(";")[0].partition("=") for header in answer.headers.get_list("Set-Cookie")
    )
    return {name: value.strip('"') for name, _, value in pairs}


@cache
def _password_hash() -> str:
    """Hashing takes 80 ms, and the password is the same in all tests."""
    return hash_password(PASSWORD)


@cache
def _assets() -> Assets:
    """Compressing the static files takes as long as a test."""
    return Assets()

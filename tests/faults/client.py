"""Clients that do not give up: a sender repeats until it is answered, a follower comes back with its cursor."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from tests.faults.history import History, Message, Seen
from tests.support.service import Service

REQUEST_LIMIT_S = 15.0
SEND_LIMIT_S = 30.0  # for one message to be acknowledged, over all its tries
PAUSE_S = (
    0.01,
    0.05,
)  # before the next try; short, so that as much as possible happens around a fault
FRAME_MAX_BYTES = 2**20
HOST = "127.0.0.1"


def port_of(service: Service) -> int:
    """Where an in-process service listens."""
    return int(service.url.rpartition(":")[2])


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    """A service in this process."""
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


class Reply(NamedTuple):
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def head_of(method: str, path: str, token: str | None, *lines: str, version: str = "1.1") -> bytes:
    """A request's head, for a connection of its own."""
    proof = [] if token is None else [f"Authorization: Bearer {token}"]
    return "\r\n".join(
        [
            f"{method} {path} HTTP/{version}",
            "Host: chat",
            "Connection: close",
            *proof,
            *lines,
            "",
            "",
        ]
    ).encode()


async def request(
    port: int,
    method: str,
    path: str,
    token: str | None = None,
    body: Any = None,
    *,
    limit_s: float = REQUEST_LIMIT_S,
) -> Reply:
    """One request on a connection of its own. Raises OSError (TimeoutError after `limit_s`), EOFError without a whole answer."""
    async with asyncio.timeout(limit_s):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            raw = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
            lines = (
                ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
                if body is not None
                else []
            )
            writer.write(head_of(method, path, token, *lines) + raw)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
            return Reply(int(head.split(" ")[1]), await reader.readexactly(length))
        finally:
            writer.close()


async def pause() -> None:
    """Between two tries."""
    await asyncio.sleep(random.uniform(*PAUSE_S))


class Try(NamedTuple):
    """One request of a sender: when it began (monotonic), how long it took, and the status or the name of the exception."""

    began: float
    seconds: float
    outcome: int | str


class Sender:
    """Sends to one chat, each message until it is acknowledged. With several ports each try goes to any of them."""

    def __init__(
        self,
        ports: Sequence[int],
        path: str,
        token: str,
        chat_id: str,
        history: History,
        *,
        client_ids: bool = True,
    ) -> None:
        self.ports, self.path, self.token, self.chat_id, self.history = (
            ports,
            path,
            token,
            chat_id,
            history,
        )
        self.client_ids = client_ids
        self.tries: list[Try] = []

    async def run(self, stop: asyncio.Event) -> None:
        """One message after the other; ends when the one under way is acknowledged."""
        while not stop.is_set():
            await self.send()

    async def send(self, text: str = "") -> Message:
        content = f"{uuid4().hex} {text}".strip()
        body = {"content": content} | ({"client_id": uuid4().hex} if self.client_ids else {})
        self.history.attempted.add((self.chat_id, content))
        deadline = time.monotonic() + SEND_LIMIT_S
        while True:
            reply = await self._try(body)
            if reply is not None and reply.status in (200, 201):
                answer = reply.json
                message = Message(self.chat_id, answer["seq"], answer["id"], answer["content"])
                self.history.acknowledged.append(message)
                return message
            assert reply is None or reply.status == 503, reply
            assert time.monotonic() < deadline, f"not acknowledged within {SEND_LIMIT_S} s"
            await pause()

    async def _try(self, body: dict[str, str]) -> Reply | None:
        began = time.monotonic()
        outcome: int | str = ""
        try:
            reply = await request(random.choice(self.ports), "POST", self.path, self.token, body)
            outcome = reply.status
            return reply
        except (OSError, EOFError) as error:
            outcome = type(error).__name__
            return None
        finally:
            self.tries.append(Try(began, time.monotonic() - began, outcome))


class Follower:
    """Keeps a stream open, comes back with its cursor, and notes every message.

    `version` is HTTP's; a proxy cuts an answer in 1.1 into chunks, which this client does not put together.
    Gives a connection up that is silent for `silence_limit_s`. Without `keeps_cursor` it comes back as if it were new: a broken client.
    """

    version = "1.1"

    def __init__(
        self,
        ports: Sequence[int],
        path: str,
        token: str,
        seen: Seen,
        *,
        silence_limit_s: float = 40.0,
        keeps_cursor: bool = True,
    ) -> None:
        self.ports, self.path, self.token, self.seen = ports, path, token, seen
        self.silence_limit_s, self.keeps_cursor = silence_limit_s, keeps_cursor
        self.tries = self.connections = 0
        self.refusals: Counter[int | str] = Counter()
        self.closes: list[
            tuple[dict[str, Any], int | None]
        ] = []  # each `close`, and the `retry:` it came with
        self.is_open = False
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.follow()
            except (OSError, EOFError) as error:
                self.refusals[type(error).__name__] += 1
            await pause()

    async def follow(self) -> None:
        """One connection, to its end. Raises OSError, EOFError."""
        self.tries += 1
        async with asyncio.timeout(REQUEST_LIMIT_S):
            reader, self._writer = await asyncio.open_connection(
                HOST, random.choice(self.ports), limit=FRAME_MAX_BYTES
            )
        try:
            resumes = self.seen.chat_id is not None and (self.keeps_cursor or not self.connections)
            cursor = [f"Last-Event-ID: {self.seen.newest}"] if resumes else []
            self._writer.write(head_of("GET", self.path, self.token, *cursor, version=self.version))
            async with asyncio.timeout(REQUEST_LIMIT_S):
                status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
            if status != 200:
                self.refusals[status] += 1
                return
            self.connections += 1
            self.is_open = True
            while True:
                async with asyncio.timeout(self.silence_limit_s):
                    self._take((await reader.readuntil(b"\n\n")).decode())
        finally:
            self.is_open = False
            self._writer.close()

    def drop(self) -> None:
        """Ends the connection; `run` opens the next one."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _take(self, frame: str) -> None:
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "data" not in fields:
            return
        data = json.loads(fields["data"])
        if fields.get("event") == "close":
            self.closes.append((data, int(fields["retry"]) if "retry" in fields else None))
        elif data.get("type") == "reset":
            self.seen.resets += 1
        elif "message" in data:
            message = data["message"]
            chat_id = str(data.get("chat_id") or self.seen.chat_id)
            self.seen.messages.append(
                Message(chat_id, message["seq"], message["id"], message["content"])
            )

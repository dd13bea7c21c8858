"""A client of event streams: reads frames from a real socket, as strictly as the contract allows."""

import asyncio
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Event(NamedTuple):
    """One event as it came; `data` is decoded JSON."""

    id: str | None
    name: str
    data: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.data.get("type", self.name))


class StreamClient:
    """An open stream. `status` and `headers` are those of the answer; without 200 `body` holds the answer instead of events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.retry_ms: int | None = None
        self.comments: list[str] = []
        self.events: list[Event] = []

    @classmethod
    async def open(cls, url: str, headers: dict[str, str] | None = None) -> "StreamClient":
        parts = urlsplit(url)
        assert parts.hostname
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
        client = cls(reader, writer)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {parts.netloc}",
            *(f"{k}: {v}" for k, v in (headers or {}).items()),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (
            (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10))
            .decode("latin-1")
            .split("\r\n")
        )
        client.status = int(head[0].split(" ")[1])
        client.headers = {
            k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)
        }
        return client

    async def next(self, type_: str | None = None, *, timeout: float = 5) -> Event:
        """The next event; with `type_` the next of that type (others are kept in `events` and passed over)."""
        async with asyncio.timeout(timeout):
            while True:
                event = await self._read_event()
                self.events.append(event)
                if type_ is None or event.type == type_:
                    return event

    async def messages_up_to(self, seq: int, *, timeout: float = 10) -> list[dict[str, Any]]:
        """Reads until the message `seq` has come; all messages of this connection so far."""
        while not any(event.id == str(seq) for event in self.events):
            await self.next("new_message", timeout=timeout)
        return [event.data["message"] for event in self.events if event.type == "new_message"]

    async def closed(self, *, timeout: float = 10) -> None:
        """Waits for the end of the connection; what comes before it is kept in `events`."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    self.events.append(await self._read_event())
                except (EOFError, ConnectionError):
                    return

    def close(self) -> None:
        self.writer.close()

    async def _read_event(self) -> Event:
        data: list[str] = []
        event_id, name = None, "message"
        while True:
            line = await self.reader.readline()
            if not line:
                raise EOFError
            text = line.decode().rstrip("\n")
            field, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if not text and data:
                return Event(event_id, name, json.loads("\n".join(data)))
            if text.startswith(":"):
                self.comments.append(value)
            elif field == "id":
                event_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "retry":
                self.retry_ms = int(value)

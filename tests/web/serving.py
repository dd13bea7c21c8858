"""A web server for one test, and a client that sends bytes."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from tornado.httputil import HTTPServerConnectionDelegate
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler, stream_request_body

from chatsvc.web.limits import ServerLimits
from chatsvc.web.server import WebServer
from tests.support.ports import reserve_port
from tests.support.process import ROOT
from tests.support.waiting import until

LIMIT_S = 10.0


class Echo(RequestHandler):
    """Respond with the request as it was received, and record it."""

    async def get(self) -> None:
        self.note()
        self.write(self.request.uri or "")

    async def post(self) -> None:
        self.note()
        self.write(self.request.body)

    head = delete = put = options = get

    def note(self) -> None:
        seen: list[Any] = self.settings["seen"]
        seen.append((self.request.method, self.request.uri, self.request.body))


class Large(RequestHandler):
    """More than the kernel keeps for a client that does not read."""

    def get(self) -> None:
        self.settings["seen"].append("large")
        self.write(b"x" * int(self.get_query_argument("bytes", "8000000")))


@stream_request_body
class Upload(RequestHandler):
    """Counts a body; waits for `gate` at each piece, if the application has one."""

    count = 0

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(2**40)  # type: ignore[union-attr]
        self.settings["seen"].append(self)

    async def data_received(self, chunk: bytes) -> None:
        gate: asyncio.Event | Slow | None = self.settings.get("gate")
        if gate is not None:
            await gate.wait()
        self.count += len(chunk)

    def put(self) -> None:
        self.write(f"{self.count} bytes")

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.settings["seen"].append("closed")


def application(**settings: Any) -> Application:
    """Echo everywhere, but for /large and /upload. What handlers saw is in settings["seen"]."""
    return Application(
        [("/large", Large), ("/upload", Upload), (".*", Echo)],
        **{"seen": [], "log_function": lambda handler: None, **settings},
    )


@asynccontextmanager
async def serving(
    app: HTTPServerConnectionDelegate, limits: ServerLimits | None = None
) -> AsyncIterator[tuple[WebServer, int]]:
    """A server and its port."""
    server = WebServer(app, limits)
    async with listening(server) as port:
        yield server, port


@asynccontextmanager
async def listening(server: WebServer) -> AsyncIterator[int]:
    """The port of a server that is stopped at the end."""
    sock, port = bind_unused_port()
    server.add_sockets([sock])
    try:
        yield port
    finally:
        server.stop()
        server.close_all()


class Client:
    """A connection on which bytes are sent as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    async def connect(cls, port: int, *, host: str = "127.0.0.1") -> "Client":
        return cls(*await asyncio.open_connection(host, port, limit=2**24))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_bytes(self, data: bytes) -> None:
        """Each byte in a packet of its own."""
        for n in range(len(data)):
            self.writer.write(data[n : n + 1])
            await asyncio.sleep(0)

    async def head(self) -> bytes:
        """The head of the next response."""
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def response(self) -> tuple[int, bytes]:
        """Status and body of the next response with a Content-Length."""
        head = await self.head()
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        async with asyncio.timeout(LIMIT_S):
            return int(head.split(b" ")[1]), await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        received = b""
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    return received
                if not data:
                    return received
                received += data

    def close(self) -> None:
        self.writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the loop has let go of it."""
        self.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    client = await Client.connect(port)
    try:
        yield client
    finally:
        await client.closed()


SERVER = """
import asyncio, sys
import uvloop
from tornado.netutil import bind_sockets
from chatsvc.web.server import WebServer
from tests.support.ports import reserve_port
from tests.support.process import ROOT
from tests.support.waiting import until
from tests.web.serving import Slow, application

async def main():
    server = WebServer(application(gate=Slow()))
    server.add_sockets(bind_sockets(int(sys.argv[1]), "127.0.0.1"))
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


class Slow:
    """A gate that opens a little later each time."""

    async def wait(self) -> None:
        await asyncio.sleep(0.0005)


@asynccontextmanager
async def server_process(folder: Path) -> AsyncIterator[tuple[psutil.Process, int]]:
    """`application` in a process of its own on the loop of the service, and its port."""
    script, port = folder / "server.py", reserve_port()
    script.write_text(SERVER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(port), env=environment
    )
    try:
        await until(lambda: is_listening(port), "it listens")
        yield psutil.Process(process.pid), port
    finally:
        process.kill()
        await process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def peak_memory(process: psutil.Process) -> AsyncIterator[list[int]]:
    """A list whose only item is the highest resident set so far."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watching = asyncio.create_task(asyncio.to_thread(watch))
    try:
        yield peak
    finally:
        done.set()
        await watching


async def talk(port: int, data: bytes, *, send: Callable[..., Any] = Client.send) -> bytes:
    """Send bytes on a connection of their own; return what comes until the server hangs up."""
    async with connected(port) as client:
        with suppress(ConnectionError):  # refused before all of it was sent
            await send(client, data)
        return await client.rest()


def request(method: str = "GET", path: str = "/", *lines: str, body: bytes = b"") -> bytes:
    """A request whose lines after the first are given, but for Host."""
    head = [f"{method} {path} HTTP/1.1", "Host: chat", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body

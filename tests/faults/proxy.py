"""A TCP proxy with every bad habit of a network: cuts, stalls, half-open connections, idle limits, buffering."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from chatsvc.tasks import cancel
from tests.support.closing import abort_all, next_turns

CHUNK_BYTES = 65_536
HOST = "127.0.0.1"
HALF_OPEN_S = 1.0  # then the client's side ends too; for ever would only make the tests longer


class Proxy:
    """`async with Proxy(port) as proxy:`; clients connect to `proxy.port`. The attributes may be changed at any time.

    answers_to_cut  so many connections are ended at the first byte of their answer
    buffering       answers are held back until the server ends the connection
    idle_limit_s    a connection on which the server is silent for so long is ended; None: never
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.answers_to_cut = 0
        self.buffering = False
        self.idle_limit_s: float | None = None
        self.idle_cuts = 0
        self._server_port = server_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._writers: list[asyncio.StreamWriter] = []  # all there ever were, on both sides
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        await next_turns()  # what was accepted by now is among the tasks
        await cancel(*self._tasks)
        await abort_all(self._writers)  # half-open ones too

    def cut(self) -> None:
        """Ends all connections, both sides, with RST."""
        for client, server in self._pairs:
            client.transport.abort()
            server.transport.abort()

    def half_open(self) -> None:
        """The server's side ends, the client is not told (for HALF_OPEN_S)."""
        for client, server in list(self._pairs):
            self._pairs.discard((client, server))
            server.transport.abort()
            asyncio.get_running_loop().call_later(HALF_OPEN_S, client.transport.abort)

    def stall(self) -> None:
        """Nothing passes in either direction; nothing is ended."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._run(self._join(reader, writer))

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self._pass_on(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        self._writers.append(server_writer)
        pair = (writer, server_writer)
        self._pairs.add(pair)
        forth = self._run(self._forward(reader, server_writer))
        try:
            await self._back(server_reader, writer)
        finally:
            forth.cancel()
            server_writer.close()
            if pair in self._pairs:  # a half-open one stays as it is for its client
                self._pairs.discard(pair)
                writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[bytes] = []
        while data := await self._read(reader):
            await self._flowing.wait()
            if self.answers_to_cut:
                self.answers_to_cut -= 1
                return
            if self.buffering:
                held.append(data)
            else:
                writer.write(data)
                await writer.drain()
        writer.write(b"".join(held))
        await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self.idle_limit_s):
                return await reader.read(CHUNK_BYTES)
        except TimeoutError:
            self.idle_cuts += 1
            return b""

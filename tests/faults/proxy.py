"""A TCP proxy with every bad habit of a network: cuts, stalls, half-open connections, idle limits, buffering."""

import asyncio
import contextlib

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
        self._clients: list[asyncio.StreamWriter] = []  # all there ever were
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> "Proxy":
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:  # half-open ones too
            client.transport.abort()
        await asyncio.sleep(0)  # their sockets are closed in the loop's next turn

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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.append(writer)
        try:
            with contextlib.suppress(
                OSError, asyncio.CancelledError
            ):  # asyncio 3.11 logs a cancelled one as an error
                await self._join(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        pair = (writer, server_writer)
        self._pairs.add(pair)
        forth = asyncio.create_task(self._forward(reader, server_writer))
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

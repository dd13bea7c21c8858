"""The network between a browser and the server, as a proxy in a thread of its own: Playwright has the main thread's loop."""

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.proxy import CHUNK_BYTES, Proxy

START_LIMIT_S = 10
STREAM = b"text/event-stream"


class Network(Proxy):
    """Treats streams apart, as many proxies do. `streams`: "pass", "hold" (nothing of them arrives) or "cut"."""

    def __init__(self, server_port: int) -> None:
        super().__init__(server_port)
        self.streams = "pass"
        self.url = ""

    async def _back(self, reader: StreamReader, writer: StreamWriter) -> None:
        held = False
        while data := await reader.read(CHUNK_BYTES):
            await self._flowing.wait()
            held = held or (self.streams != "pass" and STREAM in data)
            if held and self.streams == "cut":
                return
            if not held:
                writer.write(data)
                await writer.drain()


class Wire:
    """A Network, to be used from another thread."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop) -> None:
        self.url = network.url
        self._network = network
        self._loop = loop

    def streams(self, treatment: str) -> None:
        """What happens to streams from now on; those that are open are cut."""
        self._network.streams = treatment
        self._do(self._network.cut)

    def cut(self) -> None:
        self._do(self._network.cut)

    def stall(self) -> None:
        self._do(self._network.stall)

    def resume(self) -> None:
        self._do(self._network.resume)

    def half_open(self) -> None:
        self._do(self._network.half_open)

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(START_LIMIT_S)


@contextmanager
def network(server_port: int) -> Iterator[Wire]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Network:
        proxy = await Network(server_port).__aenter__()
        assert isinstance(proxy, Network)
        proxy.url = f"http://127.0.0.1:{proxy.port}"
        return proxy

    async def stop(proxy: Network) -> None:
        await proxy.__aexit__()

    proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(START_LIMIT_S)
    try:
        yield Wire(proxy, loop)
    finally:
        asyncio.run_coroutine_threadsafe(stop(proxy), loop).result(START_LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_LIMIT_S)
        loop.close()

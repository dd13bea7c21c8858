"""AdmissionQueue: how many tasks may do something expensive at a time."""

import asyncio
from types import TracebackType

from chatsvc.errors import Unavailable


class AdmissionQueue:
    """`async with queue:` admits `at_once` tasks at a time; the others wait while it moves.

    Raises Unavailable if no task was admitted for `standstill_s`.
    """

    def __init__(self, at_once: int, standstill_s: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._standstill_s = standstill_s
        self._moved_at = 0.0

    async def __aenter__(self) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        loop = asyncio.get_running_loop()
        waiting_since = loop.time()
        while True:
            try:
                async with asyncio.timeout(self._standstill_s):
                    await self._places.acquire()
                return
            except TimeoutError:
                if loop.time() - max(self._moved_at, waiting_since) >= self._standstill_s:
                    raise Unavailable("too many requests are waiting") from None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._places.release()
        if not isinstance(error, Unavailable):
            self._moved_at = asyncio.get_running_loop().time()

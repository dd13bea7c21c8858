"""The writer thread, kept busy: what is written meanwhile becomes one batch."""

import asyncio
import threading

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from tests.support.waiting import until

HOLD_LIMIT_S = 20.0


class HeldWriter:
    """`await HeldWriter(db).begin()`, write, `await held.release()`."""

    def __init__(self, database: Database) -> None:
        self._entered, self._released = threading.Event(), threading.Event()
        self._job = asyncio.ensure_future(database.write(self._hold))

    def _hold(self, tx: Transaction) -> None:
        self._entered.set()
        self._released.wait(HOLD_LIMIT_S)

    async def begin(self) -> "HeldWriter":
        await until(self._entered.is_set)
        return self

    async def release(self) -> None:
        self._released.set()
        await self._job

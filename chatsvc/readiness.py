"""Whether this process should get requests: the database answers, the schema is current, it is not about to stop."""

from collections.abc import Callable

from chatsvc.db import Database
from chatsvc.errors import DomainError
from chatsvc.schema import current_check


class Readiness:
    """Answers /readyz. `bus_trouble` says why the bus is away, or None."""

    def __init__(self, db: Database, bus_trouble: Callable[[], str | None] = lambda: None) -> None:
        self._db = db
        self._bus_trouble = bus_trouble
        self._is_current = current_check()
        self.draining = False

    @property
    def detail(self) -> str:
        """What to say of a process that is ready. Without the bus it is: it serves everything, events of other processes later."""
        trouble = self._bus_trouble()
        return "ready" if trouble is None else f"ready, without the bus: {trouble}"

    async def problem(self) -> str | None:
        """Why not, in one sentence, or None."""
        if self.draining:
            return "the service is stopping"
        try:
            if not await self._db.read(self._is_current):
                return "the schema is not current: run the command `migrate`"
        except DomainError as error:
            return error.detail
        return None

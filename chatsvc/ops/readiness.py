"""Decide whether a load balancer should send requests to this process."""

from collections.abc import Callable

from chatsvc.database.schema import current_check
from chatsvc.database.threads import Database
from chatsvc.errors import DomainError

WITHOUT_BUS = "without the bus: events of other servers arrive up to 5 s late"


class Readiness:
    """The state at /readyz.

    `bus_unavailable_reason` and `mail_unavailable_reason` return None if all is well.
    """

    def __init__(
        self,
        db: Database,
        bus_unavailable_reason: Callable[[], str | None] = lambda: None,
        mail_unavailable_reason: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._db = db
        self._bus_unavailable_reason = bus_unavailable_reason
        self._mail_unavailable_reason = mail_unavailable_reason
        self._is_current = current_check()
        self.draining = False

    @property
    def detail(self) -> str:
        """Return the text for a process that is ready.

        A process without the bus is ready: it serves all requests, and events of other processes
        arrive late. A process without e-mail is ready too: e-mails that are due wait.
        """
        bus, mail = self._bus_unavailable_reason(), self._mail_unavailable_reason()
        without = [WITHOUT_BUS] if bus else []  # only the log has the reason: it names machines
        without += [f"without e-mail: {mail}"] if mail else []
        return ", ".join(["ready", *without])

    async def problem(self) -> str | None:
        """Return why this process is not ready, or None if it is."""
        if self.draining:
            return "the service is stopping"
        try:
            if not await self._db.read(self._is_current):
                return "the schema is not current: run the command `migrate`"
        except DomainError as error:
            return error.detail
        return "the database refuses writes" if self._db.refuses_writes else None

"""Whether this process should get requests: the database answers, the schema is current, it is not about to stop."""

from collections.abc import Callable

from chatsvc.database.schema import current_check
from chatsvc.database.threads import Database
from chatsvc.errors import DomainError

WITHOUT_BUS = "without the bus: what happens at other servers is seen here up to 5 s later"


class Readiness:
    """Answers /readyz. `bus_unavailable_reason` says that the bus is away, `mail_unavailable_reason` why no e-mail is sent, or None."""

    def __init__(
        self,
        db: Database,
        bus_unavailable_reason: Callable[[], str | None] = lambda: None,
        mail_unavailable_reason: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._db = db
        self._bus_unavailable_reason, self._mail_unavailable_reason = (
            bus_unavailable_reason,
            mail_unavailable_reason,
        )
        self._is_current = current_check()
        self.draining = False

    @property
    def detail(self) -> str:
        """What to say of a process that is ready. Without the bus it is: it serves everything, events of other processes later.

        Without e-mail too: what is due waits.
        """
        bus, mail = self._bus_unavailable_reason(), self._mail_unavailable_reason()
        without = [WITHOUT_BUS] if bus else []  # the log says why: that names machines
        without += [f"without e-mail: {mail}"] if mail else []
        return ", ".join(["ready", *without])

    async def problem(self) -> str | None:
        """Why not, in one sentence, or None."""
        if self.draining:
            return "the service is stopping"
        try:
            if not await self._db.read(self._is_current):
                return "the schema is not current: run the command `migrate`"
        except DomainError as error:
            return error.detail
        return "the database refuses writes" if self._db.refuses_writes else None

"""Whether this process should get requests: the database answers, the schema is current, it is not about to stop."""

from chatsvc.db import Database
from chatsvc.errors import DomainError
from chatsvc.schema import current_check


class Readiness:
    """Answers /readyz."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._is_current = current_check()
        self.draining = False

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

"""SearchService: find people and messages by words."""

from typing import NamedTuple

from chatsvc.database.admission import AdmissionQueue
from chatsvc.database.threads import Database
from chatsvc.errors import BadRequest
from chatsvc.services.cursors import is_canonical_uuid
from chatsvc.store import search as rows
from chatsvc.text.search_terms import tsquery
from chatsvc.wire import MessageHit, SupportChatListItem

SEARCHES_AT_ONCE = 1  # a search may keep a reader and a processor busy for half a second
STANDSTILL_S = 6.0  # a statement may take 5 s


class People(NamedTuple):
    items: list[SupportChatListItem]
    following: str | None  # the cursor of the next page; None: this is the last


class Messages(NamedTuple):
    hits: list[MessageHit]
    following: str | None


class SearchService:
    """Each method takes the words (at least one), the cursor of the page and its size."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._admission = AdmissionQueue(SEARCHES_AT_ONCE, STANDSTILL_S)

    async def people(self, words: list[str], cursor: str | None, limit: int) -> People:
        """Raises BadRequest for an invalid cursor."""
        position = _position(cursor)
        async with self._admission:
            return People(*await self._db.read(rows.find_people, tsquery(words), position, limit))

    async def messages(self, words: list[str], cursor: str | None, limit: int) -> Messages:
        """Raises BadRequest for an invalid cursor."""
        position = _position(cursor)
        async with self._admission:
            return Messages(
                *await self._db.read(rows.find_messages, tsquery(words), position, limit)
            )


def _position(cursor: str | None) -> str:
    if cursor is not None and not is_canonical_uuid(cursor):
        raise BadRequest("Invalid cursor. Search again to get the first page.")
    return cursor or rows.NEWEST

"""SearchService: people and messages by words."""

from typing import NamedTuple

from chatsvc.cursor import is_canonical_uuid
from chatsvc.db import Database
from chatsvc.errors import BadRequest
from chatsvc.store import search as rows
from chatsvc.wire import MessageHit, SupportChatListItem
from chatsvc.words import tsquery


class People(NamedTuple):
    items: list[SupportChatListItem]
    following: str | None  # the cursor of the next page; None: this was the last


class Messages(NamedTuple):
    hits: list[MessageHit]
    following: str | None


class SearchService:
    """Each method takes the words to search for (at least one), where the page before ended, and how many on a page."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def people(self, words: list[str], cursor: str | None, limit: int) -> People:
        """Raises BadRequest for a cursor that is none."""
        return People(*await self._db.read(rows.find_people, tsquery(words), _position(cursor), limit))

    async def messages(self, words: list[str], cursor: str | None, limit: int) -> Messages:
        """Raises BadRequest for a cursor that is none."""
        return Messages(*await self._db.read(rows.find_messages, tsquery(words), _position(cursor), limit))


def _position(cursor: str | None) -> str:
    if cursor is not None and not is_canonical_uuid(cursor):
        raise BadRequest("the address of this page of results is incomplete: search again")
    return cursor or rows.NEWEST

"""SearchService: find people and messages by words."""

from typing import NamedTuple

from chatsvc.database.admission import AdmissionQueue
from chatsvc.database.connection import Connection
from chatsvc.database.threads import Database
from chatsvc.errors import BadRequest
from chatsvc.services.cursors import is_canonical_uuid
from chatsvc.store import search as rows
from chatsvc.store.chats import ChatCounts, chat_of_sub, count_chats
from chatsvc.text.search_terms import parse_query, tsquery
from chatsvc.wire import MessageHit, SupportChatListItem

PEOPLE = 5  # on the first page, above the messages
MORE_PEOPLE = 20  # on the following pages
MESSAGES = 20
SEARCHES_AT_ONCE = 1  # a search may keep a reader and a processor busy for half a second
STANDSTILL_S = 6.0  # a statement may take 5 s


class People(NamedTuple):
    items: list[SupportChatListItem]
    following: str | None  # the cursor of the next page; None: this is the last


class Messages(NamedTuple):
    hits: list[MessageHit]
    following: str | None


class Results(NamedTuple):
    """What a search page shows, with the counts on the tabs."""

    people: People
    messages: Messages
    counts: ChatCounts


class SearchService:
    """Searches for people and messages."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._admission = AdmissionQueue(SEARCHES_AT_ONCE, STANDSTILL_S)

    async def results(
        self, query: str, people_after: str | None, messages_after: str | None
    ) -> Results:
        """Return the first people and messages, or the next page of the one whose cursor is given.

        The user whose id of the host application is the query comes first. Nothing is found
        without words. Raises BadRequest for an invalid cursor.
        """
        words = parse_query(query)
        sub = query.strip() if people_after is messages_after is None else ""
        if not words:
            return await self._db.read(_no_results)
        people_from = None if messages_after else _position(people_after)
        messages_from = None if people_after else _position(messages_after)
        people_limit = MORE_PEOPLE if people_after else PEOPLE
        async with self._admission:
            return await self._db.read(
                _results, tsquery(words), sub, people_from, messages_from, people_limit
            )


def _position(cursor: str | None) -> str:
    if cursor is not None and not is_canonical_uuid(cursor):
        raise BadRequest("Invalid cursor. Search again to get the first page.")
    return cursor or rows.NEWEST


# ---- on a reader thread ----


def _no_results(connection: Connection) -> Results:
    return Results(People([], None), Messages([], None), count_chats(connection))


def _results(
    connection: Connection,
    query: str,
    sub: str,
    people_from: str | None,
    messages_from: str | None,
    people_limit: int,
) -> Results:
    """Search people and messages from these positions. None: do not search that kind."""
    people, messages = People([], None), Messages([], None)
    if people_from is not None:
        items, following = rows.find_people(connection, query, people_from, people_limit)
        named = chat_of_sub(connection, sub) if sub else []
        people = People([*named, *(item for item in items if item not in named)], following)
    if messages_from is not None:
        messages = Messages(*rows.find_messages(connection, query, messages_from, MESSAGES))
    return Results(people, messages, count_chats(connection))

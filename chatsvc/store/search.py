"""Search: people by e-mail address and name, messages by text, newest first.

The time does not grow with the tables. Ids are UUIDs of version 7, so their order is that of time.
Rare words are found by the index. Frequent ones (more than RARE_MAX hits) occur among the newest
rows, so at most WINDOW of these or WINDOW_BYTES are read; the next page continues from there.
"""

from typing import Any, NamedTuple

from chatsvc.database.connection import Connection, Statement
from chatsvc.store.chats import ITEM, to_item
from chatsvc.store.messages import COLUMNS, to_message
from chatsvc.wire import MessageHit, SupportChatListItem

RARE_MAX = 2000  # hits to sort: 2 ms
WINDOW = 20_000  # rows
WINDOW_BYTES = 500_000  # of text; splitting it into words costs 0.7 µs a byte, so 0.4 s
NEWEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"  # an id after all others


class Page(NamedTuple):
    """Ids, newest first, and where the next page starts (None: this is the last)."""

    ids: list[str]
    following: str | None


def _statements(table: str, text: str, condition: str) -> tuple[Statement, Statement]:
    """Return a search by index and one among the newest rows.

    Both take a query for to_tsquery, the id after which to continue, and a limit.
    """
    match = f"{condition} AND search_words({text}) @@ to_tsquery('pg_catalog.simple', $1)"
    by_index = f"""
        WITH found AS MATERIALIZED (SELECT id FROM {table} WHERE {match} LIMIT {RARE_MAX + 1})
        SELECT page.id, total.n FROM (SELECT count(*) AS n FROM found) total
        LEFT JOIN (SELECT id FROM found WHERE id < $2 ORDER BY id DESC LIMIT $3) page ON true
            ORDER BY page.id DESC
    """
    newest = f"""
        SELECT id, {match}, is_last FROM (
            SELECT *, n = {WINDOW} OR bytes > {WINDOW_BYTES} AS is_last FROM (
                SELECT *, row_number() OVER newest AS n,
                    sum(octet_length({text})) OVER newest AS bytes FROM {table} WHERE id < $2
                WINDOW newest AS (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) ORDER BY id DESC
                    LIMIT {WINDOW}
            ) counted
            WHERE bytes - octet_length({text}) <= {WINDOW_BYTES}
        ) walked
        WHERE is_last OR ({match}) ORDER BY id DESC LIMIT $3
    """
    types = ("text", "uuid", "int")
    return Statement(f"search_{table}", types, by_index), Statement(
        f"search_newest_{table}", types, newest
    )


_MESSAGES, _NEWEST_MESSAGES = _statements("support_messages", "content", "true")
_PEOPLE, _NEWEST_PEOPLE = _statements(
    "users", "coalesce(email, '') || ' ' || coalesce(name, '')", "kind <> 'staff'"
)
_MESSAGE_HITS = Statement(
    "search_message_hits",
    ("uuid[]",),
    f"""
    SELECT m.chat_id, c.user_id, u.email, u.name, u.external_id,
        c.archived_at IS NOT NULL, {COLUMNS}
    FROM support_messages m JOIN support_chats c ON c.id = m.chat_id
        JOIN users u ON u.id = c.user_id
    WHERE m.id = ANY ($1) ORDER BY m.id DESC
    """,
)
_PEOPLE_HITS = Statement(
    "search_people_hits", ("uuid[]",), f"{ITEM} WHERE c.user_id = ANY ($1) ORDER BY c.user_id DESC"
)


def find_messages(
    connection: Connection, query: str, before: str, limit: int
) -> tuple[list[MessageHit], str | None]:
    """Return the newest matches older than the message `before`, and where the next page starts."""
    page = _find(connection, _MESSAGES, _NEWEST_MESSAGES, query, before, limit)
    return [_to_hit(row) for row in connection.execute(_MESSAGE_HITS, page.ids)], page.following


def find_people(
    connection: Connection, query: str, before: str, limit: int
) -> tuple[list[SupportChatListItem], str | None]:
    """Return the chats of people whose e-mail address or name matches, newest people first."""
    page = _find(connection, _PEOPLE, _NEWEST_PEOPLE, query, before, limit)
    return [to_item(row) for row in connection.execute(_PEOPLE_HITS, page.ids)], page.following


def _find(
    connection: Connection,
    by_index: Statement,
    newest: Statement,
    query: str,
    before: str,
    limit: int,
) -> Page:
    rows = connection.execute(by_index, query, before, limit + 1)
    if rows[0][1] <= RARE_MAX:
        ids = [row_id for row_id, _ in rows if row_id is not None]
        return Page(ids[:limit], ids[limit - 1] if len(ids) > limit else None)
    walked = connection.execute(newest, query, before, limit + 1)
    ids = [row_id for row_id, is_hit, _ in walked[:limit] if is_hit]
    if len(walked) > limit:
        return Page(ids, walked[limit - 1][0])
    ends_window = bool(walked) and walked[-1][2]
    return Page(ids, walked[-1][0] if ends_window else None)


def _to_hit(row: tuple[Any, ...]) -> MessageHit:
    chat_id, user_id, email, name, sub, archived, *message = row
    return MessageHit(chat_id, user_id, email, name, sub, archived, to_message(tuple(message)))

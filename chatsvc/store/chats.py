"""Chats: opening, listing, read and viewed marks, archiving."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.errors import DomainError, NotFound
from chatsvc.store.messages import COLUMNS, latest_messages, to_message
from chatsvc.wire import (
    PREVIEW_CHARS,
    AdminSupportChat,
    ChatStateEvent,
    MessagePage,
    SupportChat,
    SupportChatListItem,
    format_optional_time,
)

# Limits of a stream's first read, since up to 256 streams hold one at a time. The replay reads the
# rest.
START_MESSAGES = 20
START_MAX_BYTES = 8 * 1024
COUNT_LIMIT = 1000  # tabs show "999+" from here: a full COUNT grows with the table

_UNREAD = "coalesce(c.last_user_message_at > coalesce(c.admin_viewed_at, '-infinity'), false)"
_SORT_KEY = "coalesce(c.last_message_at, '-infinity')"

# One line of the staff's list; `to_item` reads it.
ITEM = f"""
    SELECT c.id, c.user_id, u.email, u.name, c.last_message_at, left(m.content, {PREVIEW_CHARS}),
        m.sender_type, c.last_seq,
           {_UNREAD}, c.archived_at IS NOT NULL, u.external_id
    FROM support_chats c JOIN users u ON u.id = c.user_id
    LEFT JOIN support_messages m ON m.chat_id = c.id AND m.seq = c.last_seq
"""

_CHAT_IDS = Statement(
    "chat_ids", ("uuid[]",), "SELECT user_id, id FROM support_chats WHERE user_id = ANY ($1)"
)
_CREATE_CHATS = Statement(
    "create_chats",
    ("uuid[]", "uuid[]"),
    """
    INSERT INTO support_chats (user_id, id)
    SELECT i.user_id, i.id FROM unnest($1, $2) AS i (user_id, id) ORDER BY i.user_id
    ON CONFLICT (user_id) DO NOTHING
    """,
)
_STATE = """
    c.last_seq, c.read_up_to, c.archived_at IS NOT NULL AS archived,
    (SELECT count(*) FROM support_messages m
     WHERE m.chat_id = c.id AND m.sender_type = 'admin' AND m.read_at IS NULL) AS unread,
    (SELECT m.seq FROM support_messages m WHERE m.chat_id = c.id
        AND m.created_at <= c.admin_viewed_at
     ORDER BY m.created_at DESC LIMIT 1) AS viewed_up_to
"""
_STATES = Statement(
    "chat_states",
    ("uuid[]",),
    f"SELECT c.id, {_STATE} FROM support_chats c WHERE c.id = ANY ($1)",
)
# $1 chats, $2 cursors, $3 messages per chat. One snapshot for all of it. With LIMIT a chat is
# looked up by its id whatever the planner estimates.
_STREAM_STARTS = Statement(
    "stream_starts",
    ("uuid[]", "bigint[]", "int"),
    f"""
    WITH states AS MATERIALIZED (
        SELECT w.n, w.cursor, s.* FROM unnest($1, $2) WITH ORDINALITY AS w (chat_id, cursor, n)
        CROSS JOIN LATERAL (
            SELECT c.id, {_STATE} FROM support_chats c WHERE c.id = w.chat_id LIMIT 1
        ) s
    )
    SELECT s.n, s.last_seq, s.read_up_to, s.archived, s.unread, s.viewed_up_to, m.*
    FROM states s LEFT JOIN LATERAL (
        SELECT {COLUMNS} FROM (
            SELECT *,
                sum(octet_length(content)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS size
            FROM support_messages WHERE chat_id = s.id AND seq > s.cursor ORDER BY seq LIMIT $3
        ) m WHERE m.size <= {START_MAX_BYTES} ORDER BY m.seq
    ) m ON true
    ORDER BY s.n, m.seq
    """,
)
_ADMIN_CHAT = Statement(
    "admin_chat",
    ("uuid",),
    """
    SELECT c.user_id, u.email, u.name, c.archived_at IS NOT NULL, c.admin_viewed_at, c.last_seq,
        u.external_id
    FROM support_chats c JOIN users u ON u.id = c.user_id WHERE c.id = $1
    """,
)
_ITEMS_OF = Statement(
    "list_items",
    ("uuid[]",),
    f"""
    SELECT i.* FROM unnest($1) AS w (id)
    CROSS JOIN LATERAL ({ITEM} WHERE c.id = w.id LIMIT 1) i
    """,
)
_ITEM_OF_SUB = Statement("list_item_of_sub", ("text",), f"{ITEM} WHERE u.external_id = $1")


def _list_statement(name: str, condition: str) -> Statement:
    return Statement(
        name,
        ("timestamptz", "uuid", "int"),
        f"""
        {ITEM} WHERE c.archived_at {condition} AND ({_SORT_KEY}, c.id) < ($1, $2)
        ORDER BY {_SORT_KEY} DESC, c.id DESC LIMIT $3 + 1
        """,
    )


LIST_ACTIVE = _list_statement("list_active", "IS NULL")
LIST_ARCHIVED = _list_statement("list_archived", "IS NOT NULL")

_COUNTS = Statement(
    "count_chats",
    ("int",),
    """
    SELECT (SELECT count(*) FROM (SELECT FROM support_chats WHERE archived_at IS NULL LIMIT $1) a),
           (SELECT count(*) FROM (SELECT FROM support_chats WHERE archived_at IS NOT NULL
               LIMIT $1) b),
           (SELECT count(*) FROM (SELECT FROM support_chats c WHERE c.archived_at IS NULL
                AND c.last_user_message_at > coalesce(c.admin_viewed_at, '-infinity') LIMIT $1) d)
    """,
)

_MARK_READ = Statement(
    "mark_read",
    ("uuid", "bigint"),
    """
    WITH marked AS (
        UPDATE support_messages m SET read_at = statement_timestamp(),
            updated_at = statement_timestamp()
        WHERE m.chat_id = $1 AND m.sender_type = 'admin' AND m.read_at IS NULL AND m.seq <= $2
        RETURNING m.seq, m.read_at
    )
    UPDATE support_chats c SET read_up_to = greatest(c.read_up_to, t.seq),
        updated_at = statement_timestamp()
    FROM (SELECT max(seq) AS seq, max(read_at) AS read_at FROM marked) t
    WHERE c.id = $1 AND t.seq IS NOT NULL
    RETURNING c.read_up_to, t.read_at
    """,
)
_MARK_VIEWED = Statement(
    "mark_viewed",
    ("uuid", "bigint"),
    """
    UPDATE support_chats c SET admin_viewed_at = m.created_at, updated_at = statement_timestamp()
    FROM support_messages m
    WHERE c.id = $1 AND m.chat_id = c.id AND m.seq = least($2, c.last_seq)
          AND m.created_at > coalesce(c.admin_viewed_at, '-infinity')
    RETURNING m.seq
    """,
)
_ARCHIVE = Statement(
    "archive",
    ("uuid", "bigint"),
    """
    UPDATE support_chats SET archived_at = statement_timestamp(), updated_at = statement_timestamp()
    WHERE id = $1 AND archived_at IS NULL
          AND NOT EXISTS (SELECT FROM support_messages m WHERE m.chat_id = $1 AND m.seq > $2
              AND m.sender_type = 'user')
    RETURNING id
    """,
)
_UNARCHIVE = Statement(
    "unarchive",
    ("uuid",),
    "UPDATE support_chats SET archived_at = NULL, updated_at = statement_timestamp() "
    "WHERE id = $1 AND archived_at IS NOT NULL RETURNING id",
)
_LOCK_CHAT = Statement(
    "lock_chat", ("uuid",), "SELECT FROM support_chats WHERE id = $1 FOR NO KEY UPDATE"
)

MAX_SEQ = 2**31 - 1


class ListCursor(NamedTuple):
    """Where a page of the list ended. With keyset paging every page costs the same."""

    last_message_at: str  # for PostgreSQL; "-infinity" for chats without messages
    chat_id: str


LIST_START = ListCursor("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")


class ChatCounts(NamedTuple):
    """Exact below COUNT_LIMIT."""

    active: int
    archived: int
    unread: int


def lock_chat(tx: Transaction, chat_id: str) -> None:
    """Lock a chat's row until the end of the transaction.

    Every transaction that changes a chat, its messages or its notices holds this lock.
    """
    tx.execute(_LOCK_CHAT, chat_id)


def create_chats(tx: Transaction, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Create each user's one chat, if there is none, and return the chats' ids.

    Each row is a user id and the id of the chat if it is a new one.
    """
    tx.execute(_CREATE_CHATS, *map(list, zip(*rows, strict=True)))
    found: dict[str, str] = dict(tx.execute(_CHAT_IDS, [user_id for user_id, _ in rows]))
    return [found[user_id] for user_id, _ in rows]


def chat_state(connection: Connection, chat_id: str) -> ChatStateEvent:
    """Return what may have changed besides messages while a client was disconnected."""
    states = chat_states(connection, [chat_id])
    if not states:
        raise NotFound("there is no such chat")
    return states[chat_id]


def chat_states(connection: Connection, chat_ids: Sequence[str]) -> dict[str, ChatStateEvent]:
    """Return the states of many chats by id, with one query.

    Chats that do not exist are omitted.
    """
    return {row[0]: _to_state(row[1:]) for row in connection.execute(_STATES, list(chat_ids))}


def stream_starts(
    connection: Connection, rows: Sequence[tuple[str, int | None]]
) -> list[tuple[ChatStateEvent, MessagePage] | DomainError]:
    """Return the state of each row's chat, with the first messages after the row's cursor.

    Without a cursor (None) there are no messages.
    """
    chat_ids, cursors = map(list, zip(*rows, strict=True))
    starts: list[tuple[ChatStateEvent, MessagePage] | DomainError] = [
        NotFound("there is no such chat") for _ in rows
    ]
    found = connection.execute(_STREAM_STARTS, chat_ids, cursors, START_MESSAGES)
    for n, of_one in groupby(found, itemgetter(0)):
        chat = list(of_one)
        state = _to_state(chat[0][1:6])
        missed = [to_message(row[6:]) for row in chat if row[6] is not None]
        reached = missed[-1].seq if missed else cursors[n - 1]
        has_more = reached is not None and reached < state.last_seq
        starts[n - 1] = state, MessagePage(missed, has_more, state.last_seq)
    return starts


def _to_state(row: tuple[Any, ...]) -> ChatStateEvent:
    last_seq, read_up_to, archived, unread, viewed_up_to = row
    return ChatStateEvent(last_seq, unread, read_up_to, viewed_up_to or 0, archived)


def user_chat(connection: Connection, chat_id: str, limit: int) -> SupportChat:
    """Return the chat with its latest messages up to `last_seq`, as its user sees it."""
    state = chat_state(connection, chat_id)
    messages, has_more = latest_messages(connection, chat_id, state.last_seq, limit)
    return SupportChat(
        chat_id, messages, has_more, state.last_seq, state.unread_count, state.archived
    )


def admin_chat(connection: Connection, chat_id: str, limit: int) -> AdminSupportChat:
    """Return the chat with its latest messages, as staff see it."""
    rows = connection.execute(_ADMIN_CHAT, chat_id)
    if not rows:
        raise NotFound("there is no such chat")
    user_id, email, name, archived, viewed_at, last_seq, sub = rows[0]
    messages, has_more = latest_messages(connection, chat_id, last_seq, limit)
    return AdminSupportChat(
        chat_id,
        user_id,
        email,
        name,
        archived,
        format_optional_time(viewed_at),
        messages,
        has_more,
        last_seq,
        sub,
    )


def list_item(connection: Connection, chat_id: str) -> SupportChatListItem:
    """Return one line of the staff's list."""
    items = list_items(connection, [chat_id])
    if not items:
        raise NotFound("there is no such chat")
    return items[0]


def list_items(connection: Connection, chat_ids: Iterable[str]) -> list[SupportChatListItem]:
    """Return many lines of the staff's list, each once. Chats that do not exist are omitted."""
    unique = sorted(set(chat_ids))
    return [to_item(row) for row in connection.execute(_ITEMS_OF, unique)] if unique else []


def chat_of_sub(connection: Connection, sub: str) -> list[SupportChatListItem]:
    """Return the chat of the host application's user `sub`, or nothing."""
    if "\0" in sub:
        return []  # PostgreSQL cannot store it
    return [to_item(row) for row in connection.execute(_ITEM_OF_SUB, sub)]


def list_chats(
    connection: Connection, archived: bool, limit: int, start: ListCursor
) -> tuple[list[SupportChatListItem], ListCursor | None]:
    """Return a page, latest message first, and where the next one starts (None: no next page)."""
    rows = connection.execute(LIST_ARCHIVED if archived else LIST_ACTIVE, *start, limit)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = ListCursor("-infinity" if last[4] is None else last[4].isoformat(), last[0])
    return [to_item(row) for row in rows[:limit]], following


def count_chats(connection: Connection) -> ChatCounts:
    """Return the counts on the tabs."""
    return ChatCounts(*connection.execute(_COUNTS, COUNT_LIMIT)[0])


def mark_read(tx: Transaction, chat_id: str, up_to: int) -> tuple[ChatStateEvent, datetime | None]:
    """Mark staff messages with seq <= up_to read. The time is None if none was unread."""
    lock_chat(tx, chat_id)
    rows = tx.execute(_MARK_READ, chat_id, up_to)
    return chat_state(tx, chat_id), rows[0][1] if rows else None


def mark_viewed(tx: Transaction, chat_id: str, up_to: int) -> int | None:
    """Move `admin_viewed_at` forward to the message `up_to`, never back.

    Returns the seq it moved to; None if the message was viewed before.
    """
    lock_chat(tx, chat_id)
    rows = tx.execute(_MARK_VIEWED, chat_id, up_to)
    return rows[0][0] if rows else None


def archive(tx: Transaction, chat_id: str, up_to: int) -> bool:
    """Archive a chat unless its user sent a message after `up_to`. Return whether it changed.

    `up_to` is the newest message at the time of the request, so a repetition does not archive a
    later message.
    """
    lock_chat(tx, chat_id)
    return bool(tx.execute(_ARCHIVE, chat_id, up_to))


def unarchive(tx: Transaction, chat_id: str) -> bool:
    """Return whether the chat was archived."""
    lock_chat(tx, chat_id)
    return bool(tx.execute(_UNARCHIVE, chat_id))


def to_item(row: tuple[Any, ...]) -> SupportChatListItem:
    chat_id, user_id, email, name, last_at, preview, sender, last_seq, unread, archived, sub = row
    return SupportChatListItem(
        chat_id,
        user_id,
        email,
        name,
        format_optional_time(last_at),
        preview,
        sender,
        last_seq,
        unread,
        archived,
        sub,
    )

"""Chats: opening, listing, read and viewed marks, archiving."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.errors import NotFound
from chatsvc.store.messages import latest_messages
from chatsvc.wire import (
    PREVIEW_CHARS,
    AdminSupportChat,
    ChatStateEvent,
    SupportChat,
    SupportChatListItem,
    format_optional_time,
)

COUNT_LIMIT = 1000  # tabs show "999+" from here: a full COUNT grows with the table

_UNREAD = "coalesce(c.last_user_message_at > coalesce(c.admin_viewed_at, '-infinity'), false)"
_SORT_KEY = "coalesce(c.last_message_at, '-infinity')"

# One line of the staff's list; `to_item` reads it.
ITEM = f"""
    SELECT c.id, c.user_id, u.email, u.name, c.last_message_at, left(m.content, {PREVIEW_CHARS}), m.sender_type, c.last_seq,
           {_UNREAD}, c.archived_at IS NOT NULL
    FROM support_chats c JOIN users u ON u.id = c.user_id
    LEFT JOIN support_messages m ON m.chat_id = c.id AND m.seq = c.last_seq
"""

_CHAT_ID_FOR_USER = Statement(
    "chat_id_for_user", ("uuid",), "SELECT id FROM support_chats WHERE user_id = $1"
)
_CREATE_CHAT = Statement(
    "create_chat",
    ("uuid", "uuid"),
    "INSERT INTO support_chats (id, user_id) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING",
)
_STATES = Statement(
    "chat_states",
    ("uuid[]",),
    """
    SELECT c.id, c.last_seq, c.read_up_to, c.archived_at IS NOT NULL,
           (SELECT count(*) FROM support_messages m WHERE m.chat_id = c.id AND m.sender_type = 'admin' AND m.read_at IS NULL),
           (SELECT m.seq FROM support_messages m WHERE m.chat_id = c.id AND m.created_at <= c.admin_viewed_at
            ORDER BY m.created_at DESC LIMIT 1)
    FROM support_chats c WHERE c.id = ANY ($1)
    """,
)
_ADMIN_CHAT = Statement(
    "admin_chat",
    ("uuid",),
    """
    SELECT c.user_id, u.email, u.name, c.archived_at IS NOT NULL, c.admin_viewed_at, c.last_seq
    FROM support_chats c JOIN users u ON u.id = c.user_id WHERE c.id = $1
    """,
)
_IS_VISITOR_CHAT = Statement(
    "is_visitor_chat",
    ("uuid",),
    "SELECT u.kind = 'visitor' FROM support_chats c JOIN users u ON u.id = c.user_id WHERE c.id = $1",
)
_ITEM_OF = Statement("list_item", ("uuid",), f"{ITEM} WHERE c.id = $1")


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
           (SELECT count(*) FROM (SELECT FROM support_chats WHERE archived_at IS NOT NULL LIMIT $1) b),
           (SELECT count(*) FROM (SELECT FROM support_chats c WHERE c.archived_at IS NULL
                AND c.last_user_message_at > coalesce(c.admin_viewed_at, '-infinity') LIMIT $1) d)
    """,
)

_MARK_READ = Statement(
    "mark_read",
    ("uuid", "bigint"),
    """
    WITH marked AS (
        UPDATE support_messages m SET read_at = statement_timestamp(), updated_at = statement_timestamp()
        WHERE m.chat_id = $1 AND m.sender_type = 'admin' AND m.read_at IS NULL AND m.seq <= $2
        RETURNING m.seq, m.read_at
    )
    UPDATE support_chats c SET read_up_to = greatest(c.read_up_to, t.seq), updated_at = statement_timestamp()
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
          AND NOT EXISTS (SELECT FROM support_messages m WHERE m.chat_id = $1 AND m.seq > $2 AND m.sender_type = 'user')
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
    """Each exact up to COUNT_LIMIT - 1."""

    active: int
    archived: int
    unread: int


def lock_chat(tx: Transaction, chat_id: str) -> None:
    """Lock a chat's row until the end of the transaction.

    Every transaction that changes a chat, its messages or its notices holds this lock.
    """
    tx.execute(_LOCK_CHAT, chat_id)


def chat_id_for_user(connection: Connection, user_id: str) -> str | None:
    """Return the id of the user's chat, if there is one."""
    rows = connection.execute(_CHAT_ID_FOR_USER, user_id)
    return str(rows[0][0]) if rows else None


def create_chat(tx: Transaction, user_id: str, chat_id: str) -> str:
    """Create the user's one chat, if there is none, and return its id: `chat_id` if it is new."""
    tx.execute(_CREATE_CHAT, chat_id, user_id)
    existing = chat_id_for_user(tx, user_id)
    assert existing is not None
    return existing


def chat_state(connection: Connection, chat_id: str) -> ChatStateEvent:
    """Return what may have changed besides messages while a client was disconnected."""
    states = chat_states(connection, [chat_id])
    if not states:
        raise NotFound("there is no such chat")
    return states[chat_id]


def chat_states(connection: Connection, chat_ids: Sequence[str]) -> dict[str, ChatStateEvent]:
    """Return the states of many chats by id, with one query. Chats that do not exist are omitted."""
    return {
        chat_id: ChatStateEvent(last_seq, unread, read_up_to, viewed_up_to or 0, archived)
        for chat_id, last_seq, read_up_to, archived, unread, viewed_up_to in connection.execute(
            _STATES, list(chat_ids)
        )
    }


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
    user_id, email, name, archived, viewed_at, last_seq = rows[0]
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
    )


def is_visitor_chat(connection: Connection, chat_id: str) -> bool:
    """Whether a visitor typed the name and e-mail address, which nobody has verified."""
    rows = connection.execute(_IS_VISITOR_CHAT, chat_id)
    return bool(rows and rows[0][0])


def list_item(connection: Connection, chat_id: str) -> SupportChatListItem:
    """Return one line of the staff's list."""
    rows = connection.execute(_ITEM_OF, chat_id)
    if not rows:
        raise NotFound("there is no such chat")
    return to_item(rows[0])


def list_chats(
    connection: Connection, archived: bool, limit: int, start: ListCursor
) -> tuple[list[SupportChatListItem], ListCursor | None]:
    """Return a page, latest message first, and where the next one starts (None: this is the last)."""
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
    chat_id, user_id, email, name, last_at, preview, sender, last_seq, unread, archived = row
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
    )

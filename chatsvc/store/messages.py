"""Messages: inserting them (the hot path, many at once) and reading them back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.errors import Conflict, DomainError, NotFound
from chatsvc.wire import (
    PREVIEW_CHARS,
    MessagePage,
    SenderType,
    SupportChatListItem,
    SupportMessage,
    format_optional_time,
    format_time,
)

# Every insert into a chat needs the lock on its row, so `seq` follows the order of commits. Rows
# are locked in the order of their ids, which prevents deadlocks between processes. The next
# statement sees what the previous holders of the locks committed.
_LOCK_CHATS = Statement(
    "lock_chats",
    ("uuid[]",),
    """
    SELECT c.id, c.user_id, u.email, u.name, c.archived_at IS NOT NULL,
           coalesce(c.last_user_message_at > coalesce(c.admin_viewed_at, '-infinity'), false),
           u.external_id
    FROM support_chats c JOIN users u ON u.id = c.user_id
    WHERE c.id = ANY ($1) ORDER BY c.id FOR NO KEY UPDATE OF c
    """,
)

# $1 ids, $2 chats, $3 client ids, $4 contents, $5 sender types, $6 senders, $7 notice ids,
# $8 seconds until the e-mail is due, $9 seconds between two e-mails about one chat.
# `known_id` comes from scalar subqueries: they are index scans whatever the planner estimates.
_INSERT_MESSAGES = Statement(
    "insert_messages",
    ("uuid[]", "uuid[]", "text[]", "text[]", "text[]", "uuid[]", "uuid[]", "float8", "float8"),
    """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
    input AS MATERIALIZED (
        SELECT i.*, coalesce(
            (SELECT m.id FROM support_messages m WHERE m.chat_id = i.chat_id
                AND m.client_id = i.client_id),
            (SELECT m.id FROM support_messages m WHERE m.id = i.id)) AS known_id
        FROM unnest($1, $2, $3, $4, $5, $6, $7)
             WITH ORDINALITY AS i (id, chat_id, client_id, content, sender_type, sender_id,
                 notice_id, n)
    ),
    fresh AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY chat_id ORDER BY n)::int AS k,
               count(*) OVER (PARTITION BY chat_id)::int AS total
        FROM input WHERE known_id IS NULL
    ),
    grown AS (
        SELECT chat_id, max(total) AS total,
            max(k) FILTER (WHERE sender_type = 'user') AS last_user_k,
               min(k) FILTER (WHERE sender_type = 'admin') AS first_admin_k
        FROM fresh GROUP BY chat_id
    ),
    bumped AS (
        UPDATE support_chats c SET
            last_seq = c.last_seq + g.total,
            last_message_at =
                greatest(clock.now, c.last_message_at + g.total * interval '1 microsecond'),
            last_user_message_at = CASE WHEN g.last_user_k IS NULL THEN c.last_user_message_at ELSE
                greatest(clock.now, c.last_message_at + g.total * interval '1 microsecond')
                - (g.total - g.last_user_k) * interval '1 microsecond' END,
            archived_at = CASE WHEN g.last_user_k IS NULL THEN c.archived_at END,
            updated_at = clock.now
        FROM grown g, clock WHERE c.id = g.chat_id
        RETURNING c.id, c.last_seq, c.last_message_at
    ),
    inserted AS (
        INSERT INTO support_messages
            (id, chat_id, seq, client_id, content, sender_type, sender_id, created_at, updated_at)
        SELECT f.id, f.chat_id, b.last_seq - f.total + f.k, f.client_id, f.content, f.sender_type,
            f.sender_id,
               b.last_message_at - (f.total - f.k) * interval '1 microsecond', clock.now
        FROM fresh f JOIN bumped b ON b.id = f.chat_id, clock
        RETURNING id, seq, created_at
    ),
    noticed AS (
        INSERT INTO support_notices (id, chat_id, first_seq, due_at)
        SELECT f.notice_id, f.chat_id, b.last_seq - f.total + f.k, greatest(
                   clock.now + $8 * interval '1 second',
                   (SELECT max(least(s.sent_at, clock.now)) FROM support_notices s
                       WHERE s.chat_id = f.chat_id AND s.state = 'sent')
                   + $9 * interval '1 second')
        FROM fresh f JOIN grown g ON g.chat_id = f.chat_id AND g.first_admin_k = f.k
            JOIN bumped b ON b.id = f.chat_id, clock
        ON CONFLICT (chat_id) WHERE state = 'pending' DO NOTHING
        RETURNING id, due_at
    )
    SELECT i.n, m.id, m.seq, m.created_at, NULL::timestamptz, NULL, NULL, extract(epoch
        FROM o.due_at - clock.now)::float8
    FROM inserted m JOIN input i ON i.id = m.id LEFT JOIN noticed o ON o.id = i.notice_id, clock
    UNION ALL
    SELECT i.n, m.id, m.seq, m.created_at, m.read_at, m.content, m.sender_type, NULL
    FROM input i JOIN support_messages m ON m.id = i.known_id
    ORDER BY 1
    """,
)


class MessageRow(NamedTuple):
    """A message to insert. Its ids exist already, so that inserting can be repeated."""

    id: str
    chat_id: str
    client_id: str | None
    content: str
    sender_type: SenderType
    sender_id: str
    notice_id: str
    email_delay_s: float
    email_min_interval_s: float


class InsertedMessage(NamedTuple):
    """A stored message and what changed with it.

    `is_new` False: its client_id was stored before.
    """

    message: SupportMessage
    chat: SupportChatListItem
    is_new: bool
    was_archived: bool
    due_in_s: float | None  # until its e-mail, if it created a notice


def insert_messages(
    tx: Transaction, rows: Sequence[MessageRow]
) -> Sequence[InsertedMessage | DomainError]:
    """Store messages, with `seq` in the order given, and return one result per row.

    NotFound if there is no such chat, Conflict for a client_id that has other content.
    """
    chats = {chat[0]: chat for chat in tx.execute(_LOCK_CHATS, list({row.chat_id for row in rows}))}
    # The first row of each client_id is inserted; a repeat in the same batch gets its result.
    first_of: dict[tuple[str, str], int] = {}
    todo = [
        n
        for n, row in enumerate(rows)
        if row.chat_id in chats
        and (not row.client_id or first_of.setdefault((row.chat_id, row.client_id), n) == n)
    ]
    stored = dict(zip(todo, _insert(tx, [rows[n] for n in todo]), strict=True))
    results: list[InsertedMessage | DomainError] = []
    states = {chat_id: _ChatState(*chat) for chat_id, chat in chats.items()}
    for n, row in enumerate(rows):
        if row.chat_id not in chats:
            results.append(NotFound("there is no such chat"))
            continue
        first = n if n in stored else first_of[row.chat_id, row.client_id or ""]
        record = stored[first] if first == n else _seen_again(stored[first], rows[first])
        results.append(_outcome(row, record, states[row.chat_id]))
    return results


def _insert(tx: Transaction, rows: list[MessageRow]) -> list[tuple[Any, ...]]:
    if not rows:
        return []
    columns = [_array(column) for column in zip(*(row[:7] for row in rows), strict=True)]
    return tx.execute(
        _INSERT_MESSAGES, *columns, rows[0].email_delay_s, rows[0].email_min_interval_s
    )


def _array(texts: Sequence[str | None]) -> str:
    """Return the literal of an array. psycopg2 would quote and encode each text by itself."""
    quoted = (
        "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for text in texts
    )
    return f"{{{','.join(quoted)}}}"


def _seen_again(record: tuple[Any, ...], row: MessageRow) -> tuple[Any, ...]:
    """Return the record of a row for a later row of the batch with the same client_id."""
    return (*record[:5], record[5] or row.content, record[6] or row.sender_type, None)


class _ChatState:
    """A locked chat that the messages of a batch change one after the other."""

    def __init__(
        self,
        chat_id: str,
        user_id: str,
        user_email: str | None,
        user_name: str | None,
        archived: bool,
        unread: bool,
        user_sub: str | None,
    ) -> None:
        self.id, self.user_id, self.user_email, self.user_name = (
            chat_id,
            user_id,
            user_email,
            user_name,
        )
        self.archived, self.unread, self.user_sub = archived, unread, user_sub

    def take(self, message: SupportMessage, is_new: bool) -> SupportChatListItem:
        """Return the chat's list item after this message. A known message changes nothing."""
        if is_new and message.sender_type == "user":
            self.archived, self.unread = False, True
        return SupportChatListItem(
            id=self.id,
            user_id=self.user_id,
            user_email=self.user_email,
            user_name=self.user_name,
            last_message_at=message.created_at,
            last_message_preview=message.content[:PREVIEW_CHARS],
            last_message_sender=message.sender_type,
            message_count=message.seq,
            unread=self.unread,
            archived=self.archived,
            user_sub=self.user_sub,
        )


def _outcome(
    row: MessageRow, record: tuple[Any, ...], chat: _ChatState
) -> InsertedMessage | DomainError:
    _, message_id, seq, created_at, read_at, known_content, known_sender, due_in_s = record
    if known_content is not None and (
        known_content != row.content or known_sender != row.sender_type
    ):
        return Conflict(
            f"client_id {row.client_id!r} was already used in this chat "
            "for a message with other content"
        )
    message = SupportMessage(
        message_id,
        row.content,
        row.sender_type,
        format_optional_time(read_at),
        format_time(created_at),
        seq,
        row.client_id,
    )
    # Also true for a row stored by an earlier run whose COMMIT succeeded although the connection
    # broke.
    is_new = message_id == row.id
    was_archived = chat.archived
    item = chat.take(message, is_new)
    return InsertedMessage(
        message,
        item,
        is_new=is_new,
        was_archived=was_archived and not item.archived,
        due_in_s=due_in_s,
    )


# `to_message` reads them.
COLUMNS = "m.id, m.content, m.sender_type, m.read_at, m.created_at, m.seq, m.client_id"

PAGE_MAX_BYTES = 512 * 1024  # of content; without it, 200 messages take 12 MB of memory
CHAR_MAX_BYTES = 6  # of one character in JSON, such as \u0001


def _page_statement(name: str, cursor: str, order: str) -> Statement:
    """Return a statement for the messages of a chat from a cursor on.

    It reads one row more than asked for, which is `has_more`. Of a long page it reads one row more
    than PAGE_MAX_BYTES. For a chat that does not exist it returns no row.
    """
    column, comparison, cursor_type = cursor.split()
    return Statement(
        name,
        ("uuid", cursor_type, "int"),
        f"""
        SELECT {COLUMNS} FROM (
            SELECT *, sum(octet_length(content)) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING)
                - octet_length(content) AS bytes_before
            FROM support_messages WHERE chat_id = $1 AND {column} {comparison} $2
            ORDER BY {order} LIMIT $3 + 1
        ) m WHERE m.bytes_before <= {PAGE_MAX_BYTES} ORDER BY {order}
        """,
    )


_AFTER = _page_statement("messages_after", "seq > bigint", "seq")
_SINCE = _page_statement("messages_since", "created_at > timestamptz", "created_at")
_BEFORE = _page_statement("messages_before", "seq < bigint", "seq DESC")
_COLLEAGUES = Statement(
    "colleagues",
    ("uuid", "bigint", "bigint", "uuid"),
    """
    SELECT m.seq, coalesce(u.name, u.email) FROM support_messages m
        JOIN users u ON u.id = m.sender_id
    WHERE m.chat_id = $1 AND m.seq BETWEEN $2 AND $3 AND m.sender_type = 'admin'
        AND m.sender_id <> $4
    """,
)
_ID_OF = Statement(
    "message_id",
    ("uuid", "bigint"),
    "SELECT id FROM support_messages WHERE chat_id = $1 AND seq = $2",
)
_LAST_SEQ = Statement("last_seq", ("uuid",), "SELECT last_seq FROM support_chats WHERE id = $1")


def is_at(connection: Connection, chat_id: str, seq: int, message_id: str) -> bool:
    """Whether the message `seq` has this id. A restored database reuses numbers."""
    return [(message_id,)] == connection.execute(_ID_OF, chat_id, seq)


def messages_after(
    connection: Connection, chat_id: str, seq: int, limit: int, message_id: str | None = None
) -> MessagePage:
    """Return the messages after `seq`, oldest first.

    With `message_id`, `reset` is set if the message `seq` has another id.
    """
    last_seq = last_seq_of(connection, chat_id)
    if message_id is not None and not is_at(connection, chat_id, seq, message_id):
        return MessagePage([], has_more=False, last_seq=last_seq, reset=True)
    return _forward_page(connection.execute(_AFTER, chat_id, seq, limit), limit, last_seq)


def messages_since(
    connection: Connection, chat_id: str, moment: datetime, limit: int
) -> MessagePage:
    """Return the messages created after `moment`, oldest first."""
    last_seq = last_seq_of(connection, chat_id)
    return _forward_page(connection.execute(_SINCE, chat_id, moment, limit), limit, last_seq)


def messages_before(connection: Connection, chat_id: str, seq: int, limit: int) -> MessagePage:
    """Return the messages just before `seq`, in order; `has_more`: there are older ones."""
    last_seq = last_seq_of(connection, chat_id)
    return MessagePage(*latest_messages(connection, chat_id, seq - 1, limit), last_seq)


def latest_messages(
    connection: Connection, chat_id: str, up_to_seq: int, limit: int
) -> tuple[list[SupportMessage], bool]:
    """Return the last messages up to `up_to_seq`, in order, and whether there are older ones."""
    rows = connection.execute(_BEFORE, chat_id, up_to_seq + 1, limit)
    messages = _fitting([to_message(row) for row in rows[:limit]])
    return messages[::-1], len(rows) > len(messages)


def colleagues(
    connection: Connection, chat_id: str, seqs: tuple[int, int], staff_id: str
) -> dict[int, str]:
    """Return by seq who wrote the staff's messages from the first to the last of `seqs`.

    Messages by `staff_id` are omitted.
    """
    return dict(connection.execute(_COLLEAGUES, chat_id, *seqs, staff_id))


def last_seq_of(connection: Connection, chat_id: str) -> int:
    """Return the chat's newest seq. Raises NotFound if there is no such chat."""
    rows = connection.execute(_LAST_SEQ, chat_id)
    if not rows:
        raise NotFound("there is no such chat")
    return int(rows[0][0])


def _forward_page(rows: list[tuple[Any, ...]], limit: int, last_seq: int) -> MessagePage:
    """`last_seq` was read before `rows`, so `rows` may be newer."""
    messages = _fitting([to_message(row) for row in rows[:limit]])
    newest = messages[-1].seq if messages else 0
    return MessagePage(messages, len(rows) > len(messages), max(last_seq, newest))


def _fitting(messages: list[SupportMessage]) -> list[SupportMessage]:
    """Return the first messages whose content fits into PAGE_MAX_BYTES of JSON; at least one."""
    if sum(len(message.content) for message in messages) * CHAR_MAX_BYTES <= PAGE_MAX_BYTES:
        return messages
    size = 0
    for n, message in enumerate(messages):
        size += len(msgspec.json.encode(message.content))
        if size > PAGE_MAX_BYTES and n:
            return messages[:n]
    return messages


def to_message(row: tuple[Any, ...]) -> SupportMessage:
    message_id, content, sender_type, read_at, created_at, seq, client_id = row
    return SupportMessage(
        message_id,
        content,
        sender_type,
        format_optional_time(read_at),
        format_time(created_at),
        seq,
        client_id,
    )

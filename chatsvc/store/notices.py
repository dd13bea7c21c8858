"""Notices: the rows that say which e-mail is due. store/messages.py inserts them with the message.

The states of a row. Every change of a notice locks the chat's row first.

    pending     Waits until `due_at`, or until `next_try_at` after an attempt that the mail server
                certainly did not accept (`reason` says why). New staff messages join it.
                It has no `up_to_seq` yet.
    claimed     An e-mail about the messages up to `up_to_seq` may have been accepted. Until
                `claimed_until` a process is sending it; after that any process sends it again under
                the same `message_id`. With `next_try_at` nobody is sending, and it waits for that
                time. New staff messages create the next pending notice. With a `reason` it is not
                retried (see `cancel`).
    sent        The messages up to `up_to_seq` were told; later e-mails leave them out.
    cancelled   `reason` is one of REASONS.
    failed      `reason` is what the mail server said.

A cancelled or failed notice with a `sent_at` may have reached the mail server. Its messages count
as told, unless staff ask for them again.
"""

from typing import Literal, get_args

from msgspec import Struct

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.store.chats import lock_chat
from chatsvc.wire import Time, format_optional_time, format_time

State = Literal["pending", "claimed", "sent", "cancelled", "failed"]
# read: by the user · archived: the chat · no_address: the user has none
# opted_out: the user has unsubscribed · refused: the mail server rejected this address before
# staff: "do not send"
Reason = Literal["read", "archived", "no_address", "opted_out", "refused", "staff"]
REASONS: tuple[Reason, ...] = get_args(Reason)
SHOWN_MAX = 100  # notices of one chat, the newest; a page of it shows 50 messages

# The last message that was told, is being told or must not be told. E-mails are about later ones.
TOLD = """
    coalesce((SELECT max(t.up_to_seq) FROM support_notices t WHERE t.chat_id = $1
              AND (t.state IN ('sent', 'claimed') OR t.sent_at IS NOT NULL
                   OR t.state = 'cancelled' AND t.reason = 'staff')), 0)
"""
FIRST_UNREAD = """
    SELECT m.seq, m.created_at FROM support_messages m
    WHERE m.chat_id = $1 AND m.sender_type = 'admin' AND m.read_at IS NULL
"""

# Call this when the claimed notice has ended: the notice queued behind it need not wait.
FREE = Statement(
    "notice_free",
    ("uuid",),
    "UPDATE support_notices SET next_try_at = NULL "
    "WHERE chat_id = $1 AND state = 'pending' AND attempts = 0",
)

# After a read, a notice moves to the first message that is still unread, or ends if there is none.
# Unread messages are always the end of a chat. A claimed notice that a process is sending is not
# cancelled: that process records how it ends.
_FOLLOW_READING = Statement(
    "notice_follow_reading",
    ("uuid", "float8"),
    f"""
    UPDATE support_notices n SET
        state = CASE WHEN f.seq IS NULL OR n.state = 'claimed' THEN 'cancelled' ELSE 'pending' END,
        reason = CASE WHEN f.seq IS NULL OR n.state = 'claimed' THEN 'read' END,
        up_to_seq = CASE WHEN f.seq IS NULL THEN coalesce(n.up_to_seq, c.last_seq)
                         ELSE n.up_to_seq END,
        first_seq = CASE WHEN n.state = 'pending' THEN coalesce(f.seq, n.first_seq)
                         ELSE n.first_seq END,
        -- created_at is ahead of the clock if that was set back
        due_at = greatest(n.due_at, f.created_at + $2 * interval '1 second'
                          - greatest(f.created_at - statement_timestamp(), interval '0'))
    FROM support_chats c LEFT JOIN LATERAL ({FIRST_UNREAD} ORDER BY m.seq LIMIT 1) f ON true
    WHERE c.id = $1 AND n.chat_id = $1 AND (
        n.state = 'pending' AND (f.seq IS NULL OR f.seq > n.first_seq)
        OR n.state = 'claimed' AND n.next_try_at IS NOT NULL
           AND (f.seq IS NULL OR f.seq > n.up_to_seq))
    RETURNING n.id
    """,
)
_CANCEL = Statement(
    "notice_cancel",
    ("uuid", "text"),
    """
    UPDATE support_notices n SET
        state = CASE WHEN n.state = 'claimed' AND n.next_try_at IS NULL THEN 'claimed'
                     ELSE 'cancelled' END,
        sent_at = CASE WHEN n.state = 'claimed' AND n.next_try_at IS NOT NULL
                       THEN statement_timestamp() END,
        reason = CASE WHEN n.state = 'claimed' THEN coalesce(n.reason, $2) ELSE $2 END,
        up_to_seq = coalesce(n.up_to_seq, c.last_seq)
    FROM support_chats c WHERE c.id = $1 AND n.chat_id = $1 AND n.state IN ('pending', 'claimed')
    RETURNING n.id
    """,
)
_CLAIMED = Statement(
    "notice_claimed",
    ("uuid",),
    "SELECT id FROM support_notices WHERE chat_id = $1 AND state = 'claimed'",
)
_BRING_FORWARD = Statement(
    "notice_bring_forward",
    ("uuid",),
    """
    UPDATE support_notices SET due_at = least(due_at, statement_timestamp()), next_try_at = NULL
    WHERE chat_id = $1 AND state = 'pending'
    RETURNING id
    """,
)
_FORGET_DECLINED = Statement(
    "notice_forget_declined",
    ("uuid",),
    """
    DELETE FROM support_notices n USING support_chats c
    WHERE c.id = $1 AND n.chat_id = $1 AND n.state = 'cancelled' AND n.reason = 'staff'
          AND n.up_to_seq > c.read_up_to
    """,
)
# Staff want another e-mail about messages of one that may or may not have arrived.
_FORGET_UNKNOWN = Statement(
    "notice_forget_unknown",
    ("uuid",),
    """
    UPDATE support_notices n SET sent_at = NULL FROM support_chats c
    WHERE c.id = $1 AND n.chat_id = $1 AND n.state IN ('cancelled', 'failed')
          AND n.up_to_seq > c.read_up_to
    """,
)
_CREATE_DUE = Statement(
    "notice_create_due",
    ("uuid", "uuid"),
    f"""
    INSERT INTO support_notices (id, chat_id, first_seq, due_at)
    SELECT $2, $1, f.seq, statement_timestamp()
    FROM ({FIRST_UNREAD} AND m.seq > {TOLD} ORDER BY m.seq LIMIT 1) f
    ON CONFLICT (chat_id) WHERE state = 'pending' DO NOTHING
    RETURNING id
    """,
)
_OF_CHAT = Statement(
    "notices_of",
    ("uuid", "int", "int"),
    """
    SELECT state, coalesce(next_try_at, due_at), sent_at, first_seq, up_to_seq, reason
    FROM support_notices WHERE chat_id = $1 AND (up_to_seq IS NULL OR up_to_seq >= $2)
    ORDER BY created_at DESC LIMIT $3
    """,
)


class Notice(Struct, frozen=True):
    """A notice as staff see it: about staff messages from `first_seq` to `up_to_seq`.

    `up_to_seq` is None for a pending notice, which is about all messages up to the newest. `reason`
    is one of REASONS if it was cancelled, or what the mail server said if it failed or is retried.
    """

    state: State
    due_at: Time  # of a pending notice: when it is sent or retried
    sent_at: Time | None
    first_seq: int
    up_to_seq: int | None
    reason: str | None


def follow_reading(tx: Transaction, chat_id: str, email_delay_s: float) -> bool:
    """Cancel waiting notices, or move them to the messages that are still unread.

    Call it in the transaction that marks messages read. Returns whether anything changed.
    """
    changed = bool(tx.execute(_FOLLOW_READING, chat_id, email_delay_s))
    if changed:
        tx.execute(FREE, chat_id)
    return changed


def cancel(tx: Transaction, chat_id: str, reason: Reason) -> bool:
    """Cancel waiting notices. Returns whether there was an open one.

    An e-mail that is being sent is not stopped, but it is not retried.
    """
    return bool(tx.execute(_CANCEL, chat_id, reason))


def send_now(tx: Transaction, chat_id: str, notice_id: str) -> bool:
    """Make unread messages that were not told due now, even if staff declined an e-mail before.

    A new notice gets `notice_id`. Returns False if there is nothing to tell, or if an e-mail is
    being sent or waits for a retry: the next one has to wait for it.
    """
    lock_chat(tx, chat_id)
    if tx.execute(_CLAIMED, chat_id):
        return False
    if tx.execute(_BRING_FORWARD, chat_id):
        return True
    tx.execute(_FORGET_DECLINED, chat_id)
    tx.execute(_FORGET_UNKNOWN, chat_id)
    return bool(tx.execute(_CREATE_DUE, chat_id, notice_id))


def do_not_send(tx: Transaction, chat_id: str) -> bool:
    """Cancel the e-mail about messages unread now, for staff. Returns False if none was planned."""
    lock_chat(tx, chat_id)
    return cancel(tx, chat_id, "staff")


def notices_of(connection: Connection, chat_id: str, from_seq: int) -> list[Notice]:
    """Return notices about messages from `from_seq` on, oldest first, the newest SHOWN_MAX."""
    rows = connection.execute(_OF_CHAT, chat_id, from_seq, SHOWN_MAX)
    return [
        Notice(
            state, format_time(due_at), format_optional_time(sent_at), first_seq, up_to_seq, reason
        )
        for state, due_at, sent_at, first_seq, up_to_seq, reason in reversed(rows)
    ]

"""Notices: the rows that say which e-mail is due. They are created with the message (store/messages.py)."""

from chatsvc.session import Session, Statement

# After a read: the notice follows the first message that is still unread, or there is nothing left to tell.
_FOLLOW_READING = Statement(
    "notice_follow_reading",
    ("uuid", "float8"),
    """
    UPDATE support_notices n SET
        state = CASE WHEN f.seq IS NULL THEN 'cancelled' ELSE 'pending' END,
        reason = CASE WHEN f.seq IS NULL THEN 'read' END,
        first_seq = coalesce(f.seq, n.first_seq),
        due_at = greatest(n.due_at, f.created_at + $2 * interval '1 second')
    FROM (SELECT 1) one LEFT JOIN LATERAL (
        SELECT m.seq, m.created_at FROM support_messages m
        WHERE m.chat_id = $1 AND m.sender_type = 'admin' AND m.read_at IS NULL ORDER BY m.seq LIMIT 1) f ON true
    WHERE n.chat_id = $1 AND n.state = 'pending' AND f.seq IS DISTINCT FROM n.first_seq
    """,
)
_CANCEL = Statement(
    "notice_cancel",
    ("uuid", "text"),
    "UPDATE support_notices SET state = 'cancelled', reason = $2 WHERE chat_id = $1 AND state = 'pending'",
)


def follow_reading(session: Session, chat_id: str, email_delay_s: float) -> None:
    """Call after messages were marked read, in the same transaction: cancels the pending notice or moves it to what is still unread."""
    session.execute(_FOLLOW_READING, chat_id, email_delay_s)


def cancel_pending(session: Session, chat_id: str, reason: str) -> None:
    """Cancels the chat's pending notice, if there is one."""
    session.execute(_CANCEL, chat_id, reason)

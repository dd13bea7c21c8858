"""Claims: how a due notice is sent and recorded. store/notices.py describes the states.

All times are those of the database. Each change locks the chat's row, so two processes never send
the same notice at the same time.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.mail.messages import ReplyNotice, UnreadMessage
from chatsvc.store.chats import list_item, lock_chat
from chatsvc.store.notices import FREE, TOLD, Reason, follow_reading
from chatsvc.text.email_address import address_digest
from chatsvc.wire import SupportChatListItem

MESSAGES_MAX = 200  # read for one e-mail, oldest first; it shows five and counts the others
GAVE_UP = "too many attempts without a response"
CONTENT_MAX_CHARS = 2_000  # of each message; an e-mail shows the first 200 visible ones

# When a notice needs attention: the expression of the index support_notices_wake.
_WAKE = (
    "(CASE WHEN n.state = 'claimed' THEN n.claimed_until "
    "ELSE coalesce(n.next_try_at, n.due_at) END)"
)

_DUE_IN = Statement(
    "notice_due_in",
    (),
    f"""
    SELECT extract(epoch FROM {_WAKE} - statement_timestamp())::float8 FROM support_notices n
    WHERE n.state IN ('pending', 'claimed') AND {_WAKE} > '-infinity' ORDER BY {_WAKE} LIMIT 1
    """,
)
# Notices that wait longer than the delay ($1) or the interval ($2), in seconds, allows, because the
# clock was set back. The condition on _WAKE is a range of its index; `state = 'pending'` would have
# the planner read the whole index of pending notices, too.
_TOO_LATE = f"""
    SELECT * FROM (
        SELECT n.id, n.chat_id, n.due_at, greatest(
                   statement_timestamp() + $1 * interval '1 second',
                   (SELECT max(least(s.sent_at, statement_timestamp())) FROM support_notices s
                    WHERE s.chat_id = n.chat_id
                        AND s.state = 'sent') + $2 * interval '1 second') AS limit_at
        FROM support_notices n WHERE n.state IN ('pending', 'claimed')
             AND {_WAKE} > statement_timestamp() + $1 * interval '1 second'
             AND n.state <> 'claimed' AND n.next_try_at IS NULL
    ) waiting WHERE due_at > limit_at
"""
_IS_TOO_LATE = Statement("notice_is_too_late", ("float8", "float8"), f"SELECT EXISTS ({_TOO_LATE})")
_LOCK_TOO_LATE = Statement(
    "notice_lock_too_late",
    ("float8", "float8"),
    f"""
    SELECT c.id FROM support_chats c WHERE c.id IN (SELECT l.chat_id FROM ({_TOO_LATE}) l)
    ORDER BY c.id FOR NO KEY UPDATE
    """,
)
_LIMIT_WAIT = Statement(
    "notice_limit_wait",
    ("float8", "float8"),
    f"UPDATE support_notices n SET due_at = l.limit_at FROM ({_TOO_LATE}) l WHERE n.id = l.id",
)
_LOCK_DUE = Statement(
    "notice_lock_due",
    (),
    f"""
    SELECT n.chat_id FROM support_notices n JOIN support_chats c ON c.id = n.chat_id
    WHERE n.state IN ('pending', 'claimed') AND {_WAKE} <= statement_timestamp()
    ORDER BY {_WAKE} LIMIT 1 FOR NO KEY UPDATE OF c SKIP LOCKED
    """,
)
_OPEN = Statement(
    "notice_open",
    ("uuid",),
    f"""
    SELECT n.id, n.state, n.first_seq, n.up_to_seq, n.reason, n.attempts, n.claimed_until,
           {_WAKE} <= statement_timestamp()
    FROM support_notices n WHERE n.chat_id = $1 AND n.state IN ('pending', 'claimed')
    ORDER BY n.state
    """,
)
# Names of visitors are left out: anyone could enter an advertisement as a name and a stranger's
# address. For the same reason an opt-out or refusal applies to every visitor with that address; for
# the others a refusal expires after 30 days.
_READER = Statement(
    "notice_reader",
    ("uuid",),
    f"""
    SELECT u.id, u.email, CASE WHEN u.kind = 'host' THEN u.name END, u.language,
           u.email_opted_out_at IS NOT NULL OR a.opted_out_at IS NOT NULL,
           u.email = u.email_refused
               OR coalesce(a.refused_at > statement_timestamp() - interval '30 days', false),
           c.archived_at IS NOT NULL, c.last_seq, {TOLD}, statement_timestamp()
    FROM support_chats c JOIN users u ON u.id = c.user_id
    LEFT JOIN email_addresses a ON u.kind = 'visitor'
        AND a.digest = left(encode(sha256(convert_to(lower(u.email), 'UTF8')), 'hex'), 32)
    WHERE c.id = $1
    """,
)
_UNREAD = Statement(
    "notice_unread",
    ("uuid", "bigint", "bigint", "int", "int"),
    """
    SELECT m.seq, left(m.content, $4), m.created_at FROM support_messages m
    WHERE m.chat_id = $1 AND m.sender_type = 'admin' AND m.read_at IS NULL
          AND m.seq > $2 AND m.seq <= $3
    ORDER BY m.seq LIMIT $5
    """,
)
_CLAIM = Statement(
    "notice_claim",
    ("uuid", "float8", "text", "int", "int"),
    f"""
    UPDATE support_notices n SET
        state = 'claimed', claimed_until = statement_timestamp() + $2 * interval '1 second',
        next_try_at = NULL, attempts = n.attempts + 1, reason = NULL,
        message_id = coalesce(n.message_id, $3), first_seq = $4, up_to_seq = $5
    WHERE n.id = $1 AND n.state IN ('pending', 'claimed') AND {_WAKE} <= statement_timestamp()
    RETURNING n.claimed_until, n.attempts, n.message_id
    """,
)
_POSTPONE = Statement(
    "notice_postpone",
    ("uuid", "timestamptz"),
    "UPDATE support_notices SET next_try_at = $2 WHERE id = $1 AND state = 'pending'",
)
_END = Statement(
    "notice_end",
    ("uuid", "text", "text", "int", "bool"),
    """
    UPDATE support_notices SET state = $2, reason = $3,
        sent_at = CASE WHEN $5 THEN statement_timestamp() END,
        up_to_seq = coalesce(up_to_seq, $4), claimed_until = NULL, next_try_at = NULL
    WHERE id = $1 AND state IN ('pending', 'claimed')
    """,
)
_SENT = Statement(
    "notice_sent",
    ("uuid",),
    """
    UPDATE support_notices SET state = 'sent', sent_at = statement_timestamp(), reason = NULL,
        claimed_until = NULL, next_try_at = NULL
    WHERE id = $1 AND state <> 'sent' RETURNING sent_at
    """,
)
# The next e-mail waits for the interval after the one that was sent.
_FOLLOW_SENT = Statement(
    "notice_follow_sent",
    ("uuid", "timestamptz", "float8"),
    """
    UPDATE support_notices SET
        due_at = greatest(due_at, $2 + $3 * interval '1 second'), next_try_at = NULL
    WHERE chat_id = $1 AND state = 'pending'
    """,
)
# The reason of this claim; no row if another process has taken it.
_HELD_CLAIM = Statement(
    "notice_held_claim",
    ("uuid", "timestamptz"),
    "SELECT reason FROM support_notices WHERE id = $1 AND claimed_until = $2",
)
_ABSORB = Statement(
    "notice_absorb",
    ("uuid",),
    "DELETE FROM support_notices WHERE chat_id = $1 AND state = 'pending'",
)
_RELEASE = Statement(
    "notice_release",
    ("uuid", "float8", "int", "text"),
    """
    UPDATE support_notices SET
        state = 'pending', next_try_at = statement_timestamp() + $2 * interval '1 second',
        claimed_until = NULL, up_to_seq = NULL, attempts = attempts - $3, reason = $4
    WHERE id = $1
    """,
)
_KEEP = Statement(
    "notice_keep",
    ("uuid", "float8", "int"),
    """
    UPDATE support_notices SET next_try_at = statement_timestamp() + $2 * interval '1 second',
        claimed_until = statement_timestamp() + $2 * interval '1 second', attempts = attempts - $3
    WHERE id = $1
    """,
)
_STATE_OF = Statement("notice_state", ("uuid",), "SELECT state FROM support_notices WHERE id = $1")
_REFUSE_ADDRESS = Statement(
    "refuse_address",
    ("uuid", "text"),
    "UPDATE users SET email_refused = $2, updated_at = statement_timestamp() WHERE id = $1",
)
_REFUSE_DIGEST = Statement(
    "refuse_digest",
    ("text", "uuid"),
    """
    INSERT INTO email_addresses (digest, refused_at)
    SELECT $1, statement_timestamp() FROM users WHERE id = $2 AND kind = 'visitor'
    ON CONFLICT (digest) DO UPDATE SET refused_at = excluded.refused_at
    """,
)


class Claim(NamedTuple):
    """An e-mail to send. No other process claims it before `until`.

    `until` also identifies the claim.
    """

    notice_id: str
    chat_id: str
    until: datetime
    attempts: int  # including this one
    outcome_unknown: bool  # of an earlier attempt: the mail server may have the e-mail
    email: ReplyNotice


class NoticeOutcome(NamedTuple):
    """What a transaction did: a `claim` to send, or the state in which the notice ended.

    `chat` is the new list item of the chat, if it has changed.
    """

    claim: Claim | None = None
    ended: str | None = None
    chat: SupportChatListItem | None = None


class ClaimPolicy(NamedTuple):
    """The limits of claims, and how an e-mail gets its Message-ID."""

    lease_s: float
    tries_max: int  # a notice claimed this often fails
    message_id: Callable[[str], str]


class _Open(NamedTuple):
    id: str
    state: str
    first_seq: int
    up_to_seq: int | None
    reason: Reason | None
    attempts: int
    claimed_until: datetime | None
    is_due: bool


def due_in_s(connection: Connection) -> float | None:
    """Return the seconds until a notice needs attention, or None if no notice is open."""
    rows = connection.execute(_DUE_IN)
    return float(rows[0][0]) if rows else None


def is_too_late(connection: Connection, email_delay_s: float, min_interval_s: float) -> bool:
    """Whether a notice waits longer than it may, because the clock was stepped back."""
    return bool(connection.execute(_IS_TOO_LATE, email_delay_s, min_interval_s)[0][0])


def limit_waits(tx: Transaction, email_delay_s: float, min_interval_s: float) -> None:
    """Bring forward the notices that wait longer than they may."""
    tx.execute(_LOCK_TOO_LATE, email_delay_s, min_interval_s)
    tx.execute(_LIMIT_WAIT, email_delay_s, min_interval_s)


def claim_next(tx: Transaction, policy: ClaimPolicy) -> NoticeOutcome | None:
    """Claim the notice that is due first, or cancel it.

    Returns None if none is due, or if other processes hold all that are.
    """
    locked = tx.execute(_LOCK_DUE)
    if not locked:
        return None
    chat_id = locked[0][0]
    in_chat = [_Open(*row) for row in tx.execute(_OPEN, chat_id)]
    if not in_chat:
        return NoticeOutcome()
    notice = in_chat[0]  # the claimed one if there is one, else the pending one
    if notice.is_due:
        return _decide(tx, chat_id, notice, policy)
    if len(in_chat) > 1 and in_chat[1].is_due:
        tx.execute(_POSTPONE, in_chat[1].id, notice.claimed_until)
    return NoticeOutcome()


def _decide(tx: Transaction, chat_id: str, notice: _Open, policy: ClaimPolicy) -> NoticeOutcome:
    reader = tx.execute(_READER, chat_id)[0]
    user_id, to, name, language, opted_out, is_refused, is_archived, last_seq, told, now = reader
    after, up_to = (
        (told, last_seq) if notice.up_to_seq is None else (notice.first_seq - 1, notice.up_to_seq)
    )
    unread = tx.execute(_UNREAD, chat_id, after, up_to, CONTENT_MAX_CHARS, MESSAGES_MAX)
    outcome_unknown = notice.up_to_seq is not None
    cancelled_for = notice.reason if notice.state == "claimed" else None
    why_not = cancelled_for or _why_not(unread, is_archived, to, opted_out, is_refused)
    if why_not is not None:
        return _end(
            tx, chat_id, notice.id, "cancelled", why_not, last_seq, outcome_unknown=outcome_unknown
        )
    if notice.attempts >= policy.tries_max:
        return _end(
            tx, chat_id, notice.id, "failed", GAVE_UP, last_seq, outcome_unknown=outcome_unknown
        )
    first_seq = min(notice.first_seq, unread[0][0])
    won = tx.execute(
        _CLAIM, notice.id, policy.lease_s, policy.message_id(notice.id), first_seq, up_to
    )
    if not won:
        return NoticeOutcome()
    until, attempts, message_id = won[0]
    messages = [UnreadMessage(*row) for row in unread]
    email = ReplyNotice(to, user_id, name, language, message_id, now, messages)
    return NoticeOutcome(Claim(notice.id, chat_id, until, attempts, outcome_unknown, email))


def _end(
    tx: Transaction,
    chat_id: str,
    notice_id: str,
    state: str,
    reason: str,
    last_seq: int | None = None,
    *,
    outcome_unknown: bool,
) -> NoticeOutcome:
    """End a notice. If the mail server may have its e-mail, its messages count as told."""
    tx.execute(_END, notice_id, state, reason, last_seq, outcome_unknown)
    tx.execute(FREE, chat_id)
    return NoticeOutcome(ended=state, chat=list_item(tx, chat_id))


def _why_not(
    unread: list[tuple[Any, ...]],
    is_archived: bool,
    to: str | None,
    opted_out: bool,
    is_refused: bool | None,
) -> Reason | None:
    if not unread:
        return "read"
    if is_archived:
        return "archived"
    if to is None:
        return "no_address"
    if opted_out:
        return "opted_out"
    return "refused" if is_refused else None


def record_sent(tx: Transaction, claim: Claim, min_interval_s: float) -> NoticeOutcome:
    """Record that the mail server accepted the e-mail, even if the claim was lost meanwhile."""
    lock_chat(tx, claim.chat_id)
    if recorded := tx.execute(_SENT, claim.notice_id):
        tx.execute(_FOLLOW_SENT, claim.chat_id, recorded[0][0], min_interval_s)
    return NoticeOutcome(ended="sent", chat=list_item(tx, claim.chat_id))


def record_failed(
    tx: Transaction, claim: Claim, reason: str, outcome_unknown: bool, bad_address: bool
) -> NoticeOutcome:
    """Record that the e-mail failed for good.

    With `bad_address` the user gets no e-mail until they have another address.
    """
    lock_chat(tx, claim.chat_id)
    if not tx.execute(_HELD_CLAIM, claim.notice_id, claim.until):
        return NoticeOutcome()
    if bad_address:
        tx.execute(_REFUSE_ADDRESS, claim.email.user_id, claim.email.to)
        tx.execute(_REFUSE_DIGEST, address_digest(claim.email.to), claim.email.user_id)
    return _end(
        tx, claim.chat_id, claim.notice_id, "failed", reason, outcome_unknown=outcome_unknown
    )


def record_retry(
    tx: Transaction,
    claim: Claim,
    reason: str,
    pause_s: float,
    outcome_unknown: bool,
    counts: bool,
    email_delay_s: float,
) -> NoticeOutcome:
    """Record that the e-mail is to be retried after a pause.

    `counts`: whether this attempt counts towards the maximum. If the mail server certainly does
    not have the e-mail, the notice is pending again and takes in newer messages. If it may have
    it, the notice stays as it is, so that the next attempt repeats the same e-mail.
    """
    lock_chat(tx, claim.chat_id)
    held = tx.execute(_HELD_CLAIM, claim.notice_id, claim.until)
    if not held:
        return NoticeOutcome()
    if held[0][0] is not None:
        return _end(
            tx,
            claim.chat_id,
            claim.notice_id,
            "cancelled",
            held[0][0],
            outcome_unknown=outcome_unknown,
        )
    uncounted = 0 if counts else 1
    if outcome_unknown:
        tx.execute(_KEEP, claim.notice_id, pause_s, uncounted)
    else:
        tx.execute(_ABSORB, claim.chat_id)
        tx.execute(_RELEASE, claim.notice_id, pause_s, uncounted, reason)
    follow_reading(tx, claim.chat_id, email_delay_s)
    is_read = tx.execute(_STATE_OF, claim.notice_id)[0][0] == "cancelled"
    return NoticeOutcome(ended="cancelled" if is_read else None, chat=list_item(tx, claim.chat_id))

"""Describe an e-mail's state below a message of staff: due, sent, failed. Pure functions."""

from collections.abc import Sequence

from msgspec import Struct

from chatsvc.store.notices import REASONS, Notice
from chatsvc.text.sanitize import one_line, truncate
from chatsvc.text.translations import Translator
from chatsvc.wire import SupportMessage, Time

REASON_MAX_CHARS = 200  # of a mail server's response
_TIME_MARK = "\x00"  # stands for the time in a text: the page shows the time as an element


class NoticeStatus(Struct, frozen=True):
    """The text is `before`, the time, `after`. Only a notice's newest message shows its actions."""

    before: str
    at: str | None = None
    after: str = ""
    kind: str = "plain"  # or "due", "sent", "problem"; a CSS class
    may_send: bool = False
    may_cancel: bool = False


class Viewer(Struct, frozen=True):
    """The language of the viewer, the chat's user, and the time."""

    texts: Translator
    has_address: bool  # whether the chat's user has an e-mail address
    now: Time


def notice_statuses(
    messages: Sequence[SupportMessage], notices: Sequence[Notice], viewer: Viewer
) -> dict[int, NoticeStatus]:
    """Return the statuses of staff messages by seq. `notices` are about them, oldest first."""
    found: dict[int, NoticeStatus] = {}
    last_of: dict[int, int] = {}  # a notice's place: the seq of its newest message
    for message in messages:
        place = _place(message, notices)
        if place is not None and not (message.read_at and notices[place].state != "sent"):
            found[message.seq] = _status(notices[place], viewer)
            last_of[place] = message.seq
    ends = set(last_of.values())
    return {
        seq: status if seq in ends else _without_actions(status) for seq, status in found.items()
    }


def _place(message: SupportMessage, notices: Sequence[Notice]) -> int | None:
    """Return the place of the newest notice about a message."""
    if message.sender_type == "user":
        return None
    about = [
        n
        for n, notice in enumerate(notices)
        if notice.first_seq <= message.seq <= (notice.up_to_seq or message.seq)
    ]
    return about[-1] if about else None


def _status(notice: Notice, viewer: Viewer) -> NoticeStatus:
    texts = viewer.texts
    if notice.state == "sent":
        return _with_time(texts("email_state.sent", at=_TIME_MARK), notice.sent_at, kind="sent")
    if notice.state == "failed":
        return NoticeStatus(
            texts(
                "email_state.failed",
                reason=truncate(one_line(notice.reason or "?"), REASON_MAX_CHARS),
            ),
            kind="problem",
            may_send=True,
        )
    if notice.state == "cancelled":
        reason = notice.reason if notice.reason in REASONS else "staff"
        return NoticeStatus(texts(f"email_reasons.{reason}"), may_send=reason == "staff")
    if not viewer.has_address:  # the notice will end without an e-mail
        return NoticeStatus(texts("email_reasons.no_address"))
    if notice.state == "claimed" or notice.due_at <= viewer.now:
        return NoticeStatus(texts("email_state.sending"), kind="due")
    text = texts("email_state.due", at=_TIME_MARK)
    return _with_time(text, notice.due_at, kind="due", may_send=True, may_cancel=True)


def _with_time(
    text: str, at: str | None, *, kind: str, may_send: bool = False, may_cancel: bool = False
) -> NoticeStatus:
    before, _, after = text.partition(_TIME_MARK)
    return NoticeStatus(before, at, after, kind, may_send, may_cancel)


def _without_actions(status: NoticeStatus) -> NoticeStatus:
    return NoticeStatus(status.before, status.at, status.after, status.kind)

"""What staff read below their messages about e-mails: one will be sent, was sent, or will not be. Pure functions."""

from collections.abc import Sequence

from msgspec import Struct

from chatsvc.store.notices import REASONS, Notice
from chatsvc.text.sanitize import one_line, truncate
from chatsvc.text.translations import Translator
from chatsvc.wire import SupportMessage, Time

REASON_MAX_CHARS = 200  # of what a mail server said
_HERE = (
    "\x00"  # stands for the time while the text is put together: the page shows it as an element
)


class Chip(Struct, frozen=True):
    """`before`, the time, `after`: one text. What may be done about it stands below the last message that it is about."""

    before: str
    at: str | None = None
    after: str = ""
    kind: str = "plain"  # or "due", "sent", "problem": how it looks
    may_send: bool = False
    may_cancel: bool = False


class Reader(Struct, frozen=True):
    """For whom and when the chips are made."""

    texts: Translator
    has_address: bool  # of the user: whether an e-mail can be sent at all
    now: Time


def chips(
    messages: Sequence[SupportMessage], notices: Sequence[Notice], reader: Reader
) -> dict[int, Chip]:
    """By seq, for the staff's messages among these. `notices` are those about them, oldest first."""
    found: dict[int, Chip] = {}
    last_of: dict[int, int] = {}  # by the notice's place: the newest message that it is about
    for message in messages:
        place = _place(message, notices)
        if place is not None and not (message.read_at and notices[place].state != "sent"):
            found[message.seq] = _chip(notices[place], reader)
            last_of[place] = message.seq
    ends = set(last_of.values())
    return {seq: chip if seq in ends else _without_actions(chip) for seq, chip in found.items()}


def _place(message: SupportMessage, notices: Sequence[Notice]) -> int | None:
    """The newest notice about a message."""
    if message.sender_type == "user":
        return None
    about = [
        n
        for n, notice in enumerate(notices)
        if notice.first_seq <= message.seq <= (notice.up_to_seq or message.seq)
    ]
    return about[-1] if about else None


def _chip(notice: Notice, reader: Reader) -> Chip:
    texts = reader.texts
    if notice.state == "sent":
        return _with_time(texts("email_state.sent", at=_HERE), notice.sent_at, kind="sent")
    if notice.state == "failed":
        return Chip(
            texts(
                "email_state.failed",
                reason=truncate(one_line(notice.reason or "?"), REASON_MAX_CHARS),
            ),
            kind="problem",
            may_send=True,
        )
    if notice.state == "cancelled":
        reason = notice.reason if notice.reason in REASONS else "staff"
        return Chip(texts(f"email_reasons.{reason}"), may_send=reason == "staff")
    if not reader.has_address:  # what will come of it: nothing
        return Chip(texts("email_reasons.no_address"))
    if notice.state == "claimed" or notice.due_at <= reader.now:
        return Chip(texts("email_state.sending"), kind="due")
    text = texts("email_state.due", at=_HERE)
    return _with_time(text, notice.due_at, kind="due", may_send=True, may_cancel=True)


def _with_time(
    text: str, at: str | None, *, kind: str, may_send: bool = False, may_cancel: bool = False
) -> Chip:
    before, _, after = text.partition(_HERE)
    return Chip(before, at, after, kind, may_send, may_cancel)


def _without_actions(chip: Chip) -> Chip:
    return Chip(chip.before, chip.at, chip.after, chip.kind)

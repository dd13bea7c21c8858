"""What stands below a staff message about its e-mail, for every state that a notice can have."""

import pytest

from chatsvc.pages.notice_status import NoticeStatus, Viewer, notice_statuses
from chatsvc.store.notices import REASONS, Notice, State
from chatsvc.text.translations import Translations
from chatsvc.wire import SupportMessage

TEXTS = Translations().translator("en")
AT, DUE = "2026-01-29T10:30:00.000000Z", "2026-01-29T10:35:00.000000Z"
VIEWER = Viewer(TEXTS, has_address=True, now=AT)


def message(seq: int, *, by: str = "admin", read: bool = False) -> SupportMessage:
    return SupportMessage(f"id {seq}", "text", by, AT if read else None, AT, seq, None)  # type: ignore[arg-type]


def notice(
    state: State, first: int = 1, up_to: int | None = None, reason: str | None = None
) -> Notice:
    return Notice(state, DUE, AT if state == "sent" else None, first, up_to, reason)


def one(
    found: Notice, *, read: bool = False, has_address: bool = True, now: str = AT
) -> NoticeStatus | None:
    return notice_statuses([message(1, read=read)], [found], Viewer(TEXTS, has_address, now)).get(1)


def test_what_is_to_come_has_its_time_and_can_be_decided() -> None:
    assert one(notice("pending")) == NoticeStatus(
        "E-mail at ", DUE, "", "due", may_send=True, may_cancel=True
    )
    assert one(notice("claimed", up_to=1)) == NoticeStatus("E-mail is being sent", kind="due")
    assert one(notice("pending"), now=DUE) == NoticeStatus("E-mail is being sent", kind="due")
    assert one(notice("pending"), has_address=False) == NoticeStatus("No e-mail: no address")


def test_what_was_sent_or_failed_says_so() -> None:
    assert one(notice("sent", up_to=1)) == NoticeStatus("E-mailed ", AT, "", "sent")
    failed = one(notice("failed", up_to=1, reason="550 no such user\n\u202e<b>"))
    assert failed == NoticeStatus(
        "E-mail failed: 550 no such user <b>", kind="problem", may_send=True
    )
    assert len(str(one(notice("failed", up_to=1, reason="x" * 5000)))) < 400


@pytest.mark.parametrize("reason", [*REASONS, "unheard of"])
def test_what_was_not_sent_says_why(reason: str) -> None:
    status = one(notice("cancelled", up_to=1, reason=reason))
    assert status is not None and "e-mail" in status.before.lower() and not status.may_cancel
    assert status.may_send == (reason in ("staff", "unheard of")), (
        "only what staff decided is theirs to decide again"
    )


def test_a_message_that_was_read_has_been_seen_and_needs_no_more() -> None:
    for state in ("pending", "claimed", "cancelled", "failed"):
        assert one(notice(state, reason="read"), read=True) is None
    assert one(notice("sent", up_to=1), read=True) is not None


def test_every_message_has_its_own_and_the_last_of_a_notice_has_the_buttons() -> None:
    """Two were told at once, then the user wrote, then staff wrote twice more; the newest notice about a message counts."""
    thread = [message(1), message(2), message(3, by="user"), message(4), message(5)]
    notices = [notice("cancelled", 1, 2, "staff"), notice("sent", 1, 2), notice("pending", 4)]
    found = notice_statuses(thread, notices, VIEWER)
    assert {
        seq: (status.kind, status.may_send, status.may_cancel) for seq, status in found.items()
    } == {
        1: ("sent", False, False),
        2: ("sent", False, False),
        4: ("due", False, False),
        5: ("due", True, True),
    }
    assert notice_statuses(thread, [], VIEWER) == {}


def test_a_german_chip_is_german() -> None:
    german = Viewer(Translations().translator("de"), has_address=True, now=AT)
    assert notice_statuses([message(1)], [notice("pending")], german)[1].before == "E-Mail um "

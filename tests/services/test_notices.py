"""NoticeService on a real database: what staff see and decide."""

from datetime import datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from chatsvc.errors import NotFound
from chatsvc.store.notices import Notice
from tests.conftest import ServiceFactory
from tests.support.postgres import execute
from tests.support.service import Service
from tests.support.staff_fixture import DELAY_S, INTERVAL_S, StaffFixture, pass_time


@pytest.fixture
def service(io_loop: IOLoop, make_service: ServiceFactory) -> Service:
    """One that sends nothing."""
    service = make_service(email_delay_s=DELAY_S, email_min_interval_s=INTERVAL_S)
    io_loop.run_sync(service.app.notices.stop)
    return service


async def test_staff_see_when_an_e_mail_is_due(service: Service) -> None:
    fixture = await StaffFixture(service).set_up()
    assert await fixture.seen() == []
    message = await fixture.answer()
    due_at = datetime.fromisoformat(message["created_at"]) + timedelta(seconds=DELAY_S)
    [notice] = await fixture.listed()
    assert notice == Notice("pending", f"{due_at:%Y-%m-%dT%H:%M:%S.%f}Z", None, 1, None, None)


async def test_staff_see_the_notices_about_the_messages_that_are_shown(service: Service) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    await fixture.read()
    await fixture.answer()
    assert await fixture.seen() == [("cancelled", 1, 1, "read"), ("pending", 2, None, None)]
    assert await fixture.seen(from_seq=2) == [("pending", 2, None, None)]
    fixture.chat_id = "00000000-0000-7000-8000-000000000000"
    assert await fixture.listed() == []


async def test_do_not_send_holds_for_what_is_unread_and_not_for_what_comes(
    service: Service,
) -> None:
    fixture = await StaffFixture(service).set_up()
    assert await fixture.notices.do_not_send(fixture.chat_id) is False
    await fixture.answer()
    await fixture.answer()
    assert await fixture.notices.do_not_send(fixture.chat_id) is True
    assert await fixture.notices.do_not_send(fixture.chat_id) is False
    await fixture.answer()
    assert await fixture.seen() == [("cancelled", 1, 2, "staff"), ("pending", 3, None, None)]


async def test_send_now_brings_it_forward_and_does_not_repeat_what_was_told(
    service: Service,
) -> None:
    fixture = await StaffFixture(service).set_up()
    assert await fixture.notices.send_now(fixture.chat_id) is False
    await fixture.answer()
    assert await fixture.notices.send_now(fixture.chat_id) is True
    fixture.set("state = 'sent', up_to_seq = 1, sent_at = now()")
    assert await fixture.notices.send_now(fixture.chat_id) is False
    await fixture.answer()
    [(waits,)] = execute(
        service.database_url, "SELECT due_at - now() FROM support_notices WHERE state = 'pending'"
    )
    assert isinstance(waits, timedelta) and INTERVAL_S - 30 < waits.total_seconds() <= INTERVAL_S
    fixture.set(
        "attempts = 1, next_try_at = now() + interval '1 hour'"
    )  # nor does it wait for the mail server's next chance
    assert await fixture.notices.send_now(fixture.chat_id) is True
    due = (
        "SELECT greatest(due_at, next_try_at) <= now() FROM support_notices WHERE state = 'pending'"
    )
    assert execute(service.database_url, due) == [(True,)]


@pytest.mark.parametrize("how", ["staff", "failed", "outcome unknown", "archived"])
async def test_send_now_works_after_a_no_and_after_a_failure(service: Service, how: str) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    if how == "staff":
        await fixture.notices.do_not_send(fixture.chat_id)
    elif how == "archived":
        await fixture.staff_do("archive")
    else:
        sent_at = "now()" if how == "outcome unknown" else "NULL"
        fixture.set(f"state = 'failed', up_to_seq = 1, reason = '451 later', sent_at = {sent_at}")
    assert await fixture.notices.send_now(fixture.chat_id) is True
    assert (await fixture.seen())[-1] == ("pending", 1, None, None)
    await fixture.notices.do_not_send(fixture.chat_id)
    await fixture.read()
    assert await fixture.notices.send_now(fixture.chat_id) is False


async def test_while_one_is_under_way_it_is_neither_sent_again_nor_called_back(
    service: Service,
) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    fixture.set("state = 'claimed', up_to_seq = 1, claimed_until = now() + interval '1 hour'")
    assert await fixture.notices.send_now(fixture.chat_id) is False
    assert await fixture.notices.do_not_send(fixture.chat_id) is True
    assert await fixture.seen() == [("claimed", 1, 1, "staff")]  # not again
    await fixture.staff_do("archive")
    assert await fixture.seen() == [
        ("claimed", 1, 1, "staff")
    ]  # what staff declined stays declined
    await fixture.staff_do("unarchive")
    await fixture.answer()
    assert (
        await fixture.notices.send_now(fixture.chat_id) is False
    )  # the next one follows, after the interval
    assert await fixture.notices.do_not_send(fixture.chat_id) is True
    assert await fixture.notices.send_now(fixture.chat_id) is False
    assert await fixture.seen() == [
        ("claimed", 1, 1, "staff"),
        ("cancelled", 2, 2, "staff"),
    ]  # and that changed nothing


@pytest.mark.parametrize(
    ("up_to", "left"), [(1, ("claimed", 1, 2, None)), (2, ("cancelled", 1, 2, "read"))]
)
async def test_a_retry_after_an_unknown_outcome_is_cancelled_by_reading_all_of_it(
    service: Service, up_to: int, left: tuple[str, int, int, str | None]
) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    await fixture.answer()
    later = "now() + interval '1 hour'"
    fixture.set(f"state = 'claimed', up_to_seq = 2, claimed_until = {later}, next_try_at = {later}")
    await fixture.answer()
    await fixture.read(up_to)
    assert await fixture.seen() == [left, ("pending", 3, None, None)]
    await fixture.staff_do("archive")
    ended = left if left[0] == "cancelled" else ("cancelled", 1, 2, "archived")
    assert await fixture.seen() == [ended, ("cancelled", 3, 3, "archived")]


async def test_what_waited_for_an_e_mail_that_was_then_read_waits_no_longer(
    service: Service,
) -> None:
    """It was put off for up to four hours, until the other e-mail's next try."""
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    later = "now() + interval '4 hours'"
    fixture.set(f"state = 'claimed', up_to_seq = 1, claimed_until = {later}, next_try_at = {later}")
    await fixture.answer()
    fixture.set(f"next_try_at = {later}", "pending")  # as a sweep does that finds it due
    await fixture.read(1)
    assert await fixture.seen() == [("cancelled", 1, 1, "read"), ("pending", 2, None, None)]
    [(put_off,)] = execute(
        service.database_url, "SELECT next_try_at FROM support_notices WHERE state = 'pending'"
    )
    assert put_off is None


def due_in_minutes(service: Service) -> list[int]:
    """How long each pending notice waits, the shortest first."""
    rows = execute(
        service.database_url,
        "SELECT round(extract(epoch FROM due_at - clock_timestamp()) / 60)::int FROM support_notices"
        " WHERE state = 'pending' ORDER BY due_at",
    )
    return [int(str(minutes)) for (minutes,) in rows]


HOUR_S = 3600


@pytest.fixture
def patient(io_loop: IOLoop, make_service: ServiceFactory) -> Service:
    """One that waits for hours, so that minutes do not matter, and sends nothing."""
    service = make_service(email_delay_s=2 * HOUR_S, email_min_interval_s=5 * HOUR_S)
    io_loop.run_sync(service.app.notices.stop)
    return service


async def test_after_the_clock_is_set_back_notices_wait_no_longer_than_they_may(
    patient: Service,
) -> None:
    """The clock was three hours ahead and was set right. What waited, waited three hours longer."""
    chats = [await StaffFixture(patient, sub).set_up() for sub in ("waits", "told", "comes")]
    waits, told, comes = chats
    await told.answer()
    told.set("state = 'sent', sent_at = clock_timestamp(), up_to_seq = 1")
    await told.answer()
    await waits.answer()
    await patient.app.notices.sweep()
    assert due_in_minutes(patient) == [120, 300], "without a step nothing changes"
    pass_time(patient.database_url, -3 * HOUR_S)
    assert due_in_minutes(patient) == [300, 480]
    await comes.answer()
    assert due_in_minutes(patient) == [120, 300, 480], "a new one is not late"
    await patient.app.notices.sweep()
    assert due_in_minutes(patient) == [120, 120, 300]


async def test_what_is_created_or_moved_after_the_clock_was_set_back_is_due_in_time(
    patient: Service,
) -> None:
    """Messages keep their order, so their times stay ahead of the clock for three hours."""
    fixture = await StaffFixture(patient).set_up()
    await fixture.answer()
    fixture.set("state = 'sent', sent_at = clock_timestamp(), up_to_seq = 1")
    pass_time(patient.database_url, -3 * HOUR_S)
    await fixture.answer()
    assert due_in_minutes(patient) == [300], "the interval begins now, not in three hours"
    fixture.set("due_at = clock_timestamp()", "pending")
    await fixture.answer()
    await fixture.read(2)
    assert due_in_minutes(patient) == [120], "a notice moved to a later message"


async def test_staff_are_told_of_each_change(service: Service) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    stream = await service.stream(fixture.staff, "/admin/notifications/stream")
    await stream.next("state")
    item = (await service.get("/admin/chats", fixture.staff)).json[0]
    for change in (fixture.notices.do_not_send, fixture.notices.send_now):
        assert await change(fixture.chat_id)
        assert (await stream.next()).data == {"type": "chat_updated", "chat": item}
    await fixture.read()
    assert (await stream.next()).data == {"type": "chat_updated", "chat": item}
    with pytest.raises(NotFound):
        await fixture.notices.send_now("00000000-0000-7000-8000-000000000000")

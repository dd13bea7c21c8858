"""NoticeService on a real database: what staff see and decide."""

from datetime import datetime, timedelta

import pytest
from tornado.ioloop import IOLoop

from chatsvc.errors import NotFound
from chatsvc.store.notices import Notice
from tests.conftest import ServiceFactory
from tests.support.desk import DELAY_S, INTERVAL_S, Desk
from tests.support.postgres import execute
from tests.support.service import Service


@pytest.fixture
def service(io_loop: IOLoop, make_service: ServiceFactory) -> Service:
    """One that sends nothing."""
    service = make_service(email_delay_s=DELAY_S, email_min_interval_s=INTERVAL_S)
    io_loop.run_sync(service.app.notices.stop)
    return service


async def test_staff_see_when_an_e_mail_is_due(service: Service) -> None:
    desk = await Desk(service).set_up()
    assert await desk.seen() == []
    message = await desk.answer()
    due_at = datetime.fromisoformat(message["created_at"]) + timedelta(seconds=DELAY_S)
    [notice] = await desk.notices.notices_of(desk.chat_id)
    assert notice == Notice("pending", f"{due_at:%Y-%m-%dT%H:%M:%S.%f}Z", None, 1, None, None)


async def test_staff_see_the_notices_about_the_messages_that_are_shown(service: Service) -> None:
    desk = await Desk(service).set_up()
    await desk.answer()
    await desk.read()
    await desk.answer()
    assert await desk.seen() == [("cancelled", 1, 1, "read"), ("pending", 2, None, None)]
    assert await desk.seen(from_seq=2) == [("pending", 2, None, None)]
    assert await desk.notices.notices_of("00000000-0000-7000-8000-000000000000") == []


async def test_do_not_send_holds_for_what_is_unread_and_not_for_what_comes(
    service: Service,
) -> None:
    desk = await Desk(service).set_up()
    assert await desk.notices.do_not_send(desk.chat_id) is False
    await desk.answer()
    await desk.answer()
    assert await desk.notices.do_not_send(desk.chat_id) is True
    assert await desk.notices.do_not_send(desk.chat_id) is False
    await desk.answer()
    assert await desk.seen() == [("cancelled", 1, 2, "staff"), ("pending", 3, None, None)]


async def test_send_now_brings_it_forward_and_does_not_repeat_what_was_told(
    service: Service,
) -> None:
    desk = await Desk(service).set_up()
    assert await desk.notices.send_now(desk.chat_id) is False
    await desk.answer()
    assert await desk.notices.send_now(desk.chat_id) is True
    desk.set("state = 'sent', up_to_seq = 1, sent_at = now()")
    assert await desk.notices.send_now(desk.chat_id) is False
    await desk.answer()
    [(waits,)] = execute(
        service.database_url, "SELECT due_at - now() FROM support_notices WHERE state = 'pending'"
    )
    assert isinstance(waits, timedelta) and INTERVAL_S - 30 < waits.total_seconds() <= INTERVAL_S
    desk.set(
        "attempts = 1, next_try_at = now() + interval '1 hour'"
    )  # nor does it wait for the mail server's next chance
    assert await desk.notices.send_now(desk.chat_id) is True
    due = (
        "SELECT greatest(due_at, next_try_at) <= now() FROM support_notices WHERE state = 'pending'"
    )
    assert execute(service.database_url, due) == [(True,)]


@pytest.mark.parametrize("how", ["staff", "failed", "outcome unknown", "archived"])
async def test_send_now_works_after_a_no_and_after_a_failure(service: Service, how: str) -> None:
    desk = await Desk(service).set_up()
    await desk.answer()
    if how == "staff":
        await desk.notices.do_not_send(desk.chat_id)
    elif how == "archived":
        await desk.staff_do("archive")
    else:
        sent_at = "now()" if how == "outcome unknown" else "NULL"
        desk.set(f"state = 'failed', up_to_seq = 1, reason = '451 later', sent_at = {sent_at}")
    assert await desk.notices.send_now(desk.chat_id) is True
    assert (await desk.seen())[-1] == ("pending", 1, None, None)
    await desk.notices.do_not_send(desk.chat_id)
    await desk.read()
    assert await desk.notices.send_now(desk.chat_id) is False


async def test_while_one_is_under_way_it_is_neither_sent_again_nor_called_back(
    service: Service,
) -> None:
    desk = await Desk(service).set_up()
    await desk.answer()
    desk.set("state = 'claimed', up_to_seq = 1, claimed_until = now() + interval '1 hour'")
    assert await desk.notices.send_now(desk.chat_id) is False
    assert await desk.notices.do_not_send(desk.chat_id) is True
    assert await desk.seen() == [("claimed", 1, 1, "staff")]  # not again
    await desk.staff_do("archive")
    assert await desk.seen() == [("claimed", 1, 1, "staff")]  # what staff declined stays declined
    await desk.staff_do("unarchive")
    await desk.answer()
    assert (
        await desk.notices.send_now(desk.chat_id) is False
    )  # the next one follows, after the interval
    assert await desk.notices.do_not_send(desk.chat_id) is True
    assert await desk.notices.send_now(desk.chat_id) is False
    assert await desk.seen() == [
        ("claimed", 1, 1, "staff"),
        ("cancelled", 2, 2, "staff"),
    ]  # and that changed nothing


@pytest.mark.parametrize(
    ("up_to", "left"), [(1, ("claimed", 1, 2, None)), (2, ("cancelled", 1, 2, "read"))]
)
async def test_a_retry_after_an_unknown_outcome_is_cancelled_by_reading_all_of_it(
    service: Service, up_to: int, left: tuple[str, int, int, str | None]
) -> None:
    desk = await Desk(service).set_up()
    await desk.answer()
    await desk.answer()
    later = "now() + interval '1 hour'"
    desk.set(f"state = 'claimed', up_to_seq = 2, claimed_until = {later}, next_try_at = {later}")
    await desk.answer()
    await desk.read(up_to)
    assert await desk.seen() == [left, ("pending", 3, None, None)]
    await desk.staff_do("archive")
    ended = left if left[0] == "cancelled" else ("cancelled", 1, 2, "archived")
    assert await desk.seen() == [ended, ("cancelled", 3, 3, "archived")]


async def test_what_waited_for_an_e_mail_that_was_then_read_waits_no_longer(
    service: Service,
) -> None:
    """It was put off for up to four hours, until the other e-mail's next try."""
    desk = await Desk(service).set_up()
    await desk.answer()
    later = "now() + interval '4 hours'"
    desk.set(f"state = 'claimed', up_to_seq = 1, claimed_until = {later}, next_try_at = {later}")
    await desk.answer()
    desk.set(f"next_try_at = {later}", "pending")  # as a sweep does that finds it due
    await desk.read(1)
    assert await desk.seen() == [("cancelled", 1, 1, "read"), ("pending", 2, None, None)]
    [(put_off,)] = execute(
        service.database_url, "SELECT next_try_at FROM support_notices WHERE state = 'pending'"
    )
    assert put_off is None


async def test_staff_are_told_of_each_change(service: Service) -> None:
    desk = await Desk(service).set_up()
    await desk.answer()
    stream = await service.stream(desk.staff, "/admin/notifications/stream")
    await stream.next("state")
    item = (await service.get("/admin/chats", desk.staff)).json[0]
    for change in (desk.notices.do_not_send, desk.notices.send_now):
        assert await change(desk.chat_id)
        assert (await stream.next()).data == {"type": "chat_updated", "chat": item}
    await desk.read()
    assert (await stream.next()).data == {"type": "chat_updated", "chat": item}
    with pytest.raises(NotFound):
        await desk.notices.send_now("00000000-0000-7000-8000-000000000000")

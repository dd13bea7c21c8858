"""Mail servers in every bad role: e-mails are delayed or fail visibly, and nothing else notices (reliability: section e-mail)."""

import asyncio
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from tornado.ioloop import IOLoop

from chatsvc.services import notices
from tests.conftest import ServiceFactory
from tests.support.mail import MailServer, mail_server, told
from tests.support.ports import reserve_port
from tests.support.postgres import execute
from tests.support.service import Service
from tests.support.staff_fixture import DELAY_S, INTERVAL_S, StaffFixture
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

ROW = "state, attempts, extract(epoch FROM next_try_at - now())::float8, reason, up_to_seq"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def service(make_service: ServiceFactory, server: MailServer) -> Service:
    url = server.url.replace("//", "//me:right@")
    return make_service(email_delay_s=DELAY_S, email_min_interval_s=INTERVAL_S, smtp_url=url)


def row(fixture: StaffFixture, number: int = 0) -> tuple[object, ...]:
    return execute(
        fixture.service.database_url,
        f"SELECT {ROW} FROM support_notices ORDER BY created_at",  # noqa: S608
    )[number]


async def answered(service: Service, sub: str = "alice") -> StaffFixture:
    fixture = await StaffFixture(service, sub).set_up()
    await fixture.answer("m1")
    fixture.passes(DELAY_S)
    return fixture


async def tried(fixture: StaffFixture, times: int) -> None:
    await until(lambda: row(fixture)[1] == times and row(fixture)[0] != "claimed")


async def test_a_temporary_refusal_is_tried_again_with_growing_pauses_and_then_given_up(
    service: Service, server: MailServer, expected_log: list[str]
) -> None:
    expected_log.append("failed for good")
    server.answers["RCPT"] = "451 4.3.0 later"
    fixture = await answered(service)
    total = 0.0
    for times, pause_s in enumerate([60, 300, 900, 3600, *[14_400] * 5], 1):
        await tried(fixture, times)
        state, _, waits_s, reason, up_to_seq = row(fixture)
        assert (state, up_to_seq, reason) == (
            "pending",
            None,
            f"127.0.0.1 port {server.port}: 451 4.3.0 later",
        )
        assert isinstance(waits_s, float) and 0.9 * pause_s - 5 < waits_s <= 1.1 * pause_s
        total += waits_s
        fixture.passes(waits_s + 0.01)
    await fixture.ends("failed")
    assert 20 * 3600 < total < 24 * 3600
    assert row(fixture)[3] == f"127.0.0.1 port {server.port}: 451 4.3.0 later" and server.seen == []
    assert execute(
        service.database_url, "SELECT email_refused FROM users WHERE external_id = 'alice'"
    ) == [(None,)]


async def test_what_comes_meanwhile_joins_the_one_that_was_certainly_not_taken(
    service: Service, server: MailServer
) -> None:
    """The one for m2 was pending beside the claim; the e-mail that goes out in the end tells both."""
    server.go_on.clear()
    server.answers["DATA"] = "451 4.3.0 later"
    fixture = await answered(service)
    await until(lambda: server.seen)
    await fixture.answer("m2")
    assert fixture.states() == ["claimed", "pending"]
    server.go_on.set()
    await fixture.ends("pending")
    await fixture.answer("m3")
    server.answers.clear()
    fixture.passes(70)
    await fixture.ends("sent")
    assert await fixture.seen() == [("sent", 1, 3, None)]  # what was said before is forgotten
    assert [mail["Message-ID"] for mail in server.seen] == server.message_ids * 2


def test_while_there_is_no_mail_server_the_queue_keeps_its_tries(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    """One notice a minute asks whether it is back; those that wait behind it do not."""
    port = reserve_port()
    service = make_service(email_delay_s=DELAY_S, smtp_url=f"smtp://127.0.0.1:{port}?tls=off")

    async def outage() -> None:
        fixtures = [await StaffFixture(service, sub).set_up() for sub in ("alice", "bob")]
        for fixture in fixtures:
            await fixture.answer("m1")
        fixtures[0].passes(DELAY_S)
        await tried(fixtures[0], 1)
        state, _, waits_s, reason, _ = row(fixtures[0])
        assert state == "pending" and isinstance(waits_s, float) and 50 < waits_s < 70
        assert reason == f"127.0.0.1 port {port}: Connection refused"
        assert row(fixtures[1], 1)[:2] == ("pending", 0)
        with mail_server(port=port) as server:
            fixtures[0].passes(70)
            await fixtures[0].ends("sent", "sent")
            assert len(server.mails) == 2

    io_loop.run_sync(outage)


async def test_an_e_mail_with_an_unknown_outcome_is_repeated_unchanged(
    service: Service, server: MailServer
) -> None:
    """Under the same Message-ID nothing may be told that was not told the first time: who knows the first drops the second."""
    server.hangs_up = True
    fixture = await answered(service)
    await until(lambda: row(fixture)[2] is not None)
    await fixture.answer("m2")
    assert fixture.states() == ["claimed", "pending"]
    server.hangs_up = False
    fixture.passes(70)
    await fixture.ends("sent", "pending")
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert [told(server, number) for number in range(2)] == [["m1"], ["m1"]]
    fixture.passes(INTERVAL_S)
    await fixture.ends("sent", "sent")
    assert len(server.mails) == 3 and server.mails[2]["Message-ID"] != first["Message-ID"]


@pytest.mark.parametrize("end", ["refused", "archived"])
async def test_an_e_mail_with_an_unknown_outcome_counts_as_told_however_it_ends(
    service: Service, server: MailServer, expected_log: list[str], end: str
) -> None:
    """The next e-mail repeated its messages, under another Message-ID."""
    expected_log.append("failed for good")
    server.hangs_up = True
    fixture = await answered(service)
    await until(lambda: row(fixture)[2] is not None)
    server.hangs_up = False
    if end == "refused":
        server.answers["DATA"] = "554 5.6.0 not this content"
        fixture.passes(70)
        await fixture.ends("failed")
        server.answers.clear()
    else:
        await fixture.staff_do("archive")
        await fixture.staff_do("unarchive")
    await fixture.answer("m2")
    fixture.passes(INTERVAL_S)
    await until(lambda: fixture.states()[-1] == "sent")
    assert [told(server, number) for number in range(2)] == [["m1"], ["m2"]]


@pytest.mark.parametrize("how", ["read", "archive", "decline"])
async def test_one_that_waits_for_another_try_is_cancelled(
    service: Service, server: MailServer, how: str
) -> None:
    server.hangs_up = True
    fixture = await answered(service)
    await until(lambda: row(fixture)[2] is not None)
    server.hangs_up = False
    if how == "read":
        await fixture.read()
    elif how == "archive":
        await fixture.staff_do("archive")
    else:
        await fixture.notices.do_not_send(fixture.chat_id)
    assert fixture.states() == ["cancelled"]
    fixture.passes(70)
    await fixture.notices.sweep()
    assert len(server.mails) == 1


@pytest.mark.parametrize("how", ["read", "archive"])
async def test_one_that_is_read_or_archived_while_it_is_refused_is_not_tried_again(
    service: Service, server: MailServer, how: str
) -> None:
    server.go_on.clear()
    server.answers["DATA"] = "451 4.3.0 later"
    fixture = await answered(service)
    await until(lambda: server.seen)
    if how == "read":
        await fixture.read()
    else:
        await fixture.staff_do("archive")
        await fixture.staff_do("unarchive")
    server.go_on.set()
    await fixture.ends("cancelled")


async def test_an_address_that_is_refused_is_not_tried_until_it_changes(
    service: Service, server: MailServer, expected_log: list[str]
) -> None:
    expected_log.append("failed for good")
    server.answers["alice@example.com"] = "550 5.1.1 <alice@example.com> unknown"
    fixture = await answered(service)
    await fixture.ends("failed")
    assert row(fixture)[3] == f"127.0.0.1 port {server.port}: 550 5.1.1 <…> unknown"
    await fixture.answer("m2")
    fixture.passes(DELAY_S)
    await fixture.ends("failed", "cancelled")
    assert row(fixture, 1)[3] == "refused"
    await service.get("/support_chat", service.user_token("alice", email="new@example.com"))
    await fixture.answer("m3")
    fixture.passes(DELAY_S)
    await fixture.ends("failed", "cancelled", "sent")
    assert server.mails[0]["To"].addresses[0].addr_spec == "new@example.com"


@pytest.mark.parametrize("trouble", ["login", "sender"])
async def test_a_server_that_cannot_be_used_pauses_the_queue_and_says_so(
    service: Service,
    server: MailServer,
    expected_log: list[str],
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    expected_log.append("e-mail is paused")
    if trouble == "login":
        server.password = b"changed"
    else:
        server.answers["MAIL"] = "553 5.7.1 not this sender"
    notices_ = service.app.notices
    fixtures = [await answered(service, "alice")]
    await until(lambda: notices_.unavailable_reason and row(fixtures[0])[:2] == ("pending", 0))
    fixtures.append(await answered(service, "bob"))
    headline = "refuses user and password" if trouble == "login" else "refuses the sender"
    said = "535 " if trouble == "login" else "553 "
    assert (
        notices_.unavailable_reason
        and headline in notices_.unavailable_reason
        and said in notices_.unavailable_reason
    )
    ready = await service.get("/readyz")
    assert ready.status == 200 and headline in ready.text and said not in ready.text
    assert "chatsvc_email_paused 1.0" in (await service.get("/metrics")).text
    connections = server.connections
    fixtures[0].passes(0)
    await fixtures[
        0
    ].notices.sweep()  # may still use the connection that was refused, and closes it
    await fixtures[0].notices.sweep()
    assert [row(fixtures[0], number)[:2] for number in range(2)] == [("pending", 0)] * 2
    assert server.connections > connections and server.seen == []
    server.password = b"right"
    server.answers.clear()
    fixtures[0].passes(0)
    await fixtures[0].ends("sent", "sent")
    assert notices_.unavailable_reason is None and (await service.get("/readyz")).text == "ready\n"
    assert "chatsvc_email_paused 0.0" in (await service.get("/metrics")).text


async def test_the_log_says_once_that_it_is_paused(
    service: Service, server: MailServer, expected_log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_log.append("e-mail is paused")
    server.password = b"changed"
    fixture = await answered(service)
    await until(lambda: fixture.notices.unavailable_reason)
    for _ in range(3):
        await fixture.notices.sweep()
    assert sum("e-mail is paused" in record.getMessage() for record in caplog.records) == 1


BAD_ROLES: dict[str, Callable[[MailServer], None]] = {
    "holds": lambda server: server.go_on.clear(),
    "drips": lambda server: setattr(server, "drips", True),
    "refuses": lambda server: server.answers.update(DATA="451 later"),
    "hangs up": lambda server: setattr(server, "hangs_up", True),
}
SENT = 40


@pytest.mark.parametrize("role", BAD_ROLES)
async def test_sending_messages_is_not_slowed_by_it(
    service: Service, server: MailServer, role: str
) -> None:
    before = await seconds_to_send(await StaffFixture(service, "first").set_up())
    BAD_ROLES[role](server)
    fixture = await answered(service)
    await until(lambda: server.connections)
    assert await seconds_to_send(fixture) < max(
        0.2, 3 * before
    )  # the second for a machine that is busy with other things


async def seconds_to_send(fixture: StaffFixture) -> float:
    """The 95th percentile."""
    seconds = []
    for number in range(SENT):
        began = time.monotonic()
        await fixture.answer(f"m{number}")
        seconds.append(time.monotonic() - began)
    return sorted(seconds)[SENT * 95 // 100]


async def test_while_the_database_is_away_a_sent_e_mail_is_remembered(
    service: Service,
    server: MailServer,
    expected_log: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of an e-mail is recorded when the database is back; it is not sent again."""
    monkeypatch.setattr(notices, "RECORD_PAUSE_S", 0.05)
    expected_log.append("the database failed")
    server.go_on.clear()
    fixture = await answered(service)
    await until(lambda: server.seen)
    name = urlsplit(service.database_url).path.removeprefix("/")
    elsewhere = service.database_url.replace(name, "postgres")
    execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    execute(
        elsewhere, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name
    )
    server.go_on.set()
    await until(lambda: "the database failed" in caplog.text)
    execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await fixture.ends("sent")
    assert len(server.seen) == 1


# ---- start and stop ----


def test_at_stop_the_e_mail_under_way_is_finished(
    io_loop: IOLoop, service: Service, server: MailServer
) -> None:
    async def stop_in_the_middle() -> StaffFixture:
        server.go_on.clear()
        fixture = await answered(service)
        await until(lambda: server.seen)
        stopping = asyncio.create_task(service.app.notices.stop())
        await until(lambda: fixture.notices.is_stopping)
        server.go_on.set()
        await stopping
        return fixture

    fixture = io_loop.run_sync(stop_in_the_middle)
    assert fixture.states() == ["sent"] and len(server.mails) == 1


async def test_at_stop_nobody_waits_for_a_mail_server(
    service: Service, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the middle, it may be out: the row says when it is repeated."""
    monkeypatch.setattr(notices, "STOP_LIMIT_S", 0.2)
    server.go_on.clear()
    fixture = await answered(service)
    await until(lambda: server.seen)
    began = time.monotonic()
    await service.app.notices.stop()
    assert time.monotonic() - began < 2
    state, attempts, waits_s, _, up_to_seq = row(fixture)
    assert (state, attempts, up_to_seq) == ("claimed", 1, 1) and waits_s


PENDING = 100_000
FILL = """
SET session_replication_role = replica; -- their chats are left out: nobody looks at them
INSERT INTO support_notices (id, chat_id, first_seq, due_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 1, now() + interval '1 hour' FROM generate_series(1, %s)
"""


def test_a_hundred_thousand_pending_notices_cost_one_timer(
    io_loop: IOLoop, database_url: str, make_service: ServiceFactory, server: MailServer
) -> None:
    """And the one that is due before them is found at once."""
    execute(database_url, FILL, PENDING)
    service = make_service(smtp_url=server.url, email_delay_s=30)

    async def idle() -> None:
        fixture = await StaffFixture(service).set_up()
        await fixture.answer("m1")
        assert fixture.notices.alarm_in_s is not None
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        timers = [handle for handle in scheduled if not handle.cancelled()]
        assert len(timers) < 50, timers
        execute(
            database_url,
            "UPDATE support_notices SET due_at = now() WHERE chat_id = %s",
            fixture.chat_id,
        )
        began = time.monotonic()
        fixture.notices.wake()
        await until(lambda: server.mails)
        assert time.monotonic() - began < 1

    io_loop.run_sync(idle)


STEPS_S = (3600, -3600)


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_when_the_databases_clock_is_stepped_nothing_is_lost_or_sent_twice(
    service: Service, server: MailServer, step_s: int
) -> None:
    """Forward, what is due sooner goes sooner; back, it waits. The loop asks no more often than it must: Bob's e-mail is the measure."""
    fixture, bobs = (
        await StaffFixture(service).set_up(),
        await StaffFixture(service, "bob").set_up(),
    )
    await fixture.answer("m1")
    sweeps = []
    sweep = service.app.notices.sweep

    async def counted() -> float:
        sweeps.append(time.monotonic())
        return await sweep()

    service.app.notices.sweep = counted  # type: ignore[method-assign]
    fixture.passes(step_s)
    if step_s < 0:
        await until(lambda: sweeps)
        assert server.seen == []
        fixture.passes(-step_s + DELAY_S)
    await fixture.ends("sent")
    fixture.passes(-step_s)
    await bobs.answer("m2")
    fixture.passes(DELAY_S)
    await fixture.ends("sent", "sent")
    assert [mail["To"] for mail in server.seen] == [
        "Alice <alice@example.com>",
        "Bob <bob@example.com>",
    ]
    assert len(sweeps) < 8


async def test_the_wall_clock_of_the_process_decides_nothing(
    make_service: ServiceFactory,
    service: Service,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The alarm counts seconds that the database named, on a clock that is never stepped."""
    fixture = await StaffFixture(service).set_up()
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() - 3600)
    await fixture.answer("m1")
    assert fixture.notices.alarm_in_s is None  # due in more than a minute: the sweep finds it
    fixture.passes(DELAY_S - 0.5)
    await until(lambda: fixture.notices.alarm_in_s is not None)
    monkeypatch.setattr(time, "time", lambda: wall() + 3600)
    assert server.seen == []
    await fixture.ends("sent")

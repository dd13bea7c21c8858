"""NoticeService and a real mail server: who gets an e-mail, when, about what, and who gets none."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest

from chatsvc.text.email_address import address_digest
from tests.conftest import ServiceFactory
from tests.support.mail import MailServer, mail_server, told
from tests.support.postgres import execute
from tests.support.service import Service
from tests.support.staff_fixture import DELAY_S, INTERVAL_S, StaffFixture
from tests.support.waiting import until


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def service(make_service: ServiceFactory, server: MailServer) -> Service:
    return make_service(email_delay_s=DELAY_S, email_min_interval_s=INTERVAL_S, smtp_url=server.url)


def has_told(server: MailServer, content: str) -> bool:
    return bool(server.mails) and told(server) == [content]


async def test_one_e_mail_tells_all_that_is_unread_then(
    service: Service, server: MailServer
) -> None:
    fixture = await StaffFixture(service).set_up()
    for content in ("m1", "m2"):
        await fixture.answer(content)
    await fixture.read(1)
    await fixture.answer("m3")
    fixture.passes(DELAY_S - 5)
    await fixture.answer("m4")
    assert server.mails == []
    fixture.passes(5)
    await fixture.ends("sent")
    [mail] = server.mails
    assert mail["To"] == "Alice <alice@example.com>" and told(server) == ["m2", "m3", "m4"]
    [(notice_id, message_id)] = execute(
        service.database_url, "SELECT id::text, message_id FROM support_notices"
    )
    assert mail["Message-ID"] == message_id and str(notice_id) in str(message_id)
    assert await fixture.seen() == [("sent", 2, 4, None)]
    assert len(server.seen) == 1 and server.connections == 1


@pytest.mark.parametrize("door", ["answer", "answer_by_form", "answer_by_cookie"])
async def test_every_door_that_staff_answer_by_leads_to_an_e_mail(
    service: Service, server: MailServer, door: str
) -> None:
    fixture = await StaffFixture(service).set_up()
    await getattr(fixture, door)("m1")
    fixture.passes(DELAY_S)
    await fixture.ends("sent")
    assert told(server) == ["m1"]


async def read(fixture: StaffFixture) -> None:
    await fixture.read()


async def archive(fixture: StaffFixture) -> None:
    await fixture.staff_do("archive")


async def archive_and_restore(fixture: StaffFixture) -> None:
    for action in ("archive", "unarchive"):
        await fixture.staff_do(action)


async def lose_the_address(fixture: StaffFixture) -> None:
    execute(
        fixture.service.database_url, "UPDATE users SET email = NULL WHERE external_id = 'alice'"
    )


async def opt_out(fixture: StaffFixture) -> None:
    execute(
        fixture.service.database_url,
        "UPDATE users SET email_opted_out_at = now() WHERE external_id = 'alice'",
    )


async def refuse_the_address(fixture: StaffFixture) -> None:
    execute(
        fixture.service.database_url,
        "UPDATE users SET email_refused = email WHERE external_id = 'alice'",
    )


async def do_not_send(fixture: StaffFixture) -> None:
    assert await fixture.notices.do_not_send(fixture.chat_id)


@pytest.mark.parametrize(
    ("why_not", "reason"),
    [
        (read, "read"),
        (archive, "archived"),
        (archive_and_restore, "archived"),
        (lose_the_address, "no_address"),
        (opt_out, "opted_out"),
        (refuse_the_address, "refused"),
        (do_not_send, "staff"),
    ],
)
async def test_there_is_none(
    service: Service,
    server: MailServer,
    why_not: Callable[[StaffFixture], Awaitable[None]],
    reason: str,
) -> None:
    """Bob's shows that the queue was worked through."""
    fixture, bobs = (
        await StaffFixture(service).set_up(),
        await StaffFixture(service, "bob").set_up(),
    )
    await fixture.answer()
    await bobs.answer()
    await why_not(fixture)
    execute(
        service.database_url,
        "UPDATE users SET email = 'bob@example.com', email_refused = NULL WHERE external_id = 'bob'",
    )
    fixture.passes(DELAY_S)
    await bobs.ends("cancelled", "sent")
    assert [mail["To"] for mail in server.seen] == ["Bob <bob@example.com>"]
    assert await fixture.seen() == [("cancelled", 1, 1, reason)]


async def test_what_is_read_in_the_last_moment_is_not_told(
    service: Service, server: MailServer
) -> None:
    """Between the alarm and the claim: the claim reads again what is unread."""
    fixture = await StaffFixture(service).set_up()
    await fixture.answer("m1")
    await fixture.answer("m2")
    await fixture.read(1)
    execute(
        service.database_url, "UPDATE support_messages SET read_at = now()"
    )  # and the notice was not told
    fixture.passes(DELAY_S)
    await fixture.ends("cancelled")
    assert server.seen == []


async def test_further_ones_wait_for_the_interval_and_are_told_once(
    service: Service, server: MailServer
) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer("m1")
    fixture.passes(DELAY_S)
    await fixture.ends("sent")
    await fixture.answer("m2")
    await fixture.answer("m3")
    fixture.passes(INTERVAL_S - 5)
    await until(lambda: fixture.states() == ["sent", "pending"])
    await fixture.notices.sweep()
    assert len(server.seen) == 1
    fixture.passes(5)
    await fixture.ends("sent", "sent")
    assert told(server) == ["m2", "m3"]
    assert len(set(server.message_ids)) == 2


async def test_staff_can_send_it_now(service: Service, server: MailServer) -> None:
    fixture = await StaffFixture(service).set_up()
    for content in ("m1", "m2"):
        await fixture.answer(content)
        assert await fixture.notices.send_now(fixture.chat_id)
        await until(partial(has_told, server, content))
    await fixture.ends("sent", "sent")


async def test_one_that_comes_while_an_e_mail_is_under_way_is_in_the_next(
    service: Service, server: MailServer
) -> None:
    """Nothing is lost and nothing is told twice: the e-mail under way keeps what it was written about."""
    fixture = await StaffFixture(service).set_up()
    server.go_on.clear()
    await fixture.answer("m1")
    fixture.passes(DELAY_S)
    await until(lambda: server.seen)
    await fixture.answer("m2")
    assert fixture.states() == ["claimed", "pending"]
    server.go_on.set()
    await fixture.ends("sent", "pending")
    [notice] = await fixture.listed(from_seq=2)
    [(sent_at,)] = execute(service.database_url, "SELECT max(sent_at) FROM support_notices")
    assert isinstance(sent_at, datetime)
    assert datetime.fromisoformat(notice.due_at) == sent_at + timedelta(seconds=INTERVAL_S)
    fixture.passes(INTERVAL_S)
    await fixture.ends("sent", "sent")
    assert [told(server, number) for number in range(2)] == [["m1"], ["m2"]]


async def test_staff_are_told_when_it_is_sent(service: Service, server: MailServer) -> None:
    fixture = await StaffFixture(service).set_up()
    await fixture.answer()
    stream = await service.stream(fixture.staff, "/admin/notifications/stream")
    await stream.next("state")
    fixture.passes(DELAY_S)
    event = await stream.next("chat_updated")
    assert event.data["chat"]["id"] == fixture.chat_id and fixture.states() == ["sent"]


async def test_a_visitor_who_leaves_an_address_in_time_gets_it(
    service: Service, server: MailServer
) -> None:
    fixture = await StaffFixture(service).set_up()
    fixture.user = await service.visitor_token()
    fixture.chat_id = await service.chat_id(fixture.user)
    await fixture.answer("m1")
    body = {"email": "v@example.com"}
    assert (
        await service.request("PATCH", "/visitors/me", token=fixture.user, body=body)
    ).status == 200
    fixture.passes(DELAY_S)
    await fixture.ends("sent")
    assert [mail["To"] for mail in server.mails] == ["v@example.com"]


async def test_a_visitors_name_is_not_in_the_e_mail(service: Service, server: MailServer) -> None:
    """A visitor typed another person's address, and an advertisement as their name.

    The company's mail server delivered it.
    """
    fixture = await StaffFixture(service).set_up()
    fixture.user = await service.visitor_token(email="v@example.com", name="Win a prize today")
    fixture.chat_id = await service.chat_id(fixture.user)
    await fixture.answer("m1")
    fixture.passes(DELAY_S)
    await fixture.ends("sent")
    [mail] = server.mails
    assert mail["To"] == "v@example.com" and "prize" not in mail.as_string()


async def visitor_chat(service: Service, email: str) -> StaffFixture:
    """Another visitor who has entered this address, with an answer that is due."""
    fixture = await StaffFixture(service).set_up()
    fixture.user = await service.visitor_token(email=email)
    fixture.chat_id = await service.chat_id(fixture.user)
    await fixture.answer()
    fixture.passes(DELAY_S)
    await until(lambda: set(fixture.states()) <= {"sent", "cancelled"})
    return fixture


async def test_who_unsubscribes_is_not_mailed_for_another_visitor(
    service: Service, server: MailServer
) -> None:
    """Anybody may enter a stranger's address, again and again as a new visitor.

    The link counts for the address to which it was sent, whatever the visitor changes it to.
    """
    first = await visitor_chat(service, "eve@example.com")
    link = urlsplit(server.mails[0]["List-Unsubscribe"].strip("<>"))
    path = f"{link.path}?{link.query}"
    body = {"email": "mallory@example.com"}
    await service.request("PATCH", "/visitors/me", token=first.user, body=body)
    stopped = await service.request("POST", path, form={"List-Unsubscribe": "One-Click"})
    assert "You are unsubscribed" in stopped.text
    for email in ("eve@example.com", "Eve@Example.com"):
        again = await visitor_chat(service, email)
        assert await again.seen() == [("cancelled", 1, 1, "opted_out")]
    await visitor_chat(service, "mallory@example.com")
    assert "You are unsubscribed" in (await service.get(path)).text
    await service.request("POST", path, form={"undo": "1"})
    await visitor_chat(service, "eve@example.com")
    assert [mail["To"] for mail in server.mails] == [
        "eve@example.com",
        "mallory@example.com",
        "eve@example.com",
    ]


async def test_an_address_that_does_not_exist_is_not_tried_for_another_visitor(
    service: Service, server: MailServer
) -> None:
    execute(
        service.database_url,
        "INSERT INTO email_addresses (digest, refused_at) VALUES (%s, now())",
        address_digest("gone@example.com"),
    )
    again = await visitor_chat(service, "Gone@example.com")
    assert await again.seen() == [("cancelled", 1, 1, "refused")]
    execute(
        service.database_url, "UPDATE email_addresses SET refused_at = now() - interval '31 days'"
    )
    await visitor_chat(service, "gone@example.com")
    assert [mail["To"] for mail in server.mails] == ["gone@example.com"]


async def test_a_burst_goes_over_one_connection(service: Service, server: MailServer) -> None:
    fixtures = [await StaffFixture(service, f"user{n}").set_up() for n in range(5)]
    for fixture in fixtures:
        await fixture.answer()
    fixtures[0].passes(DELAY_S)
    await fixtures[0].ends(*["sent"] * 5)
    assert server.connections == 1

"""Floods: the figures are those of the configuration, each counted for whom it is meant, and nobody gets more by pretending."""

import asyncio
from contextlib import closing
from functools import partial
from typing import Any

import psycopg2

from chatsvc.security import rate_limits
from chatsvc.security.rate_limits import Rates
from tests.security.conftest import with_options as with_any_options
from tests.security.test_bodies import check_problem
from tests.support.service import Response, Service
from tests.support.waiting import until

PROXY = ("127.0.0.1",)


# 3 at once instead of 10 to 100 (and their bytes); the figures themselves are asked for below
RATES = Rates(user=3, staff=3, address=3, visitors=3, reads_user=4, reads_address=4)
with_options = partial(with_any_options, rates=RATES)


async def say(service: Service, token: str, chat: str = "", **options: Any) -> Response:
    path = f"/admin/chats/{chat}/messages" if chat else "/support_chat/messages"
    return await service.post(path, token, {"content": "x"}, **options)


def from_(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def check_refused(answer: Response, per_minute: int) -> None:
    check_problem(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60 / per_minute + 1


@with_options(message_rate_user=7)
async def test_a_user_has_his_own_rate(configured: Service) -> None:
    """Whatever token or address he comes with; refused messages are not stored; others go on."""
    alice, again, bob = (
        configured.user_token(),
        configured.user_token(ttl_s=60),
        configured.user_token("bob"),
    )
    answers = [await say(configured, token) for token in (alice, again, alice, again, alice)]
    assert [answer.status for answer in answers] == [201] * 3 + [429] * 2
    check_refused(answers[3], 7)
    assert (await say(configured, bob)).status == 201
    assert (await configured.get("/support_chat", alice)).json["last_seq"] == 3


@with_options(message_rate_user=7)
async def test_what_is_refused_for_another_reason_counts_as_well(configured: Service) -> None:
    alice = configured.user_token()
    for _ in range(3):
        assert (
            await configured.post("/support_chat/messages", alice, {"content": ""})
        ).status == 422
    assert (await say(configured, alice)).status == 429


@with_options(message_rate_staff=11)
async def test_staff_have_another_by_api_and_by_form(configured: Service) -> None:
    staff, alice = await configured.staff_token(), configured.user_token()
    chat, cookies = await configured.chat_id(alice), await configured.login()
    assert [(await say(configured, staff, chat)).status for _ in range(2)] == [201] * 2
    form = {"content": "by form", "_xsrf": cookies["_xsrf"]}
    pages = [
        await configured.request("POST", f"/dashboard/chats/{chat}", form=form, cookies=cookies)
        for _ in range(2)
    ]
    assert [page.status for page in pages] == [303, 429]
    assert "by form" in pages[1].text and 1 <= int(pages[1].headers["Retry-After"]) <= 7
    check_refused(await say(configured, staff, chat), 11)
    assert (await say(configured, alice)).status == 201


@with_options(message_rate_address=9, trusted_proxies=PROXY)
async def test_an_address_has_one_for_all_behind_it(configured: Service) -> None:
    users = [configured.user_token(f"user{n}") for n in range(5)]
    answers = [await say(configured, user, headers=from_("198.51.100.7")) for user in users]
    assert [answer.status for answer in answers] == [201] * 3 + [429] * 2
    check_refused(answers[3], 9)
    assert (await say(configured, users[0], headers=from_("198.51.100.8"))).status == 201


@with_options(visitor_rate_address=2, trusted_proxies=PROXY)
async def test_new_visitors_are_counted_by_address(configured: Service) -> None:
    """In a burst, then so many per minute; a /64 and a mapped address are one customer."""
    for addresses in (
        ["198.51.100.7"] * 5,
        [f"2001:db8::{n}" for n in range(5)],
        ["::ffff:203.0.113.9", "203.0.113.9"] * 2,
    ):
        answers = [
            await configured.post("/visitors", body={}, headers=from_(address))
            for address in addresses
        ]
        assert [answer.status for answer in answers][:4] == [201] * 3 + [429], addresses
        check_refused(answers[3], 2)
    assert (
        await configured.post("/visitors", body={}, headers=from_("2001:db8:0:1::"))
    ).status == 201


@with_options(visitor_rate_address=2, trusted_proxies=())
async def test_without_trusted_proxies_every_claim_is_one_address(configured: Service) -> None:
    statuses = []
    for n, name in enumerate(
        ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP")
    ):
        answer = await configured.post("/visitors", body={}, headers={name: f"198.51.100.{n}"})
        statuses.append(answer.status)
    assert statuses == [201] * 3 + [429] * 2


@with_options(visitor_rate_address=2, trusted_proxies=PROXY)
async def test_what_a_client_writes_left_of_the_proxys_word_is_ignored(configured: Service) -> None:
    statuses = []
    for claim in ("1.1.1.1", "127.0.0.1", "garbage", "::1, 2.2.2.2", ""):
        answer = await configured.post(
            "/visitors", body={}, headers=from_(f"{claim}, 198.51.100.7")
        )
        statuses.append(answer.status)
    assert statuses == [201] * 3 + [429] * 2


@with_options(
    message_rate_user=0, message_rate_staff=0, message_rate_address=0, visitor_rate_address=0
)
async def test_0_is_no_limit(configured: Service) -> None:
    alice = configured.user_token()
    assert {(await say(configured, alice)).status for _ in range(20)} == {201}
    assert {(await configured.post("/visitors", body={})).status for _ in range(20)} == {201}


@with_options(streams_per_address=2, trusted_proxies=PROXY)
async def test_streams_of_one_address_are_bounded(configured: Service) -> None:
    alice, opened = configured.user_token(), []
    for address in ("198.51.100.7", "::ffff:198.51.100.7", "198.51.100.7", "198.51.100.8"):
        opened.append(await configured.stream(alice, X_Forwarded_For=address))
    assert [stream.status for stream in opened] == [200, 200, 429, 200]
    assert (
        int(opened[2].headers["retry-after"]) >= 1
        and "problem+json" in opened[2].headers["content-type"]
    )
    for stream in opened:
        stream.close()


@with_options(streams_per_address=1, trusted_proxies=PROXY)
async def test_streams_of_the_networks_around_an_address_are_bounded(configured: Service) -> None:
    """A customer with a /56 had 256 times as many streams. Those that end make room again."""
    alice = configured.user_token()
    for allowed, step in ((4, 1), (16, 0x100)):  # within a /56, or one in each /56 of a /48
        addresses = [f"2001:db8:{allowed}:{n * step:x}::1" for n in range(18)]
        opened = [await configured.stream(alice, X_Forwarded_For=one) for one in addresses]
        assert [one.status for one in opened] == [200] * allowed + [429] * (18 - allowed)
        for stream in opened:
            stream.close()
        await until(lambda: len(configured.app.streams) == 0)
        again = await configured.stream(alice, X_Forwarded_For=addresses[-1])
        assert again.status == 200
        again.close()
        await until(lambda: len(configured.app.streams) == 0)


@with_options(streams_per_user=2, streams_per_staff=1)
async def test_one_stream_too_many_ends_the_oldest_of_the_same_person(configured: Service) -> None:
    alice, bob = configured.user_token(), configured.user_token("bob")
    opened = [await configured.stream(token) for token in (bob, alice, alice, alice)]
    assert [stream.status for stream in opened] == [200] * 4
    assert (await opened[1].next("close")).data == {"reason": "superseded", "reconnect": False}
    staff = await configured.staff_token()
    first = await configured.stream(staff, "/admin/notifications/stream")
    second = await configured.stream(staff, "/admin/notifications/stream")
    assert (await first.next("close")).data == {"reason": "superseded", "reconnect": False}
    assert len(configured.app.streams) == 4
    for stream in (*opened, second):
        stream.close()


@with_options(message_rate_user=7)
async def test_changes_of_a_profile_count_as_messages(configured: Service) -> None:
    """One visitor caused 294 writes and staff events a second."""
    visitor = await configured.visitor_token()
    answers = [
        await configured.request("PATCH", "/visitors/me", token=visitor, body={"name": f"N {n}"})
        for n in range(5)
    ]
    assert [answer.status for answer in answers] == [200] * 3 + [429] * 2
    check_refused(answers[4], 7)


@with_options(read_rate_user=7, trusted_proxies=PROXY)
async def test_reads_and_stream_openings_of_a_user_are_counted_together(
    configured: Service,
) -> None:
    """60 reads a second of one visitor, which had no limit, slowed everybody down 50 times."""
    alice, bob = configured.user_token(), configured.user_token("bob")
    assert (await configured.get("/support_chat", alice)).status == 200
    assert (await configured.get("/support_chat/messages", alice)).status == 200
    stream = await configured.stream(alice, X_Forwarded_For="198.51.100.1")
    assert stream.status == 200
    check_refused(await configured.get("/support_chat", alice, headers=from_("198.51.100.2")), 7)
    refused = await configured.stream(alice, X_Forwarded_For="198.51.100.3")
    assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
    read = await configured.request("PATCH", "/support_chat/mark_read", token=alice)
    check_refused(read, 7)
    assert (await say(configured, alice)).status == 201, "messages have limits of their own"
    assert (await configured.get("/support_chat", bob)).status == 200
    staff = await configured.staff_token()
    assert {(await configured.get("/admin/chats", staff)).status for _ in range(5)} == {200}


@with_options(read_rate_address=7, trusted_proxies=PROXY)
async def test_reads_of_an_address_are_counted(configured: Service) -> None:
    """Another visitor is only one request away."""
    users = [configured.user_token(f"user{n}") for n in range(4)]
    answers = [
        await configured.get("/support_chat", user, headers=from_(f"2001:db8::{n}"))
        for n, user in enumerate(users)
    ]
    assert [answer.status for answer in answers] == [200] * 3 + [429]
    check_refused(answers[3], 7)
    other = await configured.get("/support_chat", users[3], headers=from_("2001:db8:0:1::"))
    assert other.status == 200


@with_any_options(read_rate_user=60, rates=Rates(reads_user=20))
async def test_a_read_counts_by_the_bytes_of_its_response(configured: Service) -> None:
    """A few requests for long pages cost the loop what hundreds of short ones do."""
    alice, size = configured.user_token(), 0
    for _ in range(12):
        await configured.send(alice, "x" * 10_000)
    statuses = []
    while size < 10 * rate_limits.READ_BYTES * 20:
        answer = await configured.get("/support_chat", alice)
        statuses.append(answer.status)
        if answer.status == 429:
            break
        size += len(answer.body)
    assert statuses == [200] * 3 + [429]  # each counts as 1 and 7.5
    configured.rates_clock.advance(60)
    assert (await configured.get("/support_chat", alice)).status == 200


@with_any_options(read_rate_user=600_000, rates=Rates(reads_user=2))
async def test_a_replay_counts_and_is_complete(configured: Service) -> None:
    """Each stream may replay 60 MB. The bytes count, and the replay waits as long as is needed."""
    alice = configured.user_token()
    for n in range(12):
        await configured.send(alice, f"{n} {'x' * 9_000}")
    stream = await configured.stream(alice, cursor=0)
    messages = await stream.messages_up_to(12)
    assert [message["seq"] for message in messages] == list(range(1, 13))
    await until(lambda: configured.app.limits.reads.user.wait_s(alice_id(configured)) > 0)


@with_any_options(read_rate_user=60, rates=Rates(reads_user=2))
async def test_nothing_is_encoded_for_a_client_that_has_left(configured: Service) -> None:
    """Clients that asked for long pages and hung up cost as much as those that read them."""
    alice = configured.user_token()
    for _ in range(5):
        await configured.send(alice, "x" * 10_000)
    host, port = configured.url.removeprefix("http://").split(":")
    with closing(psycopg2.connect(configured.database_url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE support_messages IN ACCESS EXCLUSIVE MODE")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"GET /support_chat/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {alice}"
        writer.write(f"{head}\r\n\r\n".encode())
        await until(lambda: configured.app.db.in_flight == 1)
        writer.close()
        await until(lambda: not configured.app.server.connections)
    await until(lambda: configured.app.db.in_flight == 0)
    assert configured.app.limits.reads.user.wait_s(alice_id(configured)) == 0.0
    assert len((await configured.get("/support_chat/messages", alice)).body) > 50_000
    assert configured.app.limits.reads.user.wait_s(alice_id(configured)) > 0.0


def alice_id(service: Service) -> str:
    """The only user who has read."""
    (user_id,) = service.app.limits.reads.user.keys
    return user_id


def test_the_figures_of_the_contract() -> None:
    """Bursts are no options; docs/api.md section 8 names them."""
    assert (Rates().user, Rates().visitors) == (rate_limits.BURST_USER, rate_limits.BURST_VISITORS)
    assert (Rates().user, Rates().visitors) == (10, 30)
    assert (Rates().reads_user, Rates().reads_address) == (300, 1500)
    assert (Rates().login_address, Rates().login_account) == ((5, 20.0), (20, 300.0))
    assert Rates().login_account_address == (10, 300.0)

"""Two servers, one Redis, one database: what happens at one is seen at the other."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chatsvc.bus.local import LocalBus
from chatsvc.bus.redis import RedisBus
from chatsvc.database.connection import Connection
from chatsvc.store.chats import chat_states
from chatsvc.streams.registry import Rhythm
from tests.conftest import ServiceFactory
from tests.faults.client import running
from tests.faults.proxy import Proxy
from tests.support.process import ROOT, ServerProcess
from tests.support.redis import RedisServer
from tests.support.service import Service, make_config
from tests.support.sse import StreamClient
from tests.support.waiting import until

NOTIFICATIONS = "/admin/notifications/stream"
AWAY = "bus disconnected"
SOON_S = 1.0


FAST_RESYNC = Rhythm(resync_disconnected_s=0.2, resync_pause_s=0.05)


@pytest.fixture
def pair(make_service: ServiceFactory, redis_server: RedisServer) -> tuple[Service, Service]:
    return make_service(bus_url=redis_server.url), make_service(bus_url=redis_server.url)


@pytest.fixture
def fast_pair(make_service: ServiceFactory, redis_server: RedisServer) -> tuple[Service, Service]:
    """Two servers that compare their streams with the database often."""
    here, there = (make_service(bus_url=redis_server.url, rhythm=FAST_RESYNC) for _ in range(2))
    return here, there


async def opened(stream: StreamClient) -> StreamClient:
    await stream.next("state")
    return stream


def is_live(*services: Service) -> bool:
    return all(service.app.bus.unavailable_reason is None for service in services)


@asynccontextmanager
async def without_redis(redis_server: RedisServer, *services: Service) -> AsyncIterator[None]:
    """Killed, noticed by all; afterwards it is there again, and that is noticed too."""
    redis_server.kill()
    try:
        await until(lambda: all(service.app.bus.unavailable_reason for service in services))
        yield
    finally:
        await asyncio.to_thread(redis_server.start)
    await until(lambda: is_live(*services))


async def test_what_happens_at_one_is_seen_at_the_other(pair: tuple[Service, Service]) -> None:
    here, there = pair
    alice, staff = here.user_token(), await here.staff_token()
    chat_id = await here.chat_id(alice)
    user = await opened(await there.stream(alice))
    desk = await opened(await there.stream(staff, NOTIFICATIONS))
    await here.send(alice, "hello")
    assert (await user.next("new_message", timeout=SOON_S)).data["message"]["content"] == "hello"
    assert (await desk.next("new_user_message", timeout=SOON_S)).data["chat_id"] == chat_id
    await here.send(staff, "good morning", chat_id=chat_id)
    assert (await user.next("new_message", timeout=SOON_S)).id == "2"
    await here.post(f"/admin/chats/{chat_id}/mark_viewed", staff, {})
    assert (await user.next("admin_viewed", timeout=SOON_S)).data["up_to"] == 2
    await here.post(f"/admin/chats/{chat_id}/archive", staff, {})
    assert (await user.next("chat_updated", timeout=SOON_S)).data["archived"] is True
    while not (await desk.next("chat_updated", timeout=SOON_S)).data["chat"]["archived"]:
        pass
    assert (await there.get("/readyz")).text == "ready\n"


@pytest.mark.parametrize("waits", [True, False])
async def test_a_message_between_opening_a_stream_and_redis_confirming_it_is_not_missed(
    waits: bool,
    tmp_path: Path,
    database_url: str,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other server publishes it when this one is not subscribed yet. Negative control: a stream that does not wait for Redis."""
    if not waits:
        monkeypatch.setattr(RedisBus, "subscribe", deaf(RedisBus.subscribe))
    async with Proxy(redis_server.port) as proxy:
        through = f"redis://127.0.0.1:{proxy.port}"
        here, there = (
            Service(make_config(tmp_path, bus_url=url), database_url)
            for url in (redis_server.url, through)
        )
        async with running(here), running(there):
            alice, staff = here.user_token(), await here.staff_token()
            chat_id = await here.chat_id(alice)
            await until(lambda: not there.app.resynchronizer.is_requested)
            proxy.stall()
            stream = await there.stream(alice, cursor=0)
            await until(lambda: len(there.app.streams) == 1)
            if not waits:
                await opened(stream)
            await here.send(alice, "missed?")
            proxy.resume()
            await until(lambda: not getattr(there.app.bus, "_unconfirmed"))  # noqa: B009
            await here.post(f"/admin/chats/{chat_id}/archive", staff, {})
            await stream.next("new_message" if waits else "chat_updated")
            assert [event.id for event in stream.events if event.type == "new_message"] == (
                ["1"] if waits else []
            )


def deaf(subscribe: Callable[..., Any]) -> Callable[..., None]:
    def subscribe_and_go_on(self: RedisBus, topic: str) -> None:
        subscribe(self, topic)

    return subscribe_and_go_on


async def test_a_session_that_ends_at_one_is_over_at_the_other_and_its_streams_too(
    pair: tuple[Service, Service],
) -> None:
    """The other one remembers for 5 s who a cookie is, and asks every 15 s whether the sessions of its streams still hold."""
    here, there = pair
    await here.create_staff()
    cookies, elsewhere = await here.login(), await here.login()
    mine = await opened(
        await there.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={cookies['chatsvc']}")
    )
    other = await opened(
        await there.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={elsewhere['chatsvc']}")
    )
    assert (await there.get("/admin/chats", cookies=cookies)).status == 200
    answer = await here.request(
        "POST", "/logout", cookies=cookies, headers={"X-XSRFToken": cookies["_xsrf"]}
    )
    assert answer.status == 303
    assert (await mine.next("close", timeout=SOON_S)).data == {
        "reason": "revoked",
        "reconnect": False,
    }
    assert (await there.get("/admin/chats", cookies=cookies)).status == 401
    assert (await there.get("/admin/chats", cookies=elsewhere)).status == 200
    assert len(there.app.streams) == 1
    other.close()


@pytest.mark.parametrize("command", ["a new password", "tokens revoked"])
async def test_a_command_that_ends_access_ends_streams_at_every_server(
    command: str, pair: tuple[Service, Service], redis_server: RedisServer, tmp_path: Path
) -> None:
    here = pair[0]
    token, colleague = await here.staff_token(), await here.staff_token("colleague@example.com")
    cookies = await here.login()
    by_cookie = [
        await opened(await at.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={cookies['chatsvc']}"))
        for at in pair
    ]
    by_token = [await opened(await at.stream(token, NOTIFICATIONS)) for at in pair]
    others = [await opened(await at.stream(colleague, NOTIFICATIONS)) for at in pair]
    beside = ServerProcess(tmp_path, here.database_url, bus_url=redis_server.url)
    arguments = {
        "a new password": ("create-admin", "--password-stdin"),
        "tokens revoked": ("staff-token", "--revoke"),
    }
    done = await asyncio.to_thread(
        beside.command, *arguments[command], "staff@example.com", stdin="a new password\n"
    )
    assert done.returncode == 0, done.stderr
    ended, left = (by_cookie + by_token, 1) if command == "a new password" else (by_token, 2)
    for stream in ended:
        assert (await stream.next("close", timeout=SOON_S)).data["reason"] == "revoked"
    await until(lambda: [len(at.app.streams) for at in pair] == [left, left])
    for stream in others:
        stream.close()


async def test_while_redis_is_away_streams_are_brought_up_to_date_from_the_database(
    fast_pair: tuple[Service, Service],
    redis_server: RedisServer,
    expected_log: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_log.append(AWAY)
    here, there = fast_pair
    staff, users = await here.staff_token(), [here.user_token(f"user{n}") for n in range(5)]
    chat_ids = [await here.chat_id(user) for user in users]
    streams = [await opened(await there.stream(user)) for user in users]
    desk = await opened(await there.stream(staff, NOTIFICATIONS))
    asked: list[int] = []

    def counted(connection: Connection, chat_ids: Sequence[str]) -> Any:
        asked.append(len(chat_ids))
        return chat_states(connection, chat_ids)

    monkeypatch.setattr("chatsvc.services.chats.rows.chat_states", counted)
    async with without_redis(redis_server, here, there):
        ready = await there.get("/readyz")
        assert ready.status == 200 and ready.text.startswith("ready, without the bus: ")
        assert "\nchatsvc_bus_up 0.0\n" in (await there.get("/metrics")).text
        await here.send(users[0], "one")
        await here.send(users[0], "two")
        assert [m["content"] for m in await streams[0].messages_up_to(2, timeout=SOON_S)] == [
            "one",
            "two",
        ]
        await desk.next("state", timeout=SOON_S)
        await here.send(staff, "an answer", chat_id=chat_ids[1])
        assert (await streams[1].next("new_message", timeout=SOON_S)).id == "1"
        await here.request("PATCH", "/support_chat/mark_read", token=users[1], body={})
        while (await streams[1].next("state", timeout=SOON_S)).data["read_up_to"] != 1:
            pass
        await here.post(f"/admin/chats/{chat_ids[2]}/archive", staff, {})
        while not (await streams[2].next("state", timeout=SOON_S)).data["archived"]:
            pass
        rounds = there.app.resynchronizer.rounds
        await until(lambda: there.app.resynchronizer.rounds > rounds + 3)
        assert set(asked) - {1} == {5}, (
            "all chats in one query (one alone is what requests ask for)"
        )
        await there.send(users[3], "to oneself")
        assert (await streams[3].next("new_message", timeout=SOON_S)).id == "1", (
            "in the same process it is live"
        )
    assert "\nchatsvc_bus_up 1.0\n" in (await there.get("/metrics")).text
    await here.send(users[4], "live again")
    assert (await streams[4].next("new_message", timeout=SOON_S)).id == "1"
    states = [sum(event.type == "state" for event in stream.events) for stream in streams]
    assert states[4] <= 3, (
        f"a state that is known is not told every time: {states} in {there.app.resynchronizer.rounds} rounds"
    )
    lines = [record for record in caplog.records if AWAY in record.getMessage()]
    assert len(lines) == 2, "one of each server"


async def test_an_event_that_comes_while_the_database_is_asked_is_not_undone_by_the_answer(
    fast_pair: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was read before the chat was archived and came after the event that says so."""
    _, there = fast_pair
    alice, staff = there.user_token(), await there.staff_token()
    chat_id = await there.chat_id(alice)
    stream = await opened(await there.stream(alice))
    await until(lambda: not there.app.resynchronizer.is_requested)
    read, answer, asked = there.app.resynchronizer._chat_states, asyncio.Event(), asyncio.Event()

    async def slow(chat_ids: Any) -> Any:
        states = await read(chat_ids)
        asked.set()
        await answer.wait()
        return states

    monkeypatch.setattr(there.app.resynchronizer, "_chat_states", slow)
    there.app.resynchronizer.request()
    await asked.wait()
    await there.post(f"/admin/chats/{chat_id}/archive", staff, {})
    assert (await stream.next("chat_updated")).data["archived"] is True
    answer.set()
    assert (await stream.next("state")).data["archived"] is True


async def test_a_message_whose_server_died_before_publishing_is_published_when_it_is_sent_again(
    pair: tuple[Service, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender got no answer and repeats at the other server. Streams that have the message already drop it."""
    here, there = pair
    alice = here.user_token()
    await here.chat_id(alice)
    stream, other = await opened(await there.stream(alice)), await opened(await here.stream(alice))
    with monkeypatch.context() as dying:
        dying.setattr(RedisBus, "publish", LocalBus.publish)
        await here.send(alice, "hello?", client_id="one")
    await there.send(alice, "hello?", client_id="one")
    assert (await stream.next("new_message", timeout=SOON_S)).id == "1"
    await there.send(alice, "anybody?")
    for one in (stream, other):
        await one.messages_up_to(2)
        assert [event.id for event in one.events if event.type == "new_message"] == ["1", "2"]


async def test_after_the_database_was_away_too_nothing_is_forgotten(
    fast_pair: tuple[Service, Service],
    expected_log: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from chatsvc.errors import Unavailable

    here, there = fast_pair
    alice = here.user_token()
    await here.chat_id(alice)
    stream = await opened(await there.stream(alice))
    read, failures = (
        there.app.resynchronizer._chat_states,
        [Unavailable("the database does not answer")] * 3,
    )

    async def failing(chat_ids: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(chat_ids)

    monkeypatch.setattr(there.app.resynchronizer, "_chat_states", failing)
    monkeypatch.setattr(RedisBus, "_send", lambda self, *what: None)  # lost on the way
    await here.send(alice, "hello")
    there.app.resynchronizer.request()
    assert (await stream.next("new_message")).id == "1"
    assert not failures


def test_the_client_of_redis_is_loaded_only_where_it_is_wanted() -> None:
    code = "import sys, server, chatsvc.cli; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

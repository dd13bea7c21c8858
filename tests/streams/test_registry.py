"""The life of a stream: heartbeats, caps, why it ends, and what is left of it."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from chatsvc.events import Event, chat_topic
from chatsvc.store import people
from chatsvc.streams import connection, subscriber
from chatsvc.streams.registry import PING_INTERVAL_S, Rhythm, Streams
from chatsvc.streams.subscriber import NO_MESSAGES, Sources, Subscription
from chatsvc.streams.topic import YIELD_EVERY
from chatsvc.wire import ChatStateEvent, ChatUpdatedEvent, MessagePage, StaffStateEvent
from tests.conftest import ServiceFactory
from tests.support.postgres import execute
from tests.support.seed import seed_messages
from tests.support.service import Service
from tests.support.sse import StreamClient
from tests.support.waiting import until

USER_STREAM, STAFF_STREAM = "/support_chat/stream", "/admin/notifications/stream"


@pytest.fixture
def quick_service(make_service: ServiceFactory) -> Service:
    """Its heartbeat wheel turns fifty times as fast."""
    return make_service(rhythm=Rhythm(tick_s=0.02))


@pytest.fixture
def hasty_service(make_service: ServiceFactory) -> Service:
    """It compares streams with the database again without a pause."""
    return make_service(rhythm=Rhythm(resync_disconnected_s=0.0, resync_pause_s=0.0))


async def open_stream(
    service: Service, token: str | None, path: str = USER_STREAM, **options: Any
) -> StreamClient:
    """A stream whose `state` has come."""
    stream = await service.stream(token, path, **options)
    assert stream.status == 200, stream.status
    await stream.next("state")
    return stream


def is_open(service: Service, count: int) -> bool:
    """Whether so many streams are registered."""
    return len(service.app.streams) == count


async def close_event(stream: StreamClient) -> dict[str, Any]:
    """The last event of a stream that the server ends; it must be `close`."""
    await stream.closed()
    last = stream.events[-1]
    assert last.name == "close" and last.id is None
    return last.data


class FakeConnection:
    """Takes what is written, at once."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.pending = False
        self._closed: Callable[[], None] = lambda: None

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def close(self, last: bytes = b"") -> None:
        self.frames.append(last)
        self._closed()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._closed = callback

    @property
    def pings(self) -> int:
        return sum(frame.startswith(b"event: ping\n") for frame in self.frames)


async def _state(chat_id: str) -> ChatStateEvent:
    return ChatStateEvent(last_seq=7, unread_count=0, read_up_to=0, viewed_up_to=0, archived=False)


async def _start(chat_id: str, cursor: int | None) -> tuple[ChatStateEvent, MessagePage]:
    return await _state(chat_id), NO_MESSAGES


async def _no_messages(chat_id: str, seq: int, limit: int) -> MessagePage:
    return MessagePage([], has_more=False, last_seq=7)


async def _is_at(chat_id: str, seq: int, message_id: str) -> bool:
    return True


async def _staff_state() -> StaffStateEvent:
    return StaffStateEvent(unread_chats=0)


async def _all_valid(access_ids: list[str]) -> set[str]:
    return set(access_ids)


def make_streams() -> Streams:
    sources = Sources(_start, _no_messages, _staff_state, _is_at)
    return Streams(
        sources, per_user=0, per_staff=0, per_address=0, total=10_000, valid_access_ids=_all_valid
    )


async def settle() -> None:
    """Lets everything run that is ready to run."""
    for _ in range(20):
        await asyncio.sleep(0)


# ---- heartbeats ----


async def test_a_ping_comes_after_fifteen_seconds_of_silence_and_not_before() -> None:
    assert (Rhythm().ping_ticks, Rhythm().tick_s) == (15, 1.0)
    registry, silent, busy = make_streams(), FakeConnection(), FakeConnection()
    registry.open(Subscription("u1", "a", chat_id="silent"), silent)
    registry.open(Subscription("u2", "a", chat_id="busy"), busy)
    await settle()
    for turn in range(1, 61):
        await registry._turn()
        assert silent.pings == turn // PING_INTERVAL_S, turn
        assert busy.pings == (0 if turn < 53 + PING_INTERVAL_S else 1), turn
        if turn % 7 == 4 and turn <= 53:  # the last time at turn 53
            registry.deliver(Event(chat_topic("busy"), b"data: {}\n\n"))
    assert silent.frames[-1] == b'event: ping\ndata: {"seq":7}\n\n'


async def test_a_ping_says_the_newest_seq_so_that_a_client_that_is_behind_can_tell(
    quick_service: Service,
) -> None:
    alice = quick_service.user_token()
    await quick_service.send(alice, "one")
    await quick_service.send(alice, "two")
    stream = await open_stream(quick_service, alice)
    ping = await stream.next()
    assert (ping.name, ping.id, ping.data) == ("ping", None, {"seq": 2})
    await quick_service.send(alice, "three")
    await stream.next("new_message")
    assert (await stream.next()).data == {"seq": 3}
    stream.close()


async def test_a_stream_for_staff_is_pinged_too(quick_service: Service) -> None:
    stream = await open_stream(quick_service, await quick_service.staff_token(), STAFF_STREAM)
    assert (await stream.next()).data == {"seq": 0}
    stream.close()


# ---- caps ----


def test_one_stream_too_many_closes_the_oldest_of_that_user(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    service = make_service(streams_per_user=2, streams_per_staff=3)

    async def play() -> None:
        alice, bob, staff = (
            service.user_token("alice"),
            service.user_token("bob"),
            await service.staff_token(),
        )
        bobs = await open_stream(service, bob)
        for token, path, cap in ((alice, USER_STREAM, 2), (staff, STAFF_STREAM, 3)):
            opened = [await open_stream(service, token, path) for _ in range(cap + 1)]
            assert await close_event(opened[0]) == {"reason": "superseded", "reconnect": False}
            opened.append(await open_stream(service, token, path))
            assert await close_event(opened[1]) == {"reason": "superseded", "reconnect": False}
            await until(partial(is_open, service, cap + 1))
            for stream in opened:
                stream.close()
            await until(lambda: len(service.app.streams) == 1)
        message = await service.send(bob, "I am still here")
        assert (await bobs.next()).data["message"] == message
        bobs.close()

    io_loop.run_sync(play)


def test_one_stream_too_many_from_an_address_is_refused(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    service = make_service(streams_per_address=2)

    async def play() -> None:
        opened = [await open_stream(service, service.user_token(f"u{n}")) for n in range(2)]
        refused = await service.stream(service.user_token("u3"))
        assert refused.status == 429 and int(refused.headers["retry-after"]) >= 1
        opened[0].close()
        await until(lambda: len(service.app.streams) == 1)
        opened.append(await open_stream(service, service.user_token("u3")))
        for stream in opened:
            stream.close()

    io_loop.run_sync(play)


async def test_above_what_the_descriptors_allow_it_is_unavailable_for_now(service: Service) -> None:
    service.app.streams._total = 1
    first = await open_stream(service, service.user_token())
    refused = await service.stream(service.user_token("bob"))
    assert refused.status == 503 and 1 <= int(refused.headers["retry-after"]) <= 5
    first.close()
    await until(lambda: len(service.app.streams) == 0)
    (await open_stream(service, service.user_token("bob"))).close()


# ---- why a stream ends ----


async def test_it_ends_when_its_token_expires(quick_service: Service) -> None:
    stream = await open_stream(quick_service, quick_service.user_token(ttl_s=1))
    assert await close_event(stream) == {"reason": "expired", "reconnect": True}


async def test_logging_out_ends_the_streams_of_that_session_at_once(service: Service) -> None:
    await service.create_staff()
    here, elsewhere = await service.login(), await service.login()
    ended, goes_on = [
        await open_stream(service, None, STAFF_STREAM, Cookie=cookie_header(c))
        for c in (here, elsewhere)
    ]
    answer = await service.request("POST", "/logout", form={"_xsrf": here["_xsrf"]}, cookies=here)
    assert answer.status == 303
    assert await close_event(ended) == {"reason": "revoked", "reconnect": False}
    await service.send(service.user_token(), "hello")
    assert (await goes_on.next()).type in ("new_user_message", "chat_updated")
    goes_on.close()


def test_a_session_or_token_ended_elsewhere_ends_its_streams(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    """create-admin with a new password, in another process; a token revoked there."""
    service = make_service(rhythm=Rhythm(revalidate_s=0.05))

    async def play() -> None:
        await service.create_staff()
        cookies, token = await service.login(), await service.staff_token("other@example.com")
        by_session = await open_stream(service, None, STAFF_STREAM, Cookie=cookie_header(cookies))
        by_token = await open_stream(service, token, STAFF_STREAM)
        await service.create_staff()
        assert await close_event(by_session) == {"reason": "revoked", "reconnect": False}
        assert await service.app.db.write(people.revoke_staff_tokens, "other@example.com") == 1
        assert await close_event(by_token) == {"reason": "revoked", "reconnect": False}

    io_loop.run_sync(play)


async def test_an_error_that_nobody_foresaw_ends_no_watch_over_streams(
    hasty_service: Service, expected_log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nothing would be caught up, and no session's end noticed, until the next start; and no line in the log would say so."""
    for line in (
        "streams could not be brought up to date",
        "failed to check which sessions",
    ):
        expected_log.append(line)
    service = hasty_service
    resynchronizer, registry = service.app.resynchronizer, service.app.streams
    await service.create_staff()
    stream = await open_stream(
        service, None, STAFF_STREAM, Cookie=cookie_header(await service.login())
    )
    read, check = resynchronizer._staff_state, registry._valid_access_ids
    asked: list[str] = []

    async def failing(*_: Any) -> Any:
        asked.append("failed")
        monkeypatch.setattr(resynchronizer, "_staff_state", read)
        monkeypatch.setattr(registry, "_valid_access_ids", check)
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(resynchronizer, "_staff_state", failing)
    resynchronizer.request()
    assert (await stream.next("state")).data["unread_chats"] == 0
    monkeypatch.setattr(registry, "_valid_access_ids", failing)
    registry.end_access(None)
    await until(lambda: len(asked) == 2)
    await service.create_staff()  # ends the sessions
    registry.end_access(None)
    assert await close_event(stream) == {"reason": "revoked", "reconnect": False}


def test_a_message_that_nobody_published_is_shown_after_the_interval(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    """A COMMIT that hung outlived its killed server; open streams never showed what it stored."""
    service = make_service(rhythm=Rhythm(resync_s=0.05, resync_pause_s=0.0))

    async def play() -> None:
        alice = service.user_token()
        stream = await open_stream(service, alice)
        seed_messages(service.database_url, await service.chat_id(alice), 2)
        assert [m["seq"] for m in await stream.messages_up_to(2)] == [1, 2]
        stream.close()

    io_loop.run_sync(play)


async def test_only_a_chat_that_was_overtaken_is_asked_for_again(
    hasty_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where much happens there is always one; asking for all again because of it would never end."""
    service = hasty_service
    resynchronizer, staff = service.app.resynchronizer, await service.staff_token()
    busy, quiet = [service.user_token(sub) for sub in ("busy", "quiet")]
    opened = [await open_stream(service, token, USER_STREAM) for token in (busy, quiet)]
    read, asked = resynchronizer._chat_states, list[list[str]]()

    async def slow(chat_ids: Any) -> Any:
        asked.append(list(chat_ids))
        states = await read(chat_ids)
        if len(asked) == 1:
            await service.post(f"/admin/chats/{await service.chat_id(busy)}/archive", staff, {})
        return states

    monkeypatch.setattr(resynchronizer, "_chat_states", slow)
    resynchronizer.request()
    assert (await opened[0].next("chat_updated")).data["archived"] is True
    assert (await opened[0].next("state")).data["archived"] is True
    assert len(asked[0]) == 2 and asked[1:] == [[await service.chat_id(busy)]]


async def test_a_state_read_before_a_chats_last_stream_closed_is_not_told_to_its_next_one() -> None:
    """A topic lives as long as somebody listens; a later one counted from 0 again and took a state read for the earlier one for new."""
    registry, earlier, later = make_streams(), FakeConnection(), FakeConnection()
    registry.open(Subscription("u1", "a", chat_id="c"), earlier)
    read_at = registry.marks["c"]
    registry.deliver(Event.encode(chat_topic("c"), ChatUpdatedEvent(archived=True)))
    earlier.close()
    registry.open(Subscription("u1", "a", chat_id="c"), later)
    await settle()
    told = len(later.frames)
    assert not registry.resync_chat("c", await _state("c"), read_at)
    assert len(later.frames) == told


async def test_a_stop_ends_all_with_a_time_to_come_back(service: Service) -> None:
    opened = [await open_stream(service, service.user_token(f"u{n}")) for n in range(30)]
    draining = asyncio.create_task(service.app.streams.drain())
    ends = [await close_event(stream) for stream in opened]
    assert ends == [{"reason": "shutdown", "reconnect": True}] * 30
    retries = {stream.retry_ms for stream in opened}
    assert len(retries) > 10 and all(
        retry is not None and 500 <= retry <= 5000 for retry in retries
    )
    assert (await service.stream(service.user_token("late"))).status == 503
    await draining
    assert len(service.app.streams) == 0


async def test_a_reader_that_takes_nothing_is_closed_as_slow_and_holds_little(
    service: Service,
) -> None:
    """Unbounded, one such reader took 188 MB in two seconds."""
    alice = service.user_token()
    chat_id = await service.chat_id(alice)
    stalled, reading = await open_stream(service, alice), await open_stream(service, alice)
    stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
    registry = service.app.streams
    slow, _ = registry._open
    frame, sent, most = b'data: {"type": "filler", "text": "%s"}\n\n' % (b"x" * 60_000), 0, 0
    while slow.reason is None:
        service.app.bus.publish(Event(chat_topic(chat_id), frame))
        sent += 1
        most = max(most, slow._connection.pending)
        await reading.next("filler")
        assert sent < 1000, "the reader was never found slow"
    assert slow.reason == "slow" and most <= connection.WRITE_BUFFER_BYTES
    stalled.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert await close_event(stalled) == {"reason": "slow", "reconnect": True}
    message = await service.send(alice, "the other goes on")
    assert (await reading.next()).data["message"] == message
    reading.close()
    await until(lambda: len(registry) == 0)


async def test_a_replay_does_not_wait_for_ever_for_a_slow_reader(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "REPLAY_WRITE_LIMIT_S", 0.1)
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    alice = service.user_token()
    seed_messages(service.database_url, await service.chat_id(alice), 1000)
    execute(service.database_url, "UPDATE support_messages SET content = repeat('x', 10000)")
    stream = await open_stream(service, alice, cursor=0)
    stream.writer.transport.pause_reading()  # type: ignore[attr-defined]
    [one] = service.app.streams._open
    await until(lambda: one.reason is not None)
    assert one.reason == "slow"
    await until(lambda: len(service.app.streams) == 0)
    stream.close()


# ---- what is left of it ----


async def test_the_registry_holds_open_sockets_and_nothing_else(service: Service) -> None:
    staff, registry = await service.staff_token(), service.app.streams
    for _ in range(2):
        opened = [await open_stream(service, service.user_token(f"u{n % 4}")) for n in range(12)]
        opened += [await open_stream(service, staff, STAFF_STREAM) for _ in range(3)]
        assert len(registry) == 15
        for n, stream in enumerate(opened, 1):
            if n % 3 == 0:
                stream.writer.transport.abort()  # a reset, not an orderly end
            stream.close()
            await until(partial(is_open, service, 15 - n))
    assert (registry._topics, registry._of_owner, registry._of_address) == ({}, {}, {})
    assert not any(registry._wheel)


async def test_memory_goes_when_it_is_no_longer_needed_and_waits_for_no_collector(
    service: Service,
) -> None:
    gc.collect()
    gc.disable()
    before = {
        name: alive(name)
        for name in ("UserStreamHandler", "HTTPServerRequest", "Subscriber", "StreamConnection")
    }
    try:
        stream = await open_stream(service, service.user_token())
        assert alive("Subscriber") == before["Subscriber"] + 1
        await until(lambda: alive("UserStreamHandler") == before["UserStreamHandler"])
        await until(lambda: alive("HTTPServerRequest") == before["HTTPServerRequest"])
        stream.close()
        await until(lambda: is_open(service, 0))
        await until(lambda: {name: alive(name) for name in before} == before)
    finally:
        gc.enable()


def alive(name: str) -> int:
    """How many objects of a class there are."""
    return sum(type(one).__name__ == name for one in gc.get_objects())


@asynccontextmanager
async def many(registry: Streams, count: int) -> AsyncIterator[list[FakeConnection]]:
    connections = [FakeConnection() for _ in range(count)]
    for n, fake in enumerate(connections):
        registry.open(Subscription(f"u{n}", "a", staff=True), fake)
    await settle()
    yield connections


async def test_a_broadcast_to_very_many_lets_others_run_and_keeps_the_order() -> None:
    registry = make_streams()
    async with many(registry, 3 * YIELD_EVERY) as connections:
        frames = [b"data: %d\n\n" % n for n in range(5)]
        for frame in frames:
            registry.deliver(Event("staff", frame))
        assert all(len(fake.frames) == 1 for fake in connections), (
            "delivered in one go: the loop was held"
        )
        await settle()
        assert all(fake.frames[1:] == frames for fake in connections)


async def test_a_gap_in_the_very_turn_in_which_a_replay_ends_is_repaired() -> None:
    """The task that ended forgot the one that had just begun: it could not be cancelled, and nothing held it."""
    answered = asyncio.Event()

    async def slow_log(chat_id: str, seq: int, limit: int) -> MessagePage:
        await answered.wait()
        return MessagePage([], has_more=False, last_seq=7)

    registry = make_streams()
    registry._sources = registry._sources._replace(messages_after=slow_log)
    one = registry.open(Subscription("u", "a", chat_id="c"), FakeConnection())
    while not one.is_live:  # noqa: ASYNC110 -- the very turn matters
        await asyncio.sleep(0)
    first = one._task
    one.offer(Event(chat_topic("c"), b"", seq=9))
    second = one._task
    await settle()
    assert second is not first and one._task is second is not None
    answered.set()
    await settle()
    assert one._task is None and one.is_live


def cookie_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def test_a_stream_ends_when_its_token_ends(service: Service) -> None:
    """It ended when a ping was due, so up to 15 s later."""
    stream = await open_stream(service, service.user_token(ttl_s=1))
    last = await stream.next("close", timeout=PING_INTERVAL_S * 0.7)
    assert last.data == {"reason": "expired", "reconnect": True}
    await stream.closed()

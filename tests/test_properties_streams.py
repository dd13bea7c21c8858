"""Whatever is lost, delayed or reordered on the way: who stays or comes back has the stored list, in order, each once."""

import asyncio
import random
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop

from chatsvc.events import Event
from chatsvc.streams.subscriber import Subscriber
from tests.support.service import Service
from tests.support.sse import StreamClient

Step = tuple[Any, ...]
FATES = st.sampled_from(["deliver", "deliver", "drop", "delay", "twice"])
STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from("ua"), FATES),
    st.tuples(
        st.just("burst"), st.lists(st.tuples(st.sampled_from("ua"), FATES), min_size=2, max_size=8)
    ),
    st.tuples(st.just("release"), st.integers(0, 2**16)),
    st.tuples(st.just("cut"), st.integers(0, 2)),
    st.tuples(st.just("come back"), st.integers(0, 2)),
    st.tuples(st.just("read"), st.integers(1, 5)),
)


class Chaos:
    """Stands between the one place that publishes and the bus: loses, delays, doubles and reorders messages."""

    def __init__(self, service: Service) -> None:
        self._publish = service.app.bus.publish
        self.fates: list[str] = []  # of the next messages
        self._delayed: list[Event] = []

    def publish(self, event: Event) -> None:
        fate = self.fates.pop(0) if event.seq is not None and self.fates else "deliver"
        if fate == "delay":
            self._delayed.append(event)
        elif fate != "drop":
            for _ in range(2 if fate == "twice" else 1):
                self._publish(event)

    def release(self, seed: int) -> None:
        """Delivers what was delayed, in another order."""
        random.Random(seed).shuffle(self._delayed)
        while self._delayed:
            self._publish(self._delayed.pop())


class Follower:
    """A client that comes back with the last id it has processed."""

    def __init__(self, service: Service, token: str, path: str) -> None:
        self._service, self._token, self._path = service, token, path
        self.messages: list[dict[str, Any]] = []
        self._client: StreamClient | None = None
        self._reading: asyncio.Task[None] | None = None
        self._came = asyncio.Event()

    async def come_back(self) -> None:
        if self._client is None:
            cursor = self.messages[-1]["seq"] if self.messages else 0
            self._client = await self._service.stream(self._token, self._path, cursor)
            self._reading = asyncio.create_task(self._read(self._client))

    async def cut(self) -> None:
        if self._client is not None and self._reading is not None:
            self._reading.cancel()
            self._client.close()
            with suppress(asyncio.CancelledError):
                await self._reading
            self._client = None

    async def _read(self, client: StreamClient) -> None:
        while True:
            event = await client.next(timeout=60)
            assert event.type != "reset"
            if event.type == "new_message":
                self.messages.append(event.data["message"])
                self._came.set()

    async def wait_for(self, seq: int, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            while not any(message["seq"] == seq for message in self.messages):
                self._came.clear()
                await self._came.wait()


async def play(service: Service, steps: list[Step], *, limit_s: float = 10) -> None:
    """Plays the steps with a new user and three followers of the chat; in the end each has exactly the stored list."""
    user, staff = service.user_token(str(uuid4())), await service.staff_token("staff@example.com")
    chat_id = await service.chat_id(user)
    chaos = Chaos(service)
    staff_path = f"/admin/chats/{chat_id}/stream"
    followers = [
        Follower(service, user, "/support_chat/stream"),
        Follower(service, staff, staff_path),
        Follower(service, staff, f"/admin/notifications/stream?chat_id={chat_id}"),
    ]
    published = pytest.MonkeyPatch()
    published.setattr(service.app.bus, "publish", chaos.publish)
    try:
        for follower in followers[:2]:
            await follower.come_back()
        for step in steps:
            await take(service, step, chaos, followers, {"u": (user, None), "a": (staff, chat_id)})
        for follower in followers:
            await follower.come_back()
        chaos.release(0)
        last = await service.send(user, "the last one, which is not lost")
        for follower in followers:
            await follower.wait_for(last["seq"], limit_s)
        stored = (await service.get("/support_chat/messages?after=0&limit=200", user)).json[
            "messages"
        ]
        for follower in followers:
            assert [message["seq"] for message in follower.messages] == [
                message["seq"] for message in stored
            ]
            assert follower.messages == stored
    finally:
        published.undo()
        for follower in followers:
            await follower.cut()


async def take(
    service: Service,
    step: Step,
    chaos: Chaos,
    followers: list[Follower],
    people: dict[str, tuple[str, str | None]],
) -> None:
    what, *rest = step
    if what in ("send", "burst"):
        messages = [rest] if what == "send" else rest[0]
        chaos.fates = [fate for _, fate in messages]
        senders = [people[who] for who, _ in messages]
        await asyncio.gather(
            *(service.send(token, "text", chat_id=chat_id) for token, chat_id in senders)
        )
    elif what == "release":
        chaos.release(rest[0])
    elif what == "cut":
        await followers[rest[0]].cut()
    elif what == "come back":
        await followers[rest[0]].come_back()
    else:  # others get the loop
        for _ in range(rest[0]):
            await asyncio.sleep(0)


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, max_size=12))
def test_everybody_has_the_stored_list(
    io_loop: IOLoop, service: Service, steps: list[Step]
) -> None:
    io_loop.run_sync(lambda: play(service, steps))


LOSSES: dict[str, list[Step]] = {
    "a lost one": [("send", "u", "drop"), ("send", "a", "deliver")],
    "reordered ones": [
        ("send", "u", "delay"),
        ("send", "a", "delay"),
        ("send", "u", "delay"),
        ("release", 0),
    ],
    "one that came twice": [("send", "u", "twice")],
    "one after the other late": [("send", "u", "delay"), ("send", "a", "deliver"), ("release", 0)],
}


@pytest.mark.parametrize("steps", LOSSES.values(), ids=LOSSES)
async def test_known_losses_are_repaired(service: Service, steps: list[Step]) -> None:
    await play(service, steps)


@pytest.mark.parametrize("steps", LOSSES.values(), ids=LOSSES)
async def test_the_harness_sees_them_when_streams_write_whatever_comes(
    service: Service, monkeypatch: pytest.MonkeyPatch, steps: list[Step]
) -> None:
    """The negative control: without the rule `cursor + 1` the same steps leave somebody with another list."""
    monkeypatch.setattr(Subscriber, "offer", lambda self, event: self.write(event.frame))
    with pytest.raises((AssertionError, TimeoutError)):
        await play(service, steps, limit_s=1)


async def test_a_message_stored_while_the_state_is_read_is_not_missed(service: Service) -> None:
    """Between the subscription and the first read of the log, and again between two reads."""
    user = service.user_token()
    await service.chat_id(user)
    streams, sent = service.app.streams, []
    before = streams._sources

    async def start(chat_id: str, cursor: int | None) -> Any:
        found = await before.stream_start(chat_id, cursor)
        sent.append(await service.send(user, "while the state was read"))
        return found

    async def after(chat_id: str, seq: int, limit: int) -> Any:
        page = await before.messages_after(chat_id, seq, limit)
        if len(sent) < 4:
            sent.append(await service.send(user, "while the log was read"))
        return page

    streams._sources = before._replace(stream_start=start, messages_after=after)
    stream = await service.stream(user, cursor=0)
    assert await stream.messages_up_to(4) == sent

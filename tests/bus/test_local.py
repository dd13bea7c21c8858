"""What every bus promises (bus.py). One suite, run on each implementation: a new bus is one line in BUSES.

A test publishes on `here` and looks at what is delivered `there`: two processes on one Redis, or the same bus twice.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pytest
from tornado.ioloop import IOLoop

from chatsvc.bus.local import Bus, LocalBus
from chatsvc.events import Event
from tests.support.redis import RedisCluster, RedisServer
from tests.support.waiting import until


class Pair(NamedTuple):
    """`disturb` cuts whatever is between them."""

    here: Bus
    there: Bus
    disturb: Callable[[], None]


def local_bus(request: pytest.FixtureRequest) -> Pair:
    bus = LocalBus()
    return Pair(bus, bus, lambda: None)


def redis_bus(request: pytest.FixtureRequest) -> Pair:
    server: RedisServer = request.getfixturevalue("redis_server")
    return _redis_pair(server.url, server.url, server.cut)


def redis_bus_on_a_cluster(request: pytest.FixtureRequest) -> Pair:
    """One process at each of two nodes: plain PUBLISH reaches every node of a cluster."""
    cluster: RedisCluster = request.getfixturevalue("redis_cluster")
    return _redis_pair(cluster.nodes[0].url, cluster.nodes[1].url, cluster.cut)


def _redis_pair(here: str, there: str, disturb: Callable[[], None]) -> Pair:
    from chatsvc.bus.redis import RedisBus

    key = b"a key for the tests"
    return Pair(RedisBus(here, "contract", key), RedisBus(there, "contract", key), disturb)


BUSES = [local_bus, redis_bus, redis_bus_on_a_cluster]
TOPICS = [f"chat:{n}" for n in range(3)]


@pytest.fixture(params=BUSES, ids=lambda make: make.__name__)
def pair(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Pair]:
    made: Pair = request.param(request)
    yield made
    for bus in made[:2]:
        io_loop.run_sync(bus.close)


def event(n: int, topic: str = "chat:1") -> Event:
    return Event(topic, b"data: %d\n\n" % n, n)


async def start(
    pair: Pair,
    deliver: Callable[[Event], None],
    *topics: str,
    events_lost: Callable[[], None] = lambda: None,
) -> None:
    """Both; what is published `here` on these topics from now on is delivered `there`."""
    for bus in dict.fromkeys([pair.there, pair.here]):
        await bus.start(deliver if bus is pair.there else lambda event: None, events_lost)
    for topic in topics:
        await subscribed(pair.there, topic)


async def subscribed(bus: Bus, topic: str) -> None:
    if (confirmed := bus.subscribe(topic)) is not None:
        await asyncio.wait_for(confirmed, 5)


async def test_events_are_delivered_on_the_loop_in_the_order_of_publishing(pair: Pair) -> None:
    delivered: list[Event] = []
    loop = asyncio.get_running_loop()

    def deliver(one: Event) -> None:
        assert asyncio.get_running_loop() is loop
        delivered.append(one)

    await start(pair, deliver, *TOPICS)
    published = [event(n, TOPICS[n % 3]) for n in range(1, 3001)]
    for one in published:
        pair.here.publish(one)
    await until(lambda: len(delivered) == len(published))
    for topic in TOPICS:
        assert [one for one in delivered if one.topic == topic] == [
            one for one in published if one.topic == topic
        ]


async def test_what_is_delivered_is_what_was_published(pair: Pair) -> None:
    delivered: list[Event] = []
    published = [
        Event("staff", b"data: {}\n\n"),
        Event("chat:\u00e4", bytes(range(256)) * 400, 2**31 - 1),
    ]
    await start(pair, delivered.append, *(one.topic for one in published))
    for one in published:
        pair.here.publish(one)
    await until(lambda: len(delivered) == 2)
    assert sorted(delivered, key=lambda one: one.seq or 0) == published


async def test_each_event_is_delivered_once_in_the_process_that_published_it(pair: Pair) -> None:
    delivered: list[Event] = []
    await start(pair, delivered.append, *TOPICS)
    for n in range(1, 101):
        pair.there.publish(event(n))
        pair.here.publish(event(n, "chat:2"))
    await until(lambda: len(delivered) >= 200)
    assert [one.seq for one in delivered if one.topic == "chat:1"] == list(range(1, 101))


async def test_a_delivery_that_raises_stops_neither_the_publisher_nor_what_follows(
    pair: Pair, expected_log: list[str]
) -> None:
    expected_log.append("failed to deliver an event of chat:1")
    delivered: list[Event] = []

    def deliver(one: Event) -> None:
        if one.seq == 1:
            raise RuntimeError("a subscriber failed")
        delivered.append(one)

    await start(pair, deliver, "chat:1")
    for n in range(1, 4):
        pair.here.publish(event(n))
    await until(lambda: len(delivered) == 2)
    assert [one.seq for one in delivered] == [2, 3]


async def test_before_the_start_and_after_the_end_publishing_is_harmless(pair: Pair) -> None:
    delivered: list[Event] = []
    pair.here.publish(event(1))
    await start(pair, delivered.append, "chat:1")
    pair.here.publish(event(2))
    await until(lambda: delivered)
    await pair.there.close()
    pair.here.publish(event(3))
    pair.there.publish(event(4))
    await pair.there.close()
    await pair.here.close()
    pair.here.publish(event(5))
    assert [one.seq for one in delivered] == [2]


async def test_an_event_published_while_one_is_delivered_arrives_too(pair: Pair) -> None:
    delivered: list[int | None] = []

    def deliver(one: Event) -> None:
        delivered.append(one.seq)
        if one.seq == 1:
            pair.here.publish(event(2))

    await start(pair, deliver, "chat:1")
    pair.here.publish(event(1))
    await until(lambda: len(delivered) == 2)
    assert sorted(seq or 0 for seq in delivered) == [1, 2]


async def test_only_what_is_subscribed_to_is_delivered_and_nothing_after_the_end_of_that(
    pair: Pair,
) -> None:
    delivered: list[Event] = []
    await start(pair, delivered.append, "chat:1")
    for topic in TOPICS:
        pair.here.publish(event(1, topic))
    await until(lambda: delivered)
    pair.there.unsubscribe("chat:1")
    await subscribed(pair.there, "chat:2")
    for topic in TOPICS:
        pair.here.publish(event(2, topic))
    await until(lambda: event(2, "chat:2") in delivered)
    assert delivered == [event(1, "chat:1"), event(2, "chat:2")]


async def test_who_comes_back_is_subscribed_again_however_quickly(pair: Pair) -> None:
    """The answers to the first and to the third command look the same: only the last one counts."""
    delivered: list[Event] = []
    await start(pair, delivered.append)
    for n in range(1, 31):
        pair.there.subscribe("chat:1")
        pair.there.unsubscribe("chat:1")
        await subscribed(pair.there, "chat:1")
        pair.here.publish(event(n))
        await until(lambda n=n: event(n) in delivered)  # type: ignore[misc]
        pair.there.unsubscribe("chat:1")
    assert [one.seq for one in delivered] == list(range(1, 31))


async def test_that_something_may_not_have_been_published_is_told_to_all(pair: Pair) -> None:
    told: list[Bus] = []
    for bus in dict.fromkeys([pair.there, pair.here]):
        await bus.start(lambda event: None, partial(told.append, bus))
    await until(
        lambda: pair.here is pair.there or len(told) == 3
    )  # who comes up tells himself and those who are there
    told.clear()
    pair.here.publish_events_lost()
    await until(lambda: set(told) == {pair.here, pair.there})


async def test_publishing_takes_no_time(pair: Pair) -> None:
    await start(pair, lambda event: None, "chat:1")
    began = time.perf_counter()
    for n in range(1, 1001):
        pair.here.publish(event(n))
    assert time.perf_counter() - began < 1.0
    assert pair.here.unavailable_reason is None


async def test_after_a_disturbance_it_is_live_again_by_itself_and_what_was_lost_is_told(
    pair: Pair, expected_log: list[str]
) -> None:
    expected_log.append("bus disconnected")
    delivered: list[int] = []
    told: list[int] = []  # how many were published when `events_lost` was called
    published = 0
    await start(
        pair,
        lambda one: delivered.append(one.seq or 0),
        *TOPICS,
        events_lost=lambda: told.append(published),
    )
    await asyncio.to_thread(pair.disturb)
    is_live = False
    while not is_live and published < 2000:
        published += 1
        pair.here.publish(event(published))
        await asyncio.sleep(0.005)
        is_live = (
            published in delivered
            and pair.here.unavailable_reason is None
            and pair.there.unavailable_reason is None
        )
    assert is_live and delivered == sorted(set(delivered))
    lost = set(range(1, published + 1)) - set(delivered)
    assert not lost or max(told) >= max(lost)

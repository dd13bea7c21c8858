"""What every bus promises (bus.py). One suite, run on each implementation: a new bus is one line in BUSES."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from tornado.ioloop import IOLoop

from chatsvc.bus import Bus, LocalBus
from chatsvc.events import Event
from tests.support.waiting import until

BUSES: dict[str, Callable[[], Bus]] = {"LocalBus": LocalBus}


@pytest.fixture(params=BUSES)
def bus(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Bus]:
    made = BUSES[request.param]()
    yield made
    io_loop.run_sync(made.close)


def event(n: int, topic: str = "chat:1") -> Event:
    return Event(topic, b"data: %d\n\n" % n, n)


async def test_events_are_delivered_on_the_loop_in_the_order_of_publishing(bus: Bus) -> None:
    delivered: list[Event] = []
    loop = asyncio.get_running_loop()

    def deliver(one: Event) -> None:
        assert asyncio.get_running_loop() is loop
        delivered.append(one)

    await bus.start(deliver)
    published = [event(n, f"chat:{n % 3}") for n in range(300)]
    for one in published:
        bus.publish(one)
    await until(lambda: len(delivered) == 300)
    assert delivered == published


async def test_what_is_delivered_is_what_was_published(bus: Bus) -> None:
    delivered: list[Event] = []
    await bus.start(delivered.append)
    published = [Event("staff", b"data: {}\n\n"), Event("chat:\u00e4", bytes(range(256)) * 400, 2**31 - 1)]
    for one in published:
        bus.publish(one)
    await until(lambda: len(delivered) == 2)
    assert delivered == published and delivered[0].seq is None


async def test_a_delivery_that_raises_stops_neither_the_publisher_nor_what_follows(
    bus: Bus, expected_log: list[str]
) -> None:
    expected_log.append("delivering to chat:1 failed")
    delivered: list[Event] = []

    def deliver(one: Event) -> None:
        if one.seq == 1:
            raise RuntimeError("a subscriber failed")
        delivered.append(one)

    await bus.start(deliver)
    for n in range(3):
        bus.publish(event(n))
    await until(lambda: len(delivered) == 2)
    assert [one.seq for one in delivered] == [0, 2]


async def test_before_the_start_and_after_the_end_publishing_is_harmless(bus: Bus) -> None:
    delivered: list[Event] = []
    bus.publish(event(1))
    await bus.start(delivered.append)
    bus.publish(event(2))
    await until(lambda: delivered)
    await bus.close()
    bus.publish(event(3))
    await bus.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert [one.seq for one in delivered] == [2]


async def test_an_event_published_while_one_is_delivered_arrives_too(bus: Bus) -> None:
    delivered: list[int | None] = []

    def deliver(one: Event) -> None:
        delivered.append(one.seq)
        if one.seq == 1:
            bus.publish(event(2))

    await bus.start(deliver)
    bus.publish(event(1))
    await until(lambda: len(delivered) == 2)
    assert sorted(seq or 0 for seq in delivered) == [1, 2]

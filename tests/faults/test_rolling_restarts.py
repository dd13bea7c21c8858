"""Restarts under load. systemd holds the socket meanwhile: clients wait, and nobody is refused."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.client import request
from tests.faults.health import assert_settled
from tests.faults.postgres import DurablePostgres
from tests.faults.storm import Storm, some_time
from tests.support.process import ServerProcess
from tests.support.systemd import SupervisedServer
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

RESTARTS = 10
REFUSED = "ConnectionRefusedError"
PINGS = 8
WATCHDOG_USEC = 400_000


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., SupervisedServer]]:
    started: list[SupervisedServer] = []

    def start(database_url: str, **environment: str) -> SupervisedServer:
        server = SupervisedServer(tmp_path, database_url)
        server.environment |= environment
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.close()


@pytest.mark.soak
@pytest.mark.gen_test(timeout=100)
async def test_ten_restarts_refuse_lose_and_double_nothing(
    durable_url: str, supervised: Callable[..., SupervisedServer]
) -> None:
    server = await asyncio.to_thread(supervised, durable_url)
    async with Storm([server.port], durable_url) as storm:
        for _ in range(RESTARTS):
            await storm.more(30)
            await storm.all_open()  # each is told of each restart
            await some_time()
            assert await asyncio.to_thread(server.stop) == 0
            await asyncio.to_thread(server.start)
        await storm.all_open()
        await storm.more(30)
        await storm.pause()
        await assert_settled(server, storm)
        await storm.finish()
        assert [len(follower.closes) for follower in storm.followers] == [RESTARTS] * len(
            storm.followers
        )
        print(storm.outcomes, refusals(storm))
        assert storm.outcomes[REFUSED] == refusals(storm)[REFUSED] == 0
        assert storm.outcomes[200] == 0, "no answer was cut off after its message was stored"


@pytest.mark.gen_test(timeout=60)
async def test_a_restart_without_an_inherited_socket_refuses(
    durable_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    """The negative control of the test above: still nothing is lost, but clients are refused."""
    server = await asyncio.to_thread(start_server, durable_url)
    async with Storm([server.port], durable_url) as storm:
        await storm.more(30)
        assert await asyncio.to_thread(server.stop) == 0
        await until(lambda: storm.outcomes[REFUSED] > 0, "senders are refused")
        await asyncio.to_thread(server.start)
        await storm.finish()


async def test_a_frozen_database_does_not_end_the_service(
    durable: DurablePostgres, durable_url: str, supervised: Callable[..., SupervisedServer]
) -> None:
    """The watchdog asks for the loop, not for the database: it goes on being told, and /readyz says what is wrong."""
    server = await asyncio.to_thread(supervised, durable_url, WATCHDOG_USEC=str(WATCHDOG_USEC))
    assert await asyncio.to_thread(server.told) == "READY=1"
    with durable.frozen():
        ready = asyncio.create_task(request(server.port, "GET", "/readyz"))
        assert [await asyncio.to_thread(server.told) for _ in range(PINGS)] == [
            "WATCHDOG=1"
        ] * PINGS
        assert (await request(server.port, "GET", "/healthz")).status == 200
        assert (await ready).status == 503


def refusals(storm: Storm) -> Counter[int | str]:
    """What followers met with when they came back, by status or name of the exception."""
    return sum((follower.refusals for follower in storm.followers), Counter())

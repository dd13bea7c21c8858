"""Two servers on one database, which know nothing of each other."""

import asyncio
from collections.abc import Callable

import pytest

from tests.faults.health import assert_settled
from tests.faults.history import read_database, violations
from tests.faults.storm import Storm
from tests.support.process import ServerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]


@pytest.mark.gen_test(timeout=60)
async def test_two_servers_on_one_database_number_without_holes_and_replay_exactly(
    durable_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    """Every sender takes any of the two for each try; half of the followers are at each. One of the two is killed in between.

    Negative control: a follower that has lost its cursor when it comes back misses what the other server wrote.
    """
    servers = await asyncio.gather(
        *(asyncio.to_thread(start_server, durable_url) for _ in range(2))
    )
    async with Storm([server.port for server in servers], durable_url) as storm:
        await storm.more(100)
        servers[0].kill()
        await asyncio.to_thread(servers[0].start)
        await storm.more(200)
        await storm.pause()
        for server in servers:
            await assert_settled(server, storm)
        await storm.finish(reconnect=True)
        print(storm.outcomes)
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201, 503}

        careless = storm.followers[0]
        careless.keeps_cursor = False
        storm.senders[0].ports = [port for port in storm.ports if port not in careless.ports]
        await storm.senders[0].send()
        for follower in storm.followers:
            follower.drop()
        await storm.caught_up(but=careless)
        found = violations(storm.history, await asyncio.to_thread(read_database, durable_url))
        assert [line.split(" misses")[0] for line in found] == [f"I3 {careless.seen.name}"]

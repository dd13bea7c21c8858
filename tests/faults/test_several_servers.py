"""Several servers on one Redis: everybody sends to any of them while each is killed in turn, and Redis is restarted, frozen and cut off."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.health import assert_settled, metric
from tests.faults.history import read_database, violations
from tests.faults.storm import Storm, some_time
from tests.support.ports import reserve_port
from tests.support.process import ROOT, ServerProcess
from tests.support.proxies import nginx
from tests.support.redis import RedisServer
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

BETWEEN_FAULTS = 40  # acknowledged messages
LIVE_LIMIT_S = (
    2.0  # for a message to reach every stream; a round of catching up comes every 5 s only
)

Fleet = Callable[..., Awaitable[list[ServerProcess]]]


@pytest.fixture
def start_fleet(tmp_path: Path, durable_url: str, redis_server: RedisServer) -> Iterator[Fleet]:
    """Starts so many servers on one database and one Redis."""
    started: list[ServerProcess] = []

    async def start(count: int, script: Path = ROOT / "server.py") -> list[ServerProcess]:
        for _ in range(count):
            server = ServerProcess(tmp_path, durable_url, bus_url=redis_server.url)
            server.command_line[1:] = [str(script)]
            server.environment["PYTHONPATH"] = str(ROOT)
            started.append(server)
        return await asyncio.gather(*(asyncio.to_thread(server.start) for server in started))

    yield start
    for server in started:
        server.close()


async def all_up(servers: list[ServerProcess], value: float = 1) -> None:
    """Waits until all of them have the bus (with 0: until none has)."""

    async def agree() -> bool:
        return all([await metric(server.port, "chatsvc_bus_up") == value for server in servers])

    await until(agree, f"chatsvc_bus_up is {value:.0f} everywhere")


async def kill_each(servers: list[ServerProcess], storm: Storm) -> None:
    for server in servers:
        await storm.more(BETWEEN_FAULTS)
        await some_time()
        server.kill()
        await asyncio.to_thread(server.start)


async def trouble_redis(
    servers: list[ServerProcess], storm: Storm, redis_server: RedisServer
) -> None:
    """Killed and started, its connections cut (twice)."""
    await storm.more(BETWEEN_FAULTS)
    redis_server.kill()
    await storm.more(BETWEEN_FAULTS)
    await asyncio.to_thread(redis_server.start)
    await all_up(servers)
    for _ in range(2):
        await storm.more(BETWEEN_FAULTS)
        await some_time()
        await asyncio.to_thread(redis_server.cut)
    await all_up(servers)


async def freeze_redis(
    servers: list[ServerProcess], storm: Storm, redis_server: RedisServer
) -> None:
    """Stopped by SIGSTOP until everybody has noticed."""
    with redis_server.frozen():
        await all_up(servers, 0)
        await storm.more(BETWEEN_FAULTS)
    await all_up(servers)
    await storm.more(BETWEEN_FAULTS)


async def assert_live(storm: Storm) -> None:
    """What is sent now reaches every stream at every server at once, not with a round of catching up."""
    for sender in storm.senders:
        message = await sender.send()
        behind = [one.seen for one in storm.followers if one.seen.chat_id == message.chat_id]
        await until(
            lambda: all(seen.newest >= message.seq for seen in behind),  # noqa: B023
            "it is live",
            LIVE_LIMIT_S,
        )


@pytest.mark.soak
@pytest.mark.gen_test(timeout=90)
@pytest.mark.parametrize("count", [2, 3])
async def test_nothing_is_lost_doubled_or_out_of_order_whatever_dies(
    count: int, start_fleet: Fleet, durable_url: str, redis_server: RedisServer
) -> None:
    servers = await start_fleet(count)
    async with Storm([server.port for server in servers], durable_url) as storm:
        await kill_each(servers, storm)
        await trouble_redis(servers, storm, redis_server)
        await freeze_redis(servers, storm, redis_server)
        await storm.pause()
        await storm.caught_up()
        await assert_live(storm)
        for server in servers:
            await assert_settled(server, storm)
        await storm.finish()
        print(len(storm.history.acknowledged), storm.outcomes)
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201}


@pytest.mark.gen_test(timeout=60)
async def test_without_the_rule_the_same_storm_shows_gaps(
    start_fleet: Fleet, durable_url: str, redis_server: RedisServer
) -> None:
    """The negative control, without the frozen Redis, for which it would only wait.

    The servers stay alive: with a new connection a stream begins with what it missed, whatever it does later.
    """
    servers = await start_fleet(2, Path(__file__).parent / "careless_server.py")
    async with Storm([server.port for server in servers], durable_url) as storm:
        await trouble_redis(servers, storm, redis_server)
        await storm.pause()
        await storm.caught_up()
        found = violations(storm.history, await asyncio.to_thread(read_database, durable_url))
        assert any("misses" in line for line in found), found
        assert all(line.startswith("I3") for line in found), "what is stored is right all the same"


SITE = """
{upstream}
server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location / {{ proxy_pass http://chatsvc; }}
}}
"""


@contextlib.contextmanager
def behind_nginx(servers: list[ServerProcess], folder: Path) -> Iterator[int]:
    """With the upstream of docs/scaling.md, before these servers; gives its port."""
    port, guide = reserve_port(), (ROOT / "docs" / "scaling.md").read_text()
    upstream = re.findall(r"^```nginx\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)[0]
    for given, server in zip(("127.0.0.1:8881", "127.0.0.1:8882"), servers, strict=True):
        assert given in upstream
        upstream = upstream.replace(given, f"127.0.0.1:{server.port}")
    with nginx(SITE.format(upstream=upstream, port=port), port, folder):
        yield port


@pytest.mark.gen_test(timeout=60)
async def test_behind_nginx_those_of_a_server_that_dies_go_on_at_the_other(
    start_fleet: Fleet, durable_url: str, tmp_path: Path
) -> None:
    """All clients of this test come from one address, so to one server."""
    servers = await start_fleet(2)
    with behind_nginx(servers, tmp_path) as port:
        async with Storm([port], durable_url, chats=2, senders=1) as storm:
            await storm.pause()
            streams = [await metric(server.port, "chatsvc_open_streams") for server in servers]
            assert 0.0 in streams, "one address comes to one server"
            servers[streams.index(max(streams))].kill()
            for sender in storm.senders:
                await sender.send()
            await storm.all_open()
            await storm.finish()

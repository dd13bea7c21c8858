"""RedisBus when Redis fails or is shared: it says what may be lost, and reconnects by itself."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from chatsvc.bus.envelope import Envelope, Sealer
from chatsvc.bus.redis import RedisBus
from chatsvc.bus.redis_connection import RedisLimits
from chatsvc.doctor import bus
from chatsvc.doctor.finding import Finding, ok
from chatsvc.events import Event
from chatsvc.tasks import cancel
from tests.bus.test_local import event, subscribed
from tests.support.certificate import Certificate
from tests.support.ports import reserve_port
from tests.support.redis import RedisCluster, RedisServer
from tests.support.service import make_config
from tests.support.waiting import until

AWAY = "bus disconnected"
KILLS = 80
KEY = b"a key for the tests"
IMPATIENT = RedisLimits(
    reply_s=0.4, heartbeat_s=0.1, peer_silence_s=0.6, retry_s=(0.01, 0.05), queue_bytes=100_000
)  # a tenth of the time


class Process:
    """A bus as one server has it, and what came of it."""

    def __init__(
        self,
        url: str,
        namespace: str = "test",
        key: bytes = KEY,
        limits: RedisLimits = IMPATIENT,
    ) -> None:
        self.bus = RedisBus(url, namespace, key, limits)
        self.delivered: list[Event] = []
        self.missed = 0

    async def start(self, *topics: str) -> "Process":
        await self.bus.start(self.delivered.append, self._count)
        for topic in topics:
            await subscribed(self.bus, topic)
        return self

    def _count(self) -> None:
        self.missed += 1


@pytest.fixture
def process(io_loop: IOLoop, redis_server: RedisServer) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def make(url: str = redis_server.url, **options: Any) -> Process:
        made.append(Process(url, **options))
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.bus.close)


async def arrives(one: Process, other: Process, n: int) -> None:
    """What one publishes now the other gets."""
    one.bus.publish(event(n))
    await until(lambda: event(n) in other.delivered)


async def test_cut_connections_are_opened_again_and_everybody_is_told_what_may_be_lost(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
) -> None:
    expected_log.append(AWAY)
    here, there = await process().start(), await process().start("chat:1")
    await arrives(here, there, 1)
    for n in range(2, 5):
        before = here.missed, there.missed
        await asyncio.to_thread(redis_server.cut)
        await until(lambda: here.bus.unavailable_reason and there.bus.unavailable_reason)
        await until(
            lambda: here.bus.unavailable_reason is None and there.bus.unavailable_reason is None
        )
        assert here.missed > before[0] and there.missed > before[1]
        await arrives(here, there, n)
    assert [one.seq for one in there.delivered] == [1, 2, 3, 4]


async def test_one_lost_connection_after_another_under_churn_of_streams_is_always_replaced(
    process: Callable[..., Process], redis_server: RedisServer, expected_log: list[str]
) -> None:
    """A server stayed deaf and mute for ever and said that it was ready.

    The cancellation of a task was swallowed by `asyncio.wait_for` (Python 3.11), and the bus
    waited for the end of that task: after 18 to 26 kills here.
    """
    expected_log.append(AWAY)
    one = await process().start()
    churning = asyncio.create_task(churn(one.bus))
    chance = random.Random(1)
    try:
        for _ in range(KILLS):
            await until(lambda: one.bus.unavailable_reason is None, limit_s=5)
            address = chance.choice(await clients(redis_server))
            before = one.missed
            await asyncio.to_thread(redis_server.command, "CLIENT", "KILL", address)
            await until(lambda: one.missed > before + 1, "reconnected", limit_s=5)  # noqa: B023
    finally:
        await cancel(churning)


async def churn(bus: RedisBus) -> None:
    """Streams come and go, each the first and last of its chat."""
    for n in itertools.count(1):
        bus.subscribe(f"chat:{n}")
        bus.unsubscribe(f"chat:{n - 5}")
        await asyncio.sleep(0.001 if n % 50 == 0 else 0)


async def test_a_publisher_that_was_cut_off_alone_tells_the_others(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
) -> None:
    """Their own connections are fine, so nothing else would: a message published meanwhile, the last one of its chat, would be seen by nobody."""
    expected_log.append(AWAY)
    there = await process().start("chat:1")
    known = set(await clients(redis_server))
    here = await process().start()
    await until(lambda: there.missed >= 2)
    before = there.missed
    address = (set(await clients(redis_server)) - known).pop()
    await asyncio.to_thread(redis_server.command, "CLIENT", "KILL", address)
    await until(lambda: here.bus.unavailable_reason)
    here.bus.publish(event(1))
    await until(lambda: there.missed > before)
    assert there.bus.unavailable_reason is None and not there.delivered


async def clients(redis_server: RedisServer) -> list[str]:
    """The addresses of those who say that they are chatsvc."""
    lines = (await asyncio.to_thread(redis_server.command, "CLIENT", "LIST")).decode().splitlines()
    found = [dict(part.split("=", 1) for part in line.split()) for line in lines]
    return [one["addr"] for one in found if one["name"] == "chatsvc"]


async def test_a_redis_that_is_silent_is_away_and_publishing_goes_on_without_it(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
) -> None:
    """Its connections stay open and take what is sent, for a while: only that it does not answer shows it."""
    expected_log.append(AWAY)
    here, there = await process().start("chat:2"), await process().start("chat:1")
    with redis_server.frozen():
        waiting = there.bus.subscribe("chat:3")
        assert waiting is not None
        began = time.perf_counter()
        for n in range(1, 1001):
            here.bus.publish(Event("chat:2", b"x" * 1000, n))
        assert time.perf_counter() - began < 1.0
        assert len(here.delivered) == 1000, "in the same process it arrives all the same"
        assert here.bus.queued_bytes < 102_000
        await asyncio.wait_for(waiting, 2)
        await until(lambda: here.bus.unavailable_reason and there.bus.unavailable_reason, limit_s=2)
        before = here.missed, there.missed
    await until(
        lambda: here.bus.unavailable_reason is None and there.bus.unavailable_reason is None
    )
    await until(lambda: here.missed > before[0] and there.missed > before[1])
    await arrives(here, there, 1)


async def test_without_a_redis_it_starts_all_the_same_and_is_live_when_there_is_one(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
) -> None:
    expected_log.append(
        f"{AWAY}: Error 111 connecting to {redis_server.url.removeprefix('redis://')}"
    )
    redis_server.kill()
    try:
        here = await process().start()
        there = await process().start("chat:1")
        assert here.bus.unavailable_reason and there.bus.subscribe("chat:1") is None
    finally:
        await asyncio.to_thread(redis_server.start)
    await until(
        lambda: here.bus.unavailable_reason is None and there.bus.unavailable_reason is None
    )
    await until(lambda: here.missed and there.missed)
    await arrives(here, there, 1)


async def test_a_password_that_is_wrong_is_named_and_never_told(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
) -> None:
    expected_log.append(f"{AWAY}: invalid username-password pair")
    one = await process(redis_server.url.replace("redis://", "redis://somebody:hunter2@")).start()
    assert one.bus.unavailable_reason and "hunter2" not in one.bus.unavailable_reason


async def test_a_process_that_dies_is_missed_and_one_that_says_good_bye_is_not(
    process: Callable[..., Process],
) -> None:
    """kill -9 between COMMIT and publishing: the others look into the log, although nothing came."""
    survivor, leaving = await process().start(), await process().start()
    await until(lambda: survivor.bus.peers == 1)
    told = survivor.missed
    await leaving.bus.close()
    await until(lambda: not survivor.bus.peers)
    dying = await process().start()
    await until(lambda: survivor.bus.peers == 1)
    assert survivor.missed == told + 1, "for the one that came, none for the one that went"
    await dying.bus.abort()
    await until(lambda: not survivor.bus.peers)
    assert survivor.missed == told + 2


async def test_installations_that_share_a_redis_do_not_hear_each_other(
    process: Callable[..., Process],
) -> None:
    ours, theirs = (
        await process(namespace="ours").start("staff"),
        await process(namespace="theirs").start("staff"),
    )
    other = await process(namespace="ours").start("staff")
    theirs.bus.publish(Event("staff", b"data: theirs\n\n"))
    other.bus.publish(Event("staff", b"data: ours\n\n"))
    await until(lambda: ours.delivered)
    assert [one.frame for one in ours.delivered] == [b"data: ours\n\n"]
    assert ours.missed == 2, "its own start and the other's"


async def test_an_event_sealed_with_another_key_or_for_another_channel_is_rejected(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Anybody who may publish on Redis could show texts in chats and suppress real messages."""
    expected_log.append("rejected an event on the bus")
    here, there = await process().start(), await process().start("chat:1")
    forged = Envelope(b"somebody", b"data: forged\n\n", 1)
    payloads = (
        b"",
        b"hello",
        Sealer(b"another key").seal("chatsvc:test:chat:1", forged),
        Sealer(KEY).seal("chatsvc:test:chat:2", forged),
        Sealer(KEY).seal("chatsvc:test:chat:1", forged)[16:],
        Sealer(KEY).seal("chatsvc:test:chat:1", Envelope(b"a", b"b", 0)),
    )
    for payload in payloads:
        await asyncio.to_thread(redis_server.command, "PUBLISH", "chatsvc:test:chat:1", payload)
    await arrives(here, there, 1)
    assert there.delivered == [event(1)]
    rejected = [one for one in caplog.records if "rejected an event" in one.getMessage()]
    assert len(rejected) == 1, "a flood of forged events must not flood the log"


async def test_redis_carries_only_what_somebody_listens_to(
    process: Callable[..., Process], redis_server: RedisServer
) -> None:
    one = await process(namespace="counted").start(*(f"chat:{n}" for n in range(1, 20)))
    assert redis_server.listeners("chatsvc:counted:chat:*") == 19
    for n in range(1, 20):
        one.bus.unsubscribe(f"chat:{n}")
    await subscribed(one.bus, "chat:20")
    assert redis_server.listeners("chatsvc:counted:chat:*") == 1


async def test_rediss_is_tls_and_trusts_whom_it_is_told_to(
    tmp_path: Path, certificate: Certificate
) -> None:
    port, file, key = reserve_port(), str(certificate.file), str(certificate.key)
    files = ("--tls-cert-file", file, "--tls-key-file", key, "--tls-ca-cert-file", file)
    server = RedisServer(tmp_path, "--tls-port", str(port), "--tls-auth-clients", "no", *files)
    await asyncio.to_thread(server.start)
    try:
        url = f"rediss://localhost:{port}"
        assert (await bus_finding(tmp_path, f"{url}?ssl_ca_certs={file}")).level == "ok"
        assert "certificate" in (await bus_finding(tmp_path, url)).found
    finally:
        server.kill()


async def bus_finding(data_dir: Path, url: str, limit_s: float = bus.LIMIT_S) -> Finding:
    (finding,) = await asyncio.to_thread(
        lambda: list(bus.check(make_config(data_dir, bus_url=url), limit_s))
    )
    return finding


async def test_the_doctor_sends_an_event_there_and_back(
    tmp_path: Path, redis_server: RedisServer, redis_cluster: RedisCluster
) -> None:
    for url in (redis_server.url, redis_cluster.url):
        assert await bus_finding(tmp_path, url) == ok("bus", "Redis delivers events")
    assert list(bus.check(make_config(tmp_path))) == []


async def test_the_doctor_names_what_is_wrong_with_the_bus(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Nobody there, nobody who answers, somebody who may not listen."""
    redis_server.command("ACL", "SETUSER", "deaf", "on", ">hunter2", "~*", "+@all", "resetchannels")
    deaf = redis_server.url.replace("redis://", "redis://deaf:hunter2@")
    found = await bus_finding(tmp_path, deaf)
    assert found.level == "FAIL" and "channels" in found.found and "hunter2" not in str(found)
    nobody = await bus_finding(tmp_path, f"redis://127.0.0.1:{reserve_port()}")
    assert nobody.level == "FAIL" and "Connect call failed" in nobody.found
    with redis_server.frozen():
        assert (await bus_finding(tmp_path, redis_server.url, limit_s=1)).level == "FAIL"

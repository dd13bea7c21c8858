"""RedisBus when Redis goes, or is somebody else's: what may be lost is said, and all is live again by itself."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError
from tornado.ioloop import IOLoop

from chatsvc.bus import redis, redis_nodes
from chatsvc.bus.redis import RedisBus
from chatsvc.doctor import bus
from chatsvc.doctor.finding import Finding, ok
from chatsvc.events import Event
from tests.bus.test_local import event, subscribed
from tests.support.certificate import Certificate
from tests.support.ports import reserve_port
from tests.support.redis import RedisCluster, RedisServer
from tests.support.service import make_config
from tests.support.waiting import until

AWAY = "the bus is away"


class Process:
    """A bus as one server has it, and what came of it."""

    def __init__(self, url: str, namespace: str = "test") -> None:
        self.bus = RedisBus(url, namespace)
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

    def make(url: str = redis_server.url, namespace: str = "test") -> Process:
        made.append(Process(url, namespace))
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.bus.close)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a tenth of the time."""
    monkeypatch.setattr(redis_nodes, "ANSWER_LIMIT_S", 0.4)
    monkeypatch.setattr(redis, "ANSWER_LIMIT_S", 0.4)
    monkeypatch.setattr(redis, "PEER_LIMIT_S", 0.6)
    monkeypatch.setattr(redis, "BEAT_S", 0.1)
    monkeypatch.setattr(redis, "RETRY_S", (0.01, 0.05))


async def arrives(one: Process, other: Process, n: int) -> None:
    """What one publishes now the other gets."""
    one.bus.publish(event(n))
    await until(lambda: event(n) in other.delivered)


async def test_cut_connections_are_opened_again_and_everybody_is_told_what_may_be_lost(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    impatient: None,
) -> None:
    expected_log.append(AWAY)
    here, there = await process().start(), await process().start("chat:1")
    await arrives(here, there, 1)
    for n in range(2, 5):
        before = here.missed, there.missed
        await asyncio.to_thread(redis_server.cut)
        await until(lambda: here.bus.trouble and there.bus.trouble)
        await until(lambda: here.bus.trouble is None and there.bus.trouble is None)
        assert here.missed > before[0] and there.missed > before[1]
        await arrives(here, there, n)
    assert [one.seq for one in there.delivered] == [1, 2, 3, 4]


async def test_a_publisher_that_was_cut_off_alone_tells_the_others(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    impatient: None,
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
    await until(lambda: here.bus.trouble)
    here.bus.publish(event(1))
    await until(lambda: there.missed > before)
    assert there.bus.trouble is None and not there.delivered


async def clients(redis_server: RedisServer) -> list[str]:
    """The addresses of those who say that they are chatsvc."""
    lines = (await asyncio.to_thread(redis_server.command, "CLIENT", "LIST")).decode().splitlines()
    found = [dict(part.split("=", 1) for part in line.split()) for line in lines]
    return [one["addr"] for one in found if one["name"] == "chatsvc"]


async def test_a_redis_that_is_silent_is_away_and_publishing_goes_on_without_it(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connections stay open and take what is sent, for a while: only that it does not answer shows it."""
    expected_log.append(AWAY)
    monkeypatch.setattr(redis_nodes, "OUTBOX_MAX_BYTES", 100_000)
    here, there = await process().start("chat:2"), await process().start("chat:1")
    with redis_server.frozen():
        waiting = there.bus.subscribe("chat:3")
        assert waiting is not None
        began = time.perf_counter()
        for n in range(1, 1001):
            here.bus.publish(Event("chat:2", b"x" * 1000, n))
        assert time.perf_counter() - began < 0.5
        assert len(here.delivered) == 1000, "in the same process it arrives all the same"
        assert here.bus._nodes is not None
        assert (
            sum(
                box._bytes
                for node in here.bus._nodes._nodes
                for box in (node.publications, node.questions)
            )
            < 102_000
        )
        await asyncio.wait_for(waiting, 2)
        await until(lambda: here.bus.trouble and there.bus.trouble, limit_s=2)
        before = here.missed, there.missed
    await until(lambda: here.bus.trouble is None and there.bus.trouble is None)
    await until(lambda: here.missed > before[0] and there.missed > before[1])
    await arrives(here, there, 1)


async def test_without_a_redis_it_starts_all_the_same_and_is_live_when_there_is_one(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    impatient: None,
) -> None:
    expected_log.append(
        f"{AWAY}: Error 111 connecting to {redis_server.url.removeprefix('redis://')}"
    )
    redis_server.kill()
    try:
        here = await process().start()
        there = await process().start("chat:1")
        assert here.bus.trouble and there.bus.subscribe("chat:1") is None
    finally:
        await asyncio.to_thread(redis_server.start)
    await until(lambda: here.bus.trouble is None and there.bus.trouble is None)
    await until(lambda: here.missed and there.missed)
    await arrives(here, there, 1)


async def test_a_password_that_is_wrong_is_named_and_never_told(
    process: Callable[..., Process],
    redis_server: RedisServer,
    expected_log: list[str],
    impatient: None,
) -> None:
    expected_log.append(f"{AWAY}: invalid username-password pair")
    one = await process(redis_server.url.replace("redis://", "redis://somebody:hunter2@")).start()
    assert one.bus.trouble and "hunter2" not in one.bus.trouble


async def test_a_process_that_dies_is_missed_and_one_that_says_good_bye_is_not(
    process: Callable[..., Process], impatient: None
) -> None:
    """kill -9 between COMMIT and publishing: the others look into the log, although nothing came."""
    survivor, leaving = await process().start(), await process().start()
    await until(lambda: len(survivor.bus._peers) == 1)
    told = survivor.missed
    await leaving.bus.close()
    await until(lambda: not survivor.bus._peers)
    dying = await process().start()
    await until(lambda: len(survivor.bus._peers) == 1)
    assert survivor.missed == told + 1, "for the one that came, none for the one that went"
    assert dying.bus._task is not None
    dying.bus._task.cancel()
    await until(lambda: not survivor.bus._peers)
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


async def test_what_is_none_of_ours_is_passed_over(
    process: Callable[..., Process], redis_server: RedisServer, expected_log: list[str]
) -> None:
    expected_log.append("what came on the bus for chat:1 is none of ours")
    here, there = await process().start(), await process().start("chat:1")
    for payload in (
        b"",
        b"hello",
        b"\x93\x01\x02\x03",
        b"\x93\xc4\x01a\xc4\x01b\x00",
        b"\x93\xc4\x01a\xc4\x01b\xa1c",
    ):
        await asyncio.to_thread(redis_server.command, "PUBLISH", "chatsvc:test:chat:1", payload)
    await arrives(here, there, 1)
    assert there.delivered == [event(1)]


async def test_redis_carries_only_what_somebody_listens_to(
    process: Callable[..., Process], redis_server: RedisServer
) -> None:
    one = await process(namespace="counted").start(*(f"chat:{n}" for n in range(1, 20)))
    assert redis_server.listeners("chatsvc:counted:chat:*") == 19
    for n in range(1, 20):
        one.bus.unsubscribe(f"chat:{n}")
    await subscribed(one.bus, "chat:20")
    assert redis_server.listeners("chatsvc:counted:chat:*") == 1


async def test_only_the_answer_to_the_last_command_says_that_a_channel_is_heard() -> None:
    """A stream that comes, goes and comes again: between the first answer and the last Redis may send nothing."""
    unused = Connection()
    node = redis_nodes._Node(unused, unused, is_cluster=False)
    for verb in ("SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"):
        node.ask(verb, "chat:1")
    answers = (b"subscribe", b"unsubscribe", b"subscribe")
    assert [node._settle(kind, b"chat:1") for kind in answers] == [False, False, True]
    with pytest.raises(ConnectionError, match="a slot was moved"):
        node._settle(b"unsubscribe", b"chat:1")


async def test_a_slot_that_moves_to_another_node_takes_its_channels_along(
    process: Callable[..., Process],
    redis_cluster: RedisCluster,
    expected_log: list[str],
    impatient: None,
) -> None:
    expected_log.append(AWAY)
    here, there = (
        await process(redis_cluster.url).start(),
        await process(redis_cluster.url).start("chat:1"),
    )
    await arrives(here, there, 1)
    before = there.missed
    await asyncio.to_thread(redis_cluster.move, "chatsvc:test:chat:1")
    here.bus.publish(event(2))
    await until(
        lambda: there.missed > before and here.bus.trouble is None and there.bus.trouble is None
    )
    await arrives(here, there, 3)


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


async def bus_finding(data_dir: Path, url: str) -> Finding:
    (finding,) = await asyncio.to_thread(
        lambda: list(bus.check(make_config(data_dir, bus_url=url)))
    )
    return finding


async def test_the_doctor_sends_an_event_there_and_back(
    tmp_path: Path, redis_server: RedisServer, redis_cluster: RedisCluster
) -> None:
    for url in (redis_server.url, redis_cluster.url):
        assert await bus_finding(tmp_path, url) == ok("bus", "Redis takes events and brings them")
    assert list(bus.check(make_config(tmp_path))) == []


async def test_the_doctor_names_what_is_wrong_with_the_bus(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there, nobody who answers, somebody who may not listen."""
    monkeypatch.setattr(bus, "LIMIT_S", 1)
    monkeypatch.setattr(redis_nodes, "CONNECT_LIMIT_S", 0.5)
    redis_server.command("ACL", "SETUSER", "deaf", "on", ">hunter2", "~*", "+@all", "resetchannels")
    deaf = redis_server.url.replace("redis://", "redis://deaf:hunter2@")
    found = await bus_finding(tmp_path, deaf)
    assert found.level == "FAIL" and "channels" in found.found and "hunter2" not in str(found)
    nobody = await bus_finding(tmp_path, f"redis://127.0.0.1:{reserve_port()}")
    assert nobody.level == "FAIL" and "Connect call failed" in nobody.found
    with redis_server.frozen():
        assert (await bus_finding(tmp_path, redis_server.url)).level == "FAIL"

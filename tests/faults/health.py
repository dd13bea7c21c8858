"""I6: when the fault is over the server is as it was before."""

import asyncio
import statistics
import time

import psutil

from tests.faults.client import HOST, Sender, request
from tests.faults.storm import Storm
from tests.support.postgres import execute
from tests.support.process import ServerProcess
from tests.support.waiting import until

RECOVERY_LIMIT_S = 5.0
P95_LIMIT_S = 1.0  # client, server and PostgreSQL share two cores in CI
PROBES = 40
RSS_GROWTH = 1.2
RSS_SLACK_BYTES = (
    16 * 2**20
)  # what an allocator keeps: 20 % of a process that has just been started is less


async def metric(port: int, name: str) -> float:
    """A figure of /metrics without labels."""
    text = (await request(port, "GET", "/metrics")).body.decode()
    return next(
        float(line.split(" ")[1]) for line in text.splitlines() if line.startswith(f"{name} ")
    )


def rss(server: ServerProcess) -> int:
    """Resident bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


def open_sockets(server: ServerProcess) -> int:
    """Connections that the server has accepted and not closed."""
    connections = psutil.Process(server.pid).net_connections("tcp")
    return sum(1 for one in connections if one.raddr and one.laddr == (HOST, server.port))


async def p95_of_sending(sender: Sender) -> float:
    """Seconds, over PROBES messages one after the other."""
    seconds = []
    for _ in range(PROBES):
        began = time.monotonic()
        await sender.send()
        seconds.append(time.monotonic() - began)
    return statistics.quantiles(seconds, n=20)[-1]


async def registry_is_exact(server: ServerProcess) -> bool:
    """The registry of streams and the open sockets are the same number."""
    streams = await metric(server.port, "chatsvc_open_streams")
    return streams == open_sockets(server)


def idle_transactions(database_url: str) -> list[object]:
    sql = """SELECT application_name FROM pg_stat_activity
             WHERE application_name LIKE 'chatsvc%' AND state LIKE 'idle in transaction%' AND now() - state_change > '100 ms'"""
    return list(execute(database_url, sql))


async def assert_settled(
    server: ServerProcess, storm: Storm, *, rss_before: int | None = None
) -> None:
    """Checks I6. Call it when nobody sends any more; messages of its own are part of the storm's history."""
    sender, deadline = storm.senders[0], time.monotonic() + RECOVERY_LIMIT_S
    while (p95 := await p95_of_sending(sender)) > P95_LIMIT_S:
        assert time.monotonic() < deadline, f"p95 of sending is {p95 * 1000:.0f} ms"
    await until(
        lambda: registry_is_exact(server), "the registry has the open sockets, no more and no less"
    )
    assert not await asyncio.to_thread(idle_transactions, storm.database_url)
    await until(lambda: _is_idle(server), "no work is left")
    if rss_before is not None:
        assert rss(server) <= rss_before * RSS_GROWTH + RSS_SLACK_BYTES, (rss_before, rss(server))
    assert "Traceback" not in server.log, server.log[-3000:]


async def _is_idle(server: ServerProcess) -> bool:
    return await metric(server.port, "chatsvc_database_queue") == 0

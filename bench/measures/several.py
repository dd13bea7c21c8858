"""send → commit → delivered with one, two and three servers on one database, and what the bus costs."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from bench.harness import Harness
from bench.load import Load, open_streams_strictly
from bench.measures.hotpath import CHATS, ROUND_S, ROUNDS, SENDERS, WARM_UP_S
from bench.messages import Conversation
from bench.process import cpu_seconds
from bench.redis import redis_server
from bench.servers import Server, Service, running
from bench.table import Row, median, microseconds, milliseconds, percentile, times

COUNTS = (1, 2, 3)


@dataclass
class Fleet:
    """So many servers, and everybody who sends and listens, spread over them evenly; a value per round."""

    name: str
    servers: list[Server]
    redis_pid: int | None
    talk: Conversation
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds per message, of all servers
    redis_cpu: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # processors in use on the whole machine

    def one_round(self, seconds: float) -> None:
        used, redis_used, idle = self._used(), self._redis_used(), idle_seconds()
        done = self.talk.run(seconds=seconds)
        messages = len(done.latencies)
        self.rates.append(done.rate)
        self.p50.append(percentile(done.latencies, 0.5))
        self.cpu.append((self._used() - used) / messages)
        self.redis_cpu.append((self._redis_used() - redis_used) / messages)
        self.busy.append((os.cpu_count() or 1) - (idle_seconds() - idle) / done.seconds)

    def _used(self) -> float:
        return sum(cpu_seconds(server.pid) for server in self.servers)

    def _redis_used(self) -> float:
        return 0.0 if self.redis_pid is None else cpu_seconds(self.redis_pid)


def measure(harness: Harness) -> list[Row]:
    seconds = 1 if harness.quick else ROUND_S
    alone, _ = harness.services()
    with ExitStack() as stack:
        url, pid = stack.enter_context(redis_server(harness.folder))
        together = replace(alone, options={**alone.options, "BUS_URL": url})
        fleets = [fleet(stack, harness, "one server without a bus", alone, 1)]
        for n, count in enumerate(COUNTS, 1):
            name = f"{count} server{'s' if count > 1 else ''} with Redis"
            fleets.append(
                fleet(stack, harness, name, together, count, first_user=n * CHATS, redis_pid=pid)
            )
        for one in fleets:
            one.talk.run(seconds=1 if harness.quick else WARM_UP_S)
        for _round in range(harness.rounds(ROUNDS)):
            for one in fleets:
                one.one_round(seconds)
    return rows(fleets)


def fleet(
    stack: ExitStack,
    harness: Harness,
    name: str,
    service: Service,
    count: int,
    *,
    first_user: int = 0,
    redis_pid: int | None = None,
) -> Fleet:
    """Each with chats of its own: all run on one database."""
    servers = [stack.enter_context(running(service, harness.folder)) for _ in range(count)]
    load = Load(*(server.address for server in servers))
    stack.callback(load.close)
    users = list(range(first_user, first_user + CHATS))
    open_streams_strictly(load, servers[0].stream_requests(users))
    return Fleet(name, servers, redis_pid, Conversation(servers[0], load, users, SENDERS))


def idle_seconds() -> float:
    """Of all processors together since the machine was started."""
    with open("/proc/stat") as stat:
        columns = stat.readline().split()
    return (int(columns[4]) + int(columns[5])) / os.sysconf("SC_CLK_TCK")


def rows(fleets: list[Fleet]) -> list[Row]:
    alone, one = fleets[0], fleets[1]
    found = []
    for each in fleets:
        rate = median(each.rates)
        value = f"{rate:,.0f}/s, p50 {milliseconds(median(each.p50))}"
        found.append(
            Row(
                f"send → commit → delivered, {each.name}",
                value,
                ratio=times(rate / median(alone.rates)),
            )
        )
        processors = f"{median(each.busy):.1f} of {os.cpu_count()} processors busy"
        found.append(
            Row(f"… servers' CPU per message; {processors}", microseconds(median(each.cpu)))
        )
    cost = median(one.cpu) - median(alone.cpu)
    spread = median(fleets[-1].cpu) - median(alone.cpu)
    found.append(Row("the bus per message: publishing", microseconds(cost)))
    found.append(
        Row(
            f"… and receiving, and smaller commits, with {len(fleets[-1].servers)} servers",
            microseconds(spread),
        )
    )
    found.append(Row("… of Redis itself", microseconds(median(fleets[-1].redis_cpu))))
    found.append(Row(f"what limits: {limit(fleets)}", "–"))
    return found


def limit(fleets: list[Fleet]) -> str:
    """In words: whether the machine had anything left for another server."""
    processors = os.cpu_count() or 1
    if median(fleets[-1].busy) > processors - 0.3:
        return f"the {processors} processors, which servers, PostgreSQL, Redis and the load share"
    return "not the processors: the commits of PostgreSQL, or the load"

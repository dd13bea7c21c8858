"""Opening thousands of streams on a server that was just started: of users it knows, and of new ones."""

import time
from dataclasses import dataclass, field

from bench.harness import Harness
from bench.load import Load, open_streams_strictly
from bench.process import Used, limit
from bench.servers import Server, Service, running
from bench.table import Row, cpu, median, median_used, times

STREAMS = 5_000
PLAIN_STREAMS = 1_000  # at the reference, once: more would take most of the run
IN_FLIGHT = 500
ROUNDS = 3
NEW_USERS_FROM = 1_000_000  # nobody has these numbers: each round of each server takes others
KNOWN_TARGET, NEW_TARGET = 3_000, 1_200  # streams a second


@dataclass
class Openings:
    """Of one service, a value per round."""

    rates: list[float] = field(default_factory=list)
    spent: list[Used] = field(default_factory=list)  # per stream
    limit: str = ""  # of the last round

    def open(self, harness: Harness, server: Server, users: range) -> None:
        """Open a stream for each user, up to its first event."""
        load = Load(server.address)
        requests = server.stream_requests(users)
        try:
            before, began = harness.used(server), time.perf_counter()
            open_streams_strictly(load, requests, IN_FLIGHT)
            seconds = time.perf_counter() - began
            spent = harness.used(server).since(before)
        finally:
            load.close()
        self.rates.append(len(users) / seconds)
        self.spent.append(spent.per(len(users)))
        self.limit = limit(spent, seconds)


def measure(harness: Harness) -> list[Row]:
    tested, plain = harness.services()
    streams, plain_streams = harness.count(STREAMS), harness.count(PLAIN_STREAMS)
    found = {service.name: (Openings(), Openings()) for service in (tested, plain, harness.node)}
    for number in range(harness.rounds(ROUNDS)):
        for service in (tested, harness.node):
            one_round(harness, service, found[service.name], number, streams)
    one_round(harness, plain, found[plain.name], 0, plain_streams)
    known, new = zip(*found.values(), strict=True)
    return [
        *rows(f"{streams:,} streams of known users after a restart", KNOWN_TARGET, *known),
        *rows(f"{streams:,} streams of new users", NEW_TARGET, *new),
    ]


def one_round(
    harness: Harness,
    service: Service,
    openings: tuple[Openings, Openings],
    number: int,
    streams: int,
) -> None:
    known, new = openings
    with running(service, harness.folder) as server:
        known.open(harness, server, range(streams))
    first = NEW_USERS_FROM + number * streams
    with running(service, harness.folder) as server:
        new.open(harness, server, range(first, first + streams))


def rows(
    figure: str, target: int, tested: Openings, plain: Openings, node: Openings
) -> tuple[Row, Row]:
    rate, plain_rate, node_rate = (median(one.rates) for one in (tested, plain, node))
    spent, plain_spent, node_spent = (median_used(one.spent) for one in (tested, plain, node))
    return (
        Row(
            figure,
            f"{rate:,.0f}/s",
            f"≥ {target:,}/s",
            f"{plain_rate:,.0f}/s",
            times(rate / plain_rate),
            rate >= target,
            f"{node_rate:,.0f}/s",
            times(rate / node_rate),
            tested.limit,
        ),
        Row(
            "… CPU per stream, server + PostgreSQL",
            cpu(spent),
            reference=cpu(plain_spent),
            ratio=times(spent.server / plain_spent.server),
            node=cpu(node_spent),
            node_ratio=times(spent.server / node_spent.server),
        ),
    )

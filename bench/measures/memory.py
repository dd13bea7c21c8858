"""Resident memory per idle stream: at 5,000; at 10,000 against 1,000; and after all have closed."""

import time
from dataclasses import dataclass

from bench.arena import USERS, Arena
from bench.load import Load, open_streams_strictly
from bench.process import resident_bytes
from bench.servers import Server, running
from bench.table import Row, kibibytes, mebibytes, times

IDLE = 5_000
FEW, MANY = 1_000, 10_000
ROUNDS = 3
WARM_UP = 1_000  # other users' streams opened and closed first: what serving requests takes at its peak is there
SETTLE_S = 1.0
PER_STREAM_BYTES = 6 * 1024
FLAT = 0.15
CLOSE_LIMIT_S = 10  # for the server to notice that all have closed and to give memory back
STEADY_BYTES = 65_536  # changes below this within SETTLE_S are noise


@dataclass(frozen=True)
class Growth:
    """Of one round, in bytes: per stream at few and at many; the process at first, at most, at last."""

    few: float
    many: float
    start: int
    peak: int
    after: int


def measure(arena: Arena) -> list[Row]:
    tested, plain = arena.services()
    idle, few, many = arena.count(IDLE), arena.count(FEW), arena.count(MANY)
    idle_sizes = []
    for service in (tested, plain):
        with running(service, arena.folder) as server:
            idle_sizes.append(idle_stream(server, idle))
    with running(tested, arena.folder) as server:
        growth = [one_round(server, few, many) for _ in range(arena.rounds(ROUNDS))]
    with running(plain, arena.folder) as server:
        plain_growth = [one_round(server, few, many)]
    return [idle_row(idle, *idle_sizes), *growth_rows(few, many, growth, plain_growth)]


def idle_stream(server: Server, streams: int) -> float:
    """Bytes per stream, each another user's."""
    load = Load(server.address)
    try:
        warm_up(server, load)
        start = resident_bytes(server.pid)
        return open_and_weigh(server, load, streams, start)
    finally:
        load.close()


def one_round(server: Server, few: int, many: int) -> Growth:
    load = Load(server.address)
    try:
        warm_up(server, load)
        start = resident_bytes(server.pid)
        at_few = open_and_weigh(server, load, few, start)
        at_many = open_and_weigh(server, load, many, start)
        peak = resident_bytes(server.pid)
        close_all(server, load)
        return Growth(at_few, at_many, start, peak, resident_bytes(server.pid))
    finally:
        load.close()


def open_and_weigh(server: Server, load: Load, streams: int, start: int) -> float:
    """Open up to that many; what each of them takes."""
    open_streams_strictly(load, server.stream_requests(range(load.opened, streams)))
    load.run_for(SETTLE_S)
    return (resident_bytes(server.pid) - start) / streams


def warm_up(server: Server, load: Load) -> None:
    open_streams_strictly(load, server.stream_requests(range(USERS - WARM_UP, USERS)))
    close_all(server, load)


def close_all(server: Server, load: Load) -> None:
    """Close every stream and wait until the server has noticed and its memory has come to rest."""
    load.close_streams()
    deadline = time.monotonic() + CLOSE_LIMIT_S
    before = 0
    while abs(before - (now := resident_bytes(server.pid))) > STEADY_BYTES and time.monotonic() < deadline:
        before = now
        load.run_for(SETTLE_S)


def idle_row(streams: int, size: float, plain_size: float) -> Row:
    return Row(
        f"{streams:,} idle streams: resident per stream",
        kibibytes(size),
        f"≤ {kibibytes(PER_STREAM_BYTES)}",
        kibibytes(plain_size),
        times(size / plain_size),
        size <= PER_STREAM_BYTES,
    )


def growth_rows(few: int, many: int, rounds: list[Growth], plain: list[Growth]) -> list[Row]:
    first, plain_first = rounds[0], plain[0]
    flat = first.many / first.few
    back = max(one.after for one in rounds) / first.start
    return [
        Row(
            f"memory per stream at {many:,} against {few:,}",
            f"{kibibytes(first.few)} → {kibibytes(first.many)}: {times(flat)}",
            f"± {FLAT:.0%}",
            f"{kibibytes(plain_first.few)} → {kibibytes(plain_first.many)}",
            passed=abs(flat - 1) <= FLAT,
        ),
        Row(
            f"… after all have closed, {len(rounds)} rounds",
            f"{mebibytes(first.start)} → " + ", ".join(mebibytes(one.after) for one in rounds),
            f"≤ {1 + FLAT:g} ×",
            f"{mebibytes(plain_first.start)} → {mebibytes(plain_first.after)}",
            times(back),
            back <= 1 + FLAT,
        ),
    ]

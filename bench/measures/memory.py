"""Resident memory per idle stream: at 5,000; at 10,000 against 1,000; and after all have closed, again and again."""

import time
from dataclasses import dataclass
from itertools import pairwise

from bench.harness import USERS, Harness
from bench.load import Load, open_streams_strictly
from bench.process import resident_bytes
from bench.servers import Server, running
from bench.table import Row, kibibytes, mebibytes, times

IDLE = 5_000
# The resident set grows by the allocator's arenas of 1 MiB: the thousandth stream alone cannot be weighed. So the cost of one more
# stream is the slope from FEW to MIDDLE, and from MIDDLE to MANY.
FEW, MIDDLE, MANY = 1_000, 5_500, 10_000
ROUNDS = (
    3  # after a first one, in which the allocator takes what it never gives back (bench/README.md)
)
TOUCH = 100  # streams opened and closed first: threads started, modules loaded, database connected
# other users' streams that stay open while the others are weighed: what serving requests takes at its peak is there
# then, and nothing that they have freed is there to be used again, which would make the weighed ones look light
HELD = 1_000
SETTLE_S = 1.0
PER_STREAM_BYTES = 2 * 1024
FLAT = 0.15
CLOSE_LIMIT_S = 10  # for the server to notice that all have closed and to give memory back
STEADY_BYTES = 65_536  # changes below this within SETTLE_S are noise


@dataclass(frozen=True)
class Growth:
    """Of one round, in bytes: one more stream in the first half and in the second; the process at first, at most, at last."""

    early: float
    late: float
    start: int
    peak: int
    after: int


def measure(harness: Harness) -> list[Row]:
    tested, plain = harness.services()
    idle = harness.count(IDLE)
    counts = [harness.count(FEW), harness.count(MIDDLE), harness.count(MANY)]
    idle_sizes = []
    for service in (tested, plain, harness.node):
        with running(service, harness.folder) as server:
            idle_sizes.append(idle_stream(server, idle))
    with running(tested, harness.folder) as server:
        growth = [one_round(server, counts) for _ in range(1 + harness.rounds(ROUNDS))]
    with running(plain, harness.folder) as server:
        plain_growth = [one_round(server, counts)]
    return [idle_row(idle, *idle_sizes), *growth_rows(counts, growth, plain_growth)]


def idle_stream(server: Server, streams: int) -> float:
    """Bytes per stream, each another user's."""
    load = Load(server.address)
    try:
        touch(server, load)
        return open_and_weigh(server, load, streams, hold(server, load))
    finally:
        load.close()


def one_round(server: Server, counts: list[int]) -> Growth:
    load = Load(server.address)
    try:
        touch(server, load)
        start = resident_bytes(server.pid)
        hold(server, load)
        at = [open_and_weigh(server, load, count, held=0) * count for count in counts]
        early, late = ((more - less) / (counts[1] - counts[0]) for less, more in pairwise(at))
        close_all(server, load)
        return Growth(early, late, start, round(at[-1]), resident_bytes(server.pid))
    finally:
        load.close()


def open_and_weigh(server: Server, load: Load, streams: int, held: int) -> float:
    """Open up to that many beside those that are held; what each of them takes."""
    open_streams_strictly(load, server.stream_requests(range(load.opened - HELD, streams)))
    load.run_for(SETTLE_S)
    return (resident_bytes(server.pid) - held) / streams


def hold(server: Server, load: Load) -> int:
    """Open the streams that stay; the resident set with them."""
    open_streams_strictly(load, server.stream_requests(range(USERS - HELD, USERS)))
    load.run_for(SETTLE_S)
    return resident_bytes(server.pid)


def touch(server: Server, load: Load) -> None:
    open_streams_strictly(load, server.stream_requests(range(TOUCH)))
    close_all(server, load)


def close_all(server: Server, load: Load) -> None:
    """Close every stream and wait until the server has noticed and its memory has come to rest."""
    load.close_streams()
    deadline = time.monotonic() + CLOSE_LIMIT_S
    before = 0
    while (
        abs(before - (now := resident_bytes(server.pid))) > STEADY_BYTES
        and time.monotonic() < deadline
    ):
        before = now
        load.run_for(SETTLE_S)


def idle_row(streams: int, size: float, plain_size: float, node_size: float) -> Row:
    return Row(
        f"{streams:,} idle streams: resident per stream",
        kibibytes(size),
        f"≤ {kibibytes(PER_STREAM_BYTES)}",
        kibibytes(plain_size),
        times(size / plain_size),
        size <= PER_STREAM_BYTES,
        kibibytes(node_size),
        times(size / node_size),
        "memory",
    )


def growth_rows(counts: list[int], rounds: list[Growth], plain: list[Growth]) -> list[Row]:
    first, *later = rounds
    flat = first.late / first.early
    back = max(one.after for one in later) / later[0].start  # in all rounds together
    few, middle, many = (f"{count:,}" for count in counts)
    return [
        Row(
            f"one more stream, from {few} to {middle} and on to {many}",
            f"{kibibytes(first.early)} → {kibibytes(first.late)}: {times(flat)}",
            f"≤ {1 + FLAT:g} ×",
            f"{kibibytes(plain[0].early)} → {kibibytes(plain[0].late)}",
            passed=flat <= 1 + FLAT,
        ),
        Row(
            "… a new server before them → after they have closed: what the allocator keeps",
            before_and_after(first),
            "–",
            before_and_after(plain[0]),
        ),
        Row(
            f"… before {many} streams → after they have closed, {len(later)} rounds more",
            ", ".join(map(before_and_after, later)),
            f"≤ {1 + FLAT:g} ×",
            ratio=times(back),
            passed=back <= 1 + FLAT,
        ),
    ]


def before_and_after(growth: Growth) -> str:
    return f"{mebibytes(growth.start)} → {mebibytes(growth.after)}"

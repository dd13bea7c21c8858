"""One event to many streams of one chat: deliveries per second, and CPU per delivery at two sizes."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.harness import Harness
from bench.load import NEW_MESSAGE, Load, LoadError, Sender, open_streams_strictly
from bench.process import limit
from bench.servers import Server
from bench.table import Row, median, microseconds, times

FEW, MANY = 1_000, 5_000
EVENTS = 12  # per server and size, in turns with the other server
WARM_UP = 3
LIMIT_S = 30
RATE_TARGET = 3.5
GROWTH_TARGET = 1.6
FIRST_NUMBER = 1_000_000_000
NUMBERS = 8_999_999_999
USER = 1


@dataclass
class Audience:
    """The open streams at one server, all on one chat, and the sender to it."""

    harness: Harness
    server: Server
    load: Load
    delivered: int = 0
    number: int = 0
    sender: Sender = field(init=False)
    rates: list[float] = field(default_factory=list)
    limit: str = ""  # of the last event
    cpu: dict[int, list[float]] = field(default_factory=lambda: {FEW: [], MANY: []})

    def __post_init__(self) -> None:
        self.sender = Sender(self.load, self._next)
        self.load.on_frames = self._arrived

    def broadcast(self) -> tuple[float, float]:
        """Send one message; seconds until the last stream has it, and the server's CPU time for it."""
        self.delivered = 0
        before = self.harness.used(self.server)
        began = time.perf_counter()
        self.number = FIRST_NUMBER + time.time_ns() // 1_000_000 % NUMBERS
        self.sender.send()
        if not self.load.run_until(self._complete, LIMIT_S):
            raise LoadError(
                f"{self.delivered} of {self.load.opened} streams had the event in {LIMIT_S} s"
            )
        took = time.perf_counter() - began
        spent = self.harness.used(self.server).since(before)
        self.limit = limit(spent, took)
        return took, spent.server

    def _complete(self) -> bool:
        return self.delivered >= self.load.opened and not self.load.unanswered

    def _next(self) -> bytes | None:
        if not self.number:
            return None
        before, after = self.server.message_request(USER)
        number, self.number = self.number, 0
        return b"%b%010d%b" % (before, number, after)

    def _arrived(self, data: bytes) -> None:
        self.delivered += data.count(NEW_MESSAGE)


def measure(harness: Harness) -> list[Row]:
    few, many = harness.count(FEW), harness.count(MANY)
    with ExitStack() as stack:
        audiences = []
        for server in stack.enter_context(harness.three_servers()):
            load = Load(server.address)
            stack.callback(load.close)
            audiences.append(Audience(harness, server, load))
        for size, streams in ((FEW, few), (MANY, many)):
            for audience in audiences:
                missing = streams - audience.load.opened
                open_streams_strictly(
                    audience.load, [audience.server.stream_request(USER)] * missing
                )
            take_turns(audiences, size, EVENTS // 4 if harness.quick else EVENTS)
    return rows(*audiences, few=few, many=many)


def take_turns(audiences: list[Audience], size: int, events: int) -> None:
    for number in range(WARM_UP + events):
        for audience in audiences:
            took, used = audience.broadcast()
            if number < WARM_UP:
                continue
            audience.cpu[size].append(used / audience.load.opened)
            if size == MANY:
                audience.rates.append(audience.load.opened / took)


def rows(tested: Audience, plain: Audience, node: Audience, *, few: int, many: int) -> list[Row]:
    rate, plain_rate, node_rate = (median(one.rates) for one in (tested, plain, node))
    cpu, plain_cpu, node_cpu = (
        (median(one.cpu[FEW]), median(one.cpu[MANY])) for one in (tested, plain, node)
    )
    return [
        Row(
            f"one event to {many:,} streams: deliveries",
            f"{rate:,.0f}/s",
            f"≥ {RATE_TARGET:g} ×",
            f"{plain_rate:,.0f}/s",
            times(rate / plain_rate),
            rate / plain_rate >= RATE_TARGET,
            f"{node_rate:,.0f}/s",
            times(rate / node_rate),
            tested.limit,
        ),
        Row(
            f"CPU per delivery at {many:,} against {few:,} streams",
            growth(cpu),
            f"≤ {GROWTH_TARGET:g} ×",
            growth(plain_cpu),
            times(cpu[1] / plain_cpu[1]),
            cpu[1] / cpu[0] <= GROWTH_TARGET,
            growth(node_cpu),
            times(cpu[1] / node_cpu[1]),
        ),
    ]


def growth(cpu: tuple[float, float]) -> str:
    few, many = cpu
    return f"{microseconds(few)} → {microseconds(many)}: {times(many / few)}"

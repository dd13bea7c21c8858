"""A message's p50 with no other stream open, and with 5,000 idle ones on other chats."""

from bench.harness import Harness
from bench.load import Load, open_streams_strictly
from bench.messages import Conversation
from bench.servers import Server, running
from bench.table import Row, median, milliseconds, percentile, times

IDLE = 5_000
MESSAGES = 400
ROUNDS = 3  # without and with, in turns
WARM_UP = 100
SETTLE_S = 3.0  # after opening and after closing thousands
TARGET = 1.15
USER = 0


def measure(harness: Harness) -> list[Row]:
    idle = harness.count(IDLE)
    found = []
    for service in harness.services():
        with running(service, harness.folder) as server:
            found.append(without_and_with(server, idle, harness.rounds(ROUNDS)))
    (without, beside), (plain_without, plain_beside) = found
    ratio, plain_ratio = beside / without, plain_beside / plain_without
    return [
        Row(
            f"p50 of a message with 0 and with {idle:,} idle streams",
            f"{milliseconds(without)} → {milliseconds(beside)}: {times(ratio)}",
            f"≤ {TARGET:g} ×",
            f"{milliseconds(plain_without)} → {milliseconds(plain_beside)}: {times(plain_ratio)}",
            times(beside / plain_beside),
            ratio <= TARGET,
        )
    ]


def without_and_with(server: Server, idle: int, rounds: int) -> tuple[float, float]:
    """Medians of the rounds' p50, in seconds."""
    load, others = Load(server.address), Load(server.address)
    without, beside = [], []
    try:
        open_streams_strictly(load, [server.stream_request(USER)])
        talk = Conversation(server, load, [USER], 1)
        talk.run(messages=WARM_UP)
        for _ in range(rounds):
            without.append(p50(talk))
            open_streams_strictly(others, server.stream_requests(range(1, idle + 1)))
            others.run_for(
                SETTLE_S
            )  # idle is what they are when the burst of their opening is over
            beside.append(p50(talk))
            others.close_streams()
            load.run_for(SETTLE_S)
    finally:
        load.close()
        others.close()
    return median(without), median(beside)


def p50(talk: Conversation) -> float:
    return percentile(talk.run(messages=MESSAGES).latencies, 0.5)

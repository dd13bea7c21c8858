"""10,000 clients that come back at once, each to a chat of its own in which it missed two messages."""

import time
from dataclasses import dataclass

from bench.harness import Harness
from bench.load import NEW_MESSAGE, Load
from bench.process import limit
from bench.seed import last_seqs
from bench.servers import Server, running
from bench.table import Row, times

CLIENTS = 10_000
MISSED = 2
TARGET_S = 6.0
LIMIT_S = 40  # what is not current by then is counted as such


@dataclass
class Storm:
    """What came of it: the connected clients, and the seconds until each had its messages."""

    clients: int
    connected: int
    seconds: float
    lost: dict[str, int]
    replayed: int
    limit: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all connected without an error and got the messages that they had missed."""
        return (
            self.connected == self.clients
            and not self.lost
            and self.replayed == MISSED * self.clients
        )

    def __str__(self) -> str:
        if self.is_complete:
            return f"all current in {self.seconds:.1f} s"
        text = f"{self.connected:,} connected in {self.seconds:.1f} s"
        text += f", {self.replayed:,} of {MISSED * self.clients:,} missed messages"
        return text + "".join(f", {count} × {reason}" for reason, count in self.lost.items())


def measure(harness: Harness) -> list[Row]:
    clients = harness.count(CLIENTS)
    storms = []
    for service in (*harness.services(), harness.node):
        with running(service, harness.folder) as server:
            storms.append(come_back(harness, server, clients))
    storm, plain_storm, node_storm = storms
    return [
        Row(
            f"{clients:,} clients reconnecting at once to a server just started",
            str(storm),
            f"all current in {TARGET_S:g} s",
            str(plain_storm),
            times(storm.seconds / plain_storm.seconds),
            storm.is_complete and storm.seconds <= TARGET_S,
            str(node_storm),
            times(storm.seconds / node_storm.seconds),
            storm.limit,
        )
    ]


def come_back(harness: Harness, server: Server, clients: int) -> Storm:
    """To a server just started: nothing of them is in its memory."""
    load = Load(server.address)
    storm = Storm(clients, 0, 0.0, load.lost, 0)

    def count(data: bytes) -> None:
        storm.replayed += data.count(NEW_MESSAGE)

    load.on_frames = count
    newest = last_seqs(server.service.options["DATABASE_URL"])
    requests = [server.stream_request(user, newest[user] - MISSED) for user in range(clients)]
    try:
        before, began = harness.used(server), time.perf_counter()
        load.open_streams(requests, in_flight=clients, limit_s=LIMIT_S)
        left_s = began + LIMIT_S - time.perf_counter()
        load.run_until(lambda: storm.replayed >= MISSED * load.opened, max(0.0, left_s))
        storm.seconds = time.perf_counter() - began
        storm.connected = load.opened
        storm.limit = limit(harness.used(server).since(before), storm.seconds)
    finally:
        load.close()
    return storm

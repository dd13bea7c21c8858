"""10,000 clients that come back at once, each to a chat of its own in which it missed two messages."""

from dataclasses import dataclass

from bench.harness import Harness
from bench.load import NEW_MESSAGE, Load
from bench.seed import last_seqs
from bench.servers import Server, running
from bench.table import Row, times

CLIENTS = 10_000
MISSED = 2
LIMIT_S = 60
REFERENCE_LIMIT_S = (
    40  # its share of the whole run; what is not connected by then is counted as such
)


@dataclass
class Storm:
    """What came of it."""

    clients: int
    connected: int
    seconds: float
    lost: dict[str, int]
    replayed: int

    @property
    def whole(self) -> bool:
        """Everybody connected, without an error, and got what he had missed."""
        return (
            self.connected == self.clients
            and not self.lost
            and self.replayed == MISSED * self.clients
        )

    def __str__(self) -> str:
        text = f"{self.connected:,} connected in {self.seconds:.1f} s"
        if self.replayed != MISSED * self.clients:
            text += f", {self.replayed:,} of {MISSED * self.clients:,} missed messages"
        return text + "".join(f", {count} × {reason}" for reason, count in self.lost.items())


def measure(harness: Harness) -> list[Row]:
    tested, plain = harness.services()
    clients = harness.count(CLIENTS)
    with running(tested, harness.folder) as server:
        storm = come_back(server, clients, LIMIT_S)
    with running(plain, harness.folder) as server:
        plain_storm = come_back(server, clients, REFERENCE_LIMIT_S)
    return [
        Row(
            f"{clients:,} clients reconnecting at once",
            str(storm),
            "all, no error",
            str(plain_storm),
            times(storm.seconds / plain_storm.seconds),
            storm.whole,
        )
    ]


def come_back(server: Server, clients: int, limit_s: float) -> Storm:
    """To a server just started: nothing of them is in its memory."""
    load = Load(server.address)
    storm = Storm(clients, 0, 0.0, load.lost, 0)

    def count(data: bytes) -> None:
        storm.replayed += data.count(NEW_MESSAGE)

    load.on_frames = count
    newest = last_seqs(server.service.options["DATABASE_URL"])
    requests = [server.stream_request(user, newest[user] - MISSED) for user in range(clients)]
    try:
        storm.seconds = load.open_streams(requests, in_flight=clients, limit_s=limit_s)
        load.run_until(lambda: storm.replayed >= MISSED * load.opened, limit_s / 4)
        storm.connected = load.opened
    finally:
        load.close()
    return storm

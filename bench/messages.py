"""Sending messages in a closed loop and timing each from its POST until its frame arrives on a stream."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import CLIENT_ID_IN_FRAME, Load, LoadError, Sender
from bench.servers import Server

DRAIN_S = 20  # for what is on its way when the senders stop
FIRST_NUMBER = 1_000_000_000  # ten digits, above what seed() uses
NUMBERS = 8_999_999_999
NUMBER_NS = 100_000  # numbers begin at the time in these units: no two conversations share one below 10,000/s


@dataclass(frozen=True)
class Delivered:
    """One round: latencies in seconds, and the numbers that the messages' client_ids carry."""

    latencies: list[float]
    seconds: float
    first: int
    after_last: int

    @property
    def rate(self) -> float:
        """Messages delivered per second."""
        return len(self.latencies) / self.seconds


class Conversation:
    """Senders that write to the chats of these users, each of which has one stream open at `load`."""

    def __init__(self, server: Server, load: Load, users: Sequence[int], senders: int) -> None:
        self.load = load
        self._requests = [server.message_request(user) for user in users]
        self._numbers = itertools.count(FIRST_NUMBER + time.time_ns() // NUMBER_NS % NUMBERS)
        self._under_way: dict[int, float] = {}
        self._latencies: list[float] = []
        self._stop_at = 0.0
        self._left = 0
        self._senders = [Sender(load, self._next) for _ in range(senders)]
        load.on_frames = self._arrived

    def run(self, seconds: float = 3600, messages: int = 10**9) -> Delivered:
        """Send until the time or the number is used up, and wait for the rest. Raises LoadError on a loss."""
        self._latencies, self._left = [], messages
        first = next(self._numbers)
        began = time.perf_counter()
        self._stop_at = began + seconds
        for sender in self._senders:
            sender.send()
        self.load.run_until(self._all_sent, seconds)
        taken = list(self._latencies)
        took = time.perf_counter() - began
        if not self.load.run_until(
            lambda: not self._under_way and not self.load.unanswered, DRAIN_S
        ):
            raise LoadError(f"{len(self._under_way)} messages were not delivered")
        return Delivered(taken, took, first, next(self._numbers))

    def _all_sent(self) -> bool:
        return self._left <= 0 and not self._under_way

    def _next(self) -> bytes | None:
        now = time.perf_counter()
        if self._left <= 0 or now >= self._stop_at:
            return None
        self._left -= 1
        number = next(self._numbers)
        before, after = self._requests[number % len(self._requests)]
        self._under_way[number] = now
        return b"%b%010d%b" % (before, number, after)

    def _arrived(self, data: bytes) -> None:
        now = time.perf_counter()
        for found in CLIENT_ID_IN_FRAME.findall(data):
            number = int(found)
            if number not in self._under_way:
                raise LoadError(f"message {number} was delivered twice, or to another chat")
            self._latencies.append(now - self._under_way.pop(number))

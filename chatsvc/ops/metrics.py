"""What /metrics shows. One registry per application, so that two of them in one process do not mix."""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LAG_INTERVAL_S = 0.5  # how often the loop is asked how late it is


class Metrics:
    """Counters and histograms; gauges are read when they are asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "chatsvc_requests",
            "Requests answered, by handler, method and status",
            ("handler", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "chatsvc_request_seconds", "From a request's head to its answer", registry=self.registry
        )
        self.messages = Counter(
            "chatsvc_messages", "Messages stored, by sender", ("sender",), registry=self.registry
        )
        self.notices = Counter(
            "chatsvc_notices",
            "E-mails to users: how each try ended",
            ("how",),
            registry=self.registry,
        )
        self.streams_closed = Counter(
            "chatsvc_streams_closed",
            "Streams that ended, by reason",
            ("reason",),
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "chatsvc_commit_batch_size",
            "Writes in one commit",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "chatsvc_commit_seconds", "From taking a batch to its commit", registry=self.registry
        )
        self._lag_max_s = 0.0
        self.loop_lag_seconds = Gauge(
            "chatsvc_loop_lag_seconds", "How late the loop was last", registry=self.registry
        )

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for when it is shown."""
        Gauge(name, help_text, registry=self.registry).set_function(value)

    def committed(self, size: int, seconds: float) -> None:
        """Called on the writer thread."""
        self.batch_size.observe(size)
        self.commit_seconds.observe(seconds)

    def total(
        self, name: str, counts: Callable[[dict[str, str]], bool] = lambda labels: True
    ) -> float:
        """The sum of a figure over those of its labels that count; 0 before the first."""
        samples = (sample for family in self.registry.collect() for sample in family.samples)
        return sum(
            sample.value for sample in samples if sample.name == name and counts(sample.labels)
        )

    def take_lag_max_s(self) -> float:
        """The longest that the loop was late since the call before."""
        taken, self._lag_max_s = self._lag_max_s, 0.0
        return taken

    def render(self) -> bytes:
        return generate_latest(self.registry)

    async def watch_loop(self) -> None:
        """For ever: measures how late the loop wakes this up."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(LAG_INTERVAL_S)
            lag_s = max(0.0, loop.time() - before - LAG_INTERVAL_S)
            self.loop_lag_seconds.set(lag_s)
            self._lag_max_s = max(self._lag_max_s, lag_s)

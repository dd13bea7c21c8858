"""The metrics at /metrics. Each application has its own registry, also in a shared process."""

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chatsvc.wire import SENDER_TYPES

LAG_INTERVAL_S = 0.5  # between two measurements of the loop's lag


class Metrics:
    """Counters, histograms, and gauges whose values are read on each request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "chatsvc_requests",
            "Completed requests, by handler, method and status",
            ("handler", "method", "status"),
            registry=self.registry,
        )
        self._request_counters: dict[tuple[str, str, int], Counter] = {}
        self.request_seconds = Histogram(
            "chatsvc_request_seconds",
            "Time from a request's head to its response",
            registry=self.registry,
        )
        self.messages = Counter(
            "chatsvc_messages", "Messages stored, by sender", ("sender",), registry=self.registry
        )
        self._message_counters = {one: self.messages.labels(one) for one in SENDER_TYPES}
        self.notices = Counter(
            "chatsvc_notices",
            "Attempts to send an e-mail to a user, by outcome",
            ("how",),
            registry=self.registry,
        )
        self.streams_closed = Counter(
            "chatsvc_streams_closed",
            "Closed streams, by reason",
            ("reason",),
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "chatsvc_commit_batch_size",
            "Writes per commit",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "chatsvc_commit_seconds",
            "Time from taking a batch to its commit",
            registry=self.registry,
        )
        self._lag_max_s = 0.0
        self.loop_lag_seconds = Gauge(
            "chatsvc_loop_lag_seconds",
            "Lag of the event loop when last measured",
            registry=self.registry,
        )

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Add a gauge that reads `value` on each request."""
        Gauge(name, help_text, registry=self.registry).set_function(value)

    def request_completed(self, handler: str, method: str, status: int, seconds: float) -> None:
        """Count a request. `labels` takes longer than counting, so its result is kept."""
        key = (handler, method, status)
        counter = self._request_counters.get(key)
        if counter is None:
            counter = self._request_counters[key] = self.requests.labels(*key)
        counter.inc()
        self.request_seconds.observe(seconds)

    def message_posted(self, sender: str) -> None:
        """Count a stored message."""
        self._message_counters[sender].inc()

    def committed(self, size: int, seconds: float) -> None:
        """Record a commit. The writer thread calls this."""
        self.batch_size.observe(size)
        self.commit_seconds.observe(seconds)

    def total(
        self, name: str, counts: Callable[[dict[str, str]], bool] = lambda labels: True
    ) -> float:
        """Return the sum of a metric's samples whose labels `counts` accepts; 0 without samples."""
        samples = (sample for family in self.registry.collect() for sample in family.samples)
        return sum(
            sample.value for sample in samples if sample.name == name and counts(sample.labels)
        )

    def take_lag_max_s(self) -> float:
        """Return the largest lag of the loop since the previous call."""
        taken, self._lag_max_s = self._lag_max_s, 0.0
        return taken

    def render(self) -> bytes:
        return generate_latest(self.registry)

    async def watch_loop(self) -> None:
        """Measure how late the loop wakes this task, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(LAG_INTERVAL_S)
            lag_s = max(0.0, loop.time() - before - LAG_INTERVAL_S)
            self.loop_lag_seconds.set(lag_s)
            self._lag_max_s = max(self._lag_max_s, lag_s)

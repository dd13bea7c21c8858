"""Log one line per minute about the traffic, so that old logs tell busy days from quiet ones."""

import asyncio
import logging

from chatsvc.ops.metrics import Metrics

log = logging.getLogger(__name__)

INTERVAL_S = 60.0
LINE = (
    "in the last minute: %d requests, %d of them failed; %d messages in %d commits; "
    "%d streams opened, %d closed, %d are open; the loop was late by %.0f ms at most"
)


class Summary:
    """Reads the metrics and logs how much they have grown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before = self._read()

    async def run(self) -> None:
        """Log a summary every minute, until this task is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            log.info(LINE, *self.since_last())

    def since_last(self) -> tuple[float, ...]:
        """Return the values for LINE since the previous call."""
        now = self._read()
        grown = {name: now[name] - self._before[name] for name in now}
        self._before = now
        opened = grown["open_streams"] + grown["streams_closed"]
        counted = (grown["requests"], grown["failed"], grown["messages"], grown["commits"])
        return (
            *counted,
            opened,
            grown["streams_closed"],
            now["open_streams"],
            self._metrics.take_lag_max_s() * 1000,
        )

    def _read(self) -> dict[str, float]:
        total = self._metrics.total
        return {
            "requests": total("chatsvc_requests_total"),
            "failed": total(
                "chatsvc_requests_total", lambda labels: labels["status"].startswith("5")
            ),
            "messages": total("chatsvc_messages_total"),
            "commits": total("chatsvc_commit_seconds_count"),
            "streams_closed": total("chatsvc_streams_closed_total"),
            "open_streams": total("chatsvc_open_streams"),
        }

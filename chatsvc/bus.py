"""The bus takes events from the one place that publishes to the streams that deliver them. Another bus is one new file and one line in app.py."""

import logging
from collections.abc import Callable
from typing import Protocol

from chatsvc.events import Event

log = logging.getLogger(__name__)


class Bus(Protocol):
    """Delivers events of one topic in the order of publishing, or loses some: subscribers repair a loss from the log."""

    async def start(self, deliver: Callable[[Event], None]) -> None:
        """From now on calls `deliver` on the loop for each event."""

    def publish(self, event: Event) -> None:
        """Takes an event. Never blocks, never raises."""

    async def close(self) -> None:
        """Delivers nothing more."""


class LocalBus:
    """For one process: publishing is delivering."""

    def __init__(self) -> None:
        self._deliver: Callable[[Event], None] | None = None

    async def start(self, deliver: Callable[[Event], None]) -> None:
        self._deliver = deliver

    def publish(self, event: Event) -> None:
        if self._deliver is None:
            return
        try:
            self._deliver(event)
        except Exception:
            log.exception("delivering to %s failed", event.topic)

    async def close(self) -> None:
        self._deliver = None

"""The bus takes events from the one place that publishes to the streams that deliver them. Another bus is one new file and one line in app.py."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from chatsvc.events import Event

log = logging.getLogger(__name__)


class Bus(Protocol):
    """Delivers the events of the topics that are subscribed to, those of one topic in the order of publishing of each process.

    It may lose some. Then it says so (`missed`), and what was lost is read from the database.
    """

    @property
    def trouble(self) -> str | None:
        """Why events of other processes do not come now, in one sentence; None when they do."""

    async def start(self, deliver: Callable[[Event], None], missed: Callable[[], None]) -> None:
        """From now on calls `deliver` on the loop for each event, and `missed` when some were lost, or may have been."""

    def subscribe(self, topic: str) -> asyncio.Future[None] | None:
        """Wants the events of `topic`; asking again changes nothing. None: whatever is published from now on is delivered.

        Else a future that ends when that is so, or when there is trouble, whose end is followed by `missed`.
        """

    def unsubscribe(self, topic: str) -> None:
        """Nothing of `topic` is delivered any more."""

    def publish(self, event: Event) -> None:
        """Takes an event. Never blocks, never raises."""

    def publish_missed(self) -> None:
        """Something may be stored that was never published: tells all processes, this one too, by their `missed`."""

    async def close(self) -> None:
        """Delivers nothing more."""


class LocalBus:
    """For one process: publishing is delivering."""

    trouble: str | None = None

    def __init__(self) -> None:
        self._deliver: Callable[[Event], None] | None = None
        self._missed: Callable[[], None] = lambda: None
        self._topics: set[str] = set()

    async def start(self, deliver: Callable[[Event], None], missed: Callable[[], None]) -> None:
        self._deliver, self._missed = deliver, missed

    def subscribe(self, topic: str) -> asyncio.Future[None] | None:
        self._topics.add(topic)
        return None

    def unsubscribe(self, topic: str) -> None:
        self._topics.discard(topic)

    def publish(self, event: Event) -> None:
        if self._deliver is None or event.topic not in self._topics:
            return
        try:
            self._deliver(event)
        except Exception:
            log.exception("delivering to %s failed", event.topic)

    def publish_missed(self) -> None:
        self._missed()

    async def close(self) -> None:
        self._deliver = None

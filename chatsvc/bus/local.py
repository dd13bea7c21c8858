"""The bus carries events from the publisher to the streams. LocalBus serves a single process."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from chatsvc.events import Event

log = logging.getLogger(__name__)


class Bus(Protocol):
    """Delivers the events of subscribed topics, in the order in which each process published them.

    A bus may lose events. Then it calls `events_lost`, and streams are compared with the database.
    """

    @property
    def unavailable_reason(self) -> str | None:
        """Why events of other processes do not arrive at present, or None if they do."""

    async def start(
        self, deliver: Callable[[Event], None], events_lost: Callable[[], None]
    ) -> None:
        """Start. Call `deliver` on the loop for each event, `events_lost` if some may be lost."""

    def subscribe(self, topic: str) -> asyncio.Future[None] | None:
        """Subscribe to `topic`; repeating it has no effect.

        Return None if all events published from now on are delivered. Otherwise return a future
        that ends when they are, or when the bus becomes unavailable; the bus then calls
        `events_lost` later.
        """

    def unsubscribe(self, topic: str) -> None:
        """Stop delivering the events of `topic`."""

    def publish(self, event: Event) -> None:
        """Publish an event. Never blocks, never raises."""

    def publish_events_lost(self) -> None:
        """Call `events_lost` in all processes: a stored change may not have been published."""

    async def close(self) -> None:
        """Stop delivering."""


class LocalBus:
    """A bus for one process: publishing is delivering."""

    unavailable_reason: str | None = None

    def __init__(self) -> None:
        self._deliver: Callable[[Event], None] | None = None
        self._events_lost: Callable[[], None] = lambda: None
        self._topics: set[str] = set()

    async def start(
        self, deliver: Callable[[Event], None], events_lost: Callable[[], None]
    ) -> None:
        self._deliver, self._events_lost = deliver, events_lost

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
            log.exception("failed to deliver an event of %s", event.topic)

    def publish_events_lost(self) -> None:
        self._events_lost()

    async def close(self) -> None:
        self._deliver = None

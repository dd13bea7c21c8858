"""Topic: the subscribers of one topic."""

import asyncio
import itertools
from collections import deque
from typing import NamedTuple

from chatsvc.events import Event
from chatsvc.streams.subscriber import Subscriber

FEW = 4  # subscribers that are kept in a tuple
YIELD_EVERY = 200  # writes; at 15 µs each the loop is held for 3 ms


class Mark(NamedTuple):
    """What a topic had seen when a state was about to be read."""

    version: int
    newest: int


class Topic:
    """The subscribers of one topic. Events reach them in the order of publishing."""

    __slots__ = ("_backlog", "_last_state", "_task", "newest", "subscribers", "version")
    # shared by all topics, so that a topic that is created again never repeats a version
    _versions = itertools.count()

    def __init__(self) -> None:
        # Most topics have one subscriber, and a dict takes 0.2 KiB.
        self.subscribers: tuple[Subscriber, ...] | dict[Subscriber, None] = ()
        self.newest = 0  # the newest seq seen
        self.version = next(self._versions)  # changes with each event that has no seq
        # the version and the hash of the state that was last broadcast
        self._last_state: tuple[int, int] | None = None
        self._backlog: deque[Event] | None = None  # only for a topic with many subscribers
        self._task: asyncio.Task[None] | None = None

    def add(self, subscriber: Subscriber) -> None:
        if isinstance(self.subscribers, tuple):
            if len(self.subscribers) < FEW:
                self.subscribers = (*self.subscribers, subscriber)
                return
            self.subscribers = dict.fromkeys(self.subscribers)
        self.subscribers[subscriber] = None

    def remove(self, subscriber: Subscriber) -> None:
        if isinstance(self.subscribers, tuple):
            self.subscribers = tuple(one for one in self.subscribers if one is not subscriber)
        else:
            del self.subscribers[subscriber]

    @property
    def mark(self) -> Mark:
        """What the subscribers know now; a state read after this is at least as new."""
        cursors = (subscriber.cursor for subscriber in self.subscribers)
        return Mark(self.version, max(self.newest, *cursors, 0))

    def deliver(self, event: Event, tick: int) -> None:
        """Offer an event to all subscribers, in a task that yields to the loop if there are many.

        Events that are published meanwhile wait behind it.
        """
        if event.seq is None:
            self.version = next(self._versions)
        elif event.seq > self.newest:
            self.newest = event.seq
        if self._task is None and len(self.subscribers) <= YIELD_EVERY:
            for subscriber in tuple(self.subscribers):
                subscriber.last_tick = tick
                subscriber.offer(event)
            return
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(event)
        if self._task is None:
            self._task = asyncio.create_task(self._broadcast(self._backlog, tick))

    def resync(self, state: Event, newest: int, mark: Mark, tick: int) -> None:
        """Broadcast a state read from the database if it changed.

        Subscribers that are behind replay. If the state says less than the `mark` made
        before it was read, messages are gone (the database was restored), and those who had them
        get `reset`.
        """
        gone = newest < mark.newest
        self.newest = newest if gone else max(self.newest, newest)
        if self._last_state != (self.version, hash(state.frame)):
            self.deliver(state, tick)
            self._last_state = self.version, hash(state.frame)
        for subscriber in tuple(self.subscribers):
            if gone:
                subscriber.rewind(newest)
            subscriber.advance_to(newest)

    async def _broadcast(self, backlog: deque[Event], tick: int) -> None:
        try:
            while backlog:
                event = backlog.popleft()
                for n, subscriber in enumerate(tuple(self.subscribers), 1):
                    subscriber.last_tick = tick
                    subscriber.offer(event)
                    if n % YIELD_EVERY == 0:
                        await asyncio.sleep(0)
        finally:
            self._task = None

"""The registry of open streams: topics, subscribers, limits, heartbeats and drain."""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import NamedTuple

from chatsvc.database.admission import AdmissionQueue
from chatsvc.errors import TooManyRequests, Unavailable
from chatsvc.events import STAFF_TOPIC, Event, chat_id_of, chat_topic
from chatsvc.security.rate_limits import counted_keys
from chatsvc.streams.connection import Connection
from chatsvc.streams.selector import SocketSelector
from chatsvc.streams.subscriber import Gates, Sources, Subscriber, Subscription
from chatsvc.streams.topic import YIELD_EVERY, Mark, Topic
from chatsvc.tasks import cancel
from chatsvc.wire import ChatStateEvent

log = logging.getLogger(__name__)

TICK_S = 1.0  # one tick of the heartbeat wheel, which has PING_INTERVAL_S slots
PING_INTERVAL_S = 15  # proxies close connections that are silent for 30 to 60 s
DRAIN_S = 5.0  # closing is spread over this time, so that not all clients reconnect at once
DRAIN_PER_S = 200  # streams closed per second at least; a few are closed in less than DRAIN_S
RETRY_MS = (500, 5000)  # how long a client waits after a shutdown, chosen at random
# How many may be opened at once. The rest wait here, where the database's queue would reject them.
OPENINGS_AT_ONCE = 256
STANDSTILL_S = 5.0  # as long as a caller waits for the database
RESYNC_S = 30.0  # also finds a COMMIT that became visible only after its server was killed
RESYNC_DISCONNECTED_S = 5.0  # while the bus is unavailable
RESYNC_PAUSE_S = 0.5  # between two rounds: several processes that reconnect each request one
REVALIDATE_S = 15.0  # until the streams of a session that another process ended are closed, at most


class Rhythm(NamedTuple):
    """How often streams are pinged and compared with the database, and their sessions checked.

    A silent stream is pinged after `ping_ticks` ticks.
    """

    tick_s: float = TICK_S
    ping_ticks: int = PING_INTERVAL_S
    revalidate_s: float = REVALIDATE_S
    resync_s: float = RESYNC_S
    resync_disconnected_s: float = RESYNC_DISCONNECTED_S
    resync_pause_s: float = RESYNC_PAUSE_S


DEFAULT_RHYTHM = Rhythm()


class Streams:
    """All open streams of this process.

    `per_user`, `per_staff` and `per_address` limit open streams (0: no limit); `total` is what the
    file descriptors allow. `on_close` gets each subscriber that ended, whose `reason` is set, and
    its age in seconds. `subscribe` and `unsubscribe` are methods of the bus.
    """

    selector: SocketSelector  # of the streams' sockets, from `start` to `stop`

    def __init__(
        self,
        sources: Sources,
        *,
        per_user: int,
        per_staff: int,
        per_address: int,
        total: int,
        valid_access_ids: Callable[[list[str]], Awaitable[set[str]]],
        rhythm: Rhythm = DEFAULT_RHYTHM,
        on_close: Callable[[Subscriber, float], None] = lambda subscriber, age_s: None,
        subscribe: Callable[[str], asyncio.Future[None] | None] = lambda topic: None,
        unsubscribe: Callable[[str], None] = lambda topic: None,
    ) -> None:
        self._sources = sources
        self._rhythm = rhythm
        self._per_user, self._per_staff, self._per_address, self._total = (
            per_user,
            per_staff,
            per_address,
            total,
        )
        self._valid_access_ids = valid_access_ids
        self._on_close = on_close
        self._subscribe, self._unsubscribe = subscribe, unsubscribe
        # for the reads that precede the opening of a stream
        self.admission = AdmissionQueue(OPENINGS_AT_ONCE, STANDSTILL_S)
        self._gates = Gates.make()
        self._topics: dict[str, Topic] = {}
        self._of_owner: dict[str, tuple[Subscriber, ...]] = {}  # oldest first
        self._of_address: Counter[str] = Counter()  # and per wider network (see counted_keys)
        self._forget_one = self._forget  # one bound method for all streams
        self._open: dict[Subscriber, int] = {}  # with their slots of the wheel
        self._wheel: list[set[Subscriber]] = [set() for _ in range(rhythm.ping_ticks)]
        self._tick = 0
        self._draining = False
        self._revalidate_now = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        return len(self._open)

    async def start(self) -> None:
        self.selector = SocketSelector()
        self._tasks = [
            asyncio.create_task(self._heartbeats()),
            asyncio.create_task(self._revalidations()),
        ]

    async def stop(self) -> None:
        for subscriber in list(self._open):
            subscriber.drop()  # closed by the drain, but the last event has not been sent
        self.selector.close()
        await cancel(*self._tasks)

    # ---- opening and closing ----

    def admit(self, subscription: Subscription) -> None:
        """Check that one more stream can be opened, or close the owner's oldest to make room.

        Raises Unavailable, TooManyRequests.
        """
        if self._draining or len(self._open) >= self._total:
            raise Unavailable(
                "This server cannot accept more streams at present.",
                retry_after_s=random.randint(1, 5),  # noqa: S311
            )
        if self._per_address and any(
            self._of_address[key] >= self._per_address * share
            for key, share in counted_keys(subscription.address)
        ):
            raise TooManyRequests(
                "Too many open streams from this address.", retry_after_s=PING_INTERVAL_S
            )
        cap = self._per_staff if subscription.staff or subscription.access_id else self._per_user
        if cap:
            self._make_room(subscription.owner, cap)

    def _make_room(self, owner: str, cap: int) -> None:
        open_streams = [stream for stream in self._of_owner.get(owner, ()) if stream.reason is None]
        if len(open_streams) >= cap:
            open_streams[0].close("superseded")

    def open(self, subscription: Subscription, connection: Connection) -> Subscriber:
        """Register a connection on which the head of the response has been written.

        From here on only its Subscriber writes to it.
        """
        subscriber = Subscriber(subscription, connection, self._sources, self._gates)
        subscriber.last_tick = self._tick
        slot = self._next_slot(subscriber, time.time())
        self._open[subscriber] = slot
        self._wheel[slot].add(subscriber)
        for topic in subscription.topics:
            self._topics.setdefault(topic, Topic()).add(subscriber)
        owned = self._of_owner.get(subscription.owner, ())
        self._of_owner[subscription.owner] = (*owned, subscriber)
        self._of_address.update(key for key, _ in counted_keys(subscription.address))
        connection.on_close(MethodType(self._forget_one, subscriber))  # a partial takes 0.2 KiB
        subscriber.start(
            [done for name in subscription.topics if (done := self._subscribe(name)) is not None]
        )
        return subscriber

    def close_access(self, access_id: str) -> None:
        """End the streams of a staff session or token that has ended."""
        for subscriber in list(self._open):
            if subscriber.subscription.access_id == access_id:
                subscriber.close("revoked")

    def end_access(self, access_id: str | None) -> None:
        """Call `close_access`, or with None start a check of all sessions and tokens now."""
        if access_id is None:
            self._revalidate_now.set()
        else:
            self.close_access(access_id)

    async def drain(self) -> None:
        """End all streams as `shutdown`, spread over at most DRAIN_S. Refuse new ones."""
        self._draining = True
        waiting = list(self._open)
        random.shuffle(waiting)
        step = max(1, round(len(waiting) / (DRAIN_S * 10)), DRAIN_PER_S // 10)
        for n in range(0, len(waiting), step):
            for subscriber in waiting[n : n + step]:
                subscriber.close("shutdown", retry_ms=random.randint(*RETRY_MS))  # noqa: S311
            await asyncio.sleep(0.1)

    def _forget(self, subscriber: Subscriber) -> None:
        slot = self._open.pop(subscriber, None)
        if slot is None:
            return
        self._wheel[slot].discard(subscriber)
        subscription = subscriber.subscription
        for name in subscription.topics:
            topic = self._topics[name]
            topic.remove(subscriber)
            if not topic.subscribers:
                del self._topics[name]
                self._unsubscribe(name)
        owned = self._of_owner.pop(subscription.owner)
        if len(owned) > 1:
            left = tuple(one for one in owned if one is not subscriber)
            self._of_owner[subscription.owner] = left
        for key, _ in counted_keys(subscription.address):
            self._of_address[key] -= 1
            if not self._of_address[key]:
                del self._of_address[key]
        subscriber.forget()
        self._on_close(subscriber, asyncio.get_running_loop().time() - subscriber.opened_at)

    # ---- delivering ----

    def deliver(self, event: Event) -> None:
        """Offer a published event to all subscribers of its topic."""
        topic = self._topics.get(event.topic)
        if topic is not None:
            topic.deliver(event, self._tick)

    @property
    def marks(self) -> dict[str, Mark]:
        """The chats with open streams, each with what its streams have seen."""
        chats = ((chat_id_of(name), topic) for name, topic in self._topics.items())
        return {chat_id: topic.mark for chat_id, topic in chats if chat_id is not None}

    @property
    def has_staff(self) -> bool:
        return STAFF_TOPIC in self._topics

    def resync_chat(self, chat_id: str, state: ChatStateEvent, mark: Mark) -> bool:
        """Bring a chat's streams up to a state that was read after `mark` was made.

        Return False if an event was published since: the state may be older.
        """
        topic = self._topics.get(chat_topic(chat_id))
        if topic is not None and topic.version != mark.version:
            return False
        if topic is not None:
            topic.resync(Event.encode(chat_topic(chat_id), state), state.last_seq, mark, self._tick)
        return True

    # ---- rhythms ----

    async def _heartbeats(self) -> None:
        """Visit one slot of the wheel per tick.

        A subscriber that was silent for PING_INTERVAL_S gets a ping; others move to a later slot.
        """
        while True:
            await asyncio.sleep(self._rhythm.tick_s)
            await self._turn()

    async def _turn(self) -> None:
        self._tick += 1
        slot = self._tick % self._rhythm.ping_ticks
        now = time.time()
        for n, subscriber in enumerate(tuple(self._wheel[slot]), 1):
            self._visit(subscriber, slot, now)
            if n % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _visit(self, subscriber: Subscriber, slot: int, now: float) -> None:
        if subscriber not in self._open:
            return
        subscription = subscriber.subscription
        if subscription.expires_at is not None and subscription.expires_at <= now:
            subscriber.close("expired")
            return
        if self._tick - subscriber.last_tick >= self._rhythm.ping_ticks:
            newest = max((self._topics[name].newest for name in subscription.topics), default=0)
            subscriber.last_tick = self._tick
            subscriber.ping(newest)
        following = self._next_slot(subscriber, now)
        if following != slot:
            self._wheel[slot].discard(subscriber)
            self._wheel[following].add(subscriber)
            self._open[subscriber] = following

    def _next_slot(self, subscriber: Subscriber, now: float) -> int:
        """Return the slot in which a ping is due, or the token expires if that is earlier."""
        due = subscriber.last_tick + self._rhythm.ping_ticks
        expires_at = subscriber.subscription.expires_at
        if expires_at is not None:
            ticks = math.ceil((expires_at - now) / self._rhythm.tick_s)
            due = min(due, self._tick + max(1, ticks))
        return due % self._rhythm.ping_ticks

    async def _revalidations(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._revalidate_now.wait(), self._rhythm.revalidate_s)
            self._revalidate_now.clear()
            opened_with = {subscriber.subscription.access_id for subscriber in self._open}
            access_ids = [access_id for access_id in opened_with if access_id]
            if access_ids:
                await self._revalidate(access_ids)

    async def _revalidate(self, access_ids: list[str]) -> None:
        try:
            valid = await self._valid_access_ids(access_ids)
        except Unavailable:
            return  # the next round checks them
        except Exception:
            log.exception("failed to check which sessions and tokens are still valid")
            return
        for access_id in set(access_ids) - valid:
            self.close_access(access_id)

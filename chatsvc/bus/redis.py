"""RedisBus: delivers events to several processes through the pub/sub of Redis.

The publishing process delivers an event to its own streams at once; Redis delivers it to the other
processes. Redis stores nothing and may lose messages. A process that may have lost some publishes
EVENTS_LOST, and every process compares its streams with the database.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from chatsvc.bus.envelope import Envelope, InvalidEnvelope, Sealer
from chatsvc.bus.local import LocalBus
from chatsvc.bus.redis_connection import (
    DEFAULT_LIMITS,
    ChannelReply,
    RedisConnection,
    RedisLimits,
    connect,
)
from chatsvc.events import Event
from chatsvc.tasks import cancel

log = logging.getLogger(__name__)

PRESENCE_TOPIC = "presence"  # carries one of the following words to the other processes
HEARTBEAT, EVENTS_LOST, BYE = b"heartbeat", b"missed", b"bye"


class RedisBus(LocalBus):
    """A bus for several processes.

    `namespace` separates installations that share a Redis. Events are sealed with `key`.
    """

    def __init__(
        self, url: str, namespace: str, key: bytes, limits: RedisLimits = DEFAULT_LIMITS
    ) -> None:
        super().__init__()
        self.unavailable_reason = "not connected to Redis yet"
        self._url = url
        self._prefix = f"chatsvc:{namespace}:"
        self._sealer = Sealer(key)
        self._limits = limits
        self._origin = secrets.token_bytes(8)
        self._connection: RedisConnection | None = None  # None: nothing can be sent
        self._unconfirmed: dict[str, asyncio.Future[None]] = {}
        self._connecting: set[str] = set()  # topics to confirm before the bus is connected
        self._connected = asyncio.Event()
        self._changed_at = time.monotonic()
        self._peer_silence_s: dict[bytes, float] = {}  # since each other process's last word
        self._rejected_before = False
        self._task: asyncio.Task[None] | None = None

    @property
    def peers(self) -> int:
        """How many other processes are known to be alive."""
        return len(self._peer_silence_s)

    @property
    def queued_bytes(self) -> int:
        """The size of what waits to be sent to Redis."""
        return 0 if self._connection is None else self._connection.queued_bytes

    async def start(
        self, deliver: Callable[[Event], None], events_lost: Callable[[], None]
    ) -> None:
        """Return when connected, or after `reply_s` without Redis: the service starts anyway."""
        await super().start(deliver, events_lost)
        self._topics.add(PRESENCE_TOPIC)
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._limits.reply_s):
                await self._connected.wait()
        except TimeoutError:
            log.warning("bus disconnected: %s", self.unavailable_reason)

    async def close(self) -> None:
        if self._task is not None:
            self._send_word(BYE)
            if self._connection is not None:
                await self._connection.flush(self._limits.flush_s)
            await self._end()
        await super().close()

    async def abort(self) -> None:
        """Disconnect without BYE, like a process that is killed."""
        await self._end()
        await super().close()

    async def _end(self) -> None:
        if self._task is not None:
            await cancel(self._task)
            self._task = None

    def subscribe(self, topic: str) -> asyncio.Future[None] | None:
        if topic not in self._topics:
            self._topics.add(topic)
            self._request(topic)
        return self._unconfirmed.get(topic)

    def unsubscribe(self, topic: str) -> None:
        super().unsubscribe(topic)
        self._connecting.discard(topic)
        self._confirm(topic)
        if self._connection is not None:
            self._connection.unsubscribe(self._prefix + topic)

    def publish(self, event: Event) -> None:
        super().publish(event)
        self._send(event.topic, event.frame, event.seq)

    def publish_events_lost(self) -> None:
        super().publish_events_lost()
        self._send_word(EVENTS_LOST)

    def _send(self, topic: str, frame: bytes, seq: int | None = None) -> None:
        """Send to the other processes, or drop it without a connection: EVENTS_LOST follows."""
        if self._connection is not None:
            channel = self._prefix + topic
            envelope = Envelope(self._origin, frame, seq)
            self._connection.publish(channel, self._sealer.seal(channel, envelope))

    def _send_word(self, word: bytes) -> None:
        self._send(PRESENCE_TOPIC, word)

    # ---- connecting ----

    async def _run(self) -> None:
        """Connect again after each failure. A failure of either connection ends both."""
        while True:
            try:
                await self._run_connection()
            except (RedisError, OSError) as error:
                self._disconnected(str(error) or type(error).__name__)
            except Exception as error:
                log.exception("the connection to Redis failed unexpectedly")
                self._disconnected(type(error).__name__)
            await asyncio.sleep(random.uniform(*self._limits.retry_s))  # noqa: S311 -- jitter

    async def _run_connection(self) -> None:
        async with connect(self._url, self._received, self._heartbeat, self._limits) as connection:
            self._connection = connection
            self._connecting = set(self._topics)
            try:
                for topic in self._topics:
                    self._request(topic)
                await connection.run()
            finally:
                self._connection = None

    def _request(self, topic: str) -> None:
        if self._connection is not None:
            self._unconfirmed[topic] = asyncio.get_running_loop().create_future()
            self._connection.subscribe(self._prefix + topic)

    def _confirm(self, topic: str) -> None:
        future = self._unconfirmed.pop(topic, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _became_connected(self) -> None:
        """Publish EVENTS_LOST: other processes may not have received what was published before."""
        log.info("bus connected after %.1f s", time.monotonic() - self._changed_at)
        self.unavailable_reason = None
        self._changed_at = time.monotonic()
        self._connected.set()
        self.publish_events_lost()

    def _disconnected(self, reason: str) -> None:
        self._peer_silence_s.clear()
        for topic in list(self._unconfirmed):
            self._confirm(topic)
        self.unavailable_reason = reason
        if self._connected.is_set():
            self._connected.clear()
            self._changed_at = time.monotonic()
            log.warning("bus disconnected: %s", reason)
            self._events_lost()

    # ---- receiving ----

    def _received(self, reply: ChannelReply) -> None:
        topic = reply.channel.removeprefix(self._prefix)
        if reply.payload is not None:
            self._open(topic, reply.channel, reply.payload)
        elif reply.is_subscribed:
            self._connecting.discard(topic)
            self._confirm(topic)
        if not self._connecting and not self._connected.is_set():
            self._became_connected()

    def _open(self, topic: str, channel: str, payload: bytes) -> None:
        try:
            envelope = self._sealer.open(channel, payload)
        except InvalidEnvelope as error:
            if not self._rejected_before:
                log.warning("rejected an event on the bus for %s: %s; logged once", topic, error)
            self._rejected_before = True
            return
        if envelope.origin == self._origin:
            return
        if topic == PRESENCE_TOPIC:
            self._receive_word(envelope.origin, envelope.frame)
        else:
            super().publish(Event(topic, envelope.frame, envelope.seq))

    def _receive_word(self, peer: bytes, word: bytes) -> None:
        self._peer_silence_s[peer] = 0.0
        if word == EVENTS_LOST:
            self._events_lost()
        elif word == BYE:
            del self._peer_silence_s[peer]

    def _heartbeat(self) -> None:
        """Tell the other processes that this one is alive, and find out which have died.

        A process that died may have committed a change that it did not publish.
        """
        self._send_word(HEARTBEAT)
        for peer in list(self._peer_silence_s):
            self._peer_silence_s[peer] += self._limits.heartbeat_s
            if self._peer_silence_s[peer] > self._limits.peer_silence_s:
                del self._peer_silence_s[peer]
                limit_s = self._limits.peer_silence_s
                log.info("a peer process disappeared (no heartbeat for %g s)", limit_s)
                self._events_lost()

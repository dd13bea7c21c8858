"""RedisConnection: two connections to one Redis, one to publish on and one to listen on."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from typing import NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

from chatsvc.tasks import cancel

FLUSH_POLL_S = 0.01
BATCH = 500  # commands sent at once; packing them holds the loop for some milliseconds
YIELD_EVERY = 100  # replies; at 30 µs each the loop is held for 3 ms

Command = tuple[str | bytes, ...]


class RedisLimits(NamedTuple):
    """Intervals and limits of a bus on Redis, in seconds and bytes."""

    connect_s: float = 3.0  # to open both connections
    reply_s: float = 3.0  # a Redis that does not reply for this long is disconnected
    heartbeat_s: float = 1.0  # between two PINGs, and between two heartbeats for other processes
    peer_silence_s: float = 5.0  # a process without heartbeat for this long has died
    retry_s: tuple[float, float] = (0.1, 1.0)  # before reconnecting; random, to spread processes
    queue_bytes: int = 16 * 1024 * 1024  # a Redis that lets more wait than this is disconnected
    flush_s: float = 2.0  # at shutdown: for queued publications to be sent


DEFAULT_LIMITS = RedisLimits()


class ChannelReply(NamedTuple):
    """A message published on a channel, or (`payload` None) the reply to a subscription command.

    `is_subscribed`: Redis delivers the channel, and no later command about it is under way.
    """

    channel: str
    payload: bytes | None
    is_subscribed: bool = False


class _CommandQueue:
    """Commands that wait for their connection, up to `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._commands: list[Command] = []
        self._filled = asyncio.Event()
        self.size = 0
        self.is_idle = True

    def put(self, *command: str | bytes) -> None:
        if self.size > self._max_bytes:
            return  # the next `take` raises
        self._commands.append(command)
        self.size += sum(map(len, command))
        self.is_idle = False
        self._filled.set()

    async def take(self) -> list[Command]:
        """Wait for commands and return up to BATCH. Raises ConnectionError above `max_bytes`."""
        self.is_idle = not self._commands
        await self._filled.wait()
        if self.size > self._max_bytes:
            raise ConnectionError(f"too slow: {self.size} bytes are waiting to be sent")
        batch, self._commands = self._commands[:BATCH], self._commands[BATCH:]
        self.size -= sum(len(part) for command in batch for part in command)
        if not self._commands:
            self._filled.clear()
        return batch


class RedisConnection:
    """Both connections from `connect` on, until the first failure of either ends `run`.

    `publish`, `subscribe` and `unsubscribe` queue a command and never block. `on_heartbeat` is
    called every `heartbeat_s`.
    """

    def __init__(
        self,
        publisher: AbstractConnection,
        listener: PubSub,
        received: Callable[[ChannelReply], None],
        on_heartbeat: Callable[[], None],
        limits: RedisLimits,
    ) -> None:
        self._publisher, self._listener = publisher, listener
        self._received, self._on_heartbeat = received, on_heartbeat
        self._limits = limits
        self._publications = _CommandQueue(limits.queue_bytes)
        self._subscriptions = _CommandQueue(limits.queue_bytes)
        self._unanswered: Counter[str] = Counter()  # subscription commands, by channel
        self._publisher_silence_s = self._listener_silence_s = 0.0

    @property
    def queued_bytes(self) -> int:
        """The size of what waits to be sent."""
        return self._publications.size + self._subscriptions.size

    def publish(self, channel: str, payload: bytes) -> None:
        self._publications.put("PUBLISH", channel, payload)

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel that is not subscribed to."""
        self._change("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        self._change("UNSUBSCRIBE", channel)

    def _change(self, verb: str, channel: str) -> None:
        self._unanswered[channel] += 1
        self._subscriptions.put(verb, channel)

    async def run(self) -> None:
        """Send and receive until something fails. Raises RedisError, OSError."""
        loops = (self._send_publications, self._send_subscriptions, self._listen, self._watch)
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(*tasks)
        for task in ended:
            task.result()

    async def flush(self, limit_s: float) -> None:
        """Wait until all publications have been sent, for `limit_s` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not self._publications.is_idle:  # noqa: ASYNC110 -- once, at shutdown
                    await asyncio.sleep(FLUSH_POLL_S)

    async def _send_publications(self) -> None:
        connection = self._publisher
        while True:
            batch = await self._publications.take()
            await connection.send_packed_command(connection.pack_commands(batch))
            for _ in batch:
                await connection.read_response()
                self._publisher_silence_s = 0.0

    async def _send_subscriptions(self) -> None:
        send = {"SUBSCRIBE": self._listener.subscribe, "UNSUBSCRIBE": self._listener.unsubscribe}
        while True:
            batch = await self._subscriptions.take()
            for verb, commands in groupby(batch, key=lambda command: command[0]):
                if verb == "PING":
                    await self._listener.ping()
                else:
                    await send[str(verb)](*dict.fromkeys(channel for _, channel in commands))

    async def _listen(self) -> None:
        count = 0
        while True:
            message = await self._listener.get_message(timeout=None)
            self._listener_silence_s = 0.0
            if message is not None and message["type"] != "pong":
                self._received(self._reply(message["type"], message["channel"], message["data"]))
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _reply(self, kind: str, name: bytes, data: bytes) -> ChannelReply:
        channel = name.decode()
        if kind == "message":
            return ChannelReply(channel, data)
        self._unanswered[channel] -= 1
        if self._unanswered[channel] > 0:
            return ChannelReply(channel, None)
        del self._unanswered[channel]
        return ChannelReply(channel, None, is_subscribed=kind == "subscribe")

    async def _watch(self) -> None:
        """Ping both connections; fail after a long silence. The library's timeouts are not used.

        Silence is counted in heartbeats, so that the suspension of this process does not count.
        """
        interval_s = self._limits.heartbeat_s
        while True:
            self._publications.put("PING")
            self._subscriptions.put("PING")
            await asyncio.sleep(interval_s)
            self._publisher_silence_s += interval_s
            self._listener_silence_s += interval_s
            if max(self._publisher_silence_s, self._listener_silence_s) > self._limits.reply_s:
                raise ConnectionError(f"no reply for {self._limits.reply_s:g} s")
            self._on_heartbeat()


@asynccontextmanager
async def connect(
    url: str,
    received: Callable[[ChannelReply], None],
    on_heartbeat: Callable[[], None] = lambda: None,
    limits: RedisLimits = DEFAULT_LIMITS,
) -> AsyncIterator[RedisConnection]:
    """Connect to the Redis at `url`; disconnect at the end. Raises RedisError, OSError."""
    async with AsyncExitStack() as stack:
        pool: ConnectionPool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_connect_timeout=limits.connect_s,
            socket_timeout=None,  # `_watch` limits silence
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0, supported_errors=()),  # a silent reconnect loses events
            client_name="chatsvc",
        )
        listener = Redis(connection_pool=pool).pubsub()
        stack.push_async_callback(pool.disconnect)
        stack.push_async_callback(listener.aclose)
        try:
            async with asyncio.timeout(limits.connect_s):
                await listener.connect()
                publisher = await pool.get_connection()
        except TimeoutError:
            raise ConnectionError(f"no reply for {limits.connect_s:g} s") from None
        stack.push_async_callback(publisher.disconnect, nowait=True)
        yield RedisConnection(publisher, listener, received, on_heartbeat, limits)

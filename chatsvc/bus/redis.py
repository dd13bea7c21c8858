"""RedisBus: what one process publishes reaches the streams of the others, through the publish and subscribe of a Redis or a Redis Cluster.

In its own process an event is delivered at once; Redis carries it to the others. Redis keeps nothing and may lose what it is given.
So whoever may have lost something tells all processes (`MISSED`), and each reads from the database what its streams have not seen.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Annotated

import msgspec
from redis.exceptions import RedisError

from chatsvc.bus.local import LocalBus
from chatsvc.bus.redis_nodes import ANSWER_LIMIT_S, Nodes, Reply, connect
from chatsvc.events import Event

log = logging.getLogger(__name__)

BEAT_S = 1.0  # how often a process says that it lives, and asks each connection whether it does
PEER_LIMIT_S = 5.0  # a process that is silent for longer is dead: what it committed last it may not have published
RETRY_S = (0.1, 1.0)  # between two tries to connect, chosen at random: not all processes at once
FLUSH_LIMIT_S = 2.0  # at the end: for what was published to go out

PROCESSES = "processes"  # the topic on which processes speak to each other, in one of these words
BEAT, MISSED, BYE = b"beat", b"missed", b"bye"


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What travels: an event, whose topic is the channel's name, and the process that published it."""

    origin: bytes
    frame: bytes
    seq: Annotated[int, msgspec.Meta(ge=1)] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Parcel).decode


class RedisBus(LocalBus):
    """`namespace` keeps several installations on one Redis apart, which knows no databases for channels."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__()
        self.trouble = "Redis has not been reached yet"
        self._url = url
        self._prefix = f"chatsvc:{namespace}:"
        self._origin = secrets.token_bytes(8)
        self._nodes: Nodes | None = None  # None: nothing can be sent
        self._unconfirmed: dict[str, asyncio.Future[None]] = {}
        self._up = asyncio.Event()
        self._up_or_down_at = time.monotonic()
        self._peers: dict[bytes, float] = {}  # when each was heard last
        self._task: asyncio.Task[None] | None = None

    async def start(self, deliver: Callable[[Event], None], missed: Callable[[], None]) -> None:
        """Returns when Redis is there, or after ANSWER_LIMIT_S without it: the service starts all the same."""
        await super().start(deliver, missed)
        self._topics.add(PROCESSES)
        self._task = asyncio.create_task(self._run())
        try:
            await asyncio.wait_for(self._up.wait(), ANSWER_LIMIT_S)
        except TimeoutError:
            log.warning("the bus is away: %s", self.trouble)

    async def close(self) -> None:
        if self._task is not None:
            self._say(BYE)
            if self._nodes is not None:
                await self._nodes.flush(FLUSH_LIMIT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await super().close()

    def subscribe(self, topic: str) -> asyncio.Future[None] | None:
        if topic not in self._topics:
            self._topics.add(topic)
            self._ask_for(topic)
        return self._unconfirmed.get(topic)

    def unsubscribe(self, topic: str) -> None:
        super().unsubscribe(topic)
        self._unconfirmed.pop(topic, None)
        if self._nodes is not None:
            self._nodes.unsubscribe(self._prefix + topic)

    def publish(self, event: Event) -> None:
        super().publish(event)
        self._send(event.topic, event.frame, event.seq)

    def publish_missed(self) -> None:
        super().publish_missed()
        self._say(MISSED)

    def _send(self, topic: str, frame: bytes, seq: int | None = None) -> None:
        """What cannot be sent is dropped: when it can be again, the others are told to read the log."""
        if self._nodes is not None:
            self._nodes.publish(self._prefix + topic, _encode(Parcel(self._origin, frame, seq)))

    def _say(self, word: bytes) -> None:
        self._send(PROCESSES, word)

    # ---- connected or not ----

    async def _run(self) -> None:
        """One set of connections after the other. Whatever goes wrong with one of them ends the set: afterwards all is read from the log anyway."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    nodes = await connect(self._url, self._received, stack)
                    beats = asyncio.create_task(self._beats(nodes))
                    stack.callback(beats.cancel)
                    self._nodes = nodes
                    for topic in self._topics:
                        self._ask_for(topic)
                    await nodes.run()
            except (RedisError, OSError) as error:
                self._down(str(error) or type(error).__name__)
            except Exception as error:
                log.exception("the connection to Redis failed in a way that was not foreseen")
                self._down(type(error).__name__)
            finally:
                self._nodes = None
            await asyncio.sleep(random.uniform(*RETRY_S))  # noqa: S311 -- jitter, no secret

    def _ask_for(self, topic: str) -> None:
        if self._nodes is not None:
            self._unconfirmed[topic] = asyncio.get_running_loop().create_future()
            self._nodes.subscribe(self._prefix + topic)

    def _come_up(self) -> None:
        """All subscriptions are confirmed. What was published before, by whomever, may be lost to any process."""
        log.info("the bus is there, after %.1f s", time.monotonic() - self._up_or_down_at)
        self.trouble = None
        self._up_or_down_at = time.monotonic()
        self._up.set()
        self.publish_missed()

    def _down(self, reason: str) -> None:
        self._peers.clear()
        for future in self._unconfirmed.values():
            future.set_result(None)
        self._unconfirmed.clear()
        self.trouble = reason
        if self._up.is_set():
            self._up.clear()
            self._up_or_down_at = time.monotonic()
            log.warning("the bus is away: %s", reason)
            self._missed()

    # ---- what comes in ----

    def _received(self, reply: Reply) -> None:
        topic = reply.channel.removeprefix(self._prefix)
        if reply.payload is not None:
            self._take(topic, reply.payload)
        elif reply.is_settled and (future := self._unconfirmed.pop(topic, None)) is not None:
            future.set_result(None)
        if not self._unconfirmed and not self._up.is_set():
            self._come_up()

    def _take(self, topic: str, payload: bytes) -> None:
        try:
            parcel = _decode(payload)
        except msgspec.DecodeError as error:
            log.warning("what came on the bus for %s is none of ours: %s", topic, error)
            return
        if parcel.origin == self._origin:
            return
        if topic == PROCESSES:
            self._heard(parcel.origin, parcel.frame)
        else:
            super().publish(Event(topic, parcel.frame, parcel.seq))

    def _heard(self, peer: bytes, word: bytes) -> None:
        self._peers[peer] = time.monotonic()
        if word == MISSED:
            self._missed()
        elif word == BYE:
            del self._peers[peer]

    async def _beats(self, nodes: Nodes) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self._say(BEAT)
            nodes.ping()
            now = time.monotonic()
            dead = [peer for peer, heard_at in self._peers.items() if now - heard_at > PEER_LIMIT_S]
            for peer in dead:
                del self._peers[peer]
            if dead:
                log.info("a process went without a word")
                self._missed()

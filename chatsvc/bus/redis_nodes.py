"""The connections of RedisBus: to one Redis, or to each master of a Redis Cluster, which carries the channels of its slots."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError, RedisError, ResponseError

CONNECT_LIMIT_S = 3.0
ANSWER_LIMIT_S = 3.0  # a Redis that is silent for so long, though it is asked each second, is away
OUTBOX_MAX_BYTES = (
    16 * 1024 * 1024
)  # what waits for a Redis that is slow; beyond it Redis counts as away, and nothing waits
FLUSH_POLL_S = 0.01
BATCH = 500  # commands sent at once; packing them holds the loop for some milliseconds

Command = tuple[str | bytes, ...]


class Reply(NamedTuple):
    """What came for a channel: a `payload` that was published, or the answer to a (un)subscription (None).

    `is_settled`: the channel is subscribed to, and no other command about it is under way.
    """

    channel: str
    payload: bytes | None
    is_settled: bool = False


class _Outbox:
    """Commands that wait for their connection."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._bytes = 0
        self._filled = asyncio.Event()
        self.is_idle = True

    def put(self, *command: str | bytes) -> None:
        if self._bytes > OUTBOX_MAX_BYTES:
            return  # `take` is about to say so
        self._commands.append(command)
        self._bytes += sum(map(len, command))
        self.is_idle = False
        self._filled.set()

    async def take(self) -> list[Command]:
        """What waits, up to BATCH. Raises ConnectionError when it is more than can be kept."""
        self.is_idle = not self._commands
        await self._filled.wait()
        if self._bytes > OUTBOX_MAX_BYTES:
            raise ConnectionError(f"it is slow: {self._bytes} bytes wait for it")
        batch, self._commands = self._commands[:BATCH], self._commands[BATCH:]
        self._bytes -= sum(len(part) for command in batch for part in command)
        if not self._commands:
            self._filled.clear()
        return batch


class _Node:
    """A Redis server: a connection to publish on and one to listen on, as RESP2 has them."""

    def __init__(
        self, publisher: AbstractConnection, listener: AbstractConnection, is_cluster: bool
    ) -> None:
        self._publisher, self._listener = publisher, listener
        self._letter = (
            "S" if is_cluster else ""
        )  # SPUBLISH goes to the nodes of a slot, PUBLISH to all of a cluster
        self._asked: Counter[tuple[bytes, bytes]] = Counter()  # commands that are not answered yet
        self.publications, self.questions = _Outbox(), _Outbox()

    def publish(self, channel: str, payload: bytes) -> None:
        self.publications.put(f"{self._letter}PUBLISH", channel, payload)

    def ask(self, verb: str, channel: str) -> None:
        """`verb` is SUBSCRIBE or UNSUBSCRIBE."""
        command = self._letter + verb
        self._asked[command.lower().encode(), channel.encode()] += 1
        self.questions.put(command, channel)

    def ping(self) -> None:
        self.publications.put("PING")
        self.questions.put("PING")

    async def send_publications(self) -> None:
        while True:
            batch = await self.publications.take()
            await self._publisher.send_packed_command(
                self._publisher.pack_commands(batch), check_health=False
            )
            for _ in batch:
                await self._publisher.read_response()

    async def send_questions(self) -> None:
        while True:
            batch = await self.questions.take()
            await self._listener.send_packed_command(
                self._listener.pack_commands(batch), check_health=False
            )

    async def listen(self, received: Callable[[Reply], None]) -> None:
        while True:
            answer: Any = await self._listener.read_response()
            if not isinstance(answer, list) or answer[0] == b"pong":
                continue  # it lives
            kind, channel, payload = answer
            if kind in (b"message", b"smessage"):
                received(Reply(channel.decode(), payload))
            else:
                received(Reply(channel.decode(), None, self._settle(kind, channel)))

    def _settle(self, kind: bytes, channel: bytes) -> bool:
        """Whether this answer was the last one about a channel that is subscribed to. Raises ConnectionError for one that nobody asked for."""
        if not self._asked[kind, channel]:
            raise ConnectionError("a slot was moved to another node")
        self._asked[kind, channel] -= 1
        if not self._asked[kind, channel]:
            del self._asked[kind, channel]
        return (
            kind.endswith(b"subscribe")
            and not kind.endswith(b"unsubscribe")
            and (kind, channel) not in self._asked
        )


class Nodes:
    """All nodes, each with the last slot that it holds, in the order of slots. Any error of one of them is an error of all."""

    def __init__(
        self, nodes: dict[tuple[int, int], _Node], received: Callable[[Reply], None]
    ) -> None:
        self._by_slots, self._received = nodes, received
        self._nodes = list(dict.fromkeys(nodes.values()))

    def publish(self, channel: str, payload: bytes) -> None:
        self._of(channel).publish(channel, payload)

    def subscribe(self, channel: str) -> None:
        self._of(channel).ask("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        self._of(channel).ask("UNSUBSCRIBE", channel)

    def ping(self) -> None:
        for node in self._nodes:
            node.ping()

    async def run(self) -> None:
        """Sends and receives until something fails. Raises RedisError, OSError."""
        work = [
            one
            for node in self._nodes
            for one in (
                node.send_publications(),
                node.send_questions(),
                node.listen(self._received),
            )
        ]
        tasks = [asyncio.create_task(one) for one in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def flush(self, limit_s: float) -> None:
        """Waits until everything published has gone out, no longer than `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not all(node.publications.is_idle for node in self._nodes):  # noqa: ASYNC110 -- once, at the end
                    await asyncio.sleep(FLUSH_POLL_S)

    def _of(self, channel: str) -> _Node:
        if len(self._by_slots) == 1:
            return self._nodes[0]
        slot = key_slot(channel.encode())
        return next(
            (node for (first, last), node in self._by_slots.items() if first <= slot <= last),
            self._nodes[0],
        )


async def connect(url: str, received: Callable[[Reply], None], stack: AsyncExitStack) -> Nodes:
    """Connects to the Redis at `url`, or to all masters of the cluster that it is part of; `stack` closes. Raises RedisError, OSError."""
    pool: ConnectionPool = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_connect_timeout=CONNECT_LIMIT_S,
        socket_timeout=ANSWER_LIMIT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        client_name="chatsvc",
    )

    async def open_one(**address: Any) -> AbstractConnection:
        connection = pool.connection_class(**{**pool.connection_kwargs, **address})
        stack.push_async_callback(connection.disconnect, nowait=True)
        await connection.connect()
        return connection

    async def node(is_cluster: bool, **address: Any) -> _Node:
        return _Node(await open_one(**address), await open_one(**address), is_cluster)

    layout = await _cluster_layout(pool)
    if layout is None:
        return Nodes({(0, 0): await node(is_cluster=False)}, received)
    masters = {
        address: await node(is_cluster=True, host=address[0], port=address[1])
        for address in dict.fromkeys(layout.values())
    }
    return Nodes({slots: masters[address] for slots, address in layout.items()}, received)


async def _cluster_layout(pool: ConnectionPool) -> dict[tuple[int, int], tuple[str, int]] | None:
    """Which master holds which slots, or None of a Redis that is no cluster."""
    async with AsyncExitStack() as stack:
        connection = pool.make_connection()
        stack.push_async_callback(connection.disconnect, nowait=True)
        await connection.connect()
        await connection.send_command("CLUSTER", "SLOTS")
        try:
            ranges: Any = await connection.read_response()
        except ResponseError:
            return None
    if not ranges:
        raise RedisError("the cluster holds no slots")
    here = pool.connection_kwargs["host"]
    return {
        (first, last): ((master[0] or b"").decode() or here, master[1])
        for first, last, master, *_ in ranges
    }

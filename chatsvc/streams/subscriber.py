"""Subscriber: one open stream.

It writes a published message only if its seq is `cursor + 1`. If messages are missing, it replays
them from the messages table.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from chatsvc.errors import DomainError, NotFound
from chatsvc.events import STAFF_TOPIC, Event, chat_topic, encode_frame
from chatsvc.streams.connection import BufferFull, Connection
from chatsvc.wire import (
    ChatStateEvent,
    CloseEvent,
    MessagePage,
    NewMessageEvent,
    PingEvent,
    ResetEvent,
    StaffStateEvent,
)

log = logging.getLogger(__name__)

REPLAY_MAX = 1000  # for more messages a fresh fetch is cheaper (docs/api.md section 5)
REPLAY_PAGE = 100  # messages per read
REPLAY_WRITE_LIMIT_S = 30.0  # a reader that takes no frame for this long is too slow
RETRY_S = 1.0  # before the next attempt to read the table while the database is unavailable
SUBSCRIBE_LIMIT_S = 5.0  # for the bus to confirm a topic; then the stream starts anyway
# Reads of all streams in progress; after a mass reconnect the rest wait.
STARTS_AT_ONCE = 256  # the database reads them in groups
REPLAYS_AT_ONCE = 32  # each holds one page in memory

NO_MESSAGES = MessagePage([], has_more=False, last_seq=0)

CloseReason = Literal["shutdown", "slow", "expired", "revoked", "superseded"]
RECONNECT = {"shutdown": True, "slow": True, "expired": True, "revoked": False, "superseded": False}


class Sources(NamedTuple):
    """The reads of a subscriber: states and missed messages.

    `charge` counts the bytes that were replayed to an owner and an address, and returns the
    seconds to wait before more.
    """

    # a chat's state, and the first messages after a cursor if there is one
    stream_start: Callable[[str, int | None], Awaitable[tuple[ChatStateEvent, MessagePage]]]
    messages_after: Callable[[str, int, int], Awaitable[MessagePage]]
    staff_state: Callable[[], Awaitable[StaffStateEvent]]
    is_at: Callable[[str, int, str], Awaitable[bool]]
    charge: Callable[[str, str, int], float] = lambda owner, address, size: 0.0


class Gates(NamedTuple):
    """How many subscribers may read at the same time."""

    starts: asyncio.Semaphore
    replays: asyncio.Semaphore

    @classmethod
    def make(cls) -> "Gates":
        return cls(asyncio.Semaphore(STARTS_AT_ONCE), asyncio.Semaphore(REPLAYS_AT_ONCE))


class Subscription(msgspec.Struct, frozen=True):
    """What a stream carries, who opened it and by which request.

    `cursor` is None if the client sent none, -1 if it cannot be parsed.
    `message_id` is that of the message at the cursor, if the client knows it.
    """

    owner: str
    address: str
    chat_id: str | None = None
    staff: bool = False
    cursor: int | None = None
    message_id: str | None = None
    access_id: str | None = None
    expires_at: float | None = None
    request_id: str = "-"

    @property
    def topics(self) -> list[str]:
        return ([STAFF_TOPIC] if self.staff else []) + (
            [chat_topic(self.chat_id)] if self.chat_id else []
        )


class Subscriber:
    """A detached connection with a cursor. It is *replaying* (reads the messages table) or *live*.

    `last_tick` belongs to the heartbeat wheel of Streams; `reason` is why the stream ended.
    """

    __slots__ = (
        "__weakref__",
        "_before_state",
        "_connection",
        "_cursor",
        "_gates",
        "_live",
        "_more_stored",
        "_replayed_bytes",
        "_sources",
        "_task",
        "last_tick",
        "opened_at",
        "reason",
        "subscription",
    )

    def __init__(
        self,
        subscription: Subscription,
        connection: Connection,
        sources: Sources,
        gates: Gates,
    ) -> None:
        self.subscription = subscription
        self.last_tick = 0
        self.opened_at = asyncio.get_running_loop().time()
        self.reason: CloseReason | Literal["gone"] | None = None
        self._connection = connection
        self._sources = sources
        self._gates = gates
        self._cursor = 0
        self._live = False
        self._more_stored = False
        self._replayed_bytes = 0  # not yet passed to `charge`
        # frames offered before `state` was written (`state` must come first); None afterwards
        self._before_state: list[bytes] | None = []
        self._task: asyncio.Task[None] | None = None

    @property
    def cursor(self) -> int:
        """The newest seq that was written."""
        return self._cursor

    @property
    def is_live(self) -> bool:
        return self._live

    def start(self, subscribed: Sequence[asyncio.Future[None]] = ()) -> None:
        """Send the state, then the missed messages, then go live.

        Reading starts when all `subscribed` futures are done: only then is every later event
        offered to this subscriber.
        """
        self._run(self._begin(subscribed))

    def offer(self, event: Event) -> None:
        """Take a published event: write it, drop it, or replay."""
        seq = event.seq
        if seq is None:
            if self._before_state is None:
                self.write(event.frame)
            else:
                self._before_state.append(event.frame)
        elif self._live and seq == self._cursor + 1:
            self._cursor = seq
            self.write(event.frame)
        else:
            self.advance_to(seq)

    def advance_to(self, newest: int) -> None:
        """Replay if `newest`, the seq of the newest stored message, has not been written."""
        if not self._live:
            self._more_stored = (
                self._more_stored or self._before_state is not None or newest > self._cursor
            )
        elif newest > self._cursor:
            self._live = False
            self._run(self._replay())

    def rewind(self, newest: int) -> None:
        """Tell the client to fetch the chat again: the chat ends at `newest`, before the cursor."""
        if newest < self._cursor:
            self._cursor = newest
            self.write(encode_frame(ResetEvent()))

    def ping(self, newest: int) -> None:
        """Send a ping with the newest known seq, so that the client notices a missing message."""
        self.write(encode_frame(PingEvent(max(newest, self._cursor)), name="ping"))

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        """Write a whole frame. Close the stream as `slow` if too much is waiting for the reader."""
        if self.reason is not None:
            return None
        try:
            return self._connection.write(frame)
        except BufferFull:
            self.close("slow")
            return None

    def close(self, reason: CloseReason, retry_ms: int | None = None) -> None:
        """End the stream and tell the client why."""
        if self.reason is not None:
            return
        self.reason = reason
        frame = encode_frame(CloseEvent(reason, RECONNECT[reason]), name="close")
        self._connection.close(frame if retry_ms is None else b"retry: %d\n%s" % (retry_ms, frame))

    def drop(self) -> None:
        """Close the connection without a `close` event."""
        self._connection.close()

    def forget(self) -> None:
        """End all work of this subscriber: its connection is closed."""
        self.reason = self.reason or "gone"
        if self._task is not None:
            self._task.cancel()

    # ---- replaying ----

    def _run(self, work: Any) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:  # else a newer replay has already replaced it
            self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("stream failed: %s", self.subscription.request_id, exc_info=task.exception())
            self._connection.close()

    async def _begin(self, subscribed: Sequence[asyncio.Future[None]]) -> None:
        if subscribed:
            await asyncio.wait(subscribed, timeout=SUBSCRIBE_LIMIT_S)
        subscription, read = self.subscription, self._sources
        states: list[msgspec.Struct] = []
        if subscription.staff:
            states.append(await self._read(self._gates.starts, read.staff_state))
        page = None
        if subscription.chat_id is not None:
            state, page = await self._read(
                self._gates.starts, read.stream_start, subscription.chat_id, subscription.cursor
            )
            states.append(state)
            if not await self._accept_cursor(state.last_seq):
                states.append(ResetEvent())
                page = NO_MESSAGES
        for frame in [*map(encode_frame, states), *(self._before_state or [])]:
            self.write(frame)
        self._before_state = None
        if page is not None:
            await self._replay(page)
        self._live = True

    async def _accept_cursor(self, last_seq: int) -> bool:
        """Start at the client's cursor if it is usable, else at the newest message.

        After a restore another message may have the cursor's number.
        """
        wanted, message_id = self.subscription.cursor, self.subscription.message_id
        usable = wanted is None or (0 <= wanted <= last_seq and last_seq - wanted <= REPLAY_MAX)
        if usable and wanted and message_id is not None:
            usable = await self._read(
                self._gates.starts,
                self._sources.is_at,
                self.subscription.chat_id,
                wanted,
                message_id,
            )
        self._cursor = wanted if usable and wanted is not None else last_seq
        return usable

    async def _replay(self, page: MessagePage | None = None) -> None:
        """Write what is after the cursor until the table has nothing newer, beginning with `page`.

        Messages that the socket did not accept are dropped and read again later: otherwise each
        slow reader would hold a page in memory.
        """
        limit, has_more = REPLAY_PAGE, True
        while (has_more or self._more_stored) and self.reason is None:
            if page is None:
                self._more_stored = False
                page = await self._read(
                    self._gates.replays,
                    self._sources.messages_after,
                    self.subscription.chat_id,
                    self._cursor,
                    limit,
                )
            written, has_more, unsent = self._write_page(page)
            limit, page = min(REPLAY_PAGE, 2 * written + 1), None
            if (
                unsent is not None
                and not (await asyncio.wait([unsent], timeout=REPLAY_WRITE_LIMIT_S))[0]
            ):
                self.close("slow")
            if self._replayed_bytes:
                await self._pace()
        self._live = True

    async def _pace(self) -> None:
        """Count what was replayed, and wait until the owner and the address may read more."""
        size, self._replayed_bytes = self._replayed_bytes, 0
        subscription = self.subscription
        if subscription.access_id is None:  # staff have no limit
            wait_s = self._sources.charge(subscription.owner, subscription.address, size)
            if wait_s:
                await asyncio.sleep(wait_s)

    def _write_page(self, page: MessagePage) -> tuple[int, bool, asyncio.Future[None] | None]:
        """Write the messages of a page until the socket's send buffer is full.

        Return how many were written, whether there are more, and a future that ends when the
        reader has taken the last one (None if it already has).
        """
        for n, message in enumerate(page.messages, 1):
            self._cursor = message.seq
            frame = encode_frame(NewMessageEvent(message), seq=message.seq)
            self._replayed_bytes += len(frame)
            unsent = self.write(frame)
            if unsent is not None:
                return n, page.has_more or n < len(page.messages), unsent
        return len(page.messages), page.has_more, None

    async def _read(
        self, gate: asyncio.Semaphore, source: Callable[..., Awaitable[Any]], *args: Any
    ) -> Any:
        """Read from the database. Retry while it is unavailable; the stream stays open."""
        while True:
            try:
                async with gate:
                    return await source(*args)
            except NotFound:
                raise
            except DomainError:
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter

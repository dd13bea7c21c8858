"""Subscriber: one open stream. It writes a chat's message only if it is `cursor + 1`; anything else sends it back to the log."""

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

REPLAY_MAX = 1000  # further back a fresh fetch is cheaper than a replay (docs/api.md section 5)
REPLAY_PAGE = 100  # messages read at a time
REPLAY_WRITE_LIMIT_S = 30.0  # a reader that takes no frame for this long is too slow
RETRY_S = 1.0  # between two tries to read the log while the database does not answer
SUBSCRIBE_LIMIT_S = 5.0  # for the bus to confirm a topic; then the stream reads and goes on
REPLAYS_AT_ONCE = 32  # reads of the log under way for all streams: a storm of reconnects waits in line, not in the database's queue

CloseReason = Literal["shutdown", "slow", "expired", "revoked", "superseded"]
RECONNECT = {"shutdown": True, "slow": True, "expired": True, "revoked": False, "superseded": False}


class Sources(NamedTuple):
    """Where a subscriber reads what it missed.

    `charge` counts the bytes that were replayed to an owner and an address, and returns the
    seconds to wait before more.
    """

    chat_state: Callable[[str], Awaitable[ChatStateEvent]]
    messages_after: Callable[[str, int, int], Awaitable[MessagePage]]
    staff_state: Callable[[], Awaitable[StaffStateEvent]]
    charge: Callable[[str, str, int], float] = lambda owner, address, size: 0.0


class Subscription(msgspec.Struct, frozen=True):
    """What a stream is about and who opened it, by which request. `cursor` is None without one, -1 for one that cannot be parsed."""

    owner: str
    address: str
    chat_id: str | None = None
    staff: bool = False
    cursor: int | None = None
    access_id: str | None = None
    expires_at: float | None = None
    request_id: str = "-"

    @property
    def topics(self) -> list[str]:
        return ([STAFF_TOPIC] if self.staff else []) + (
            [chat_topic(self.chat_id)] if self.chat_id else []
        )


class Subscriber:
    """A detached connection with a cursor. It is *replaying* (reads the log, notes that there is more) or *live*.

    `last_tick` is kept for the heartbeat wheel of Streams; `reason` says why the stream ended.
    """

    __slots__ = (
        "__weakref__",
        "_before_state",
        "_connection",
        "_cursor",
        "_gate",
        "_live",
        "_more_in_log",
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
        gate: asyncio.Semaphore,
    ) -> None:
        self.subscription = subscription
        self.last_tick = 0
        self.opened_at = asyncio.get_running_loop().time()
        self.reason: CloseReason | Literal["gone"] | None = None
        self._connection = connection
        self._sources = sources
        self._gate = gate
        self._cursor = 0
        self._live = False
        self._more_in_log = False
        self._replayed_bytes = 0  # and not counted yet
        self._before_state: (
            list[bytes] | None
        ) = []  # what arrived before `state` was written, which comes first
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

        Reading starts when all `subscribed` futures have ended: events published before may not
        be offered to this subscriber.
        """
        self._run(self._begin(subscribed))

    def offer(self, event: Event) -> None:
        """Takes a published event: writes it, drops it, or goes back to the log."""
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
        """Is told that the log goes up to `newest`: reads it if that was not written yet."""
        if not self._live:
            self._more_in_log = (
                self._more_in_log or self._before_state is not None or newest > self._cursor
            )
        elif newest > self._cursor:
            self._live = False
            self._run(self._replay())

    def ping(self, newest: int) -> None:
        """Proof of life, and the newest seq known, so that a client that is behind can tell."""
        self.write(encode_frame(PingEvent(max(newest, self._cursor)), name="ping"))

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        """Writes a whole frame; closes the stream as `slow` when the reader has not taken the ones before."""
        if self.reason is not None:
            return None
        try:
            return self._connection.write(frame)
        except BufferFull:
            self.close("slow")
            return None

    def close(self, reason: CloseReason, retry_ms: int | None = None) -> None:
        """Ends the stream and says why."""
        if self.reason is not None:
            return
        self.reason = reason
        frame = encode_frame(CloseEvent(reason, RECONNECT[reason]), name="close")
        self._connection.close(frame if retry_ms is None else b"retry: %d\n%s" % (retry_ms, frame))

    def drop(self) -> None:
        """Closes the connection without a word."""
        self._connection.close()

    def forget(self) -> None:
        """The connection is gone: nothing of this subscriber goes on."""
        self.reason = self.reason or "gone"
        if self._task is not None:
            self._task.cancel()

    # ---- replaying ----

    def _run(self, work: Any) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if (
            self._task is task
        ):  # an event that came in the same turn of the loop may have sent it back to the log
            self._task = None
        if not task.cancelled() and task.exception() is not None:
            log.error("a stream failed", exc_info=task.exception())
            self._connection.close()

    async def _begin(self, subscribed: Sequence[asyncio.Future[None]]) -> None:
        if subscribed:
            await asyncio.wait(subscribed, timeout=SUBSCRIBE_LIMIT_S)
        subscription = self.subscription
        states: list[msgspec.Struct] = []
        if subscription.staff:
            states.append(await self._read(self._sources.staff_state))
        if subscription.chat_id is not None:
            state: ChatStateEvent = await self._read(self._sources.chat_state, subscription.chat_id)
            states.append(state)
            if not self._accept_cursor(state.last_seq):
                states.append(ResetEvent())
        for frame in [*map(encode_frame, states), *(self._before_state or [])]:
            self.write(frame)
        self._before_state = None
        if subscription.chat_id is not None and (
            self._more_in_log or self._cursor < state.last_seq
        ):
            await self._replay()
        self._live = True

    def _accept_cursor(self, last_seq: int) -> bool:
        """Starts at the client's cursor if it is usable, else at the newest message."""
        wanted = self.subscription.cursor
        usable = wanted is None or (0 <= wanted <= last_seq and last_seq - wanted <= REPLAY_MAX)
        self._cursor = wanted if usable and wanted is not None else last_seq
        return usable

    async def _replay(self) -> None:
        """Reads the log until nothing in it is newer than the cursor and nothing was noted meanwhile.

        What the reader does not take at once is not kept, but read again when there is room: many slow ones would hold a page each.
        """
        limit, has_more = REPLAY_PAGE, True
        while (has_more or self._more_in_log) and self.reason is None:
            self._more_in_log = False
            written, has_more, unsent = await self._write_page(limit)
            limit = min(REPLAY_PAGE, 2 * written + 1)
            if (
                unsent is not None
                and not (await asyncio.wait([unsent], timeout=REPLAY_WRITE_LIMIT_S))[0]
            ):
                self.close("slow")
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

    async def _write_page(self, limit: int) -> tuple[int, bool, asyncio.Future[None] | None]:
        """Writes what follows the cursor, up to `limit` messages, until the kernel takes no more.

        Returns how many were written, whether there are more, and the future of the one that waits for the reader.
        """
        page: MessagePage = await self._read(
            self._sources.messages_after, self.subscription.chat_id, self._cursor, limit
        )
        for n, message in enumerate(page.messages, 1):
            self._cursor = message.seq
            frame = encode_frame(NewMessageEvent(message), seq=message.seq)
            self._replayed_bytes += len(frame)
            unsent = self.write(frame)
            if unsent is not None:
                return n, page.has_more or n < len(page.messages), unsent
        return len(page.messages), page.has_more, None

    async def _read(self, source: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Reads from the database, again and again while it does not answer: the stream stays open meanwhile."""
        while True:
            try:
                async with self._gate:
                    return await source(*args)
            except NotFound:
                raise
            except DomainError:
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter, no secret

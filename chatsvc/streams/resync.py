"""Resynchronizer: compares open streams with the database, because events may be lost.

The bus loses events. So does a COMMIT whose outcome is unknown: nobody publishes what it stored.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from chatsvc.errors import DomainError
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.streams.registry import DEFAULT_RHYTHM, Rhythm, Streams
from chatsvc.streams.topic import YIELD_EVERY
from chatsvc.wire import ChatStateEvent, StaffStateEvent

log = logging.getLogger(__name__)


class Resynchronizer:
    """Reads the state of all chats with open streams in one query, and broadcasts what changed.

    Streams that lack messages replay. This happens every `rhythm.resync_s`, more often
    while the bus is disconnected, and on request. Only in the last two cases do staff get `state`,
    which makes each dashboard fetch its list again.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        chat_states: Callable[[Sequence[str]], Awaitable[dict[str, ChatStateEvent]]],
        staff_state: Callable[[], Awaitable[StaffStateEvent]],
        is_disconnected: Callable[[], bool],
        rhythm: Rhythm = DEFAULT_RHYTHM,
    ) -> None:
        self.rounds = 0
        self._streams = streams
        self._chat_states, self._staff_state = chat_states, staff_state
        self._is_disconnected = is_disconnected
        self._rhythm = rhythm
        self._wanted = asyncio.Event()

    @property
    def is_requested(self) -> bool:
        """Whether a round was requested and has not begun."""
        return self._wanted.is_set()

    @property
    def _interval_s(self) -> float:
        rhythm = self._rhythm
        return rhythm.resync_disconnected_s if self._is_disconnected() else rhythm.resync_s

    def request(self) -> None:
        """Ask for a round, because events may have been lost."""
        self._wanted.set()

    async def run(self) -> None:
        """Compare streams with the database until cancelled."""
        rhythm = self._rhythm
        overtaken: set[str] = set()  # chats that changed while their state was read
        while True:
            if not overtaken:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), self._interval_s)
            of_all = self.is_requested or not overtaken
            for_staff = self.is_requested or self._is_disconnected()
            self._wanted.clear()
            try:
                overtaken = await self._round(None if of_all else overtaken, for_staff)
            except DomainError:
                self._wanted.set()  # the database does not respond
                await asyncio.sleep(rhythm.resync_disconnected_s)
            except Exception:
                log.exception("streams could not be brought up to date")
                self._wanted.set()
                await asyncio.sleep(rhythm.resync_disconnected_s)
            await asyncio.sleep(rhythm.resync_pause_s)

    async def _round(self, only: set[str] | None, for_staff: bool) -> set[str]:
        """Compare all chats, or `only` some. Return those that changed while they were read.

        On a busy server there is always one of those; it must not cause a read of all chats.
        """
        self.rounds += 1
        if only is None and for_staff and self._streams.has_staff:
            self._streams.deliver(Event.encode(STAFF_TOPIC, await self._staff_state()))
        marks = self._streams.marks
        if only is not None:
            marks = {chat_id: marks[chat_id] for chat_id in only & marks.keys()}
        overtaken: set[str] = set()
        states = await self._chat_states(list(marks)) if marks else {}
        for n, (chat_id, state) in enumerate(states.items(), 1):
            if not self._streams.resync_chat(chat_id, state, marks[chat_id]):
                overtaken.add(chat_id)
            if n % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return overtaken

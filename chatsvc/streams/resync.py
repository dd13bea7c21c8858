"""Resynchronizer: brings open streams up to date from the database when events may have been lost, and all the time while the bus is away.

Events are lost by the bus, and by a COMMIT whose answer does not come: what it stored nobody published.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from chatsvc.errors import DomainError
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.streams.registry import Streams
from chatsvc.streams.topic import YIELD_EVERY
from chatsvc.wire import ChatStateEvent, StaffStateEvent

log = logging.getLogger(__name__)

ROUND_S = 5.0  # while events of other processes do not come: one query for all open chats
PAUSE_S = (
    0.5  # at least, between two rounds: several processes that come back at once each ask for one
)


class Resynchronizer:
    """A round reads the state of all chats that somebody listens to, in one query, and tells it to those streams that know another.

    Who lacks messages reads them from the log. Staff get their `state`, at which a dashboard fetches its list again.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        chat_states: Callable[[Sequence[str]], Awaitable[dict[str, ChatStateEvent]]],
        staff_state: Callable[[], Awaitable[StaffStateEvent]],
        is_cut_off: Callable[[], bool],
    ) -> None:
        self.rounds = 0
        self._streams = streams
        self._chat_states, self._staff_state, self._is_cut_off = (
            chat_states,
            staff_state,
            is_cut_off,
        )
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Events may have been lost: wants a round."""
        self._wanted.set()

    async def run(self) -> None:
        """For ever."""
        overtaken: set[str] = set()  # chats whose state was no longer the newest when it came
        while True:
            if not overtaken:
                with contextlib.suppress(TimeoutError):  # cut off: a round without being asked
                    await asyncio.wait_for(
                        self._wanted.wait(), ROUND_S if self._is_cut_off() else None
                    )
            of_all = self._wanted.is_set() or not overtaken
            self._wanted.clear()
            try:
                overtaken = await self._round(None if of_all else overtaken)
            except DomainError:
                self._wanted.set()  # the database does not answer: once more, not so soon that it fills the log
                await asyncio.sleep(ROUND_S)
            except Exception:
                log.exception("streams could not be brought up to date")
                self._wanted.set()
                await asyncio.sleep(ROUND_S)
            await asyncio.sleep(PAUSE_S)

    async def _round(self, only: set[str] | None) -> set[str]:
        """Of all chats, or of some `only`: where much happens there is always one that is overtaken, and that must not ask for all of them again."""
        self.rounds += 1
        if only is None and self._streams.has_staff:
            self._streams.deliver(Event.of(STAFF_TOPIC, await self._staff_state()))
        versions = self._streams.versions
        if only is not None:
            versions = {chat_id: versions[chat_id] for chat_id in only & versions.keys()}
        overtaken: set[str] = set()
        states = await self._chat_states(list(versions)) if versions else {}
        for n, (chat_id, state) in enumerate(states.items(), 1):
            if not self._streams.resync_chat(chat_id, state, versions[chat_id]):
                overtaken.add(chat_id)
            if n % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return overtaken

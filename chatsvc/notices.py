"""NoticeService: the e-mails to users who have not read what staff wrote (store/notices.py has a notice's life)."""

from collections.abc import Callable

from uuid_utils import uuid7

from chatsvc.db import Database
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.session import Session
from chatsvc.store import notices as rows
from chatsvc.store.chats import Changed, list_item
from chatsvc.store.notices import Notice
from chatsvc.wire import StaffChatUpdatedEvent


class NoticeService:
    """`publish` takes events after COMMIT, in commit order."""

    def __init__(self, db: Database, publish: Callable[[Event], None]) -> None:
        self._db = db
        self._publish = publish
        self.paused: str | None = None  # why no e-mail is sent at all, in one sentence for staff; None: all is well

    # ---- for staff ----

    async def notices_of(self, chat_id: str, from_seq: int = 0) -> list[Notice]:
        """The chat's notices that are about messages from `from_seq` on, oldest first."""
        return await self._db.read(rows.notices_of, chat_id, from_seq)

    async def send_now(self, chat_id: str) -> bool:
        """Sends the e-mail about what is unread now rather than later. False: there is nothing to tell, or one is under way.

        It waits for nothing: neither the delay nor the interval since the last one. Archived, opted out and the like still hold.
        """
        result = await self._db.write(_send_now, chat_id, str(uuid7()), then=self._brought_forward)
        return result.changed

    async def do_not_send(self, chat_id: str) -> bool:
        """No e-mail about what is unread now. False: none was to come."""
        return (await self._db.write(_do_not_send, chat_id, then=self._changed)).changed

    def arm(self, due_in_s: float) -> None:
        """Something is due in so many seconds, by the database's clock."""

    # ---- after COMMIT, on the loop, in commit order ----

    def _changed(self, result: Changed) -> None:
        if result.changed:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(result.chat)))

    def _brought_forward(self, result: Changed) -> None:
        self._changed(result)
        if result.changed:
            self.arm(0)


def _send_now(session: Session, chat_id: str, notice_id: str) -> Changed:
    return Changed(list_item(session, chat_id), rows.send_now(session, chat_id, notice_id))


def _do_not_send(session: Session, chat_id: str) -> Changed:
    return Changed(list_item(session, chat_id), rows.do_not_send(session, chat_id))

"""ChatService: everything that users and staff do with chats, and the only place that publishes their events."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from uuid_utils import uuid7

from chatsvc.database.connection import Session
from chatsvc.database.threads import Database
from chatsvc.errors import Unprocessable
from chatsvc.events import STAFF_TOPIC, Event, chat_topic
from chatsvc.services.cursors import decode_list_cursor, encode_list_cursor
from chatsvc.store import chats as rows
from chatsvc.store import messages, notices
from chatsvc.store.messages import MessageRow, Posted
from chatsvc.text.sanitize import is_blank
from chatsvc.wire import (
    CLIENT_ID_MAX_CHARS,
    CONTENT_MAX_CHARS,
    AdminSupportChat,
    AdminViewedEvent,
    ChatStateEvent,
    ChatUpdatedEvent,
    MessagePage,
    MessagesReadEvent,
    NewMessageEvent,
    NewUserMessageEvent,
    ReadMark,
    SenderType,
    StaffChatUpdatedEvent,
    StaffStateEvent,
    SupportChat,
    SupportChatListItem,
    SupportMessage,
    format_time,
)

LATEST = 50  # messages in a chat as it is first fetched (docs/api.md section 3)


class Sender(NamedTuple):
    """Who posts a message, and as what."""

    user_id: str
    type: SenderType


class Read(NamedTuple):
    """What reading changed; `chat` is set if an e-mail that was to come is not, or later."""

    result: rows.ReadResult
    chat: SupportChatListItem | None


class ChatPage(NamedTuple):
    items: list[SupportChatListItem]
    next_cursor: str | None


class ChatService:
    """`publish` takes events after COMMIT, in commit order; `arm` is told in how many seconds a new notice is due."""

    def __init__(
        self,
        db: Database,
        publish: Callable[[Event], None],
        *,
        email_delay_s: float,
        email_min_interval_s: float,
        arm: Callable[[float], None] = lambda due_in_s: None,
        on_message: Callable[[SenderType], None] = lambda sender_type: None,
    ) -> None:
        self._db = db
        self._publish = publish
        self._arm = arm
        self._on_message = on_message
        self._email_delay_s = email_delay_s
        self._email_min_interval_s = email_min_interval_s

    # ---- for users ----

    async def chat_id_of(self, user_id: str) -> str:
        """The id of the user's one chat, which is created if there is none yet."""
        known = await self._db.read(rows.chat_of_user, user_id)
        if known is not None:
            return known
        return (
            await self._db.write(rows.create_chat, user_id, str(uuid7()), then=self._item_changed)
        ).chat.id

    async def open_chat(self, chat_id: str) -> SupportChat:
        """The chat with its latest messages, as its user sees it."""
        return await self._db.read(rows.user_chat, chat_id, LATEST)

    async def mark_read(self, chat_id: str, up_to: int | None) -> ReadMark:
        """The user has read the staff's messages up to seq `up_to` (None: all stored so far)."""
        limit = rows.MAX_SEQ if up_to is None else up_to
        write = self._db.write(
            _mark_read, chat_id, limit, self._email_delay_s, then=partial(self._read, chat_id)
        )
        state = (await write).result.state
        return ReadMark(state.unread_count, state.read_up_to)

    # ---- for both ----

    async def post_message(
        self, chat_id: str, sender: Sender, content: str, client_id: str | None
    ) -> tuple[SupportMessage, bool]:
        """Stores a message. Returns it, and whether it is new (False: this client_id was sent before with the same content).

        Raises Unprocessable for blank content, Conflict for a client_id that was used with other content, NotFound for no such chat.
        """
        check_text("content", content, CONTENT_MAX_CHARS)
        if is_blank(content):
            raise Unprocessable.field(
                "content", "is blank: a message holds at least one visible character", "blank"
            )
        check_text("client_id", client_id, CLIENT_ID_MAX_CHARS)
        row = MessageRow(
            str(uuid7()),
            chat_id,
            client_id,
            content,
            sender.type,
            sender.user_id,
            str(uuid7()),
            self._email_delay_s,
            self._email_min_interval_s,
        )
        posted = await self._db.write(messages.insert_messages, row, then=self._posted)
        return posted.message, posted.is_new

    async def messages_after(self, chat_id: str, seq: int, limit: int) -> MessagePage:
        return await self._db.read(messages.messages_after, chat_id, seq, limit)

    async def messages_since(self, chat_id: str, moment: datetime, limit: int) -> MessagePage:
        return await self._db.read(messages.messages_since, chat_id, moment, limit)

    async def messages_before(self, chat_id: str, seq: int, limit: int) -> MessagePage:
        return await self._db.read(messages.messages_before, chat_id, seq, limit)

    async def state(self, chat_id: str) -> ChatStateEvent:
        """What a stream tells first."""
        return await self._db.read(rows.chat_state, chat_id)

    async def states(self, chat_ids: Sequence[str]) -> dict[str, ChatStateEvent]:
        """The same of many chats, in one query."""
        return await self._db.read(rows.chat_states, chat_ids)

    # ---- for staff ----

    async def list_chats(
        self, *, archived: bool, limit: int, cursor: str | None = None
    ) -> ChatPage:
        """A page of the staff's list, latest message first. Raises BadRequest for a cursor that is none of ours."""
        start = rows.LIST_START if cursor is None else decode_list_cursor(cursor)
        items, following = await self._db.read(rows.list_chats, archived, limit, start)
        return ChatPage(items, None if following is None else encode_list_cursor(following))

    async def counts(self) -> rows.ChatCounts:
        """The figures on the tabs, each exact up to 999."""
        return await self._db.read(rows.count_chats)

    async def staff_state(self) -> StaffStateEvent:
        return StaffStateEvent(unread_chats=(await self.counts()).unread)

    async def list_item(self, chat_id: str) -> SupportChatListItem:
        return await self._db.read(rows.list_item, chat_id)

    async def admin_chat(self, chat_id: str) -> AdminSupportChat:
        """The chat with its latest messages, as staff see it. Reading it changes nothing."""
        return await self._db.read(rows.admin_chat, chat_id, LATEST)

    async def colleagues(
        self, chat_id: str, shown: Sequence[SupportMessage], staff_id: str
    ) -> dict[int, str]:
        """By seq, who wrote those of the staff's messages in a run that are not by `staff_id`."""
        if not any(message.sender_type == "admin" for message in shown):
            return {}
        seqs = (shown[0].seq, shown[-1].seq)
        return await self._db.read(messages.colleagues, chat_id, seqs, staff_id)

    async def is_visitors(self, chat_id: str) -> bool:
        """Whether name and e-mail address are what a visitor typed."""
        return await self._db.read(rows.is_visitors, chat_id)

    async def mark_viewed(self, chat_id: str, up_to: int | None) -> SupportChatListItem:
        """Staff have been shown the messages up to seq `up_to` (None: all stored so far)."""
        limit = rows.MAX_SEQ if up_to is None else up_to
        return (await self._db.write(rows.mark_viewed, chat_id, limit, then=self._viewed)).chat

    async def archive(self, chat_id: str) -> SupportChatListItem:
        """A message that the user sends meanwhile keeps the chat active."""
        newest = (await self.list_item(chat_id)).message_count
        return (await self._db.write(_archive, chat_id, newest, then=self._archived)).chat

    async def unarchive(self, chat_id: str) -> SupportChatListItem:
        return (await self._db.write(rows.unarchive, chat_id, then=self._archived)).chat

    # ---- after COMMIT, on the loop, in commit order ----

    def _posted(self, posted: Posted) -> None:
        message, chat = posted.message, posted.chat
        if posted.was_archived:
            self._publish(Event.of(chat_topic(chat.id), ChatUpdatedEvent(archived=False)))
        # also when it was stored before: whoever did may have died before publishing it, and streams that have it drop it
        self._publish(Event.of(chat_topic(chat.id), NewMessageEvent(message), seq=message.seq))
        if not posted.is_new:
            return
        if message.sender_type == "user":
            event = NewUserMessageEvent(chat.id, chat.user_email, chat.user_name, message)
            self._publish(Event.of(STAFF_TOPIC, event))
        if message.sender_type == "admin" or posted.was_archived or message.seq == 1:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(chat)))
        if posted.due_in_s is not None:
            self._arm(posted.due_in_s)
        self._on_message(message.sender_type)

    def _read(self, chat_id: str, read: Read) -> None:
        if read.result.read_at is not None:
            event = MessagesReadEvent(
                read.result.state.read_up_to, format_time(read.result.read_at)
            )
            self._publish(Event.of(chat_topic(chat_id), event))
        if read.chat is not None:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(read.chat)))

    def _item_changed(self, result: rows.Changed) -> None:
        if result.changed:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(result.chat)))

    def _viewed(self, result: rows.Viewed) -> None:
        if result.up_to is not None:
            self._publish(Event.of(chat_topic(result.chat.id), AdminViewedEvent(result.up_to)))
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(result.chat)))

    def _archived(self, result: rows.Changed) -> None:
        if result.changed:
            self._publish(
                Event.of(chat_topic(result.chat.id), ChatUpdatedEvent(result.chat.archived))
            )
            self._item_changed(result)


def check_text(field: str, text: str | None, max_chars: int) -> None:
    """Raises Unprocessable for a NUL character, which PostgreSQL cannot store, and for what is too long: a form has no schema."""
    if text is not None and len(text) > max_chars:
        raise Unprocessable.field(
            field,
            f"has {len(text)} characters; at most {max_chars} would be right",
            "too_long",
            max_chars,
        )
    if text is not None and "\0" in text:
        raise Unprocessable.field(field, "holds a NUL character, which cannot be stored", "nul")


def _mark_read(session: Session, chat_id: str, up_to: int, email_delay_s: float) -> Read:
    result = rows.mark_read(session, chat_id, up_to)
    has_changed = result.read_at is not None and notices.follow_reading(
        session, chat_id, email_delay_s
    )
    return Read(result, rows.list_item(session, chat_id) if has_changed else None)


def _archive(session: Session, chat_id: str, up_to: int) -> rows.Changed:
    result = rows.archive(session, chat_id, up_to)
    if result.changed:
        notices.cancel(session, chat_id, "archived")
    return result

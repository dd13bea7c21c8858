"""ChatService: what users and staff do with chats."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from uuid_utils import uuid7

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import DomainError, Unprocessable
from chatsvc.events import STAFF_TOPIC, MessagePosted, NoticeDue, chat_topic
from chatsvc.services.cursors import decode_list_cursor, encode_list_cursor
from chatsvc.store import chats as rows
from chatsvc.store import messages, notices
from chatsvc.store.messages import InsertedMessage, MessageRow
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

LATEST = 50  # messages of a chat in its first response (docs/api.md section 3)


class Sender(NamedTuple):
    """Who posts a message, and in which role."""

    user_id: str
    type: SenderType


class ChatPage(NamedTuple):
    items: list[SupportChatListItem]
    next_cursor: str | None


class ChatService:
    """Everything that users and staff can do with chats and messages."""

    def __init__(self, db: Database, *, email_delay_s: float, email_min_interval_s: float) -> None:
        self._db = db
        self._email_delay_s = email_delay_s
        self._email_min_interval_s = email_min_interval_s

    # ---- for users ----

    async def chat_id_for_user(self, user_id: str) -> str:
        """Return the id of the user's one chat. Creates it if there is none yet."""
        return await self._db.write_many(_create_chats, (user_id, str(uuid7())))

    async def open_chat(self, chat_id: str) -> SupportChat:
        """Return the chat with its latest messages, as its user sees it."""
        return await self._db.read(rows.user_chat, chat_id, LATEST)

    async def mark_read(self, chat_id: str, up_to: int | None) -> ReadMark:
        """Mark the staff's messages up to seq `up_to` (None: all) as read by the user."""
        limit = rows.MAX_SEQ if up_to is None else up_to
        return await self._db.write(_mark_read, chat_id, limit, self._email_delay_s)

    # ---- for both ----

    async def post_message(
        self, chat_id: str, sender: Sender, content: str, client_id: str | None
    ) -> tuple[SupportMessage, bool]:
        """Store a message. Return it, and whether it is new (its client_id was not sent before).

        Raises Unprocessable for blank content, Conflict for a client_id that was sent with other
        content, NotFound if there is no such chat.
        """
        check_text("content", content, CONTENT_MAX_CHARS)
        if is_blank(content):
            raise Unprocessable.field(
                "content", "must hold at least one visible character", "blank"
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
        return await self._db.write_many(_post_messages, row)

    async def messages_after(
        self, chat_id: str, seq: int, limit: int, message_id: str | None = None
    ) -> MessagePage:
        """Return later messages. `message_id` is that of message `seq`, if the client knows it."""
        return await self._db.read(messages.messages_after, chat_id, seq, limit, message_id)

    async def is_at(self, chat_id: str, seq: int, message_id: str) -> bool:
        """Whether the message `seq` has this id."""
        return await self._db.read(messages.is_at, chat_id, seq, message_id)

    async def messages_since(self, chat_id: str, moment: datetime, limit: int) -> MessagePage:
        return await self._db.read(messages.messages_since, chat_id, moment, limit)

    async def messages_before(self, chat_id: str, seq: int, limit: int) -> MessagePage:
        return await self._db.read(messages.messages_before, chat_id, seq, limit)

    async def state(self, chat_id: str) -> ChatStateEvent:
        """Return what a stream of this chat begins with. Raises NotFound."""
        return await self._db.read(rows.chat_state, chat_id)

    async def stream_start(
        self, chat_id: str, cursor: int | None
    ) -> tuple[ChatStateEvent, MessagePage]:
        """Return the first event of a stream, and the first messages after its cursor.

        Raises NotFound.
        """
        return await self._db.read_many(rows.stream_starts, (chat_id, cursor))

    async def states(self, chat_ids: Sequence[str]) -> dict[str, ChatStateEvent]:
        """Return the states of many chats, by id, with one query."""
        return await self._db.read(rows.chat_states, chat_ids)

    # ---- for staff ----

    async def list_chats(
        self, *, archived: bool, limit: int, cursor: str | None = None
    ) -> ChatPage:
        """Return a page of the staff's list, latest message first.

        Raises BadRequest for an invalid cursor.
        """
        start = rows.LIST_START if cursor is None else decode_list_cursor(cursor)
        items, following = await self._db.read(rows.list_chats, archived, limit, start)
        return ChatPage(items, None if following is None else encode_list_cursor(following))

    async def chat_of_sub(self, sub: str) -> list[SupportChatListItem]:
        """Return the chat of the host application's user `sub`, or nothing."""
        return await self._db.read(rows.chat_of_sub, sub)

    async def staff_state(self) -> StaffStateEvent:
        return StaffStateEvent(unread_chats=(await self._db.read(rows.count_chats)).unread)

    async def list_item(self, chat_id: str) -> SupportChatListItem:
        return await self._db.read(rows.list_item, chat_id)

    async def admin_chat(self, chat_id: str) -> AdminSupportChat:
        """Return the chat with its latest messages, as staff see it. Does not mark them viewed."""
        return await self._db.read(rows.admin_chat, chat_id, LATEST)

    async def mark_viewed(self, chat_id: str, up_to: int | None) -> SupportChatListItem:
        """Mark the messages up to seq `up_to` (None: all) as viewed by staff."""
        limit = rows.MAX_SEQ if up_to is None else up_to
        return await self._db.write(mark_viewed, chat_id, limit)

    async def archive(self, chat_id: str) -> SupportChatListItem:
        """Archive the chat. A message that the user sends meanwhile keeps it active."""
        newest = (await self.list_item(chat_id)).message_count
        return await self._db.write(_archive, chat_id, newest)

    async def unarchive(self, chat_id: str) -> SupportChatListItem:
        return await self._db.write(_unarchive, chat_id)


def check_text(field: str, text: str | None, max_chars: int) -> None:
    """Check a text's length, and that it has no NUL, which PostgreSQL cannot store.

    For input without a schema, such as forms. Raises Unprocessable.
    """
    if text is not None and len(text) > max_chars:
        raise Unprocessable.field(
            field,
            f"is {len(text):,} characters long; the maximum is {max_chars:,}",
            "too_long",
            max_chars,
        )
    if text is not None and "\0" in text:
        raise Unprocessable.field(field, "must not contain a NUL character", "nul")


# ---- on the writer thread ----


def _create_chats(tx: Transaction, new: Sequence[tuple[str, str]]) -> Sequence[str]:
    chat_ids = rows.create_chats(tx, new)
    created = {
        chat_id for (_, new_id), chat_id in zip(new, chat_ids, strict=True) if chat_id == new_id
    }
    for item in rows.list_items(tx, created):
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(item))
    return chat_ids


def _post_messages(
    tx: Transaction, new: Sequence[MessageRow]
) -> Sequence[tuple[SupportMessage, bool] | DomainError]:
    results: list[tuple[SupportMessage, bool] | DomainError] = []
    for inserted in messages.insert_messages(tx, new):
        if isinstance(inserted, DomainError):
            results.append(inserted)
        else:
            _emit_message(tx, inserted)
            results.append((inserted.message, inserted.is_new))
    return results


def _emit_message(tx: Transaction, inserted: InsertedMessage) -> None:
    message, chat = inserted.message, inserted.chat
    if inserted.was_archived:
        tx.emit(chat_topic(chat.id), ChatUpdatedEvent(archived=False))
    # Also for a repeat: the process that stored it may have died before publishing it. Streams
    # that already have it ignore it.
    tx.emit(chat_topic(chat.id), NewMessageEvent(message), seq=message.seq)
    if not inserted.is_new:
        return
    if message.sender_type == "user":
        event = NewUserMessageEvent(
            chat.id, chat.user_email, chat.user_name, message, chat.user_sub
        )
        tx.emit(STAFF_TOPIC, event)
    if message.sender_type == "admin" or inserted.was_archived or message.seq == 1:
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(chat))
    if inserted.due_in_s is not None:
        tx.signal(NoticeDue(inserted.due_in_s))
    tx.signal(MessagePosted(message.sender_type))


def _mark_read(tx: Transaction, chat_id: str, up_to: int, email_delay_s: float) -> ReadMark:
    state, read_at = rows.mark_read(tx, chat_id, up_to)
    if read_at is not None:
        tx.emit(chat_topic(chat_id), MessagesReadEvent(state.read_up_to, format_time(read_at)))
        if notices.follow_reading(tx, chat_id, email_delay_s):
            tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(rows.list_item(tx, chat_id)))
    return ReadMark(state.unread_count, state.read_up_to)


def mark_viewed(tx: Transaction, chat_id: str, up_to: int) -> SupportChatListItem:
    viewed_up_to = rows.mark_viewed(tx, chat_id, up_to)
    chat = rows.list_item(tx, chat_id)
    if viewed_up_to is not None:
        tx.emit(chat_topic(chat_id), AdminViewedEvent(viewed_up_to))
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(chat))
    return chat


def _archive(tx: Transaction, chat_id: str, up_to: int) -> SupportChatListItem:
    is_changed = rows.archive(tx, chat_id, up_to)
    if is_changed:
        notices.cancel(tx, chat_id, "archived")
    return _archived(tx, chat_id, is_changed)


def _unarchive(tx: Transaction, chat_id: str) -> SupportChatListItem:
    return _archived(tx, chat_id, rows.unarchive(tx, chat_id))


def _archived(tx: Transaction, chat_id: str, is_changed: bool) -> SupportChatListItem:
    chat = rows.list_item(tx, chat_id)
    if is_changed:
        tx.emit(chat_topic(chat_id), ChatUpdatedEvent(chat.archived))
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(chat))
    return chat

"""The reference's database work: Peewee's query builder in a thread pool, one commit per message."""

import asyncio
import datetime
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import peewee

from bench.reference.models import SupportChat, SupportMessage, User, database

THREADS = 8
PAGE = 50
PREVIEW_CHARACTERS = 100

Json = dict[str, Any]
T = TypeVar("T")


def time_text(value: datetime.datetime | None) -> str | None:
    if value is None:
        return None
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def message_json(message: SupportMessage) -> Json:
    return {
        "id": str(message.id),
        "content": message.content,
        "sender_type": message.sender_type,
        "read_at": time_text(message.read_at),
        "created_at": time_text(message.created_at),
        "seq": message.seq,
        "client_id": message.client_id,
    }


def open_chat(external_id: str, email: str | None, name: str | None) -> Json:
    with database.atomic():
        user = User.get_or_none(User.external_id == external_id)
        if user is None:
            user = User.create(external_id=external_id, email=email, name=name)
        chat = SupportChat.get_or_none(SupportChat.user == user)
        return chat_json(chat or SupportChat.create(user=user))


def chat_json(chat: SupportChat) -> Json:
    latest = list(chat_messages(chat).order_by(SupportMessage.seq.desc()).limit(PAGE + 1))
    unread = chat_messages(chat).where(
        (SupportMessage.sender_type == "admin") & SupportMessage.read_at.is_null()
    )
    return {
        "id": str(chat.id),
        "messages": [message_json(message) for message in reversed(latest[:PAGE])],
        "has_more": len(latest) > PAGE,
        "last_seq": chat.last_seq,
        "unread_count": unread.count(),
        "archived": chat.archived_at is not None,
    }


def chat_messages(chat: SupportChat) -> Any:
    return SupportMessage.select().where(SupportMessage.chat == chat)


def post_message(external_id: str, content: str, client_id: str | None) -> tuple[str, Json]:
    """Store one message in a transaction of its own; the chat's row lock makes its seq."""
    try:
        with database.atomic():
            chat = chat_of_user(external_id).for_update(of=SupportChat).get()
            message = append(chat, content, client_id)
    except peewee.IntegrityError:
        chat = chat_of_user(external_id).get()
        message = SupportMessage.get(
            (SupportMessage.chat == chat) & (SupportMessage.client_id == client_id)
        )
    return str(chat.id), message_json(message)


def append(chat: SupportChat, content: str, client_id: str | None) -> SupportMessage:
    now = datetime.datetime.now(datetime.UTC)
    chat.last_seq += 1
    chat.last_message_at = chat.last_user_message_at = chat.updated_at = now
    chat.archived_at = None
    message = SupportMessage.create(
        chat=chat,
        seq=chat.last_seq,
        client_id=client_id,
        content=content,
        sender_type="user",
        sender=chat.user_id,
        created_at=now,
        updated_at=now,
    )
    changed = (
        "last_seq",
        "last_message_at",
        "last_user_message_at",
        "archived_at",
        "updated_at",
    )
    chat.save(only=[SupportChat._meta.fields[name] for name in changed])
    return message


def chat_of_user(external_id: str) -> Any:
    return SupportChat.select().join(User).where(User.external_id == external_id)


def stream_start(external_id: str, cursor: int | None) -> tuple[str, int, list[Json]]:
    """The chat's id, its newest seq and what was missed since the cursor."""
    chat = chat_of_user(external_id).get_or_none()
    if chat is None:
        chat = SupportChat.get_by_id(open_chat(external_id, None, None)["id"])
    if cursor is None or cursor >= chat.last_seq:
        return str(chat.id), chat.last_seq, []
    missed = chat_messages(chat).where(SupportMessage.seq > cursor).order_by(SupportMessage.seq)
    return str(chat.id), chat.last_seq, [message_json(message) for message in missed]


def list_chats(limit: int, offset: int) -> Json:
    """One page of the list with what it shows of each chat, and the number of all of them."""
    latest = SupportMessage.alias()
    last_content = (
        latest.select(latest.content)
        .where(latest.chat == SupportChat.id)
        .order_by(latest.seq.desc())
        .limit(1)
    )
    counted = SupportMessage.alias()
    messages = counted.select(peewee.fn.COUNT(counted.id)).where(counted.chat == SupportChat.id)
    active = SupportChat.select().where(SupportChat.archived_at.is_null())
    chats = (
        SupportChat.select(
            SupportChat, User, last_content.alias("preview"), messages.alias("messages")
        )
        .join(User)
        .where(SupportChat.archived_at.is_null() & SupportChat.last_message_at.is_null(False))
        .order_by(SupportChat.last_message_at.desc())
        .limit(limit)
        .offset(offset)
    )
    return {"total": active.count(), "chats": [list_item(chat) for chat in chats]}


def list_item(chat: Any) -> Json:
    viewed = chat.admin_viewed_at
    return {
        "id": str(chat.id),
        "user_id": str(chat.user.id),
        "user_email": chat.user.email,
        "user_name": chat.user.name,
        "last_message_at": time_text(chat.last_message_at),
        "last_message_preview": (chat.preview or "")[:PREVIEW_CHARACTERS],
        "message_count": chat.messages,
        "unread": chat.last_user_message_at is not None
        and (viewed is None or chat.last_user_message_at > viewed),
        "archived": chat.archived_at is not None,
    }


def staff_chat(chat_id: uuid.UUID) -> Json:
    return chat_json(SupportChat.get_by_id(chat_id))


class Store:
    """Runs the functions above in threads, each with its own connection."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, initializer=database.connect)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

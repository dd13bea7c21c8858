"""The request and response structs of the API (docs/api.md section 2).

Handlers decode and encode them; /openapi.json describes them.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

SENDER_TYPES = ("user", "admin")
CONTENT_MAX_CHARS = 10_000
CLIENT_ID_MAX_CHARS = 64
PREVIEW_CHARS = 100

Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # exact as a JSON number in every client
SenderType = Literal["user", "admin"]


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC with six decimals and "Z".

    `moment` is aware and in UTC; database connections are set to return such times.
    """
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def format_optional_time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


class SupportMessage(Struct, frozen=True):
    id: Id
    content: str
    sender_type: SenderType
    read_at: Time | None
    created_at: Time
    seq: int
    client_id: str | None


class SupportChat(Struct, frozen=True):
    id: Id
    messages: list[SupportMessage]
    has_more: bool
    last_seq: int
    unread_count: int
    archived: bool


class SupportChatListItem(Struct, frozen=True):
    id: Id
    user_id: Id
    user_email: str | None
    user_name: str | None
    last_message_at: Time | None
    last_message_preview: str | None
    last_message_sender: SenderType | None
    message_count: int
    unread: bool
    archived: bool
    user_sub: str | None  # the host application's user id; None for a visitor


class AdminSupportChat(Struct, frozen=True):
    id: Id
    user_id: Id
    user_email: str | None
    user_name: str | None
    archived: bool
    admin_viewed_at: Time | None
    messages: list[SupportMessage]
    has_more: bool
    last_seq: int
    user_sub: str | None


class MessagePage(Struct, frozen=True, omit_defaults=True):
    """`reset`: the cursor names another message, and the client must fetch the chat again."""

    messages: list[SupportMessage]
    has_more: bool
    last_seq: int
    reset: bool = False


class MessageHit(Struct, frozen=True):
    """A message that matches a search by staff."""

    chat_id: Id
    user_id: Id
    user_email: str | None
    user_name: str | None
    user_sub: str | None
    archived: bool
    message: SupportMessage


class ReadMark(Struct, frozen=True):
    unread_count: int
    read_up_to: int


class VisitorCreated(Struct, frozen=True):
    token: str
    user_id: Id


class VisitorProfile(Struct, frozen=True):
    user_id: Id
    name: str | None
    email: str | None


class FieldProblem(Struct, frozen=True):
    field: str
    detail: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457, application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    errors: tuple[FieldProblem, ...] = ()


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    content: Annotated[str, Meta(min_length=1, max_length=CONTENT_MAX_CHARS)]
    client_id: Annotated[str, Meta(min_length=1, max_length=CLIENT_ID_MAX_CHARS)] | None = None


class UpTo(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of mark_read and mark_viewed. Without `up_to`, all stored messages are marked."""

    up_to: Seq | None = None


class EmptyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """An empty JSON object, or no body."""


class NewVisitor(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=255)] | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None


class VisitorChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a visitor's profile: an absent field stays as it is, null clears it."""

    name: Annotated[str, Meta(max_length=255)] | msgspec.UnsetType | None = msgspec.UNSET
    email: Annotated[str, Meta(max_length=254)] | msgspec.UnsetType | None = msgspec.UNSET


# The data of the events in docs/api.md section 5. The tag becomes the field `type`.


class NewMessageEvent(Struct, frozen=True, tag_field="type", tag="new_message"):
    message: SupportMessage


class MessagesReadEvent(Struct, frozen=True, tag_field="type", tag="messages_read"):
    read_up_to: int
    read_at: Time


class ChatUpdatedEvent(Struct, frozen=True, tag_field="type", tag="chat_updated"):
    archived: bool


class AdminViewedEvent(Struct, frozen=True, tag_field="type", tag="admin_viewed"):
    """Staff have seen the user's messages up to this seq. The widget shows "Seen"."""

    up_to: int


class ChatStateEvent(Struct, frozen=True, tag_field="type", tag="state"):
    last_seq: int
    unread_count: int
    read_up_to: int
    viewed_up_to: int
    archived: bool


class ResetEvent(Struct, frozen=True, tag_field="type", tag="reset"):
    """The cursor is not valid: the client must discard it and fetch the chat again."""


class StaffStateEvent(Struct, frozen=True, tag_field="type", tag="state"):
    unread_chats: int


class NewUserMessageEvent(Struct, frozen=True, tag_field="type", tag="new_user_message"):
    chat_id: Id
    user_email: str | None
    user_name: str | None
    message: SupportMessage
    user_sub: str | None


class StaffChatUpdatedEvent(Struct, frozen=True, tag_field="type", tag="chat_updated"):
    chat: SupportChatListItem


class CloseEvent(Struct, frozen=True):
    reason: Literal["shutdown", "slow", "expired", "revoked", "superseded"]
    reconnect: bool


class PingEvent(Struct, frozen=True):
    seq: int

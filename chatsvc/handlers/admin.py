"""The staff API: all chats (docs/api.md section 4)."""

from urllib.parse import urlencode

from chatsvc import wire
from chatsvc.errors import BadRequest, NotFound
from chatsvc.handlers.endpoint import StaffHandler
from chatsvc.handlers.openapi import PAGE_QUERY, operation
from chatsvc.handlers.paging import PAGE_DEFAULT, PAGE_MAX, read_page
from chatsvc.services.chats import Sender
from chatsvc.services.cursors import is_canonical_uuid

LIST_QUERY = {
    "archived": {"type": "boolean", "default": False},
    "limit": PAGE_QUERY["limit"],
    "cursor": {"type": "string"},
    "sub": {"type": "string"},
}


def check_chat_id(text: str) -> str:
    """Return the chat id of a path. Raise NotFound if it cannot be one."""
    if not is_canonical_uuid(text):
        raise NotFound("there is no such chat")
    return text


class ChatsHandler(StaffHandler):
    @operation(
        "All chats, latest message first", {200: list[wire.SupportChatListItem]}, query=LIST_QUERY
    )
    async def get(self) -> None:
        archived = self.get_query_argument("archived", "false")
        if archived not in ("true", "false"):
            raise BadRequest(f"archived must be true or false, not {archived[:64]!r}.")
        limit = self.int_argument("limit", PAGE_DEFAULT, 1, PAGE_MAX)
        cursor = self.get_query_argument("cursor", None)
        if sub := self.get_query_argument("sub", None, strip=False):
            found = await self.services.chats.chat_of_sub(sub)
            both = self.get_query_argument("archived", None) is None
            return self.send(
                [one for one in found if both or str(one.archived).lower() == archived]
            )
        page = await self.services.chats.list_chats(
            archived=archived == "true", limit=limit, cursor=cursor
        )
        if page.next_cursor is not None:
            query = urlencode({"archived": archived, "limit": limit, "cursor": page.next_cursor})
            self.set_header("Link", f'<{self.request.path}?{query}>; rel="next"')
        self.send(page.items)


class ChatHandler(StaffHandler):
    @operation("One chat with its latest messages", {200: wire.AdminSupportChat})
    async def get(self, chat_id: str) -> None:
        self.send(await self.services.chats.admin_chat(check_chat_id(chat_id)))


class MessagesHandler(StaffHandler):
    @operation(
        "Messages after, since or before a cursor", {200: wire.MessagePage}, query=PAGE_QUERY
    )
    async def get(self, chat_id: str) -> None:
        self.send(await read_page(self, check_chat_id(chat_id)))

    @operation(
        "Reply to the user; schedules an e-mail notice",
        {201: wire.SupportMessage, 200: wire.SupportMessage},
        body=wire.NewMessage,
        errors=(409, 429),
    )
    async def post(self, chat_id: str) -> None:
        self.limit_message()
        new = self.decode(wire.NewMessage)
        sender = Sender(self.caller.user_id, "admin")
        message, is_new = await self.services.chats.post_message(
            check_chat_id(chat_id), sender, new.content, new.client_id
        )
        self.send(message, 201 if is_new else 200)


class MarkViewedHandler(StaffHandler):
    @operation(
        "Mark the messages up to a seq as seen by staff",
        {200: wire.SupportChatListItem},
        body=wire.UpTo,
    )
    async def post(self, chat_id: str) -> None:
        up_to = self.decode(wire.UpTo).up_to
        self.send(await self.services.chats.mark_viewed(check_chat_id(chat_id), up_to))


class ArchiveHandler(StaffHandler):
    @operation(
        "Archive a chat; repeating changes nothing",
        {200: wire.SupportChatListItem},
        body=wire.EmptyBody,
    )
    async def post(self, chat_id: str) -> None:
        self.decode(wire.EmptyBody)
        self.send(await self.services.chats.archive(check_chat_id(chat_id)))


class UnarchiveHandler(StaffHandler):
    @operation(
        "Restore a chat; repeating changes nothing",
        {200: wire.SupportChatListItem},
        body=wire.EmptyBody,
    )
    async def post(self, chat_id: str) -> None:
        self.decode(wire.EmptyBody)
        self.send(await self.services.chats.unarchive(check_chat_id(chat_id)))


ROUTES = [
    (r"/admin/chats", ChatsHandler),
    (r"/admin/chats/([^/]+)", ChatHandler),
    (r"/admin/chats/([^/]+)/messages", MessagesHandler),
    (r"/admin/chats/([^/]+)/mark_viewed", MarkViewedHandler),
    (r"/admin/chats/([^/]+)/archive", ArchiveHandler),
    (r"/admin/chats/([^/]+)/unarchive", UnarchiveHandler),
]

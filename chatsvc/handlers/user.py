"""The user API: one chat per user (docs/api.md section 3)."""

from chatsvc import wire
from chatsvc.handlers.base import CorsMixin
from chatsvc.handlers.endpoint import Endpoint, UserHandler
from chatsvc.handlers.openapi import PAGE_QUERY, operation
from chatsvc.handlers.paging import read_page
from chatsvc.security.rate_limits import address_key
from chatsvc.services.chats import Sender


class VisitorsHandler(CorsMixin, Endpoint):
    audience = "public"

    @operation(
        "Create a visitor and return a token",
        {201: wire.VisitorCreated},
        body=wire.NewVisitor,
        errors=(403, 429),
    )
    async def post(self) -> None:
        self.take(self.services.limits.visitor_address, address_key(self.address))
        new = self.decode(wire.NewVisitor)
        token, user_id = await self.services.identity.create_visitor(new, self.language)
        self.send(wire.VisitorCreated(token, user_id), 201)


class VisitorHandler(UserHandler):
    @operation(
        "Change the visitor's name and e-mail address",
        {200: wire.VisitorProfile},
        body=wire.VisitorChange,
        errors=(429,),
    )
    async def patch(self) -> None:
        self.limit_message()
        self.send(
            await self.services.identity.change_visitor(
                self.caller, self.decode(wire.VisitorChange)
            )
        )


class ChatHandler(UserHandler):
    @operation("The caller's one chat, created if there is none yet", {200: wire.SupportChat})
    async def get(self) -> None:
        self.send(await self.services.chats.open_chat(await self.chat_id()))


class MessagesHandler(UserHandler):
    @operation(
        "Messages after, since or before a cursor", {200: wire.MessagePage}, query=PAGE_QUERY
    )
    async def get(self) -> None:
        self.send(await read_page(self, await self.chat_id()))

    @operation(
        "Send a message",
        {201: wire.SupportMessage, 200: wire.SupportMessage},
        body=wire.NewMessage,
        errors=(409, 429),
    )
    async def post(self) -> None:
        self.limit_message()
        new = self.decode(wire.NewMessage)
        sender = Sender(self.caller.user_id, "user")
        await self.services.identity.note_language(self.caller, self.language)
        message, is_new = await self.services.chats.post_message(
            await self.chat_id(), sender, new.content, new.client_id
        )
        self.send(message, 201 if is_new else 200)


class MarkReadHandler(UserHandler):
    @operation("Mark staff messages up to a seq as read", {200: wire.ReadMark}, body=wire.UpTo)
    async def patch(self) -> None:
        up_to = self.decode(wire.UpTo).up_to
        self.send(await self.services.chats.mark_read(await self.chat_id(), up_to))


ROUTES = [
    (r"/visitors", VisitorsHandler),
    (r"/visitors/me", VisitorHandler),
    (r"/support_chat", ChatHandler),
    (r"/support_chat/messages", MessagesHandler),
    (r"/support_chat/mark_read", MarkReadHandler),
]

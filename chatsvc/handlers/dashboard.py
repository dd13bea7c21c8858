"""The staff pages: login, list and chat, and the fragments that keep them live."""

from datetime import UTC, datetime
from uuid import uuid4

from chatsvc.errors import DomainError, TooManyRequests, Unauthorized, Unprocessable
from chatsvc.handlers.page import PageHandler
from chatsvc.pages import presentation
from chatsvc.pages.notice_status import Viewer, notice_statuses
from chatsvc.security.rate_limits import address_key
from chatsvc.services.chats import Sender
from chatsvc.services.staff_pages import Shown
from chatsvc.text.sanitize import strip_lines
from chatsvc.wire import (
    AdminSupportChat,
    SupportChatListItem,
    format_time,
)

CARDS = 50  # on one page of the list
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class RootHandler(PageHandler):
    audience = "public"

    def get(self) -> None:
        self.redirect("/dashboard")


class LoginHandler(PageHandler):
    audience = "public"

    def get(self) -> None:
        self._form(email="", problem="")

    async def post(self) -> None:
        email = self.get_body_argument("email", "")
        password = self.get_body_argument("password", "", strip=False)
        identity = self.services.identity
        device = identity.device(self.device_cookie, email)
        try:
            token = await identity.login(
                email, password, address_key(self.address), self.user_agent, device
            )
        except (Unauthorized, TooManyRequests) as error:
            self.set_error(error)
            texts = self.texts
            self._form(
                email=email,
                problem=texts("login.wait") if error.status == 429 else texts("login.wrong"),
            )
        else:
            self.start_session(token)
            self.remember_device(identity.device_cookie(email))
            self.redirect(
                presentation.safe_next(self.get_body_argument("next", "", strip=False)), status=303
            )

    def _form(self, *, email: str, problem: str) -> None:
        target = presentation.safe_next(self.get_argument("next", "", strip=False))
        self.page("login.html", next=target, email=email, problem=problem)


class LogoutHandler(PageHandler):
    audience = "staff"

    async def post(self) -> None:
        await self.services.identity.logout(self.caller)
        self.end_session()
        self.redirect("/login", status=303)


class DashboardHandler(PageHandler):
    """The base of all dashboard pages."""

    audience = "staff"

    def person(self, chat: AdminSupportChat | SupportChatListItem) -> str:
        return presentation.person(chat, self.texts)

    def dashboard_page(
        self, template: str, counts: tuple[int, int, int], **context: object
    ) -> None:
        """Show a page with the counts of active, archived and unread chats."""
        tabs = presentation.TabCounts.of(counts)
        paused = self.services.notices.unavailable_reason
        self.page(
            template,
            staff=self.caller.email,
            counts=tabs,
            unread_title=presentation.unread_title(tabs.unread),
            paused=paused,
            **context,
        )

    def shown(
        self, chat: AdminSupportChat | SupportChatListItem, shown: Shown
    ) -> dict[str, object]:
        """Return what partials/messages.html needs."""
        viewer = Viewer(self.texts, chat.user_email is not None, format_time(datetime.now(UTC)))
        return {
            "person": self.person(chat),
            "messages": shown.messages,
            "has_more": shown.has_more,
            "chips": notice_statuses(shown.messages, shown.notices, viewer),
            "colleagues": shown.colleagues,
        }


class ListHandler(DashboardHandler):
    """The list of chats, or only its cards under /dashboard/cards."""

    def initialize(self, template: str) -> None:
        self.template = template

    async def get(self) -> None:
        archived = self.get_query_argument("archived", "") == "true"
        cursor = self.get_query_argument("cursor", None)
        found = await self.services.staff_pages.list_page(
            archived=archived, limit=CARDS, cursor=cursor
        )
        texts = self.texts
        cards = [presentation.card(item, texts) for item in found.items]
        self.dashboard_page(
            self.template,
            found.counts,
            cards=cards,
            archived=archived,
            cursor=cursor,
            next_cursor=found.next_cursor,
            query=self.request.query,
        )


class TabsHandler(DashboardHandler):
    async def get(self) -> None:
        counts = await self.services.staff_pages.counts()
        self.dashboard_page("partials/tabs.html", counts, archived=False)


class ChatHandler(DashboardHandler):
    async def get(self, chat_id: str) -> None:
        await self.show(chat_id)

    async def post(self, chat_id: str) -> None:
        """Post a reply without JavaScript."""
        content = strip_lines(self.get_body_argument("content", "", strip=False))
        client_id = self.get_body_argument("client_id", "") or None
        sender = Sender(self.caller.user_id, "admin")
        try:
            self.limit_message()
            await self.services.chats.post_message(chat_id, sender, content, client_id)
        except (Unprocessable, TooManyRequests) as error:
            self.set_error(error)
            await self.show(chat_id, draft=content, problem=error)
        else:
            self.redirect(f"/dashboard/chats/{chat_id}", status=303)

    async def show(
        self, chat_id: str, *, draft: str = "", problem: DomainError | None = None
    ) -> None:
        """Show a page of messages, with the draft of a refused reply."""
        before = self.seq_argument("before")
        around = None if before else self.seq_argument("message")
        page = await self.services.staff_pages.page_for_staff(
            chat_id,
            self.caller.user_id,
            before=before,
            around=around,
            is_seen=self.request.method != "HEAD",
        )
        self.dashboard_page(
            "dashboard/chat.html",
            page.counts,
            chat=page.chat,
            **self.shown(page.chat, page.shown),
            cursor=page.cursor,
            at_end=page.cursor >= page.chat.last_seq,
            client_id=str(uuid4()),
            user_name=presentation.user_name(page.chat, self.texts),
            not_verified=presentation.is_not_verified(page.chat),
            draft=draft,
            problem=self.explain(problem) if problem else "",
        )


class MessagesHandler(DashboardHandler):
    """A page of messages after or before a seq, as a fragment."""

    async def get(self, chat_id: str) -> None:
        after, before = self.seq_argument("after"), self.seq_argument("before")
        fragment = await self.services.staff_pages.fragment(
            chat_id, self.caller.user_id, after=after, before=before
        )
        self.page("partials/messages.html", **self.shown(fragment.chat, fragment.shown))


class ArchiveHandler(DashboardHandler):
    async def post(self, chat_id: str, action: str) -> None:
        chats = self.services.chats
        await (chats.archive(chat_id) if action == "archive" else chats.unarchive(chat_id))
        self.redirect(
            "/dashboard" if action == "archive" else f"/dashboard/chats/{chat_id}", status=303
        )


class NoticeHandler(DashboardHandler):
    """Send the e-mail about unread messages now, or cancel it."""

    async def post(self, chat_id: str, action: str) -> None:
        notices = self.services.notices
        await (notices.send_now(chat_id) if action == "send" else notices.do_not_send(chat_id))
        self.redirect(f"/dashboard/chats/{chat_id}", status=303)


ROUTES = [
    (r"/", RootHandler),
    (r"/login", LoginHandler),
    (r"/logout", LogoutHandler),
    (r"/dashboard", ListHandler, {"template": "dashboard/list.html"}),
    (r"/dashboard/cards", ListHandler, {"template": "partials/cards.html"}),
    (r"/dashboard/tabs", TabsHandler),
    (rf"/dashboard/chats/({UUID})", ChatHandler),
    (rf"/dashboard/chats/({UUID})/messages", MessagesHandler),
    (rf"/dashboard/chats/({UUID})/(archive|unarchive)", ArchiveHandler),
    (rf"/dashboard/chats/({UUID})/e-mail/(send|cancel)", NoticeHandler),
]

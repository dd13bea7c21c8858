"""StaffPages: what the dashboard's pages show of chats, with one read per page or fragment."""

from typing import NamedTuple

from chatsvc.database.connection import Connection, Transaction
from chatsvc.database.threads import Database
from chatsvc.services.chats import LATEST, mark_viewed
from chatsvc.services.cursors import decode_list_cursor, encode_list_cursor
from chatsvc.store import chats, messages, notices
from chatsvc.store.chats import ChatCounts, ListCursor
from chatsvc.store.notices import Notice
from chatsvc.wire import AdminSupportChat, SupportChatListItem, SupportMessage


class ListPage(NamedTuple):
    items: list[SupportChatListItem]
    next_cursor: str | None
    counts: ChatCounts


class Shown(NamedTuple):
    """Messages in order, and what staff are shown with them."""

    messages: list[SupportMessage]
    has_more: bool
    notices: list[Notice]  # about the staff's messages among these, oldest first
    colleagues: dict[int, str]  # by seq: who wrote it, except what the reading staff member wrote


class Fragment(NamedTuple):
    chat: SupportChatListItem
    shown: Shown


class ChatPage(NamedTuple):
    chat: AdminSupportChat
    shown: Shown
    counts: ChatCounts

    @property
    def cursor(self) -> int:
        """The newest seq on the page; 0 without messages."""
        return self.shown.messages[-1].seq if self.shown.messages else 0

    @property
    def is_viewed(self) -> bool:
        """Whether staff viewed everything on the page before."""
        # Times on the wire have one length, so they are ordered as text.
        newest = self.shown.messages[-1].created_at if self.shown.messages else ""
        return newest <= (self.chat.admin_viewed_at or "")


class StaffPages:
    """Each method makes one read, and one write at most."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def counts(self) -> ChatCounts:
        """Return the counts on the tabs, each exact up to 999."""
        return await self._db.read(chats.count_chats)

    async def list_page(self, *, archived: bool, limit: int, cursor: str | None) -> ListPage:
        """Return a page of the list, latest message first. Raises BadRequest for its cursor."""
        start = chats.LIST_START if cursor is None else decode_list_cursor(cursor)
        items, following, counts = await self._db.read(_list_page, archived, limit, start)
        next_cursor = None if following is None else encode_list_cursor(following)
        return ListPage(items, next_cursor, counts)

    async def page_for_staff(
        self,
        chat_id: str,
        staff_id: str,
        *,
        before: int | None,
        around: int | None,
        is_seen: bool = True,
    ) -> ChatPage:
        """Return a page of a chat, and mark its messages viewed, but none that arrived meanwhile.

        Nothing is marked if it is not `is_seen`: nobody is shown the page.

        The page ends before the seq `before`, or has the seq `around` in its middle, or is the
        latest. The counts are those after marking. Raises NotFound.
        """
        page = await self._db.read(_chat_page, chat_id, staff_id, before, around)
        if page.is_viewed or not is_seen:
            return page
        return page._replace(
            counts=await self._db.write(_mark_viewed_and_count, chat_id, page.cursor)
        )

    async def fragment(
        self, chat_id: str, staff_id: str, *, after: int | None, before: int | None
    ) -> Fragment:
        """Return the messages just before `before`, or else after `after`. Raises NotFound."""
        return await self._db.read(_fragment, chat_id, staff_id, after, before)


# ---- on a reader thread ----


def _list_page(
    connection: Connection, archived: bool, limit: int, start: ListCursor
) -> tuple[list[SupportChatListItem], ListCursor | None, ChatCounts]:
    items, following = chats.list_chats(connection, archived, limit, start)
    return items, following, chats.count_chats(connection)


def _chat_page(
    connection: Connection, chat_id: str, staff_id: str, before: int | None, around: int | None
) -> ChatPage:
    chat = chats.admin_chat(connection, chat_id, LATEST)
    end = before or _end_around(around, chat.last_seq)
    page = chat if end is None else messages.messages_before(connection, chat_id, end, LATEST)
    if around is not None and around < min((one.seq for one in page.messages), default=0):
        # Long messages after it fill the page.
        page = messages.messages_before(connection, chat_id, around + 1, LATEST)
    return ChatPage(
        chat,
        _shown(connection, chat_id, staff_id, page.messages, page.has_more),
        chats.count_chats(connection),
    )


def _end_around(seq: int | None, last_seq: int) -> int | None:
    """Return the end of the page around the message `seq`, or None for the latest page."""
    return None if seq is None or seq + LATEST // 2 > last_seq else seq + LATEST // 2


def _fragment(
    connection: Connection,
    chat_id: str,
    staff_id: str,
    after: int | None,
    before: int | None,
) -> Fragment:
    chat = chats.list_item(connection, chat_id)
    if before is not None:
        page = messages.messages_before(connection, chat_id, before, LATEST)
    else:
        page = messages.messages_after(connection, chat_id, after or 0, LATEST)
    return Fragment(chat, _shown(connection, chat_id, staff_id, page.messages, page.has_more))


def _shown(
    connection: Connection,
    chat_id: str,
    staff_id: str,
    shown: list[SupportMessage],
    has_more: bool,
) -> Shown:
    seqs = [message.seq for message in shown if message.sender_type == "admin"]
    if not seqs:
        return Shown(shown, has_more, [], {})
    return Shown(
        shown,
        has_more,
        notices.notices_of(connection, chat_id, seqs[0]),
        messages.colleagues(connection, chat_id, (seqs[0], seqs[-1]), staff_id),
    )


# ---- on the writer thread ----


def _mark_viewed_and_count(tx: Transaction, chat_id: str, up_to: int) -> ChatCounts:
    mark_viewed(tx, chat_id, up_to)
    return chats.count_chats(tx)

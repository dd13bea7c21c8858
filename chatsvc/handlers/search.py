"""The search page: people and messages."""

from msgspec import Struct

from chatsvc.handlers.dashboard import DashboardHandler
from chatsvc.pages import presentation
from chatsvc.text.search_terms import Highlight, excerpt, parse_query
from chatsvc.wire import MessageHit


class Result(Struct, frozen=True):
    """One matching message."""

    path: str
    person: str
    not_verified: bool
    archived: bool
    from_staff: bool
    excerpt: list[Highlight]
    at: str


class SearchHandler(DashboardHandler):
    """Show people and messages, or only the next page of the one whose cursor is given."""

    async def get(self) -> None:
        query = self.get_query_argument("q", "")
        words = parse_query(query)
        cursors = (self.get_query_argument(name, None) for name in ("people", "messages"))
        found = await self.services.search.results(query, *cursors)
        texts = self.texts
        self.dashboard_page(
            "dashboard/search.html",
            found.counts,
            q=query,
            words=words,
            cards=[presentation.card(item, texts) for item in found.people.items],
            results=[self._result(hit, words) for hit in found.messages.hits],
            more_people=found.people.following,
            more_messages=found.messages.following,
        )

    def _result(self, hit: MessageHit, words: list[str]) -> Result:
        message = hit.message
        return Result(
            f"/dashboard/chats/{hit.chat_id}?message={message.seq}#message-{message.seq}",
            presentation.person(hit, self.texts),
            presentation.is_not_verified(hit),
            hit.archived,
            message.sender_type == "admin",
            excerpt(message.content, words),
            message.created_at,
        )


ROUTES = [(r"/dashboard/search", SearchHandler)]

"""The search page: people and messages."""

from msgspec import Struct

from chatsvc.handlers.dashboard import DashboardHandler
from chatsvc.pages import presentation
from chatsvc.services.search import Messages, People
from chatsvc.text.search_terms import Highlight, excerpt, parse_query
from chatsvc.wire import MessageHit

PEOPLE = 5  # on the first page, above the messages
MORE_PEOPLE = 20  # on the following pages
MESSAGES = 20


class Result(Struct, frozen=True):
    """One matching message."""

    path: str
    person: str
    archived: bool
    from_staff: bool
    excerpt: list[Highlight]
    at: str


class SearchHandler(DashboardHandler):
    """Show people and messages, or only the next page of the one whose cursor is given."""

    async def get(self) -> None:
        query = self.get_query_argument("q", "")
        words = parse_query(query)
        people_after, messages_after = (
            self.get_query_argument(name, None) for name in ("people", "messages")
        )
        people, messages = People([], None), Messages([], None)
        if words and not messages_after:
            limit = MORE_PEOPLE if people_after else PEOPLE
            people = await self.services.search.people(words, people_after, limit)
        if words and not people_after:
            messages = await self.services.search.messages(words, messages_after, MESSAGES)
        self.dashboard_page(
            "dashboard/search.html",
            await self.counts(),
            q=query,
            **self._shown(words, people, messages),
        )

    def _shown(self, words: list[str], people: People, messages: Messages) -> dict[str, object]:
        texts = self.texts
        return {
            "cards": [presentation.card(item, texts) for item in people.items],
            "results": [self._result(hit, words) for hit in messages.hits],
            "more_people": people.following,
            "more_messages": messages.following,
            "words": words,
        }

    def _result(self, hit: MessageHit, words: list[str]) -> Result:
        message = hit.message
        return Result(
            f"/dashboard/chats/{hit.chat_id}?message={message.seq}#message-{message.seq}",
            presentation.person(hit.user_id, hit.user_email, hit.user_name, self.texts),
            hit.archived,
            message.sender_type == "admin",
            excerpt(message.content, words),
            message.created_at,
        )


ROUTES = [(r"/dashboard/search", SearchHandler)]

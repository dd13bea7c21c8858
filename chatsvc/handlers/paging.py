"""Read a page of messages by one of three cursors, for users and staff."""

from chatsvc.errors import BadRequest
from chatsvc.handlers.base import BaseHandler
from chatsvc.services.cursors import parse_seq, parse_time
from chatsvc.wire import MessagePage

PAGE_DEFAULT = 50
PAGE_MAX = 200


async def read_page(handler: BaseHandler, chat_id: str) -> MessagePage:
    """Return the page of the query, or the oldest page without a cursor. Raise BadRequest."""
    limit = handler.int_argument("limit", PAGE_DEFAULT, 1, PAGE_MAX)
    given = {name: handler.get_query_argument(name, None) for name in ("after", "since", "before")}
    cursors = {name: text for name, text in given.items() if text is not None}
    if len(cursors) > 1:
        raise BadRequest(
            f"Only one of after, since and before is allowed, not {' and '.join(cursors)}."
        )
    chats = handler.services.chats
    if "since" in cursors:
        return await chats.messages_since(chat_id, parse_time(cursors["since"]), limit)
    if "before" in cursors:
        return await chats.messages_before(chat_id, _seq("before", cursors["before"]), limit)
    after = _seq("after", cursors.get("after", "0"))
    message_id = (handler.get_query_argument("after_id", "") or None) if after else None
    return await chats.messages_after(chat_id, after, limit, message_id)


def _seq(name: str, text: str) -> int:
    seq = parse_seq(text)
    if seq is None:
        raise BadRequest(f"{name} must be the seq of a message, not {text[:64]!r}.")
    return seq

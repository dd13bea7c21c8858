"""Cursors and ids in requests, parsed strictly."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from chatsvc.errors import BadRequest
from chatsvc.store.chats import MAX_SEQ, ListCursor

_CANONICAL_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII
)
_SEQ = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)  # no sign or leading zero


def is_canonical_uuid(text: str) -> bool:
    """Whether it is a UUID as the service writes it: no upper case, braces or urn:uuid:."""
    return _CANONICAL_UUID.fullmatch(text) is not None


def parse_seq(text: str) -> int | None:
    """Return a seq, at most the largest possible one plus one; None if it is not a whole number."""
    return min(int(text), MAX_SEQ + 1) if _SEQ.fullmatch(text) else None


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time with a zone. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        f"`since` must be a time such as 2026-01-29T10:30:00.123456Z, not {text[:64]!r}"
    )


def encode_list_cursor(cursor: ListCursor) -> str:
    """Return the opaque form for `Link` and `cursor=`."""
    return urlsafe_b64encode("|".join(cursor).encode()).decode().rstrip("=")


def decode_list_cursor(text: str) -> ListCursor:
    """Raises BadRequest for anything that encode_list_cursor does not return."""
    try:
        moment, chat_id = (
            urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").split("|")
        )
        if moment != "-infinity":
            moment = datetime.fromisoformat(moment).astimezone(UTC).isoformat()
        if is_canonical_uuid(chat_id):
            return ListCursor(moment, chat_id)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(
        "Invalid cursor. Follow the `Link` header, or omit `cursor` to get the first page."
    )

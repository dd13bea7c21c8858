"""Cursors and ids as they come in from outside: parsed strictly, or refused."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime

from chatsvc.errors import BadRequest
from chatsvc.store.chats import MAX_SEQ, ListCursor

_CANONICAL_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII
)
_SEQ = re.compile(
    r"0|[1-9][0-9]{0,15}", re.ASCII
)  # no sign, no leading zero, no other script's digits


def is_canonical_uuid(text: str) -> bool:
    """Only the one form that the service itself writes: no upper case, braces or urn:uuid:."""
    return _CANONICAL_UUID.fullmatch(text) is not None


def parse_seq(text: str) -> int | None:
    """A seq as text; None if it is none. What is beyond any seq stays beyond (capped at the largest that is stored, plus one)."""
    return min(int(text), MAX_SEQ + 1) if _SEQ.fullmatch(text) else None


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with its zone. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadRequest(f"since must be a time such as 2026-01-29T10:30:00.123456Z, not {text[:64]!r}")


def encode_list_cursor(cursor: ListCursor) -> str:
    """The opaque form in `Link` and `cursor=`."""
    return urlsafe_b64encode("|".join(cursor).encode()).decode().rstrip("=")


def decode_list_cursor(text: str) -> ListCursor:
    """Raises BadRequest for anything that encode_list_cursor does not write."""
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
        "cursor is none that this service gave out: follow the Link header, or leave it away for the first page"
    )

"""Names and e-mail addresses as people and host applications give them."""

import re

from chatsvc.errors import Unprocessable
from chatsvc.text.sanitize import harmless, is_blank

NAME_MAX_CHARS = 255
# One address, as forms and mail servers take it: no quoted local parts, comments or lists.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?=.{1,253}\Z)[^\W_](?:[\w-]*\.)+[\w-]*[^\W_]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_email(text: str) -> bool:
    """Whether this is exactly one e-mail address."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None and ".." not in text


def clean_email(text: str | None) -> str | None:
    """None for nothing. Raises Unprocessable for what is no address."""
    text = (text or "").strip()
    if text and not is_email(text):
        raise Unprocessable.field(
            "email",
            f"{text[:64]!r} is no e-mail address; one like name@example.com would be",
            "not_email",
        )
    return text or None


def clean_name(text: str | None) -> str | None:
    """None for nothing that could be seen. Raises Unprocessable for control characters."""
    text = (text or "").strip()
    if _CONTROL.search(text):
        raise Unprocessable.field("name", "holds a control character", "control")
    return _shown(text)


def tidy_claims(email: str | None, name: str | None) -> tuple[str | None, str | None]:
    """A host application's claims: what is no address or no name is left out, rather than locking the user out."""
    email = (email or "").strip()
    return (email if is_email(email) else None), _shown(_CONTROL.sub(" ", name or ""))


def _shown(name: str) -> str | None:
    """A name stands in titles and notifications too, where nothing keeps it from turning the text around it."""
    name = harmless(name)[:NAME_MAX_CHARS]
    return None if is_blank(name) else name

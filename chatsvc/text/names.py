"""Names and e-mail addresses from people and host applications."""

import re

from chatsvc.errors import Unprocessable
from chatsvc.text.email_address import is_email
from chatsvc.text.sanitize import is_blank, sanitize

NAME_MAX_CHARS = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean_email(text: str | None) -> str | None:
    """Return the address, or None for an empty one. Raise Unprocessable if it is not valid."""
    text = (text or "").strip()
    if text and not is_email(text):
        raise Unprocessable.field(
            "email",
            f"must be an e-mail address such as name@example.com, not {text[:64]!r}",
            "not_email",
        )
    return text or None


def clean_name(text: str | None) -> str | None:
    """Return the name, or None for an invisible one. Raise Unprocessable for control characters."""
    text = (text or "").strip()
    if _CONTROL.search(text):
        raise Unprocessable.field("name", "must not contain control characters", "control")
    return _displayable(text)


def tidy_claims(email: str | None, name: str | None) -> tuple[str | None, str | None]:
    """Return the claims of a host application.

    Drop invalid ones instead of locking the user out.
    """
    email = (email or "").strip()
    return (email if is_email(email) else None), _displayable(_CONTROL.sub(" ", name or ""))


def _displayable(name: str) -> str | None:
    """Return a name that is safe where bidi controls cannot be isolated, such as in titles."""
    name = sanitize(name)[:NAME_MAX_CHARS]
    return None if is_blank(name) else name

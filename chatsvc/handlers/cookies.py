"""The names of our cookies."""

from typing import NamedTuple
from urllib.parse import urlsplit


class CookieNames(NamedTuple):
    """`session` is the staff session, `xsrf` the secret of forms.

    `device` marks a browser that has logged in before.

    `session_before` is the session cookie's name in earlier versions.
    """

    session: str
    xsrf: str
    device: str
    session_before: str


def cookie_names(public_url: str) -> CookieNames:
    """Return the names for an installation at `public_url`.

    Browsers send a cookie to all ports of its host, so a port is part of the name: so that two
    installations on one host do not overwrite each other's cookies. Behind https the prefix
    __Host- keeps other hosts of the same domain from setting it.
    """
    url = urlsplit(public_url)
    prefix = "__Host-" if url.scheme == "https" else ""
    suffix = f"-{url.port}" if url.port else ""
    return CookieNames(
        f"{prefix}chatsvc{suffix}",
        f"{prefix}_xsrf{suffix}",
        f"{prefix}chatsvc_device{suffix}",
        session_before=f"{prefix}chatsvc",
    )

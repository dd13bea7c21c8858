"""Parsers: from an option's text to its value.

A parser raises ValueError with the rule ("must be …"), never with the value: it may be secret.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from email.policy import SMTP
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from chatsvc.text.email_address import ascii_domain

SECRET_MIN_BYTES = 32  # the size of the hash of HMAC-SHA256, the minimum of RFC 7518
NAME_MAX_CHARS = 60  # part of the subject of e-mails
PORT_MAX = 65535
SECRET_RULE = (
    f"must be at least {SECRET_MIN_BYTES} bytes long; `openssl rand -hex 32` prints a suitable one"
)
ORIGIN_RULE = (
    "must be an origin such as https://www.example.com (scheme and lower-case host, without a path)"
)
MAILBOX_RULE = "must be one mailbox such as Support <support@example.com>"
PERCENT = "special characters in user and password must be percent-encoded"
ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
)
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
DEFAULT_PORTS = {"http": 80, "https": 443}
BUS_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
ON, OFF = ("on", "true", "1", "yes"), ("off", "false", "0", "no")


class ItemError(ValueError):
    """An item of a list breaks its rule. `item` is the text of that item."""

    def __init__(self, problem: str, item: str) -> None:
        super().__init__(problem)
        self.item = item


def one_line(text: str) -> str:
    """Return the text. Refuse line breaks, control characters and bytes that are not UTF-8."""
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise ValueError("must be one line of UTF-8 text without control characters")
    return text


def number(highest: int) -> Callable[[str], int]:
    """Return a parser for whole numbers from 0 to `highest`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > highest:
            raise ValueError(f"must be a whole number from 0 to {highest}")
        return int(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return parse


def switch(text: str) -> bool:
    if text.lower() not in ON + OFF:
        raise ValueError("must be on or off")
    return text.lower() in ON


def name(text: str) -> str:
    if len(text) > NAME_MAX_CHARS:
        raise ValueError(f"must be at most {NAME_MAX_CHARS} characters long")
    return text


def path(text: str) -> Path:
    return Path(text)


def host(text: str) -> str:
    if not HOST.fullmatch(text) and not is_address(text):
        raise ValueError("must be an IP address or a host name, such as 127.0.0.1 or ::")
    return text


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def public_url(text: str) -> str:
    """Parse scheme, host and port. A path is refused: the paths of pages and API are fixed."""
    try:
        return origin(text)
    except ValueError:
        raise ValueError(
            "must be a URL without a path or final slash, such as https://chat.example.com"
        ) from None


def page_url(text: str) -> str:
    parts = split(text)
    if (
        not parts
        or parts.scheme not in DEFAULT_PORTS
        or not parts.hostname
        or parts.fragment
        or " " in text
    ):
        raise ValueError(
            "must be the URL of a page, without #fragment, such as https://www.example.com/help"
        )
    return text


def split(text: str) -> SplitResult | None:
    """Return the parts of a URL, or None if its host or port is not valid."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def database_url(text: str) -> str:
    """Parse a URL of libpq, which may name several hosts, or the folder of a socket as `?host=`."""
    rule = "must have the form postgresql://user:password@host:5432/database"
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError(rule)
    try:
        ports = parse_dsn(text).get("port", "")
    except psycopg2.ProgrammingError:
        raise ValueError(f"{rule}; {PERCENT}") from None
    if not all(port.isdigit() and 0 < int(port) <= PORT_MAX for port in ports.split(",") if port):
        raise ValueError(f"{rule}, with a port from 1 to {PORT_MAX}")
    return text


def bus_url(text: str) -> str:
    """Parse the URL of a Redis. It has no database number: channels belong to no database."""
    rule = "must have the form redis://user:password@host:6379, or rediss://… for TLS"
    parts = split(text)
    if not parts or parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError(f"{rule}; {PERCENT}")
    if parts.path.strip("/") or parts.fragment:
        raise ValueError(f"{rule}, without a database number: channels belong to no database")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(name not in BUS_TLS_FILES for name, _ in query) or (query and parts.scheme == "redis"):
        parameters = "=FILE&".join(BUS_TLS_FILES)
        raise ValueError(f"{rule}; only rediss:// takes parameters: ?{parameters}=FILE")
    return text


def smtp_url(text: str) -> str:
    parts = split(text)
    if (
        not parts
        or parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or parts.path.strip("/")
    ):
        raise ValueError(
            "must have the form smtp://user:password@host:587, smtps://user:password@host:465 "
            f"or smtp://host:25?tls=off; {PERCENT}"
        )
    if bool(parts.username) != bool(parts.password):
        raise ValueError(f"must contain both user and password, or neither; {PERCENT}")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.fragment or query not in ([], [("tls", "off")]) or (query and parts.scheme == "smtps"):
        raise ValueError("must end after the host and port, or with ?tls=off if it is smtp://")
    return text


def mailbox(text: str) -> str:
    header: Any = SMTP.header_factory("From", text)
    address = header.addresses[0] if len(header.addresses) == 1 else None
    if (
        header.defects
        or address is None
        or not address.username.isascii()
        or not address.username
        or not address.domain
    ):
        raise ValueError(MAILBOX_RULE)
    try:
        ascii_domain(address.domain)
    except ValueError:
        raise ValueError(MAILBOX_RULE) from None
    return text


def secret(text: str) -> bytes:
    value = text.encode()
    if len(value) < SECRET_MIN_BYTES:
        raise ValueError(SECRET_RULE)
    return value


def listed(parse: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Return a parser for comma-separated values. It drops repeated ones."""

    def parse_all(text: str) -> tuple[Any, ...]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(dict.fromkeys(parse_one(*pair, of=len(items)) for pair in enumerate(items, 1)))

    def parse_one(place: int, item: str, of: int) -> Any:
        try:
            return parse(item)
        except ValueError as error:
            raise ItemError(f"item {place} of {of} {error}", item) from None

    return parse_all


def origin(text: str) -> str:
    """Return an origin in the form of the Origin header: without the scheme's default port."""
    match = ORIGIN.fullmatch(text)
    if not match or not split(text):
        raise ValueError(ORIGIN_RULE)
    scheme, hostname = match["scheme"], match["host"]
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
    return (
        f"{scheme}://{hostname}"
        if port == DEFAULT_PORTS[scheme]
        else f"{scheme}://{hostname}:{port}"
    )


def network(text: str) -> str:
    """Parse an address, or a network whose host bits are zero."""
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an address or network, such as 127.0.0.1 or 10.0.0.0/8") from None

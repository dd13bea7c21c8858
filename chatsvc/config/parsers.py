"""From an option's text to its value.

A parser raises ValueError with what would have been right, never with the value: some are secrets.
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

SECRET_MIN_BYTES = (
    32  # HMAC-SHA256 has no use for more, and loses strength with fewer (RFC 7518, 3.2)
)
NAME_MAX_CHARS = 60  # stands in the subject of e-mails
PORT_MAX = 65535
SECRET_HINT = f"at least {SECRET_MIN_BYTES} bytes, such as `openssl rand -hex 32` prints"
ORIGIN_HINT = "origins as browsers send them, such as https://www.example.com: scheme, lower-case host, no path"
MAILBOX_HINT = "one mailbox, such as Support <support@example.com>"
ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
)
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
DEFAULT_PORTS = {"http": 80, "https": 443}
BUS_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
ON, OFF = ("on", "true", "1", "yes"), ("off", "false", "0", "no")


def one_line(text: str) -> str:
    """Refuses line breaks, other control characters and what was not UTF-8 in the environment."""
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise ValueError("one line of text without control characters")
    return text


def number(highest: int) -> Callable[[str], int]:
    """A parser for whole numbers from 0 to `highest`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > highest:
            raise ValueError(f"a whole number from 0 to {highest}")
        return int(text)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return parse


def switch(text: str) -> bool:
    if text.lower() not in ON + OFF:
        raise ValueError("on or off")
    return text.lower() in ON


def name(text: str) -> str:
    if len(text) > NAME_MAX_CHARS:
        raise ValueError(f"a name of at most {NAME_MAX_CHARS} characters")
    return text


def path(text: str) -> Path:
    return Path(text)


def host(text: str) -> str:
    if not HOST.fullmatch(text) and not is_address(text):
        raise ValueError("an IP address or a host name to listen on, such as 127.0.0.1 or ::")
    return text


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def public_url(text: str) -> str:
    """Scheme, host and port alone: the paths of the pages and of the API are fixed."""
    try:
        return origin(text)
    except ValueError:
        raise ValueError(
            "an address without path or final slash, such as https://chat.example.com"
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
            "the address of a page, without #fragment, such as https://www.example.com/help"
        )
    return text


def split(text: str) -> SplitResult | None:
    """The parts of a URL, or None where Python cannot make sense of host or port."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def database_url(text: str) -> str:
    """What libpq takes for a URL: it may name several hosts, or a socket's folder as `?host=`."""
    hint = "postgresql://user:password@host:5432/database"
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError(hint)
    try:
        ports = parse_dsn(text).get("port", "")
    except psycopg2.ProgrammingError:
        raise ValueError(
            f"{hint}, with special characters in the password percent-encoded"
        ) from None
    if not all(port.isdigit() and 0 < int(port) <= PORT_MAX for port in ports.split(",") if port):
        raise ValueError(f"{hint}, with a port from 1 to {PORT_MAX}")
    return text


def bus_url(text: str) -> str:
    """One Redis, or any node of a Redis Cluster. Its databases do not matter: channels belong to none."""
    hint = "redis://user:password@host:6379, or rediss:// with TLS"
    parts = split(text)
    if not parts or parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError(f"{hint}; special characters in the password percent-encoded")
    if parts.path.strip("/") or parts.fragment:
        raise ValueError(f"{hint}, without a database: channels belong to none")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(name not in BUS_TLS_FILES for name, _ in query) or (query and parts.scheme == "redis"):
        raise ValueError(
            f"{hint}, with nothing after it or, with rediss://, ?{'=FILE&'.join(BUS_TLS_FILES)}=FILE"
        )
    return text


def smtp_url(text: str) -> str:
    parts = split(text)
    if (
        not parts
        or parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or parts.path.strip("/")
    ):
        hint = "smtp://user:password@host:587, smtps://user:password@host:465, or smtp://host:25?tls=off"
        raise ValueError(f"{hint}; special characters in user and password percent-encoded")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("user and password, or neither; special characters percent-encoded")
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.fragment or query not in ([], [("tls", "off")]) or (query and parts.scheme == "smtps"):
        raise ValueError("nothing after the host and port, or ?tls=off with smtp://")
    return text


def mailbox(text: str) -> str:
    header: Any = SMTP.header_factory("From", text)
    one = header.addresses[0] if len(header.addresses) == 1 else None
    if (
        header.defects
        or one is None
        or not one.username.isascii()
        or not one.username
        or not one.domain
    ):
        raise ValueError(MAILBOX_HINT)
    try:
        one.domain.encode("idna")
    except UnicodeError:
        raise ValueError(MAILBOX_HINT) from None
    return text


def secret(text: str) -> bytes:
    value = text.encode()
    if len(value) < SECRET_MIN_BYTES:
        raise ValueError(SECRET_HINT)
    return value


def listed(parse: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A parser for comma-separated values, each once."""

    def parse_all(text: str) -> tuple[Any, ...]:
        items = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(dict.fromkeys(parse_one(*pair, of=len(items)) for pair in enumerate(items, 1)))

    def parse_one(place: int, item: str, of: int) -> Any:
        try:
            return parse(item)
        except ValueError as error:
            raise ValueError(f"{error} (number {place} of {of} is not that)") from None

    return parse_all


def origin(text: str) -> str:
    """As a browser's Origin header has it: a scheme's own port is left out."""
    match = ORIGIN.fullmatch(text)
    if not match or not split(text):
        raise ValueError(ORIGIN_HINT)
    scheme, hostname = match["scheme"], match["host"]
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
    return (
        f"{scheme}://{hostname}"
        if port == DEFAULT_PORTS[scheme]
        else f"{scheme}://{hostname}:{port}"
    )


def network(text: str) -> str:
    """An address, or a network whose bits behind the prefix are zero."""
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("addresses or networks, such as 127.0.0.1 or 10.0.0.0/8") from None

"""The table of options: name, default, parser and meaning of each."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from chatsvc.config import parsers

PREFIX = "CHATSVC_"
FILE_SUFFIX = "_FILE"
A_WEEK_S = 7 * 86_400  # a notice that arrives later is of no use
RATE_MAX = 1_000_000  # per minute: more than one process can handle
STREAMS_MAX = 100_000  # more than a process has file descriptors for


class Option(msgspec.Struct, frozen=True):
    """One row of the table.

    `default` is text that the parser reads, or None for the value None. `{field}` in it stands for
    the value of an option further up in the table.
    """

    name: str
    default: str | None
    parse: Callable[[str], Any]
    help: str
    unit: str = ""
    secret: bool = False

    @property
    def field(self) -> str:
        return self.name.lower()

    @property
    def variable(self) -> str:
        return PREFIX + self.name


def _rate(name: str, default: str, help: str) -> Option:
    return Option(
        name, default, parsers.number(RATE_MAX), f"{help}; 0 = no limit", unit="per minute"
    )


def _streams(name: str, default: str, help: str) -> Option:
    return Option(name, default, parsers.number(STREAMS_MAX), f"{help}; 0 = no limit")


def _seconds(name: str, default: str, help: str) -> Option:
    return Option(name, default, parsers.number(A_WEEK_S), help, unit="s")


OPTIONS = (
    Option(
        "DATABASE_URL",
        None,
        parsers.database_url,
        "database, as `postgresql://user:password@host/database`; if it is not set, "
        "the service runs its own PostgreSQL in DATA_DIR",
        secret=True,
    ),
    Option(
        "BUS_URL",
        None,
        parsers.bus_url,
        "Redis that connects several servers on one database, as `redis://user:password@host:6379` "
        "or `rediss://…` (docs/scaling.md); leave it unset for a single server",
        secret=True,
    ),
    Option(
        "DATA_DIR",
        "./var",
        parsers.path,
        "folder for the embedded database, the generated secret and the e-mail folder",
    ),
    Option(
        "HOST",
        "127.0.0.1",
        parsers.host,
        "address to listen on; a socket passed by systemd takes precedence",
    ),
    Option(
        "PORT", "8888", parsers.number(parsers.PORT_MAX), "port to listen on; 0 = any free port"
    ),
    Option(
        "PUBLIC_URL",
        "http://localhost:{port}",
        parsers.public_url,
        "URL at which browsers reach the service; links in e-mails start with it",
    ),
    Option(
        "NAME",
        "Support",
        parsers.name,
        "name of the support team, shown in the dashboard and in e-mails",
    ),
    Option(
        "SECRET_KEY",
        None,
        parsers.secret,
        "key that signs visitor tokens, cookies and unsubscribe links, at least 32 bytes; "
        "if it is not set, the service generates one in DATA_DIR",
        secret=True,
    ),
    Option(
        "IDENTITY_SECRETS",
        "",
        parsers.listed(parsers.secret),
        "comma-separated secrets with which host applications sign identity tokens, "
        "each at least 32 bytes",
        secret=True,
    ),
    Option(
        "ALLOWED_ORIGINS",
        "",
        parsers.listed(parsers.origin),
        "comma-separated origins of the pages that embed the widget, "
        "such as `https://www.example.com`",
    ),
    Option("VISITORS", "on", parsers.switch, "whether people without an identity token may chat"),
    Option(
        "CHAT_PAGE_URL",
        "{public_url}",
        parsers.page_url,
        "page with the widget, to which links in e-mails lead",
    ),
    Option(
        "SMTP_URL",
        None,
        parsers.smtp_url,
        "mail server, as `smtp://user:password@host:587` (STARTTLS), `smtps://…:465` or "
        "`smtp://host:25?tls=off`; if it is not set, e-mails are written to DATA_DIR/mail as .eml",
        secret=True,
    ),
    Option("MAIL_FROM", "Support <support@localhost>", parsers.mailbox, "sender of e-mails"),
    _seconds("EMAIL_DELAY_S", "300", "delay between the first unread staff message and the e-mail"),
    _seconds(
        "EMAIL_MIN_INTERVAL_S", "3600", "minimum time between two e-mails about the same chat"
    ),
    _rate("MESSAGE_RATE_USER", "30", "messages from one user (bursts of 10)"),
    _rate("MESSAGE_RATE_STAFF", "300", "messages from one staff member"),
    _rate("MESSAGE_RATE_ADDRESS", "600", "messages from one address"),
    _rate("VISITOR_RATE_ADDRESS", "1", "new visitors from one address (bursts of 30)"),
    _rate(
        "READ_RATE_USER",
        "600",
        "requests of one user that read, and streams opened (bursts of 300); "
        "each 16 KiB of a response counts as one more",
    ),
    _rate("READ_RATE_ADDRESS", "3000", "the same from one address (bursts of 1500)"),
    _streams("STREAMS_PER_USER", "5", "open streams of one user; another one closes the oldest"),
    _streams(
        "STREAMS_PER_STAFF", "20", "open streams of one staff member; another one closes the oldest"
    ),
    _streams(
        "STREAMS_PER_ADDRESS",
        "200",
        "open streams from one address; another one is refused with 429",
    ),
    Option(
        "TRUSTED_PROXIES",
        "",
        parsers.listed(parsers.network),
        "comma-separated addresses or networks of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto headers are trusted",
    ),
    Option(
        "LOG_FORMAT",
        "text",
        parsers.choice("text", "json"),
        "format of log lines: `text` or `json`",
    ),
    Option(
        "LOG_REQUESTS",
        "errors",
        parsers.choice("errors", "all"),
        "which requests have a line in the log: `errors` and those slower than 1 s, or `all`",
    ),
    Option(
        "DEMO",
        "off",
        parsers.switch,
        "whether to serve /demo and sign identity tokens for its users",
    ),
)


def table() -> str:
    """Return the options as the README's Markdown table."""
    rows = [f"| `{o.variable}` | {_default_shown(o)} | {o.help} |" for o in OPTIONS]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default_shown(option: Option) -> str:
    text = re.sub(r"{(\w+)}", lambda match: match[1].upper(), option.default or "")
    return f"`{text}` {option.unit}".rstrip() if text else "–"

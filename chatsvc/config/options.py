"""The one table of options: what can be configured, with default, parser and meaning."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from chatsvc.config import parsers

PREFIX = "CHATSVC_"
FILE_SUFFIX = "_FILE"
A_WEEK_S = 7 * 86_400  # an e-mail that comes later helps nobody
RATE_MAX = 1_000_000  # per minute: more than one process can take
STREAMS_MAX = 100_000  # more than one process has file descriptors for


class Option(msgspec.Struct, frozen=True):
    """One row of the table.

    `default` is text like a given one, or None for the value None; `{field}` in it stands for the value of an
    option further up.
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
        "`postgresql://user:password@host/database`; without it the embedded PostgreSQL under DATA_DIR",
        secret=True,
    ),
    Option(
        "BUS_URL",
        None,
        parsers.bus_url,
        "`redis://user:password@host:6379` or `rediss://…`: several servers on one database (docs/scaling.md); without it there is one",
        secret=True,
    ),
    Option("DATA_DIR", "./var", parsers.path, "embedded database, generated secret, e-mail folder"),
    Option("HOST", "127.0.0.1", parsers.host, "where to listen; an inherited systemd socket wins"),
    Option("PORT", "8888", parsers.number(parsers.PORT_MAX), "where to listen; 0 = any free port"),
    Option(
        "PUBLIC_URL",
        "http://localhost:{port}",
        parsers.public_url,
        "the address under which browsers reach it; links in e-mails start with it",
    ),
    Option("NAME", "Support", parsers.name, "shown in the dashboard and in e-mails"),
    Option(
        "SECRET_KEY",
        None,
        parsers.secret,
        "signs visitor tokens, cookies, unsubscribe links; at least 32 bytes; without it one is made in DATA_DIR",
        secret=True,
    ),
    Option(
        "IDENTITY_SECRETS",
        "",
        parsers.listed(parsers.secret),
        "comma-separated; what host applications sign identity tokens with; each at least 32 bytes",
        secret=True,
    ),
    Option(
        "ALLOWED_ORIGINS",
        "",
        parsers.listed(parsers.origin),
        "comma-separated origins of the pages that embed the widget, such as `https://www.example.com`",
    ),
    Option("VISITORS", "on", parsers.switch, "whether people without an identity token may chat"),
    Option(
        "CHAT_PAGE_URL",
        "{public_url}",
        parsers.page_url,
        "the page with the widget that e-mails lead back to",
    ),
    Option(
        "SMTP_URL",
        None,
        parsers.smtp_url,
        "`smtp://user:password@host:587` (STARTTLS), `smtps://…:465`, `smtp://host:25?tls=off`; without it "
        "e-mails are written to DATA_DIR/mail as .eml",
        secret=True,
    ),
    Option("MAIL_FROM", "Support <support@localhost>", parsers.mailbox, "sender of e-mails"),
    _seconds("EMAIL_DELAY_S", "300", "from the first unread staff message to the e-mail"),
    _seconds("EMAIL_MIN_INTERVAL_S", "3600", "between two e-mails about one chat"),
    _rate("MESSAGE_RATE_USER", "30", "messages from one user (bursts of 10)"),
    _rate("MESSAGE_RATE_STAFF", "300", "messages from one staff member"),
    _rate("MESSAGE_RATE_ADDRESS", "600", "messages from one address"),
    _rate("VISITOR_RATE_ADDRESS", "1", "new visitors from one address (bursts of 30)"),
    _streams("STREAMS_PER_USER", "5", "open streams of one user; one more closes the oldest"),
    _streams(
        "STREAMS_PER_STAFF", "20", "open streams of one staff member; one more closes the oldest"
    ),
    _streams(
        "STREAMS_PER_ADDRESS", "200", "open streams from one address; one more is answered 429"
    ),
    Option(
        "TRUSTED_PROXIES",
        "",
        parsers.listed(parsers.network),
        "comma-separated addresses or networks whose X-Forwarded-For and X-Forwarded-Proto count",
    ),
    Option("LOG_FORMAT", "text", parsers.choice("text", "json"), "or `json`"),
    Option("DEMO", "off", parsers.switch, "serves /demo and signs identity tokens for it"),
)


def table() -> str:
    """The options as the README's Markdown table."""
    rows = [f"| `{o.variable}` | {_default_shown(o)} | {o.help} |" for o in OPTIONS]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default_shown(option: Option) -> str:
    text = re.sub(r"{(\w+)}", lambda match: match[1].upper(), option.default or "")
    return f"`{text}` {option.unit}".rstrip() if text else "–"

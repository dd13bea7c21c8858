"""Convert wire structs to what staff see: names, previews, times as text. Pure functions."""

import re
from datetime import datetime

from babel.dates import format_date, format_time
from markupsafe import Markup, escape
from msgspec import Struct

from chatsvc.text.translations import Translator
from chatsvc.wire import AdminSupportChat, MessageHit, SupportChatListItem

UserOf = AdminSupportChat | MessageHit | SupportChatListItem  # has the fields user_…

COUNT_MAX = 999  # counts are exact up to here (store/chats.py)
TITLE_TAIL_CHARS = 4  # "Visitor 4F2A": enough to tell a day's visitors apart

# Marks in the User-Agent header. A browser that also claims to be another comes first.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


_ADDRESS = re.compile(r"https?://[^\s<]+", re.IGNORECASE)
_LEFT_TO_RIGHT = r'<span dir="ltr" style="unicode-bidi: isolate">\g<0></span>'


class Card(Struct, frozen=True):
    """One chat in the list. `version` changes when a shown value changes."""

    id: str
    person: str
    initial: str
    not_verified: bool
    preview: str
    from_staff: bool
    count: str
    at: str | None
    unread: bool
    archived: bool
    version: str


class TabCounts(Struct, frozen=True):
    active: str
    archived: str
    unread: str

    @classmethod
    def of(cls, counts: tuple[int, int, int]) -> "TabCounts":
        return cls(*(capped(count) for count in counts))


def card(item: SupportChatListItem, texts: Translator) -> Card:
    name = person(item, texts)
    return Card(
        id=item.id,
        person=name,
        initial=(item.user_email or item.user_name or name)[0].upper(),
        not_verified=is_not_verified(item),
        preview=item.last_message_preview or texts("list.no_messages"),
        from_staff=item.last_message_sender == "admin",
        count=texts("list.messages", n=item.message_count),
        at=item.last_message_at,
        unread=item.unread,
        archived=item.archived,
        version=f"{item.message_count} {int(item.unread)} {int(item.archived)} {name}",
    )


def person(of: UserOf, texts: Translator) -> str:
    """Return the e-mail address, the name, or "Visitor" and the id's end (its start is a time)."""
    tail = of.user_id[-TITLE_TAIL_CHARS:].upper()
    return of.user_email or user_name(of, texts) or texts("list.visitor", tail=tail)


def user_name(of: UserOf, texts: Translator) -> str:
    """Return the name, or "". A visitor's name that could be taken for an address is in quotes."""
    name = of.user_name or ""
    return texts("list.quoted", name=name) if of.user_sub is None and "@" in name else name


def is_not_verified(of: UserOf) -> bool:
    """Whether a visitor typed the name or the e-mail address."""
    return of.user_sub is None and bool(of.user_email or of.user_name)


def device(user_agent: str | None, texts: Translator) -> str:
    """Return the browser and the operating system, as far as the User-Agent header names them."""
    found = [
        next((name for mark, name in table if mark in (user_agent or "")), None)
        for table in (BROWSERS, SYSTEMS)
    ]
    return ", ".join(name for name in found if name) or texts("account.unknown_device")


def capped(count: int) -> str:
    return str(count) if count <= COUNT_MAX else f"{COUNT_MAX}+"


def unread_title(unread: str) -> str:
    """Return the prefix of the page's title. `unread` is the text in the tab."""
    return "" if unread == "0" else f"({unread}) "


def utc(moment: str, language: str) -> str:
    """Return a time in UTC. With JavaScript the page shows the reader's time zone instead."""
    at = _parse(moment)
    return f"{format_date(at, 'medium', language)}, {format_time(at, 'short', locale=language)} UTC"


def utc_day(day: str, language: str) -> str:
    return format_date(_parse(day), "full", language)


def isolate_addresses(text: str) -> Markup:
    """Return the text as HTML in which text around a web address cannot reorder its characters."""
    return Markup(_ADDRESS.sub(_LEFT_TO_RIGHT, str(escape(text))))  # noqa: S704


def safe_next(target: str) -> str:
    """Return `target` if it is a path on this server; other targets would be open redirects."""
    plain = all(character >= " " and character != "\x7f" for character in target)
    inside = target.startswith("/") and target[1:2] not in ("/", "\\")
    return target if plain and inside else "/dashboard"


def _parse(moment: str) -> datetime:
    return datetime.fromisoformat(moment)

"""Composer: writes the e-mails that chatsvc sends, as MIME messages."""

import re
from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import make_msgid
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import jinja2
from babel.dates import format_skeleton, format_time

from chatsvc.config.config import Config
from chatsvc.security.tokens import sign_unsubscribe
from chatsvc.text.email_address import ascii_domain, is_email
from chatsvc.text.sanitize import one_line, sanitize, truncate
from chatsvc.text.translations import Translations, Translator

PREVIEW_CHARS = 200
PREVIEWS_MAX = 5  # in one e-mail; it says how many more messages there are
NAME_MAX_CHARS = 60  # of the name in the greeting
PANEL_FRAGMENT = "support-chat"  # the widget opens its panel where the address ends with it
UNSUBSCRIBE_PATH = "/notices/unsubscribe"
ENCODING = "quoted-printable"  # passes servers that accept ASCII only, and people can read it
# A name that is an address or a link would be an advertisement sent in our name.
_NO_NAME = re.compile(r"://|@|\w\.\w{2}", re.IGNORECASE)
_NOT_IN_PHRASES = re.compile(r'["(),.:;<>@\[\\\]=?_]')  # special characters of the To header


class _Unfolded(UnstructuredHeader, BaseHeader):
    """A header on one line: folding would encode a long address as if it were words."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        return f"{self.name}: {self}{policy.linesep}"


def _policy() -> "EmailPolicy[EmailMessage]":
    headers = HeaderRegistry()
    headers.map_to_type("list-unsubscribe", _Unfolded)
    return SMTP.clone(header_factory=headers)


POLICY = _policy()


class UnusableAddress(Exception):
    """No e-mail can be sent to this address. `str()` says why, without the address."""


class UnreadMessage(NamedTuple):
    """A staff message that the user has not read. `created_at` is aware, in UTC."""

    seq: int
    content: str
    created_at: datetime


class ReplyNotice(NamedTuple):
    """The facts of an e-mail about unread messages, oldest first.

    `user_name` is one that a host application has vouched for; `message_id` is the header's value.
    """

    to: str
    user_id: str
    user_name: str | None
    language: str | None
    message_id: str
    date: datetime
    messages: list[UnreadMessage]


class Composer:
    """Writes e-mails. Its methods are pure and may be called on any thread."""

    def __init__(
        self,
        config: Config,
        secret_key: bytes,
        templates: jinja2.Environment,
        languages: Translations,
    ) -> None:
        self._secret_key = secret_key
        self._templates = templates
        self._languages = languages
        self._name = config.name
        self._public_url = config.public_url
        self._chat_url = _chat_url(config)
        self._from = _sender(config.mail_from)

    def message_id(self, notice_id: str) -> str:
        """Return the Message-ID of a notice's e-mail, the same each time."""
        return f"<{notice_id}@{self._from.domain}>"

    def compose(self, notice: ReplyNotice) -> EmailMessage:
        """Write the e-mail about unread messages. Raises UnusableAddress."""
        name = shown_name(notice.user_name)
        token = sign_unsubscribe(self._secret_key, notice.user_id, notice.to)
        url = f"{self._public_url}{UNSUBSCRIBE_PATH}?{urlencode({'token': token})}"
        context = {**self._context(notice, name), "unsubscribe_url": url}
        message = self._envelope(notice.to, name, notice.message_id, notice.date)
        message["Subject"] = self._render("subject", context)
        message["List-Unsubscribe"] = f"<{url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(self._render("txt", context), cte=ENCODING)
        message.add_alternative(self._render("html", context), subtype="html", cte=ENCODING)
        return message

    def test_message(self, to: str, now: datetime) -> EmailMessage:
        """Write an e-mail that shows that sending works. Raises UnusableAddress."""
        texts = self._languages.translator(None)
        message = self._envelope(to, None, make_msgid(domain=self._from.domain), now)
        message["Subject"] = texts("email.test_subject", team=self._team(texts))
        message.set_content(texts("email.test", url=self._public_url) + "\n", cte=ENCODING)
        return message

    def _envelope(self, to: str, name: str | None, message_id: str, now: datetime) -> EmailMessage:
        message = EmailMessage(policy=POLICY)
        message["From"] = self._from
        message["To"] = _mailbox(to, name)
        message["Date"] = now
        message["Message-ID"] = message_id
        message["X-PM-KeepID"] = "true"  # Postmark would replace the Message-ID and hide repeats
        message["Auto-Submitted"] = "auto-generated"
        return message

    def _context(self, notice: ReplyNotice, name: str | None) -> dict[str, Any]:
        texts = self._languages.translator(notice.language)
        return {
            "t": texts,
            "language": texts.language,
            "team": self._team(texts),
            "name": name,
            "count": len(notice.messages),
            "previews": _previews(notice.messages[:PREVIEWS_MAX], texts),
            "more": max(0, len(notice.messages) - PREVIEWS_MAX),
            "chat_url": self._chat_url,
        }

    def _team(self, texts: Translator) -> str:
        """Return NAME followed by "Support", unless it ends with that word."""
        name, word = one_line(self._name), texts("email.team", name="").strip()
        return name if name.casefold().endswith(word.casefold()) else texts("email.team", name=name)

    def _render(self, part: str, context: dict[str, Any]) -> str:
        return self._templates.get_template(f"email/support_reply.{part}").render(context)


def shown_name(name: str | None) -> str | None:
    """Return a name for the greeting; None without one, or if it may be an advertisement."""
    name = one_line(name or "")
    return None if _NO_NAME.search(name) else truncate(name, NAME_MAX_CHARS) or None


def _previews(messages: list[UnreadMessage], texts: Translator) -> list[dict[str, Any]]:
    """Return the start of each message as lines, and its time where that differs from the last."""
    previews: list[dict[str, Any]] = []
    last = ""
    for message in messages:
        date = format_skeleton("MMMd", message.created_at, locale=texts.language)
        time = format_time(message.created_at, "short", locale=texts.language)
        when = texts("email.when", date=date, time=time)
        lines = truncate(sanitize(message.content), PREVIEW_CHARS).split("\n")
        previews.append({"lines": lines, "when": when if when != last else ""})
        last = when
    return previews


def _chat_url(config: Config) -> str:
    """Return the address of the page with the widget and its panel open."""
    page = config.chat_page_url
    if config.demo and page == config.public_url:
        page += "/demo"
    return (
        urlsplit(page)._replace(path=urlsplit(page).path or "/", fragment=PANEL_FRAGMENT).geturl()
    )


def _sender(mail_from: str) -> Address:
    address = POLICY.header_factory("From", mail_from).addresses[0]
    return Address(address.display_name, address.username, ascii_domain(address.domain))


def _mailbox(email: str, name: str | None) -> Address:
    """Return one recipient. Raises UnusableAddress."""
    user, _, domain = email.rpartition("@")
    if not is_email(email) or not user.isascii():
        raise UnusableAddress("mail servers do not accept the user's e-mail address")
    phrase = one_line(_NOT_IN_PHRASES.sub(" ", name or ""))
    return Address(phrase, user, ascii_domain(domain))

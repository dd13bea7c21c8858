"""Letters: the e-mails that chatsvc writes, as MIME messages. Nothing here sends one."""

import re
from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import make_msgid
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import jinja2
import msgspec
from babel.dates import format_skeleton, format_time

from chatsvc.config.config import Config
from chatsvc.security.tokens import sign_unsubscribe
from chatsvc.text.names import is_email
from chatsvc.text.sanitize import one_line, sanitize, truncate
from chatsvc.text.translations import Languages, Texts

PREVIEW_CHARS = 200
PREVIEWS_MAX = 5  # in one e-mail; it says how many more there are
NAME_MAX_CHARS = 60  # of the user's name
PANEL_FRAGMENT = "support-chat"  # the widget opens its panel in a page whose address ends with it
UNSUBSCRIBE_PATH = "/notices/unsubscribe"
ENCODING = "quoted-printable"  # passes through servers that take ASCII alone, and can be read
# Whoever gives another person's address and an advertisement for a name shall not have it delivered by us.
_NO_NAME = re.compile(r"://|@|\w\.\w{2}", re.IGNORECASE)
_NOT_IN_PHRASES = re.compile(r'["(),.:;<>@\[\\\]=?_]')  # what means something in the header To


class _Unfolded(UnstructuredHeader, BaseHeader):
    """A header that is one line: folded, a long address would be encoded as if it were words."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        return f"{self.name}: {self}{policy.linesep}"


def _policy() -> "EmailPolicy[EmailMessage]":
    headers = HeaderRegistry()
    headers.map_to_type("list-unsubscribe", _Unfolded)
    return SMTP.clone(header_factory=headers)


POLICY = _policy()


class LetterError(Exception):
    """This letter can never be sent. `str()` says why, without the address."""


class UnreadMessage(NamedTuple):
    """A staff message that the user has not read. `created_at` is aware, in UTC."""

    seq: int
    content: str
    created_at: datetime


class Letter(msgspec.Struct, frozen=True):
    """What one e-mail is made of: all that is unread in a chat, oldest first. `message_id` is the header's value, `Letters.message_id` makes it."""

    to: str
    user_id: str
    user_name: str | None
    language: str | None
    chat_id: str
    message_id: str
    messages: list[UnreadMessage]
    notice_id: str


class Letters:
    """Composes e-mails. Its methods are pure and may be called on any thread."""

    def __init__(
        self, config: Config, secret_key: bytes, templates: jinja2.Environment, languages: Languages
    ) -> None:
        self._secret_key = secret_key
        self._templates = templates
        self._languages = languages
        self._name = config.name
        self._public_url = config.public_url
        self._chat_url = _chat_url(config)
        self._from = _sender(config.mail_from)

    def message_id(self, notice_id: str) -> str:
        """The Message-ID of a notice's e-mail: the same whenever it is asked for."""
        return f"<{notice_id}@{self._from.domain}>"

    def compose(self, letter: Letter, now: datetime) -> EmailMessage:
        """The e-mail about unread messages. Raises LetterError for an address that no e-mail can be sent to."""
        name = shown_name(letter.user_name)
        url = f"{self._public_url}{UNSUBSCRIBE_PATH}?{urlencode({'token': sign_unsubscribe(self._secret_key, letter.user_id)})}"
        context = {**self._context(letter, name), "unsubscribe_url": url}
        message = self._envelope(letter.to, name, letter.message_id, now)
        message["Subject"] = self._render("subject", context)
        message["List-Unsubscribe"] = f"<{url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message.set_content(self._render("txt", context), cte=ENCODING)
        message.add_alternative(self._render("html", context), subtype="html", cte=ENCODING)
        return message

    def test_message(self, to: str, now: datetime) -> EmailMessage:
        """For whoever sets e-mail up. Raises LetterError as `compose` does."""
        texts = self._languages.texts(None)
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
        message["X-PM-KeepID"] = (
            "true"  # else Postmark replaces the Message-ID, and a repeat is not known for one
        )
        message["Auto-Submitted"] = "auto-generated"
        return message

    def _context(self, letter: Letter, name: str | None) -> dict[str, Any]:
        texts = self._languages.texts(letter.language)
        return {
            "t": texts,
            "language": texts.language,
            "team": self._team(texts),
            "name": name,
            "count": len(letter.messages),
            "previews": _previews(letter.messages[:PREVIEWS_MAX], texts),
            "more": max(0, len(letter.messages) - PREVIEWS_MAX),
            "chat_url": self._chat_url,
        }

    def _team(self, texts: Texts) -> str:
        """NAME with "Support" behind it, unless it says so itself."""
        name, word = one_line(self._name), texts("email.team", name="").strip()
        return name if name.casefold().endswith(word.casefold()) else texts("email.team", name=name)

    def _render(self, part: str, context: dict[str, Any]) -> str:
        return self._templates.get_template(f"email/support_reply.{part}").render(context)


def shown_name(name: str | None) -> str | None:
    """A name as it may stand in a greeting; None if there is none, or if what is there would rather be an advertisement than a name."""
    name = one_line(name or "")
    return None if _NO_NAME.search(name) else truncate(name, NAME_MAX_CHARS) or None


def _previews(messages: list[UnreadMessage], texts: Texts) -> list[dict[str, Any]]:
    """The start of each message by lines, and when it was written; said once for messages of one minute."""
    previews: list[dict[str, Any]] = []
    said = ""
    for message in messages:
        date = format_skeleton("MMMd", message.created_at, locale=texts.language)
        time = format_time(message.created_at, "short", locale=texts.language)
        when = texts("email.when", date=date, time=time)
        lines = truncate(sanitize(message.content), PREVIEW_CHARS).split("\n")
        previews.append({"lines": lines, "when": when if when != said else ""})
        said = when
    return previews


def _chat_url(config: Config) -> str:
    """The page with the widget, with its panel open."""
    page = config.chat_page_url
    if config.demo and page == config.public_url:
        page += "/demo"
    return (
        urlsplit(page)._replace(path=urlsplit(page).path or "/", fragment=PANEL_FRAGMENT).geturl()
    )


def _sender(mail_from: str) -> Address:
    address = POLICY.header_factory("From", mail_from).addresses[0]
    return Address(address.display_name, address.username, _ascii_domain(address.domain))


def _mailbox(email: str, name: str | None) -> Address:
    """One recipient. Raises LetterError."""
    user, _, domain = email.rpartition("@")
    if not is_email(email) or not user.isascii():
        raise LetterError("the user's e-mail address is none that mail servers take")
    phrase = one_line(_NOT_IN_PHRASES.sub(" ", name or ""))
    return Address(phrase, user, _ascii_domain(domain))


def _ascii_domain(domain: str) -> str:
    """As mail servers take it: a domain in another script has a second form in ASCII. Raises LetterError."""
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise LetterError("the e-mail address has a domain that cannot exist") from None

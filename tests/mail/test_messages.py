"""E-mails, read as a mail program reads them: headers, both parts, names and texts that want to be more than text."""

import email
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP, default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from chatsvc.mail.messages import Composer, ReplyNotice, UnreadMessage, UnusableAddress, shown_name
from chatsvc.pages.assets import Assets
from chatsvc.pages.templates import load_templates
from chatsvc.security.tokens import read_unsubscribe
from chatsvc.text.sanitize import one_line, sanitize, truncate
from chatsvc.text.translations import Translations
from tests.security.test_markup import PAYLOADS
from tests.support.service import SECRET_KEY, make_config

NOW = datetime(2026, 1, 29, 10, 35, tzinfo=UTC)
WRITTEN = datetime(2026, 1, 29, 10, 30, tzinfo=UTC)
USER = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
CHAT_URL = "https://www.example.com/help?from=mail&x=1#support-chat"
LANGUAGES, TEMPLATES = Translations(), load_templates(Assets())
LINE_MAX_BYTES = 998  # RFC 5322, 2.1.1
OPTIONS: dict[str, Any] = {
    "name": "Acme",
    "public_url": "https://chat.example.com",
    "chat_page_url": "https://www.example.com/help?from=mail&x=1",
    "mail_from": "Acme Support <help@example.com>",
}
VERY_LONG = "Maximilian " * 500


def make_composer(**changes: Any) -> Composer:
    return Composer(
        make_config(Path("unused"), **{**OPTIONS, **changes}), SECRET_KEY, TEMPLATES, LANGUAGES
    )


COMPOSER = make_composer()


def notice(*contents: str, **changes: Any) -> ReplyNotice:
    fields: dict[str, Any] = {
        "to": "alice@example.com",
        "user_id": USER,
        "user_name": "Alice",
        "language": "en",
        "message_id": COMPOSER.message_id("a-notice"),
        "date": NOW,
        "messages": [
            UnreadMessage(seq, text, WRITTEN)
            for seq, text in enumerate(contents or ("It is in stock.",), 1)
        ],
    }
    return ReplyNotice(**{**fields, **changes})


def received(composed: EmailMessage) -> EmailMessage:
    """As it is after its way over the wire."""
    message = email.message_from_bytes(composed.as_bytes(), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def compose(*contents: str, composer: Composer = COMPOSER, **changes: Any) -> EmailMessage:
    return received(composer.compose(notice(*contents, **changes)))


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    text: str = body.get_content().replace("\r\n", "\n")
    return text


class Html(HTMLParser):
    """The HTML part as a plain one reads: blocks and <br> end lines, a link's address stands under its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.links = "", [], []  # type: ignore[var-annotated]
        self.feed(page.partition("<body")[2].partition(">")[2])
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "a":
            self.links.append(attributes["href"])
        self.text += "\n" if tag in ("p", "div", "br") else ""

    def handle_endtag(self, tag: str) -> None:
        self.text += f"\n{self.links[-1]}" if tag == "a" else "\n" if tag in ("p", "div") else ""

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) if data.strip() else ""


def lines_of(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


# ---- what it says ----


def test_the_headers_say_what_mail_programs_and_servers_ask() -> None:
    message = compose()
    assert message["From"] == "Acme Support <help@example.com>"
    assert message["To"] == "Alice <alice@example.com>"
    assert message["Subject"] == "New reply from Acme Support"
    assert message["Date"].datetime == NOW
    assert message["Message-ID"] == "<a-notice@example.com>"
    assert message["Auto-Submitted"] == "auto-generated" and message["X-PM-KeepID"] == "true"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = urlsplit(message["List-Unsubscribe"].strip("<>"))
    assert (url.scheme, url.netloc, url.path) == (
        "https",
        "chat.example.com",
        "/notices/unsubscribe",
    )
    assert read_unsubscribe(parse_qs(url.query)["token"][0], SECRET_KEY).user_id == USER
    assert {"Reply-To", "Cc", "Bcc", "Sender", "Return-Path"}.isdisjoint(message.keys())
    assert message.get_content_type() == "multipart/alternative"
    assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]


def test_each_line_of_a_message_has_its_own_direction_and_indentation() -> None:
    """A Hebrew line below an English one was aligned and punctuated as English."""
    message = compose("    if x:\n\nהאם יש?")
    lines = re.findall(r'<div dir="auto">(.*?)</div>', part(message, "html"))
    assert lines == ["    if x:", "<br>", "האם יש?"]
    assert "\n        if x:\n\n    האם יש?\n" in part(message, "plain")


def test_text_around_an_address_does_not_reorder_it() -> None:
    """Hebrew before a link moved its path before its host."""
    html = part(compose("ראה https://example.com/a?b=1&c=<2> בדף"), "html")
    isolated = '<span dir="ltr" style="unicode-bidi: isolate">%s</span>'
    assert isolated % "https://example.com/a?b=1&amp;c=&lt;2&gt;" in html


def test_the_address_for_unsubscribing_is_one_word_however_long() -> None:
    """Python folds a long word by encoding it, and mail programs that look for an address find none."""
    raw = (
        make_composer(public_url=f"https://{'very-long-' * 20}.example.com")
        .compose(notice())
        .as_bytes()
    )
    (line,) = re.findall(rb"(?m)^List-Unsubscribe: (.*)\r$", raw)
    assert re.fullmatch(rb"<https://\S{250,}>", line)


def test_the_same_notice_gives_the_same_message_id() -> None:
    assert compose("One")["Message-ID"] == compose("One", "Two", language="de")["Message-ID"]
    assert COMPOSER.message_id("a") != COMPOSER.message_id("b")


@pytest.mark.parametrize("language", LANGUAGES.names)
@pytest.mark.parametrize("name", ["Alice", None])
def test_both_parts_say_the_same(language: str, name: str | None) -> None:
    contents = [
        "Hello <b>you</b>\nsecond line\n\n\n\nafter a gap",
        *(f"Message {n} & more" for n in range(2, 9)),
    ]
    message = compose(*contents, language=language, user_name=name)
    text, html = part(message, "plain"), Html(part(message, "html"))
    assert lines_of(text) == lines_of(html.text)
    assert text.count("Message ") == 4, "five messages in all"
    assert LANGUAGES.translator(language)("email.more", n=3) in text
    assert html.links == [CHAT_URL, message["List-Unsubscribe"].strip("<>")]
    assert f'lang="{language}"' in part(message, "html")
    assert message["Subject"] in part(message, "html")


def test_it_is_in_the_readers_language_with_times_of_a_named_zone() -> None:
    english, german = part(compose(), "plain"), part(compose(language="de"), "plain")
    assert "Hello Alice," in english and "Jan 29, 10:30\u202fAM UTC" in english
    assert "Guten Tag Alice," in german and "29. Jan., 10:30 UTC" in german
    assert part(compose(language=None), "plain") == part(compose(language="xx"), "plain") == english


def test_messages_of_one_minute_share_their_time() -> None:
    later = WRITTEN + timedelta(minutes=2)
    unread = [
        UnreadMessage(seq, f"No. {seq}", at) for seq, at in enumerate((WRITTEN, WRITTEN, later), 1)
    ]
    said = lines_of(part(compose(messages=unread, language="de"), "plain"))[2:7]
    assert said == ["29. Jan., 10:30 UTC", "No. 1", "No. 2", "29. Jan., 10:32 UTC", "No. 3"]


@pytest.mark.parametrize(
    ("name", "team"),
    [("Acme", "Acme Support"), ("Support", "Support"), ("Acme SUPPORT", "Acme SUPPORT")],
)
def test_support_is_said_once(name: str, team: str) -> None:
    assert compose(composer=make_composer(name=name))["Subject"] == f"New reply from {team}"


def test_links_lead_to_the_configured_addresses_alone() -> None:
    """Whatever the messages hold; and the button's address is right where the page's has no path."""
    html = Html(
        part(
            compose("https://evil.example <a href='https://evil.example'>x</a>", user_name="x"),
            "html",
        )
    )
    assert {urlsplit(link).netloc for link in html.links} == {"www.example.com", "chat.example.com"}
    for page, button in (
        ("https://example.com", "https://example.com/#support-chat"),
        ("https://example.com/a/", "https://example.com/a/#support-chat"),
    ):
        assert (
            Html(part(compose(composer=make_composer(chat_page_url=page)), "html")).links[0]
            == button
        )
    demo = make_composer(demo=True, chat_page_url=OPTIONS["public_url"])
    assert (
        Html(part(compose(composer=demo), "html")).links[0]
        == "https://chat.example.com/demo#support-chat"
    )


def test_a_test_message_has_one_part_and_an_id_of_its_own() -> None:
    one, two = (received(COMPOSER.test_message("admin@example.com", NOW)) for _ in range(2))
    assert one["To"] == "admin@example.com" and one["From"] == "Acme Support <help@example.com>"
    assert one["Message-ID"] != two["Message-ID"] and one["Message-ID"].endswith("@example.com>")
    assert (
        "https://chat.example.com" in one.get_content()
        and one["Auto-Submitted"] == "auto-generated"
    )


# ---- names and addresses ----


@pytest.mark.parametrize(
    "name",
    [
        "Алиса",
        "陳大文",
        "يوسف בן",
        "Zoë O'Brien",
        "👩‍👩‍👧‍👦 Emoji 🇩🇪",
        "Nguyễn Thị",
        "von der Leyen, Ursula",
        'Dwayne "The Rock"',
        "J. R. R.",
    ],
)
def test_a_name_in_any_script_arrives(name: str) -> None:
    message = compose(user_name=name)
    (recipient,) = message["To"].addresses
    assert recipient.addr_spec == "alice@example.com"
    assert recipient.display_name == one_line(re.sub(r'["(),.:;<>@]', " ", name))
    assert f"Hello {name}," in part(message, "plain")
    assert not message["To"].defects


def test_a_very_long_name_is_cut() -> None:
    shown = shown_name(VERY_LONG)
    assert shown is not None and len(shown) <= 60 and shown.endswith("…")
    assert f"Hello {shown}," in part(compose(user_name=VERY_LONG), "plain")


@pytest.mark.parametrize(
    "name",
    ["WIN at https://evil.example", "evil.example", "bob@example.com", "a@b", "", " \u202e ", None],
)
def test_what_is_no_name_is_left_out(name: str | None) -> None:
    """A visitor who leaves somebody else's address gets nothing of his own delivered there."""
    message = compose(user_name=name)
    assert message["To"] == "alice@example.com"
    assert part(message, "plain").startswith("Hello,\n") and "evil" not in message.as_string()


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com, b@example.com",
        "a@example.com,b@example.com",
        "a@example.com b@example.com",
        "a@example.com;b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\nb@example.com",
        "a@example.com\r",
        "<a@example.com>",
        "Alice <a@example.com>",
        '"a@x, b@y"@example.com',
        "a@",
        "@example.com",
        "a",
        "",
        "a@b@example.com",
        "a@example..com",
        f"a@{'x' * 64}.example.com",
        "jürgen@example.com",
        "a\0@example.com",
        "group: a@example.com;",
        "(b@example.com)a@example.com",
    ],
)
def test_what_is_not_one_address_is_refused(address: str) -> None:
    with pytest.raises(UnusableAddress) as raised:
        COMPOSER.compose(notice(to=address))
    assert len(address) < 3 or address not in str(raised.value)
    with pytest.raises(UnusableAddress):
        COMPOSER.test_message(address, NOW)


def test_domains_in_other_scripts_travel_in_their_ascii_form() -> None:
    composer = make_composer(mail_from="Jörg Müller <hallo@müller.example>")
    message = compose(to="a@bücher.example", composer=composer)
    assert message["To"].addresses[0].addr_spec == "a@xn--bcher-kva.example"
    assert message["From"] == "Jörg Müller <hallo@xn--mller-kva.example>"
    assert composer.message_id("x") == "<x@xn--mller-kva.example>"


@pytest.mark.parametrize(
    ("domain", "in_ascii"),
    [
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("Maßstäbe.example", "xn--mastbe-cta6b.example"),
    ],
)
def test_an_e_mail_goes_to_and_comes_from_the_domain_that_was_meant(
    domain: str, in_ascii: str
) -> None:
    """eva@faß.de was mailed to fass.de, which belongs to somebody else."""
    composer = make_composer(mail_from=f"Eva <eva@{domain}>")
    message = compose(to=f"eva@{domain}", composer=composer)
    for header in ("To", "From"):
        assert message[header].addresses[0].addr_spec == f"eva@{in_ascii}"
    assert composer.message_id("x") == f"<x@{in_ascii}>"


@pytest.mark.parametrize(
    "name",
    ["Alice\r\nBcc: evil@example.com", "Alice\nSubject: x", "Alice\u2028Bcc: x", "\r\n\r\nbody"],
)
def test_line_breaks_make_no_headers(name: str) -> None:
    """In the user's name; in ours the configuration refuses them."""
    message = compose(user_name=name)
    assert set(message.keys()) == set(compose().keys())
    assert len(message["To"].addresses) == 1 and message["Bcc"] is None


# ---- texts that want to be more ----


@pytest.mark.parametrize("payload", PAYLOADS)
def test_messages_and_names_are_text(payload: str) -> None:
    message = compose(
        payload, user_name=payload, composer=make_composer(name=sanitize(payload)[:60])
    )
    html = Html(part(message, "html"))
    assert {tag for tag, _ in html.tags} <= {"div", "p", "a", "br"}
    assert all(set(attributes) <= {"style", "dir", "role", "href"} for _, attributes in html.tags)
    assert {urlsplit(link).netloc for link in html.links} == {"www.example.com", "chat.example.com"}
    assert lines_of(sanitize(payload))[0] in html.text
    assert "10508513" not in message.as_string() and "<script" not in part(message, "html")


def test_nothing_in_it_is_fetched() -> None:
    html = part(compose("https://evil.example/x.png"), "html")
    for sign in ("src=", "url(", "@import", "<link", "<script", "<style", "<img", "background="):
        assert sign not in html


def test_what_reverses_or_hides_text_is_taken_out() -> None:
    assert sanitize("a\u202egnp.exe\u202c\x07\x1b[31m\u2066b\u2069\ufeff") == "agnp.exe[31mb"
    assert sanitize("a\r\nb\rc\u2028d\x85e\tf") == "a\nb\nc\nd\ne f"
    assert sanitize("a \n \n\n \nb") == "a\n\nb"
    assert sanitize("שלום\u200f!") == "שלום\u200f!", (
        "marks that only say which way a word runs stay"
    )
    text = part(compose("pay to \u202eexample"), "plain")
    assert "pay to example" in text and "\u202e" not in text


@pytest.mark.parametrize(
    ("character", "count"),
    [
        ("👨‍👩‍👧‍👦", 28),
        ("🇩🇪", 99),
        ("e\u0301", 99),
        ("👍🏽", 99),
        ("न\u094dष", 66),
        ("x", 199),
        ("\u1100\u1161\u11a8", 66),
    ],
)
def test_a_preview_ends_with_a_whole_character(character: str, count: int) -> None:
    assert truncate(character * 300, 200) == character * count + "…"


def test_a_preview_is_cut_only_if_it_must_be() -> None:
    assert truncate("x" * 200, 200) == "x" * 200
    assert truncate("word " * 60, 200) == ("word " * 40)[:199].rstrip() + "…"
    assert truncate("e" + "\u0301" * 5000, 200) == "e" + "\u0301" * 198 + "…", (
        "one character of 5,001"
    )


ANY_TEXT = (
    st.text(max_size=400)
    | st.text(st.characters(codec="utf-8"), max_size=60)
    | st.sampled_from(PAYLOADS)
)


@given(
    name=st.none() | ANY_TEXT,
    contents=st.lists(ANY_TEXT, min_size=1, max_size=8),
    language=st.sampled_from(["de", "en", None]),
)
def test_whatever_is_written_it_is_one_mail_to_one_person(
    name: str | None, contents: list[str], language: str | None
) -> None:
    raw = COMPOSER.compose(notice(*contents, user_name=name, language=language)).as_bytes()
    assert raw.isascii() and max(len(line) for line in raw.split(b"\r\n")) <= LINE_MAX_BYTES
    assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
    message = email.message_from_bytes(raw, policy=SMTP)
    assert isinstance(message, EmailMessage) and not message.defects
    assert [address.addr_spec for address in message["To"].addresses] == ["alice@example.com"]
    assert set(message.keys()) == set(compose().keys())
    assert not any(message[header].defects for header in ("From", "To", "Subject", "Message-ID"))
    text, html = part(message, "plain"), Html(part(message, "html"))
    assert "".join(text.split()) == "".join(html.text.split())
    assert html.links == [CHAT_URL, message["List-Unsubscribe"].strip("<>")]


@given(st.text(max_size=500), st.integers(min_value=1, max_value=300))
def test_a_cut_is_a_start_of_whole_characters(text: str, limit: int) -> None:
    short = truncate(text, limit)
    assert len(short) <= max(limit, 1)
    if short != text:
        kept = short.removesuffix("…")
        assert text.startswith(kept)
        whole = regex.findall(r"\X", text)
        starts = {len("".join(whole[:n])) for n in range(len(whole) + 1)}
        assert len(kept) in starts or text[len(kept)].isspace() or len(whole[0]) >= limit


def test_every_language_is_one_that_dates_can_be_written_in() -> None:
    for language in LANGUAGES.names:
        assert "UTC" in part(compose(language=language), "plain"), language

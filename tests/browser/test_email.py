"""E-mails and the page behind their last link, as Chromium shows them: on a phone and a desk, in the light and the dark."""

from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, expect

from chatsvc.config.config import load_or_create_secret
from chatsvc.mail.messages import Composer, ReplyNotice, UnreadMessage
from chatsvc.pages.assets import Assets
from chatsvc.pages.templates import load_templates
from chatsvc.security import tokens
from chatsvc.text.translations import Translations
from tests.support.service import SECRET_KEY, make_config

from .axe import WCAG, violations
from .hosting import NewContext
from .serving import Server
from .test_widget_markup import PAYLOADS

pytestmark = pytest.mark.browser

LOOKS = [(width, scheme) for width in (320, 600) for scheme in ("light", "dark")]
USER = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
WRITTEN = datetime(2026, 1, 29, 10, 30, tzinfo=UTC)
ORDINARY = [
    "Good morning! Yes, the two-person tent is in stock again. Shall I reserve one for you?\n\nThe green one is on its way, too.",
    "https://www.example.com/tents/two-persons/green?utm_source=chat&utm_medium=" + "x" * 150,
    "שלום, האוהל במלאי",
    "👨‍👩‍👧‍👦" * 60,
    "x" * 10_000,
    "one more",
    "and another",
]
COMPOSER = Composer(
    make_config(
        Path("unused"),
        name="Müller & Söhne",
        public_url="https://chat.example.com",
        chat_page_url="https://www.example.com/help",
    ),
    SECRET_KEY,
    load_templates(Assets()),
    Translations(),
)


def html_of(contents: list[str], name: str, language: str = "en") -> str:
    messages = [UnreadMessage(seq, text, WRITTEN) for seq, text in enumerate(contents, 1)]
    message_id = COMPOSER.message_id("a-notice")
    notice = ReplyNotice("alice@example.com", USER, name, language, message_id, WRITTEN, messages)
    body = COMPOSER.compose(notice).get_body(("html",))
    assert isinstance(body, EmailMessage)
    page: str = body.get_content()
    return page


def show(page: Page, html: str) -> list[str]:
    """Shows the e-mail; what it asks the network for is noted and refused."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.route("**/*", lambda route: route.abort())
    page.on("request", note)
    page.set_content(html)
    return asked


def fits(page: Page) -> bool:
    """Nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def canvas(page: Page) -> int:
    """How bright the ground is that text stands on, 0 to 255."""
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('i'), { style: 'background: Canvas' }))"
    )
    color: str = page.locator("i").last.evaluate(
        "(probe) => getComputedStyle(probe).backgroundColor"
    )
    return int(color.removeprefix("rgb(").split(",")[0])


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_an_email_can_be_read_everywhere(width: int, scheme: str, new_context: NewContext) -> None:
    context = new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    asked = show(page, html_of(ORDINARY, "Alice", "de" if width == 320 else "en"))
    assert fits(page)
    assert violations(page, WCAG) == []
    button = page.get_by_role("link").first.bounding_box()
    assert button is not None and button["height"] >= 44
    assert (canvas(page) < 60) == (scheme == "dark"), "the mail program's own ground, light or dark"
    assert asked == [], "an e-mail that fetches something tells somebody when it is read"


def test_no_payload_becomes_markup(new_context: NewContext) -> None:
    """Forty of them, as messages and as names; dialogs and errors fail the test through the context."""
    page = new_context().new_page()
    asked: list[str] = []
    for payload in PAYLOADS:
        asked += show(page, html_of([payload, "after it"], payload))
        tags = page.evaluate(
            "[...new Set([...document.body.querySelectorAll('*')].map((node) => node.localName))]"
        )
        assert set(tags) <= {"div", "p", "a", "br", "span"}, payload
        assert "after it" in page.inner_text("body"), payload
        links = page.evaluate("[...document.links].map((link) => link.href)")
        assert {urlsplit(link).hostname for link in links} == {
            "www.example.com",
            "chat.example.com",
        }, payload
    assert asked == []


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(320, "dark", "de"), (600, "light", "en")]
)
def test_unsubscribing_is_one_click_and_so_is_its_undoing(
    width: int, scheme: str, language: str, server: Server, new_context: NewContext
) -> None:
    page = new_context(
        viewport={"width": width, "height": 640}, color_scheme=scheme, locale=language
    ).new_page()
    page.goto(unsubscribe_url(server))
    heading, button = page.get_by_role("heading"), page.get_by_role("button")
    texts = Translations().translator(language)
    for title, action in (("title", "stop"), ("stopped_title", "undo"), ("title", "stop")):
        expect(heading).to_have_text(texts(f"unsubscribe.{title}"))
        assert fits(page) and violations(page) == []
        button.filter(has_text=texts(f"unsubscribe.{action}")).click()
    expect(heading).to_have_text(texts("unsubscribe.stopped_title"))
    assert page.context.cookies() == []


def test_unsubscribing_needs_no_javascript(server: Server, new_context: NewContext) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(unsubscribe_url(server))
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading")).to_have_text("You are unsubscribed")


def unsubscribe_url(server: Server) -> str:
    """Of a new visitor."""
    user_id: str = server.user("", "POST", "/visitors", {})["user_id"]
    token = tokens.sign_unsubscribe(load_or_create_secret(server.folder / "var"), user_id)
    return f"{server.url}/notices/unsubscribe?token={token}"

"""Nobody is locked out of the dashboard: axe-core on every page and state, light and dark, narrow and zoomed."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .axe import violations
from .dashboard import PHONE, WIDE, card, live, no_connection, open_chat, open_list
from .hosting import NewContext, person
from .serving import Server

pytestmark = pytest.mark.browser

SIZES = {"wide": WIDE, "phone": PHONE}
ZOOMED = {"width": 320, "height": 256}  # 1280 × 1024 at 400 %
LONG = "x" * 9_000 + " 👩\u200d👩\u200d👧 " + "مرحبا"


@pytest.fixture(scope="module")
def chat(server: Server) -> tuple[str, str]:
    """A chat that has everything: a long name, a text without a space, days of talk, read and unread replies."""
    token = server.token(person(), name="Maximiliane " * 12 + "M" * 100)
    server.say(token, LONG)
    for number in range(60):
        server.say(token, f"question {number} https://example.com/tent")
    server.reply(token, "read")
    server.user(token, "PATCH", "/support_chat/mark_read", {})
    server.reply(token, "not read yet")
    return token, server.chat_of(token)


@pytest.mark.parametrize(("scheme", "size"), [("light", "phone"), ("dark", "wide")])
def test_no_page_and_no_state_has_a_violation(
    scheme: str,
    size: str,
    server: Server,
    staff_cookies: Any,
    chat: tuple[str, str],
    new_context: NewContext,
) -> None:
    token, chat_id = chat
    options = {"color_scheme": scheme, "viewport": SIZES[size], "reduced_motion": "reduce"}
    seen: dict[str, list[str]] = {}
    stranger = new_context(**options).new_page()
    stranger.goto(f"{server.url}/login")
    seen["login"] = violations(stranger)
    stranger.get_by_label("E-mail").fill("nobody@example.com")
    stranger.get_by_label("Password").fill("wrong")
    page = new_context(storage_state=staff_cookies, **options).new_page()

    open_list(page, server)
    seen["list"] = violations(page)
    open_list(page, server, "?archived=true")
    seen["archived"] = violations(page)
    for path in ("account", "search?q=question", "search?q=nothing-like-this", "nothing"):
        page.goto(f"{server.url}/dashboard/{path}")
        seen[path] = violations(page)
    open_chat(page, server, chat_id)
    if size == "wide":
        expect(card(page, chat_id)).to_be_visible()
    seen["chat"] = violations(page)
    page.locator(".scroll").evaluate("(node) => { node.scrollTop = -500; }")
    server.say(token, "news")
    expect(page.locator("#jump")).to_be_visible()
    seen["scrolled up"] = violations(page)
    page.locator("#content").fill("x" * 10_001)
    page.locator("#content").press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    seen["refused"] = violations(page)
    page.locator("#chat h1").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    seen["help"] = violations(page)
    page.keyboard.press("Escape")
    with no_connection(page):
        expect(page.locator("#stale")).to_be_visible()
        seen["not live"] = violations(page)
    assert {state: found for state, found in seen.items() if found} == {}
    assert len(seen) == 12


def test_axe_would_notice(server: Server, staff_page: Page) -> None:
    staff_page.evaluate(
        "document.querySelector('.find label').remove(); document.querySelector('.find input').placeholder = ''"
    )
    staff_page.locator(".home span").evaluate("(node) => { node.style.color = '#999'; }")
    assert {one.split(":")[0] for one in violations(staff_page)} == {"label", "color-contrast"}


def test_it_fits_from_360_px_on_and_at_400_percent(
    server: Server, staff_cookies: Any, chat: tuple[str, str], new_context: NewContext
) -> None:
    """Nothing has to be scrolled sideways, nothing is cut off, and the reply stays within reach."""
    context = new_context(
        storage_state=staff_cookies, viewport=ZOOMED, locale="de"
    )  # the longer words
    page = context.new_page()
    pages = ("", "?archived=true", f"/chats/{chat[1]}", "/account", "/search?q=question")
    for width, height in ((320, 256), (360, 740), (768, 1024), (1099, 700), (1100, 700)):
        page.set_viewport_size({"width": width, "height": height})
        for path in pages:
            page.goto(f"{server.url}/dashboard{path}")
            sideways = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways == 0, (width, path)
            wide = page.locator(
                "a:visible, button:visible, input:visible, textarea:visible"
            ).evaluate_all(
                "(nodes) => nodes.filter((node) => node.getBoundingClientRect().right > innerWidth + 1 && !node.closest('.skip'))"
                ".map((node) => node.outerHTML)"
            )
            assert wide == [], (width, path)
            small = page.locator(
                "button:visible, .card a:visible, .tabs a:visible, .pages a:visible, textarea:visible"
            ).evaluate_all(
                "(nodes) => nodes.filter((node) => node.getBoundingClientRect().height < 43.5).map((node) => node.outerHTML)"
            )
            assert small == [], (width, path)
        page.goto(f"{server.url}/dashboard/chats/{chat[1]}")
        live(page)
        page.locator("#content").scroll_into_view_if_needed()
        expect(page.locator("#content")).to_be_in_viewport()
        page.get_by_role("button", name="Senden").scroll_into_view_if_needed()


SNAPSHOT = """
- heading "Ida" [level=1]
- button "Archive"
- region "Conversation":
  - list "Messages":
    - listitem:
      - time: /Today|Yesterday/
    - listitem:
      - text: Ida Is it in stock?
      - time: /\\d+:\\d+/
    - listitem:
      - text: You Yes.
      - time: /\\d+:\\d+/
      - text: · Seen
"""


def test_a_screen_reader_is_told_who_says_what_when(server: Server, staff_page: Page) -> None:
    token = server.token(person(), name="Ida")
    server.say(token, "Is it in stock?")
    server.reply(token, "Yes.")
    server.user(token, "PATCH", "/support_chat/mark_read", {})
    open_chat(staff_page, server, server.chat_of(token))
    expect(staff_page.locator("#chat")).to_match_aria_snapshot(SNAPSHOT)
    announcer = staff_page.locator("#announcer")
    expect(announcer).to_be_empty()
    server.say(token, "And the dog?")
    expect(announcer).to_have_text("Ida: And the dog?")

"""Nobody is locked out: axe-core in every state, the keyboard alone, and what a screen reader is told."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .axe import violations
from .hosting import (
    NewContext,
    box,
    host_page,
    launcher,
    messages,
    open_chat,
    panel,
    person,
    set_visible,
    write,
    zone_at_noon,
)
from .serving import Server

pytestmark = pytest.mark.browser

WIDGET = "support-chat"
LOOKS = [(theme, language) for theme in ("light", "dark") for language in ("en", "de")]


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_no_state_has_a_violation(
    theme: str, language: str, server: Server, new_context: NewContext
) -> None:
    """A visitor's way through all states: closed, unread, empty, written, asked, wrong, refused, offline, scrolled up."""
    context = new_context(reduced_motion="reduce", color_scheme=theme)
    page = host_page(
        context, server, attributes=f'theme="{theme}" lang="{language}" accent="#0b57d0"'
    )
    seen: dict[str, list[str]] = {}

    def check(state: str) -> None:
        seen[state] = violations(page, within=WIDGET)

    check("closed")
    open_chat(page)
    check("empty")
    write(page, "Is the tent https://example.com/tent in stock?")
    expect(page.locator("support-chat .contact")).to_be_visible()
    expect(page.locator("support-chat .mark")).to_be_visible()
    check("asked for an address")
    page.locator("support-chat #contact").fill("nobody")
    page.locator("support-chat .save").click()
    expect(page.locator("support-chat .contact .error")).not_to_be_empty()
    check("wrong address")
    page.locator("support-chat .contact .plain").click()
    (token,) = page.evaluate(
        "Object.entries(localStorage).filter(([key]) => key.endsWith('visitor')).map(([, it]) => it)"
    )
    for number in range(12):
        server.reply(token, f"It is. {number} Have a look at https://example.com/tent")
    expect(messages(page)).to_have_count(13)
    write(page, "refused \0")
    expect(page.locator("support-chat .failed")).to_be_visible()
    check("refused")
    page.locator("support-chat .list").evaluate("(list) => { list.scrollTop = 200; }")
    server.reply(token, "news")
    expect(page.locator("support-chat .jump")).to_be_visible()
    check("scrolled up")
    box(page).fill("x" * 10_001)
    box(page).press("Enter")
    check("too long")
    context.set_offline(True)
    expect(page.locator("support-chat .dot.offline, support-chat .dot.connecting")).to_be_visible()
    write(page, "typed offline")
    check("offline")
    context.set_offline(False)
    launcher(page).click()
    set_visible(page, False)
    server.reply(token, "unread")
    expect(page.locator("support-chat .badge")).to_be_visible()
    check("unread")
    assert {state: found for state, found in seen.items() if found} == {}
    assert len(seen) == 9


@pytest.mark.parametrize(
    "accent", ["#ffd700", "#777777", "#ff0000", "#000000", "#ffffff", "hsl(100 50% 60%)"]
)
def test_any_brand_colour_is_readable(accent: str, server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    server.say(token, "mine https://example.com")
    page = host_page(
        new_context(reduced_motion="reduce"), server, token=token, attributes=f'accent="{accent}"'
    )
    open_chat(page)
    expect(messages(page)).to_have_count(1)
    assert violations(page, ["wcag2aa"], within=WIDGET) == []


def test_axe_would_notice(server: Server, new_context: NewContext) -> None:
    """Else the tests above would prove nothing."""
    page = host_page(new_context(), server, token=server.token(person()))
    open_chat(page)
    box(page).evaluate("(box) => { box.removeAttribute('aria-label'); box.placeholder = ''; }")
    page.locator("support-chat .status").evaluate("(node) => { node.style.color = '#888'; }")
    assert {one.split(":")[0] for one in violations(page, within=WIDGET)} == {
        "label",
        "color-contrast",
    }


def test_everything_is_done_with_the_keyboard_alone(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    keys = page.keyboard

    def focused(name: str) -> Callable[[], None]:
        return lambda: expect(page.get_by_role("button", name=name)).to_be_focused()

    page.locator("#outside").focus()
    keys.press("Tab")
    keys.press("Enter")
    expect(box(page)).to_be_focused()
    keys.type("by keyboard")
    keys.press("Shift+Enter")
    keys.type("two lines")
    keys.press("Enter")
    expect(messages(page)).to_have_text(["by keyboard\ntwo lines"])
    expect(page.locator("support-chat .contact")).to_be_visible()
    keys.press("Shift+Tab")
    focused("No, thanks")()
    keys.press("Shift+Tab")
    keys.press("Shift+Tab")
    keys.type("eva@example.com")
    keys.press("Tab")
    focused("Save")()
    keys.press("Enter")
    expect(box(page)).to_be_focused()
    for name in (None, "Close chat", "Sound for new messages"):
        keys.press("Shift+Tab")
        if name:
            focused(name)()
        else:
            expect(page.get_by_role("list", name="Messages")).to_be_focused()
    keys.press("Space")
    expect(page.get_by_role("button", name="Sound for new messages")).to_have_attribute(
        "aria-pressed", "false"
    )
    keys.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(launcher(page)).to_be_focused()
    keys.press("Space")
    expect(box(page)).to_be_focused()


CONVERSATION = """
- dialog "Support":
  - banner:
    - heading "Support" [level=2]
    - status: Connected
    - button "Sound for new messages" [pressed]
    - button "Close chat"
  - list "Messages":
    - listitem: Hello! How can we help?
    - listitem: Today
    - listitem:
      - text: "You: Is it in stock?"
      - time: /\\d+:\\d+/
      - text: · Sent
    - listitem:
      - text: "Support: Yes, see"
      - link "https://example.com/tent"
      - time: /\\d+:\\d+/
  - textbox "Your message"
  - button "Send" [disabled]
  - status: "Support: Yes, see https://example.com/tent"
- button "Close support chat" [expanded]
"""


def test_a_screen_reader_is_told_who_says_what_when(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(timezone_id=zone_at_noon()), server, token=token)
    open_chat(page)
    write(page, "Is it in stock?")
    expect(page.locator("support-chat .mark")).to_have_text("Sent")
    server.reply(token, "Yes, see https://example.com/tent")
    expect(messages(page)).to_have_count(2)
    expect(page.locator("support-chat")).to_match_aria_snapshot(CONVERSATION)
    assert page.locator("support-chat [aria-live=polite]").count() == 1

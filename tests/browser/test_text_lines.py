"""How the lines of a message are laid out: direction, indentation, addresses."""

import pytest
from playwright.sync_api import Locator, Page, expect

from .hosting import NewContext, host_page, messages, open_chat, person, write
from .serving import Server

pytestmark = pytest.mark.browser

# an indented English line, a Hebrew line, and one with an address
TEXT = "    if it rains, take two of each\nהאם יש עגלה?\nראה https://a.example בדף"
# For each line of the text: does it begin at the right edge of the bubble?
LINES_AT_THE_RIGHT = """(bubble) => {
    const { left, right } = bubble.getBoundingClientRect();
    const nodes = [];
    const walker = document.createTreeWalker(bubble, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) nodes.push(walker.currentNode);
    const rows = new Map();
    for (const node of nodes) {
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const rect of range.getClientRects()) {
            const row = rows.get(Math.round(rect.top)) ?? [Infinity, -Infinity];
            if (rect.width > 0)
                rows.set(Math.round(rect.top), [Math.min(row[0], rect.left), Math.max(row[1], rect.right)]);
        }
    }
    return [...rows].sort(([a], [b]) => a - b).map(([, [from, to]]) => right - to < from - left);
}"""
LINK_LAYOUT = "(link) => [getComputedStyle(link).unicodeBidi, getComputedStyle(link).direction]"


def assert_lines(bubble: Locator) -> None:
    expect(bubble).to_have_text(TEXT, use_inner_text=False)
    assert bubble.text_content() == TEXT
    assert bubble.evaluate(LINES_AT_THE_RIGHT) == [False, True, True]
    assert bubble.locator("a").evaluate(LINK_LAYOUT) == ["isolate", "ltr"]


def test_each_line_has_its_direction_and_the_first_its_indentation(
    server: Server, new_context: NewContext, staff_page: Page
) -> None:
    """Hebrew lines below an English one were left-aligned; pasted code lost its first indent."""
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    write(page, TEXT)
    expect(page.locator("support-chat .mark")).to_have_text("Sent")
    staff_page.goto(f"{server.url}/dashboard/chats/{server.chat_of(token)}")
    expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
    staff_page.locator("#content").fill(TEXT)
    staff_page.locator("#content").press("Enter")
    expect(staff_page.locator(".message.own")).to_have_count(1)
    expect(staff_page.locator("#content")).to_have_value("")
    expect(messages(page)).to_have_count(2)
    for where in (messages(page), staff_page.locator(".message .bubble")):
        for bubble in where.all():
            assert_lines(bubble)

"""The day ends while somebody looks at the page: "Today" becomes "Yesterday" by itself."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from .hosting import NewContext, host_page, messages, open_chat, person
from .serving import Server

pytestmark = pytest.mark.browser

TO_MIDNIGHT_MS = (
    "() => { const now = new Date();"
    " return new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1) - now + 1000; }"
)


def noon() -> str:
    """A time zone in which it is about noon, so that no test of today ends tomorrow."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def pass_midnight(page: Page) -> None:
    page.clock.fast_forward(page.evaluate(TO_MIDNIGHT_MS))


def test_the_widget_renames_the_day_at_midnight(server: Server, new_context: NewContext) -> None:
    """ "Today" stayed until the page got the focus again."""
    token = server.token(person())
    server.say(token, "before midnight")
    page = host_page(new_context(timezone_id=noon()), server, token=token)
    page.clock.install()
    page.reload()
    open_chat(page)
    expect(messages(page)).to_have_text(["before midnight"])
    expect(page.locator("support-chat .day")).to_have_text(["Today"])
    page.context.set_offline(True)  # else the silence limit passes too, and a new snapshot renders
    pass_midnight(page)
    expect(page.locator("support-chat .day")).to_have_text(["Yesterday"])


def test_the_dashboard_renames_the_day_at_midnight(
    server: Server, staff_cookies: object, new_context: NewContext
) -> None:
    token = server.token(person())
    server.say(token, "before midnight")
    context = new_context(timezone_id=noon(), storage_state=staff_cookies)
    page = context.new_page()
    page.clock.install()
    page.goto(f"{server.url}/dashboard/chats/{server.chat_of(token)}")
    expect(page.locator("body[data-live=yes]")).to_be_visible()
    expect(page.locator("#chat .day")).to_have_text(["Today"])
    pass_midnight(page)
    expect(page.locator("#chat .day")).to_have_text(["Yesterday"])

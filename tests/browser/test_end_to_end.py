"""The main job: two people in two browsers, and the server dies in between."""

import pytest
from playwright.sync_api import Page, expect

from .hosting import NewContext, box, messages, write
from .serving import Server

pytestmark = pytest.mark.browser


def test_user_and_staff_through_a_kill(own_server: Server, new_context: NewContext) -> None:
    """Both write before, during and after; nobody reloads; nothing is lost, doubled or out of order."""
    server = own_server
    user, staff = new_context().new_page(), new_context().new_page()
    user.goto(f"{server.url}/demo")
    user.locator("support-chat .launcher").click()
    server.log_in(staff)

    write(user, "Is the Abendrot in stock?")
    staff.locator(".card", has_text="Is the Abendrot in stock?").locator("a").click()
    expect(staff.locator("body[data-live=yes]")).to_be_visible()
    _reply(staff, "It is.")
    said = ["Is the Abendrot in stock?", "It is."]
    _both_show(user, staff, said)

    for page in (user, staff):
        page.evaluate("window.neverReloaded = true")
    server.kill()
    expect(staff.locator("#stale")).to_be_visible()
    for text in ("While you were away, one.", "Two.", "Three."):
        write(user, text)
    expect(user.locator("support-chat .unsent")).to_have_count(3)
    staff.get_by_label("Reply").fill("Typed in the dark.")
    staff.get_by_role("button", name="Send", exact=True).click()
    expect(staff.get_by_role("alert")).to_contain_text("does not answer")

    server.start()
    said += ["While you were away, one.", "Two.", "Three."]
    _both_show(user, staff, said)
    expect(staff.locator("#stale")).to_be_hidden()
    staff.get_by_role("button", name="Send", exact=True).click()
    write(user, "Thank you!")
    expect(messages(user)).to_have_count(7)
    stored = [item.inner_text() for item in messages(user).all()]
    assert stored[:5] == said
    assert sorted(stored[5:]) == ["Thank you!", "Typed in the dark."]
    _both_show(user, staff, stored)
    assert all(page.evaluate("window.neverReloaded") for page in (user, staff))
    expect(box(user)).to_have_value("")
    user.reload()
    user.locator("support-chat .launcher").click()
    staff.reload()
    _both_show(user, staff, stored)


def _reply(staff: Page, text: str) -> None:
    staff.get_by_label("Reply").fill(text)
    staff.get_by_role("button", name="Send", exact=True).click()
    expect(staff.get_by_label("Reply")).to_have_value("")


def _both_show(user: Page, staff: Page, texts: list[str]) -> None:
    recovery_ms = 40_000  # the longest pause between two attempts to connect is 30 s
    expect(messages(user)).to_have_text(texts, timeout=recovery_ms)
    expect(staff.locator(".message .bubble")).to_have_text(texts, timeout=recovery_ms)

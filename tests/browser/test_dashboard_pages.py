"""Search, account and what becomes of an e-mail, without JavaScript."""

import pytest
from playwright.sync_api import Page, expect

from .dashboard import card
from .hosting import NewContext, person
from .serving import STAFF_EMAIL, STAFF_PASSWORD, Server

pytestmark = pytest.mark.browser

OTHER_PASSWORD = "another horse battery"


def log_in(page: Page, server: Server, password: str = STAFF_PASSWORD) -> None:
    page.goto(f"{server.url}/dashboard")
    page.get_by_label("E-mail").fill(STAFF_EMAIL)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_without_javascript_staff_search_decide_and_keep_their_account(
    own_server: Server, new_context: NewContext
) -> None:
    """Meanwhile another browser of the same person watches the list: a new password logs it out."""
    server = own_server
    watching = new_context().new_page()
    server.log_in(watching)
    token = server.token(name := person(), email=f"{name}@example.com")
    for number in range(1, 31):
        server.say(token, f"needle <b>{number}</b>" if number == 20 else f"message {number}")
    server.reply(token, "an answer")
    page = new_context(java_script_enabled=False, locale="en-GB").new_page()
    log_in(page, server)
    page.get_by_role("searchbox").fill("needle")
    page.get_by_role("button", name="Search").click()
    page.locator(".result a").click()
    expect(page.locator("#message-20")).to_be_in_viewport()
    page.get_by_role("button", name="Do not send").click()
    expect(page.locator(".chip")).to_contain_text("Not e-mailed: staff decided so")
    page.get_by_role("searchbox").fill("example.com")
    page.get_by_role("button", name="Search").click()
    expect(card(page, server.chat_of(token))).to_be_visible()

    page.get_by_role("link", name=STAFF_EMAIL).click()
    page.get_by_label("Name", exact=True).fill("Sam Supporter")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Sam Supporter")
    page.locator("#old_password").fill("not this one")
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    page.locator("#old_password").fill(STAFF_PASSWORD)
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    expect(watching.get_by_label("Password")).to_be_visible()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_role("heading", name="Ihr Konto")).to_be_visible()
    page.get_by_role("listitem").filter(has_text="Dieser Browser").get_by_role(
        "button", name="Abmelden"
    ).click()
    expect(page.get_by_label("Password")).to_be_visible()
    log_in(page, server, OTHER_PASSWORD)
    expect(page.get_by_role("link", name="Aktiv")).to_be_visible()

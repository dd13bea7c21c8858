"""Search, account and what becomes of an e-mail: with JavaScript and without it."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .desk import card, live, open_chat
from .hosting import person
from .serving import STAFF_EMAIL, STAFF_PASSWORD, Server

pytestmark = pytest.mark.browser

OTHER_PASSWORD = "another horse battery"


def chips(page: Page) -> Any:
    return page.locator(".chip")


def say_many(server: Server, word: str, count: int = 60) -> tuple[str, str]:
    """A user with many messages, one of which has the word. Returns token and chat."""
    token = server.token(name := person(), email=f"{name}@example.com")
    for number in range(1, count + 1):
        server.say(token, f"{word} <b>{number}</b>" if number == 20 else f"message {number}")
    return token, server.chat_of(token)


def test_an_e_mail_is_decided_without_leaving_the_page(server: Server, staff_page: Page) -> None:
    token = server.token(name := person(), email=f"{name}@example.com")
    server.say(token, "hello")
    open_chat(staff_page, server, server.chat_of(token))
    server.reply(token, "one")
    server.reply(token, "two")
    expect(chips(staff_page)).to_have_count(2)
    expect(staff_page.get_by_role("button", name="Do not send")).to_have_count(1)  # one e-mail for both
    staff_page.get_by_role("button", name="Do not send").click()
    expect(chips(staff_page).first).to_have_text("Not e-mailed: as you decided")
    button = staff_page.get_by_role("button", name="Send now")
    expect(button).to_be_focused()  # where the other button was
    button.press("Enter")
    expect(chips(staff_page).last).to_contain_text("E-mailed ")
    expect(staff_page.locator(".chip button")).to_have_count(0)


def test_a_result_leads_to_the_message_in_its_chat(server: Server, staff_page: Page) -> None:
    word = f"needle{person()}".replace("-", "")
    _, chat_id = say_many(server, word)
    staff_page.get_by_role("searchbox").fill(word[:-2])
    staff_page.get_by_role("searchbox").press("Enter")
    expect(staff_page.locator("mark")).to_have_text([word])
    expect(staff_page.locator(".result .excerpt")).to_have_text(f"{word} <b>20</b>")
    staff_page.locator(".result a").click()
    live(staff_page)
    expect(staff_page.locator("#message-20")).to_be_in_viewport()
    expect(staff_page.locator("#message-20 .bubble")).to_have_text(f"{word} <b>20</b>")
    assert chat_id in staff_page.url


def log_in(page: Page, server: Server, password: str = STAFF_PASSWORD) -> None:
    page.goto(f"{server.url}/dashboard")
    page.get_by_label("E-mail").fill(STAFF_EMAIL)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_without_javascript_staff_search_decide_and_keep_their_account(
    own_server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """Meanwhile another browser of the same person watches the list: a new password logs it out."""
    server = own_server
    watching = new_context().new_page()
    server.log_in(watching)
    token, chat_id = say_many(server, "needle", 30)
    server.reply(token, "an answer")
    page = new_context(java_script_enabled=False, locale="en-GB").new_page()
    log_in(page, server)
    page.get_by_role("searchbox").fill("needle")
    page.get_by_role("button", name="Search").click()
    page.locator(".result a").click()
    expect(page.locator("#message-20")).to_be_in_viewport()
    page.get_by_role("button", name="Do not send").click()
    expect(chips(page)).to_contain_text("Not e-mailed: as you decided")
    page.get_by_role("searchbox").fill("example.com")
    page.get_by_role("button", name="Search").click()
    expect(card(page, chat_id)).to_be_visible()

    page.get_by_role("link", name=STAFF_EMAIL).click()
    page.get_by_label("Name", exact=True).fill("Sam Supporter")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Sam Supporter")
    page.get_by_label("Password until now").fill("not this one")
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("This is not your password.")).to_be_visible()
    page.get_by_label("Password until now").fill(STAFF_PASSWORD)
    page.get_by_label("New password").fill(OTHER_PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    expect(watching.get_by_label("Password")).to_be_visible()
    page.get_by_label("Language").select_option("de")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_role("heading", name="Ihr Konto")).to_be_visible()
    page.get_by_role("listitem").filter(has_text="Dieser Browser").get_by_role("button", name="Abmelden").click()
    expect(page.get_by_label("Password")).to_be_visible()
    log_in(page, server, OTHER_PASSWORD)
    expect(page.get_by_role("link", name="Aktiv")).to_be_visible()

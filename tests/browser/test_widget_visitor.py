"""Somebody without an account: nothing is kept before the first message; then an e-mail address may be left, or not."""

import pytest
from playwright.sync_api import Locator, Page, expect

from .hosting import NewContext, box, host_page, kept, launcher, messages, open_chat, person, write
from .serving import Server

pytestmark = pytest.mark.browser


def contact(page: Page) -> Locator:
    return page.get_by_label("Leave your e-mail address")


def email_of(server: Server, question: str) -> str | None:
    (chat,) = [
        chat
        for chat in server.staff("GET", "/admin/chats")
        if chat["last_message_preview"] == question
    ]
    email: str | None = chat["user_email"]
    return email


def test_an_address_can_be_left_after_the_first_message(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    open_chat(page)
    expect(contact(page)).to_be_hidden()
    question = person()
    write(page, question)
    expect(contact(page)).to_be_visible()
    expect(box(page)).to_be_focused()  # a user who goes on typing is not interrupted
    contact(page).fill("nobody")
    contact(page).press("Enter")
    error = page.locator("support-chat .contact").get_by_role("alert")
    expect(error).to_have_text(
        "This is not an e-mail address. It should look like name@example.com."
    )
    expect(contact(page)).to_be_focused()
    expect(contact(page)).to_have_attribute("aria-invalid", "true")
    page.context.route("**/visitors/me", lambda route: route.abort(), times=1)
    contact(page).fill("eva@example.com")
    contact(page).press("Enter")
    expect(error).to_have_text("That did not work. Please try again.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Thank you. We can reach you now.")).to_be_visible()
    assert email_of(server, question) == "eva@example.com"
    page.reload()
    open_chat(page)
    expect(messages(page)).to_have_text([question])
    expect(contact(page)).to_be_hidden()


def test_nobody_has_to_leave_an_address_and_nobody_is_asked_twice(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    open_chat(page)
    question = person()
    write(page, question)
    page.get_by_role("button", name="No, thanks").click()
    expect(contact(page)).to_be_hidden()
    expect(box(page)).to_be_focused()
    assert email_of(server, question) is None
    page.reload()
    open_chat(page)
    expect(messages(page)).to_have_count(1)
    expect(contact(page)).to_be_hidden()


def test_a_user_of_the_host_application_is_not_asked(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server, token=server.token(person()))
    open_chat(page)
    write(page, "I am known")
    expect(page.locator("support-chat .mark")).to_have_text("Sent")
    expect(contact(page)).to_be_hidden()


def test_signing_in_forgets_the_visitor_and_starts_the_users_own_chat(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    page = host_page(context, server)
    open_chat(page)
    write(page, "as a visitor")
    page.get_by_role("button", name="No, thanks").click()
    assert kept(page) == ["contact", "visitor"]
    token = server.token(person())
    server.reply(token, "to the user")
    page.evaluate("(token) => document.querySelector('support-chat').token = token", token)
    expect(messages(page)).to_have_text(["to the user"])
    assert kept(page) == []
    write(page, "as myself")
    expect(page.locator("support-chat .unsent")).to_have_count(0)
    assert [message["content"] for message in server.stored(token)] == ["to the user", "as myself"]
    page.evaluate("document.querySelector('support-chat').token = null")
    expect(page.locator("support-chat .dot.idle")).to_be_visible()
    expect(messages(page)).to_have_count(0)


def test_the_panel_is_fetched_when_somebody_comes_near_the_button(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    with page.expect_response("**/dist/panel.js") as fetched:
        launcher(page).hover()
    assert fetched.value.ok
    assert kept(page) == []

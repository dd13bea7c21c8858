"""From an e-mail back to the chat: the button's address opens the panel, and the next e-mail speaks the widget's language."""

import pytest
from playwright.sync_api import Page, expect

from .hosting import NewContext, box, host_page, launcher, messages, panel, person, write
from .serving import HOST_PAGE, Server

pytestmark = pytest.mark.browser

CALL = "#support-chat"


def follow(page: Page, fragment: str) -> None:
    """Follows a link within the page."""
    page.evaluate("(fragment) => { location.hash = fragment; }", fragment)


def test_the_address_in_an_email_opens_the_panel(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    server.say(token, "Is it in stock?")
    server.reply(token, "It is.")
    page = host_page(new_context(), server, token=token)
    expect(panel(page)).to_be_hidden()
    page.goto(f"{HOST_PAGE}/help?from=mail{CALL}")
    expect(panel(page)).to_be_visible()
    expect(messages(page)).to_have_text(["Is it in stock?", "It is."])
    expect(box(page)).to_be_focused()
    expect(page.locator("support-chat .badge")).to_be_hidden()
    assert page.url.endswith(CALL), "the page's address is the page's own"


def test_a_link_in_the_page_opens_it_too_and_closed_is_closed(
    server: Server, new_context: NewContext
) -> None:
    page = host_page(new_context(), server)
    follow(page, "#delivery")
    expect(panel(page)).to_be_hidden()
    follow(page, CALL)
    expect(panel(page)).to_be_visible()
    launcher(page).click()
    expect(panel(page)).to_be_hidden()
    page.evaluate("document.body.append(document.querySelector('support-chat'))")  # as routers do
    expect(launcher(page)).to_have_attribute("aria-expanded", "false")
    follow(page, "")
    follow(page, CALL)
    expect(panel(page)).to_be_visible()


@pytest.mark.parametrize(
    ("attributes", "sent"),
    [('lang="de-AT"', "de,en,fr"), ('lang="pt_BR&lt;x&gt;, {}()"', "pt,en,fr")],
)
def test_the_widgets_language_is_what_the_server_is_told(
    attributes: str, sent: str, server: Server, new_context: NewContext
) -> None:
    """What the page says comes first. A character too many would need a permission that no server gives, and nothing would be sent."""
    page = host_page(
        new_context(locale="fr-CA"), server, token=server.token(person()), attributes=attributes
    )
    launcher(page).click()
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        write(page, "Guten Tag")
    assert answered.value.status == 201
    assert answered.value.request.all_headers()["accept-language"] == sent

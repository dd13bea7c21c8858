"""The demo page: a shop that does what a host application has to do, with switches that take effect at once."""

import pytest
from playwright.sync_api import expect

from .hosting import NewContext, launcher, messages, open_chat, write
from .serving import Server

pytestmark = pytest.mark.browser


def test_the_switches_take_effect_at_once_and_survive_a_reload(
    server: Server, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(f"{server.url}/demo?as=visitor")
    open_chat(page)
    # WebKitGTK draws a native select with the page's text colour on its own background
    for select in page.locator("select").all():
        expect(select).to_have_css("appearance", "none")
    page.get_by_label("Language").select_option("Deutsch")
    expect(page.locator("support-chat textarea")).to_have_attribute(
        "placeholder", "Nachricht schreiben …"
    )
    page.get_by_label("Colours").select_option("dark")
    page.get_by_label("Brand colour").fill("#ffd700")
    for _ in range(2):
        expect(page.locator("support-chat")).to_have_attribute("theme", "dark")
        expect(launcher(page)).to_have_css("background-color", "rgb(255, 215, 0)")
        expect(launcher(page)).to_have_attribute(
            "aria-label", "Support-Chat schließen" if _ == 0 else "Support-Chat öffnen"
        )
        page.reload()


def test_each_user_has_a_chat_and_their_token_is_renewed(
    server: Server, new_context: NewContext
) -> None:
    page = new_context().new_page()
    page.goto(f"{server.url}/demo?as=kim")
    expect(page.get_by_text("Signed in as Kim Example")).to_be_visible()
    open_chat(page)
    write(page, "I am Kim")
    expect(page.locator("support-chat .mark")).to_have_text("Sent")
    with page.expect_response("**/demo/token?as=kim") as renewed:
        fresh = page.evaluate("document.querySelector('support-chat').getToken()")
    assert renewed.value.ok
    assert (
        server.user(
            page.locator("support-chat").get_attribute("token") or "", "GET", "/support_chat"
        )["last_seq"]
        >= 1
    )
    assert server.user(fresh, "GET", "/support_chat")["last_seq"] >= 1
    page.get_by_label("You are").select_option("an anonymous visitor")
    expect(page.get_by_text("Not signed in")).to_be_visible()
    open_chat(page)
    expect(messages(page)).to_have_count(0)
    assert page.request.get(f"{server.url}/demo/token?as=visitor").status == 401

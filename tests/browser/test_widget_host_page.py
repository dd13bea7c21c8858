"""The border between widget and host page: shortcuts, focus traps, printing."""

import pytest
from playwright.sync_api import expect

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
)
from .serving import Server

pytestmark = pytest.mark.browser

SHORTCUTS = """() => {
    window.heard = [];
    const search = document.body.appendChild(document.createElement("input"));
    search.id = "search";
    for (const name of ["keydown", "keypress", "keyup"]) document.addEventListener(name, (event) => {
        if (event.target instanceof HTMLInputElement) return;
        window.heard.push(`${name} ${event.key}`);
        if (event.key === "s" || event.key === "?") { event.preventDefault(); search.focus(); }
    });
}"""
# as Bootstrap and MUI keep the focus in an open modal
FOCUS_TRAP = """() => {
    const modal = document.body.appendChild(document.createElement("div"));
    const field = modal.appendChild(document.createElement("input"));
    field.id = "in-modal";
    document.addEventListener("focusin", ({ target }) => modal.contains(target) || field.focus());
    field.focus();
}"""


def test_typing_does_not_trigger_shortcuts_of_the_host_page(
    server: Server, new_context: NewContext
) -> None:
    """Of "Faster shipping? xyz" the chat got "Fa" and the page's search box the rest."""
    page = host_page(new_context(), server, token=server.token(person()))
    page.evaluate(SHORTCUTS)
    open_chat(page)
    box(page).click()
    page.keyboard.type("Faster shipping? xyz")
    expect(box(page)).to_have_value("Faster shipping? xyz")
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    assert page.evaluate("window.heard") == []
    page.locator("#outside").focus()
    page.keyboard.press("s")
    expect(page.locator("#search")).to_be_focused()


def test_a_focus_trap_of_the_host_page_does_not_take_the_focus(
    server: Server, new_context: NewContext
) -> None:
    """While a Bootstrap or MUI modal was open, nobody could write in the chat."""
    page = host_page(new_context(), server, token=server.token(person()))
    open_chat(page)
    page.evaluate(FOCUS_TRAP)
    expect(page.locator("#in-modal")).to_be_focused()
    box(page).click()
    page.keyboard.type("Which size is right?")
    expect(box(page)).to_have_value("Which size is right?")
    page.locator("#outside").focus()
    expect(page.locator("#in-modal")).to_be_focused()


def test_the_widget_is_not_printed(server: Server, new_context: NewContext) -> None:
    """The button covered a corner of each printed page."""
    page = host_page(new_context(), server)
    page.emulate_media(media="print")
    expect(launcher(page)).to_be_hidden()
    page.emulate_media(media="screen")
    expect(launcher(page)).to_be_visible()


# A browser before 2023 (Safari 16.3): style sheets cannot be made by scripts.
OLD_BROWSER = """
delete Document.prototype.adoptedStyleSheets;
delete ShadowRoot.prototype.adoptedStyleSheets;
window.CSSStyleSheet = class { constructor() { throw new TypeError("Illegal constructor"); } };
"""
# Forms hide the properties of the document that have their names.
CLOBBERED = """
<form name="documentElement"><input name="lang"></form>
<form name="body"><input name="append"></form>
<form name="title"><input name="length"></form>
"""


def test_an_old_browser_shows_no_chat_and_reports_no_error(
    server: Server, new_context: NewContext
) -> None:
    """Browsers without constructable style sheets reported an uncaught TypeError on the page."""
    context = new_context()
    context.add_init_script(OLD_BROWSER)
    page = context.new_page()
    with page.expect_response("**/widget.js"):
        page.goto(f"{server.url}/demo?as=visitor")
    page.wait_for_load_state("load")
    assert page.evaluate("customElements.get('support-chat') === undefined")
    assert page.evaluate("document.querySelector('support-chat').shadowRoot === null")


@pytest.mark.parametrize("attribute", ["", " data-auto"])
def test_forms_of_the_page_may_have_the_names_of_properties(
    server: Server, new_context: NewContext, attribute: str
) -> None:
    """`<form name=documentElement>` with a field `lang` stopped the widget with a TypeError."""
    element = CLOBBERED + ("" if attribute else "<support-chat></support-chat>")
    auto = f'<script type="module"{attribute} src="{server.url}/widget.js?auto"></script>'
    page = host_page(new_context(), server, element=element, head=auto)
    open_chat(page)
    write(page, "Is it in stock?")
    expect(page.locator("support-chat .mark")).to_have_text("Sent")
    (token,) = page.evaluate(
        "Object.entries(localStorage).filter(([key]) => key.endsWith('visitor')).map(([, it]) => it)"
    )
    set_visible(page, False)
    server.reply(token, "It is.")
    expect(page).to_have_title("(1) A shop")
    set_visible(page, True)
    expect(page).to_have_title("A shop")


def test_a_tab_that_sends_nothing_to_the_others_does_no_harm(
    server: Server, new_context: NewContext
) -> None:
    """`null` on the channel of the tabs was an uncaught TypeError."""
    sub = person()
    token = server.token(sub)
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    page.evaluate(
        "(name) => new BroadcastChannel(name).postMessage(null)",
        f"support-chat:{server.url}/:user:{sub}",
    )
    server.reply(token, "still here")
    expect(messages(page)).to_have_text(["still here"])

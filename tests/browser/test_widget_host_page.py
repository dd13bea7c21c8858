"""The border between widget and host page: shortcuts, focus traps, printing."""

import pytest
from playwright.sync_api import expect

from .hosting import NewContext, box, host_page, launcher, open_chat, panel, person
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

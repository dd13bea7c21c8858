"""The widget as a guest: it costs nothing, breaks nothing, and is not broken by the page that it is in."""

import re

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
    wait_until_stored,
    write,
)
from .serving import HOST_PAGE, Server

pytestmark = pytest.mark.browser


def test_a_visitor_who_does_not_open_it_costs_one_request(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = host_page(context, server, attributes='accent="rgb(255 215 0)"')
    page.wait_for_load_state("networkidle")
    assert (
        launcher(page).evaluate("(button) => getComputedStyle(button).backgroundColor")
        == "rgb(255, 215, 0)"
    )
    assert [url for url in asked if not url.startswith(HOST_PAGE)] == [f"{server.url}/widget.js"]
    assert page.evaluate("Object.keys(localStorage)") == []
    assert context.cookies() == []


def test_a_token_that_has_expired_is_renewed(server: Server, new_context: NewContext) -> None:
    sub = person()
    old, fresh = server.token(sub, ttl_s=-100), server.token(sub)
    context = new_context()
    page = host_page(context, server)
    page.evaluate(
        "(tokens) => { window.asked = 0; document.querySelector('support-chat').getToken = async () => tokens[window.asked++ ? 1 : 0]; }",
        [old, fresh],
    )
    open_chat(page)
    write(page, "still me")
    wait_until_stored(page, server, fresh, ["still me"])
    assert page.evaluate("window.asked") == 2


def test_another_users_token_shows_another_chat(server: Server, new_context: NewContext) -> None:
    mine, theirs = server.token(person()), server.token(person())
    server.say(mine, "my secret")
    server.say(theirs, "their question")
    page = host_page(new_context(), server, token=mine)
    open_chat(page)
    expect(messages(page)).to_have_text(["my secret"])
    page.evaluate("(token) => document.querySelector('support-chat').token = token", theirs)
    expect(messages(page)).to_have_text(["their question"])


def test_another_user_by_get_token_gets_nothing_of_the_one_before(
    server: Server, new_context: NewContext
) -> None:
    """The token of the first function was kept for the second one; and while the second was asked, the first person's
    messages would have been sent with the second one's token."""
    mine, theirs = server.token(person()), server.token(person())
    server.say(mine, "my secret")
    server.say(theirs, "their question")
    page = host_page(new_context(), server)
    page.evaluate(
        "(token) => { document.querySelector('support-chat').getToken = async () => token; }", mine
    )
    open_chat(page)
    expect(messages(page)).to_have_text(["my secret"])
    page.evaluate(
        """(token) => { document.querySelector('support-chat').getToken =
            () => new Promise((resolve) => { window.tell = () => resolve(token); }); }""",
        theirs,
    )
    page.wait_for_function("window.tell !== undefined")
    write(page, "still mine")
    wait_until_stored(page, server, mine, ["my secret", "still mine"])
    page.evaluate("window.tell()")
    expect(messages(page)).to_have_text(["their question"])
    assert [message["content"] for message in server.stored(theirs)] == ["their question"]


def test_what_is_written_while_the_page_finds_out_who_it_is_stays(
    server: Server, new_context: NewContext
) -> None:
    """The visitor's chat had ended, the user's had not begun: what was sent in between was gone."""
    token = server.token(person())
    page = host_page(new_context(), server)
    open_chat(page)
    page.evaluate(
        "() => { document.querySelector('support-chat').getToken = () => new Promise((tell) => { window.tell = tell; }); }"
    )
    write(page, "Who am I?")
    expect(page.locator("support-chat .status")).to_have_text("Connecting…")
    expect(box(page)).to_have_value("Who am I?")
    page.evaluate("(token) => window.tell(token)", token)
    expect(page.locator("support-chat .dot.live")).to_be_visible()
    box(page).press("Enter")
    wait_until_stored(page, server, token, ["Who am I?"])


def test_the_host_page_cannot_break_its_look_and_it_does_not_touch_the_host_page(
    server: Server, new_context: NewContext
) -> None:
    head = '<link rel="stylesheet" href="/hostile.css">'
    context = new_context()
    hostile = (
        "* { all: unset !important; opacity: 0.3 !important; letter-spacing: 9px !important; }"
    )
    page = host_page(context, server, head=head)
    page.route("**/hostile.css", lambda route: route.fulfill(body=hostile, content_type="text/css"))
    before = page.evaluate("[Object.keys(window).length, document.head.childElementCount]")
    page.reload()
    expect(launcher(page)).to_be_visible()
    assert page.evaluate("[Object.keys(window).length, document.head.childElementCount]") == before
    looks = "(host) => ['position', 'opacity', 'letterSpacing'].map((name) => getComputedStyle(host)[name])"
    assert page.locator("support-chat").evaluate(looks) == ["fixed", "1", "normal"]
    frame = launcher(page).bounding_box()
    assert frame is not None
    assert (frame["width"], frame["height"]) == (56, 56)


def test_the_script_twice_and_no_element_at_all(server: Server, new_context: NewContext) -> None:
    twice = f'<script type="module" src="{server.url}/widget.js?again"></script>'
    page = host_page(new_context(), server, head=twice)
    open_chat(page)
    auto = f'<script type="module" data-auto src="{server.url}/widget.js"></script>'
    page = host_page(new_context(), server, head=auto, element="")
    expect(page.locator("support-chat")).to_have_count(1)


def test_a_router_that_takes_the_element_away_and_puts_it_back(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    page.evaluate(
        "window.kept = document.querySelector('support-chat'); document.body.replaceChildren('another page')"
    )
    server.reply(token, "while it was away")
    page.evaluate("document.body.append(window.kept)")
    expect(messages(page)).to_have_text(["while it was away"])
    expect(page.locator("support-chat .dot.live")).to_be_visible()


def test_a_router_that_replaces_the_whole_body_finds_the_chat_again(
    server: Server, new_context: NewContext
) -> None:
    """Client-side routers swap the body of the page; an element that the script has added would be gone."""
    auto = f'<script type="module" data-auto src="{server.url}/widget.js"></script>'
    page = host_page(new_context(), server, head=auto, element="")
    open_chat(page)
    for _ in range(2):
        page.evaluate(
            """() => { const body = document.createElement("body"); body.append("another page"); document.body.replaceWith(body); }"""
        )
        expect(panel(page)).to_be_visible()
        expect(page.locator("support-chat")).to_have_count(1)
    write(page, "still here")
    expect(messages(page)).to_have_text(["still here"])
    page.evaluate("document.body.textContent = 'and another'")
    expect(messages(page)).to_have_text(["still here"])


def test_without_a_server_the_host_page_notices_nothing(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    context.route("**/static/**", lambda route: route.abort())
    page = host_page(context, server)
    launcher(page).click()
    expect(panel(page)).to_have_count(0)
    expect(page.locator("support-chat[open]")).to_have_count(0)
    context.unroute("**/static/**")
    with page.expect_request(
        "**/dist/panel.js?*"
    ):  # many browsers remember that the address before has failed
        open_chat(page)


def test_events_properties_and_methods(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    page.evaluate(
        """() => { window.heard = []; for (const name of ["open", "close", "message", "unread"])
        document.addEventListener(`support-chat:${name}`, (event) =>
            window.heard.push([name, event.detail?.count ?? event.detail?.message?.content ?? null])); }"""
    )
    expect(page.locator("support-chat .dot.live")).to_be_attached()
    server.reply(token, "ping")
    expect(page.locator("support-chat .badge")).to_have_text("1")
    page.evaluate("document.querySelector('support-chat').show()")
    expect(panel(page)).to_be_visible()
    page.evaluate("document.querySelector('support-chat').toggle()")
    expect(panel(page)).to_be_hidden()
    page.wait_for_function("window.heard.some(([name, value]) => name === 'unread' && value === 0)")
    heard = page.evaluate("window.heard")
    for event in (["unread", 1], ["message", "ping"], ["open", None], ["close", None]):
        assert event in heard


def test_german_theme_and_a_brand_colour_with_readable_text(
    server: Server, new_context: NewContext
) -> None:
    attributes = 'lang="de" theme="dark" accent="gold" heading="Hilfe" greeting="Moin!"'
    page = host_page(
        new_context(locale="en-US"), server, token=server.token(person()), attributes=attributes
    )
    expect(launcher(page)).to_have_attribute("aria-label", "Support-Chat öffnen")
    open_chat(page)
    expect(box(page)).to_have_attribute("placeholder", "Nachricht schreiben …")
    expect(page.locator("support-chat .greeting")).to_have_text("Moin!")
    header = page.locator("support-chat header")
    assert header.evaluate(
        "(node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]"
    ) == [
        "rgb(255, 215, 0)",
        "rgb(0, 0, 0)",
    ]
    assert (
        panel(page).evaluate("(node) => getComputedStyle(node).backgroundColor")
        == "rgb(27, 29, 33)"
    )
    page.evaluate("document.querySelector('support-chat').lang = 'en'")
    expect(box(page)).to_have_attribute("placeholder", "Write a message…")


@pytest.mark.parametrize("lang", ["en", "en_US", "de"])
def test_times_are_written_as_in_the_readers_country(
    server: Server, new_context: NewContext, lang: str
) -> None:
    """`en_US` is wrong for a language tag, and many pages have it: the chat works there all the same."""
    context = new_context(locale="en-GB")
    page = host_page(context, server, token=server.token(person()), attributes=f'lang="{lang}"')
    open_chat(page)
    write(page, "hello")
    expect(page.locator("support-chat .message time")).to_have_text(re.compile(r"^\d\d:\d\d$"))


def test_on_a_phone_it_fills_the_screen(server: Server, new_context: NewContext) -> None:
    page = host_page(
        new_context(viewport={"width": 390, "height": 800}), server, token=server.token(person())
    )
    open_chat(page)
    assert panel(page).bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 800}
    size = box(page).evaluate("(node) => getComputedStyle(node).fontSize")
    assert int(re.sub("px", "", size)) >= 16
    page.locator("support-chat .close").click()
    expect(panel(page)).to_be_hidden()

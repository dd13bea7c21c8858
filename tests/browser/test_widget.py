"""What a user can do with the widget, on a website with a strict policy of its own."""

import re

import pytest
from playwright.sync_api import Request, Route, expect

from .hosting import NewContext, box, host_page, launcher, messages, open_chat, panel, person, wait_until_stored, write
from .serving import HOST_PAGE, Server

pytestmark = pytest.mark.browser


def test_a_visitor_who_does_not_open_it_costs_one_request(server: Server, new_context: NewContext) -> None:
    context = new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = host_page(context, server, attributes='accent="rgb(255 215 0)"')
    page.wait_for_load_state("networkidle")
    assert launcher(page).evaluate("(button) => getComputedStyle(button).backgroundColor") == "rgb(255, 215, 0)"
    assert [url for url in asked if not url.startswith(HOST_PAGE)] == [f"{server.url}/widget.js"]
    assert page.evaluate("Object.keys(localStorage)") == []
    assert context.cookies() == []


def test_a_visitor_is_known_from_the_first_message_on(server: Server, new_context: NewContext) -> None:
    page = host_page(new_context(), server)
    open_chat(page)
    assert page.evaluate("Object.keys(localStorage)") == []
    write(page, "Hello?")
    expect(messages(page)).to_have_text(["Hello?"])
    expect(page.locator("support-chat .dot.live")).to_be_visible()
    page.reload()
    open_chat(page)
    expect(messages(page)).to_have_text(["Hello?"])


def test_messages_go_both_ways_live(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    write(page, "Is the tent in stock?")
    expect(messages(page)).to_have_text(["Is the tent in stock?"])
    server.reply(token, "Yes, two of them.")
    expect(messages(page)).to_have_text(["Is the tent in stock?", "Yes, two of them."])
    expect(page.locator("support-chat .message.own .bubble")).to_have_text(["Is the tent in stock?"])
    wait_until_stored(page, server, token, ["Is the tent in stock?", "Yes, two of them."])


def test_the_badge_counts_unread_and_opening_reads(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    for number in range(3):
        server.reply(token, f"reply {number}")
    page = host_page(new_context(), server, token=token)
    badge = page.locator("support-chat .badge")
    expect(badge).to_have_text("3")
    for number in range(3, 11):
        server.reply(token, f"reply {number}")
    expect(badge).to_have_text("9+")
    assert all(message["read_at"] is None for message in server.stored(token))
    with page.expect_response("**/mark_read"):
        open_chat(page)
    expect(badge).to_be_hidden()
    assert all(message["read_at"] for message in server.stored(token))


def test_an_open_panel_on_a_hidden_page_or_without_focus_reads_nothing(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    page.evaluate("document.hasFocus = () => false")
    server.reply(token, "not read yet")
    expect(messages(page)).to_have_count(1)
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    page.evaluate("document.hasFocus = () => true; window.dispatchEvent(new Event('focus'))")
    assert server.stored(token)[0]["read_at"] is None
    with page.expect_response("**/mark_read"):
        page.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    assert server.stored(token)[0]["read_at"]


def test_enter_sends_shift_enter_does_not_and_composing_does_not(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    box(page).fill("first line")
    box(page).press("Shift+Enter")
    box(page).press_sequentially("second line")
    box(page).evaluate(
        "(box) => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    expect(messages(page)).to_have_count(0)
    box(page).press("Enter")
    expect(messages(page)).to_have_count(1)
    wait_until_stored(page, server, token, ["first line\nsecond line"])


def test_a_draft_survives_a_page_load_and_belongs_to_its_user(server: Server, new_context: NewContext) -> None:
    context = new_context()
    token = server.token(person())
    page = host_page(context, server, token=token)
    open_chat(page)
    box(page).fill("half a tho")
    page.reload()
    open_chat(page)
    expect(box(page)).to_have_value("half a tho")
    page.evaluate("(token) => document.querySelector('support-chat').token = token", server.token(person()))
    expect(box(page)).to_have_value("")


def test_reading_further_up_is_not_disturbed(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    for number in range(30):
        server.reply(token, f"message {number}")
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    listing = page.locator("support-chat .list")
    expect(messages(page)).to_have_count(30)
    assert listing.evaluate("(list) => list.scrollHeight - list.scrollTop - list.clientHeight") <= 1
    listing.evaluate("(list) => { list.scrollTop = 300; }")
    jump = page.locator("support-chat .jump")
    server.reply(token, "news")
    expect(jump).to_have_text("1 new message ↓")
    assert listing.evaluate("(list) => list.scrollTop") == 300
    assert server.stored(token)[-1]["read_at"] is None  # nobody has seen it
    jump.click()
    expect(jump).to_be_hidden()
    assert listing.evaluate("(list) => list.scrollHeight - list.scrollTop - list.clientHeight") <= 1


def test_older_messages_come_without_a_jump(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    for number in range(1, 121):
        server.say(token, f"message {number}")
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    expect(messages(page)).to_have_count(50)
    listing = page.locator("support-chat .list")
    top = """[...list.querySelectorAll(".bubble")].find((bubble) => bubble.textContent === "message 73")
        .getBoundingClientRect().top - list.getBoundingClientRect().top"""
    before = listing.evaluate(f"(list) => {{ list.scrollTop = 60; return {top}; }}")
    expect(messages(page)).to_have_count(100)
    assert abs(listing.evaluate(f"(list) => {top}") - before) <= 2
    listing.evaluate("(list) => { list.scrollTop = 0; }")
    expect(messages(page)).to_have_text([f"message {number}" for number in range(1, 121)])


def test_what_is_written_offline_is_sent_in_order_when_the_connection_is_back(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    token = server.token(person())
    page = host_page(context, server, token=token)
    open_chat(page)
    context.set_offline(True)
    for text in ("one", "two", "three"):
        write(page, text)
    expect(page.locator("support-chat .unsent")).to_have_count(3)
    expect(page.locator("support-chat .retry").first).to_be_visible()
    context.set_offline(False)
    wait_until_stored(page, server, token, ["one", "two", "three"])
    expect(messages(page)).to_have_text(["one", "two", "three"])


def test_an_answer_that_was_lost_does_not_double_the_message(server: Server, new_context: NewContext) -> None:
    context = new_context()
    token = server.token(person())
    lost: list[Request] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST" or lost:
            return route.fallback()
        route.fetch()  # it is stored
        lost.append(route.request)
        return route.abort()

    context.route("**/support_chat/messages", lose_the_first_answer)
    page = host_page(context, server, token=token)
    open_chat(page)
    write(page, "only once")
    wait_until_stored(page, server, token, ["only once"])
    assert len(lost) == 1
    expect(messages(page)).to_have_text(["only once"])


def test_a_refused_message_stays_marked_and_retry_sends_it(server: Server, new_context: NewContext) -> None:
    context = new_context()
    token = server.token(person())
    page = host_page(context, server, token=token)
    open_chat(page)
    refusal = '{"title": "Unprocessable", "detail": "not like this"}'
    headers = {"Access-Control-Allow-Origin": HOST_PAGE, "Content-Type": "application/problem+json"}
    page.route(
        "**/support_chat/messages", lambda route: route.fulfill(status=422, body=refusal, headers=headers), times=1
    )
    write(page, "refused once")
    expect(page.locator("support-chat .failed")).to_contain_text("Not sent: not like this")
    write(page, "the next one")
    expect(page.locator("support-chat .unsent")).to_have_count(1)
    page.locator("support-chat .retry").click()
    wait_until_stored(page, server, token, ["the next one", "refused once"])


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


def test_it_is_used_by_keyboard_alone(server: Server, new_context: NewContext) -> None:
    page = host_page(new_context(), server, token=server.token(person()))
    launcher(page).focus()
    page.keyboard.press("Enter")
    expect(box(page)).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(messages(page)).to_have_text(["by keyboard"])
    expect(box(page)).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(launcher(page)).to_be_focused()


def test_text_is_never_markup_and_only_safe_addresses_are_links(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    nasty = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{7*7}} ${7*7} <%= 7*7 %>",
        "javascript:alert(1) data:text/html,<script>alert(1)</script>",
        "\u202egnp.exe 👩\u200d👩\u200d👧 " + "x" * 5000,
    ]
    for text in nasty:
        server.reply(token, text)
    server.reply(token, "See https://example.com/a?b=c. Or mailto:help@example.com!")
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    expect(messages(page)).to_have_count(6)
    assert messages(page).all_text_contents()[:5] == nasty
    assert page.locator("support-chat .bubble *").evaluate_all("(nodes) => nodes.map((node) => node.localName)") == [
        "a",
        "a",
    ]
    link = page.locator("support-chat .bubble a").first
    assert [link.get_attribute(name) for name in ("href", "target", "rel")] == [
        "https://example.com/a?b=c", "_blank", "noopener noreferrer nofollow",
    ]  # fmt: skip
    assert panel(page).evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")


def test_the_host_page_cannot_break_its_look_and_it_does_not_touch_the_host_page(
    server: Server, new_context: NewContext
) -> None:
    head = '<link rel="stylesheet" href="/hostile.css">'
    context = new_context()
    hostile = "* { all: unset !important; display: inline; color: red; }"
    page = host_page(context, server, head=head)
    page.route("**/hostile.css", lambda route: route.fulfill(body=hostile, content_type="text/css"))
    before = page.evaluate("[Object.keys(window).length, document.head.childElementCount]")
    page.reload()
    expect(launcher(page)).to_be_visible()
    assert page.evaluate("[Object.keys(window).length, document.head.childElementCount]") == before
    placed = page.locator("support-chat").evaluate("(host) => getComputedStyle(host).position")
    assert placed == "fixed"
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


def test_a_router_that_takes_the_element_away_and_puts_it_back(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    page.evaluate("window.kept = document.querySelector('support-chat'); document.body.replaceChildren('another page')")
    server.reply(token, "while it was away")
    page.evaluate("document.body.append(window.kept)")
    expect(messages(page)).to_have_text(["while it was away"])
    expect(page.locator("support-chat .dot.live")).to_be_visible()


def test_without_a_server_the_host_page_notices_nothing(server: Server, new_context: NewContext) -> None:
    context = new_context()
    context.route("**/static/**", lambda route: route.abort())
    page = host_page(context, server)
    launcher(page).click()
    expect(panel(page)).to_have_count(0)
    expect(page.locator("support-chat[open]")).to_have_count(0)
    context.unroute("**/static/**")
    page.reload()
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


def test_german_theme_and_a_brand_colour_with_readable_text(server: Server, new_context: NewContext) -> None:
    attributes = 'lang="de" theme="dark" accent="gold" heading="Hilfe" greeting="Moin!"'
    page = host_page(new_context(locale="en-US"), server, token=server.token(person()), attributes=attributes)
    expect(launcher(page)).to_have_attribute("aria-label", "Support-Chat öffnen")
    open_chat(page)
    expect(box(page)).to_have_attribute("placeholder", "Nachricht schreiben …")
    expect(page.locator("support-chat .greeting")).to_have_text("Moin!")
    header = page.locator("support-chat header")
    assert header.evaluate("(node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]") == [
        "rgb(255, 215, 0)", "rgb(0, 0, 0)",
    ]  # fmt: skip
    assert panel(page).evaluate("(node) => getComputedStyle(node).backgroundColor") == "rgb(27, 29, 33)"
    page.evaluate("document.querySelector('support-chat').lang = 'en'")
    expect(box(page)).to_have_attribute("placeholder", "Write a message…")


def test_on_a_phone_it_fills_the_screen(server: Server, new_context: NewContext) -> None:
    page = host_page(new_context(viewport={"width": 390, "height": 800}), server, token=server.token(person()))
    open_chat(page)
    assert panel(page).bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 800}
    size = box(page).evaluate("(node) => getComputedStyle(node).fontSize")
    assert int(re.sub("px", "", size)) >= 16
    page.locator("support-chat .close").click()
    expect(panel(page)).to_be_hidden()

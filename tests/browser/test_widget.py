"""A conversation in the widget, on a website with a strict policy of its own."""

import pytest
from playwright.sync_api import Request, Route, expect

from .engines import fetch
from .hosting import (
    NewContext,
    box,
    host_page,
    messages,
    open_chat,
    panel,
    person,
    wait_until_stored,
    write,
)
from .serving import HOST_PAGE, Server

pytestmark = pytest.mark.browser


def test_a_visitor_is_known_from_the_first_message_on(
    server: Server, new_context: NewContext
) -> None:
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
    expect(page.locator("support-chat .message.own .bubble")).to_have_text(
        ["Is the tent in stock?"]
    )
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


def test_an_open_panel_on_a_hidden_page_or_without_focus_reads_nothing(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    page.evaluate("document.hasFocus = () => false")
    server.reply(token, "not read yet")
    expect(messages(page)).to_have_count(1)
    page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})"
    )
    page.evaluate("document.hasFocus = () => true; window.dispatchEvent(new Event('focus'))")
    assert server.stored(token)[0]["read_at"] is None
    with page.expect_response("**/mark_read"):
        page.evaluate(
            "delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert server.stored(token)[0]["read_at"]


def test_enter_sends_shift_enter_does_not_and_composing_does_not(
    server: Server, new_context: NewContext
) -> None:
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


def test_a_draft_survives_a_page_load_and_belongs_to_its_user(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    token = server.token(person())
    page = host_page(context, server, token=token)
    open_chat(page)
    box(page).fill("half a tho")
    page.reload()
    open_chat(page)
    expect(box(page)).to_have_value("half a tho")
    page.evaluate(
        "(token) => document.querySelector('support-chat').token = token", server.token(person())
    )
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


def test_what_is_being_written_covers_nothing_and_is_complained_of_no_longer_than_needed(
    server: Server, new_context: NewContext
) -> None:
    """The end of the chat once vanished below an input that grew, and "Too long" stayed while text was taken away."""
    token = server.token(person())
    for number in range(20):
        server.say(token, f"message {number}")
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    expect(messages(page).last).to_be_in_viewport(ratio=1)
    box(page).fill("one\ntwo\nthree\nfour")
    expect(messages(page).last).to_be_in_viewport(ratio=1)
    error = page.locator("support-chat .error").last
    write(page, "x" * 10_001)
    expect(error).to_have_text("Too long: 10001 of 10000 characters")
    box(page).fill("x" * 10_000)
    expect(error).to_be_hidden()


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


def test_an_answer_that_was_lost_does_not_double_the_message(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    token = server.token(person())
    lost: list[Request] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST" or lost:
            return route.fallback()
        fetch(route)  # it is stored
        lost.append(route.request)
        return route.abort()

    context.route("**/support_chat/messages", lose_the_first_answer)
    page = host_page(context, server, token=token)
    open_chat(page)
    write(page, "only once")
    wait_until_stored(page, server, token, ["only once"])
    assert len(lost) == 1
    expect(messages(page)).to_have_text(["only once"])


def test_a_refused_message_stays_marked_and_retry_sends_it(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    token = server.token(person())
    page = host_page(context, server, token=token)
    open_chat(page)
    refusal = '{"title": "Unprocessable", "detail": "not like this"}'
    headers = {"Access-Control-Allow-Origin": HOST_PAGE, "Content-Type": "application/problem+json"}
    page.route(
        "**/support_chat/messages",
        lambda route: route.fulfill(status=422, body=refusal, headers=headers),
        times=1,
    )
    write(page, "refused once")
    expect(page.locator("support-chat .failed")).to_contain_text("Not sent: not like this")
    write(page, "the next one")
    expect(page.locator("support-chat .unsent")).to_have_count(1)
    page.locator("support-chat .retry").click()
    wait_until_stored(page, server, token, ["the next one", "refused once"])


def test_a_message_is_sent_and_then_seen(server: Server, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    marks = page.locator("support-chat .mark")
    write(page, "first")
    expect(marks).to_have_text(["Sent"])
    server.staff("POST", f"/admin/chats/{server.chat_of(token)}/mark_viewed", {"up_to": 1})
    expect(marks).to_have_text(["Seen"])
    write(page, "second")
    expect(marks).to_have_text(["Seen", "Sent"])
    page.reload()
    expect(marks).to_have_text(["Seen", "Sent"])
    server.staff("POST", f"/admin/chats/{server.chat_of(token)}/mark_viewed", {})
    expect(marks).to_have_text(["Seen"])
    expect(page.locator("support-chat .message").filter(has_text="second")).to_contain_text("Seen")


def test_text_is_never_markup_and_only_safe_addresses_are_links(
    server: Server, new_context: NewContext
) -> None:
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
    assert page.locator("support-chat .bubble *").evaluate_all(
        "(nodes) => nodes.map((node) => node.localName)"
    ) == [
        "a",
        "a",
    ]
    link = page.locator("support-chat .bubble a").first
    assert [link.get_attribute(name) for name in ("href", "target", "rel")] == [
        "https://example.com/a?b=c",
        "_blank",
        "noopener noreferrer nofollow",
    ]
    assert panel(page).evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")

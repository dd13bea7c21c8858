"""The dashboard keeps itself right: two staff and a user at once, tabs that nobody looks at, a server that dies."""

import re
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from .dashboard import PHONE, WIDE, bubbles, card, live, open_chat, open_list, reply_box, unread
from .hosting import NewContext, host_page, messages, person, set_visible, write
from .hosting import open_chat as open_panel
from .serving import Server

pytestmark = pytest.mark.browser

RECOVERY_MS = 40_000  # the longest pause between two attempts to connect is 30 s


def test_two_staff_and_a_user_at_once(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    token = server.token(person(), email="ada@example.com")
    server.say(token, "before anybody looked")
    chat = server.chat_of(token)
    at_desk = new_context(storage_state=staff_cookies, viewport=WIDE).new_page()
    on_phone = new_context(storage_state=staff_cookies, viewport=PHONE).new_page()
    for page in (at_desk, on_phone):
        open_list(page, server)
        expect(card(page, chat).locator(".mark")).to_be_visible()
    user = host_page(new_context(), server, token=token)
    open_panel(user)

    card(at_desk, chat).locator("a").click()
    live(at_desk)
    expect(card(on_phone, chat).locator(".mark")).to_have_count(
        0
    )  # one has opened it: viewed for both
    write(user, "is anybody there?")
    expect(bubbles(at_desk)).to_have_text(["before anybody looked", "is anybody there?"])
    expect(card(on_phone, chat).locator(".preview")).to_have_text("is anybody there?")
    expect(user.locator("support-chat .mark")).to_have_text(
        ["Seen"]
    )  # the page at the desk is open, visible and focused
    card(on_phone, chat).locator("a").click()
    live(on_phone)
    reply_box(on_phone).fill("Yes, me.")
    reply_box(on_phone).press("Control+Enter")
    said = ["before anybody looked", "is anybody there?", "Yes, me."]
    for shown in (bubbles(at_desk), bubbles(on_phone), messages(user)):
        expect(shown).to_have_text(said)
    for page in (at_desk, on_phone):
        expect(page.locator(".seen:visible")).to_have_count(1)  # the user's panel is open
    expect(card(at_desk, chat).locator(".preview")).to_have_text("You: Yes, me.")
    expect(at_desk.locator(".card").first).to_have_id(f"chat-{chat}")


def test_a_hidden_tab_keeps_it_unread_and_reading_in_one_clears_the_other(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    token = server.token(person())
    server.say(token, "one")
    chat = server.chat_of(token)
    context = new_context(storage_state=staff_cookies)
    hidden, seen = context.new_page(), context.new_page()
    open_chat(hidden, server, chat)
    set_visible(hidden, False)
    open_list(seen, server)
    server.say(token, "two")
    expect(bubbles(hidden)).to_have_text(["one", "two"])
    expect(card(seen, chat).locator(".mark")).to_be_visible()
    assert unread(server, chat)
    before = re.match(r"\((\d+)\)", seen.title())
    assert before
    set_visible(hidden, True)
    expect(card(seen, chat).locator(".mark")).to_have_count(0)
    assert not unread(server, chat)
    fewer = int(before[1]) - 1
    for page in (hidden, seen):
        expect(page).to_have_title(re.compile(rf"^\({fewer}\) " if fewer else r"^[^(]"))


def test_read_before_it_is_on_screen(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    """The user read a reply while the page was still fetching it: the event came before its message, and "Seen" was lost."""
    token = server.token(person())
    server.say(token, "hello")
    page = new_context(storage_state=staff_cookies).new_page()
    page.add_init_script(
        "window.heard = []; window.EventSource = class extends EventSource { constructor(url) { super(url);"
        " this.addEventListener('message', ({ data }) => heard.push(JSON.parse(data).type)); } };"
    )
    open_chat(page, server, server.chat_of(token))
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/messages?after=*", lambda route: held.append((route, route.fetch())), times=1)
    with page.expect_response("**/admin/chats/*/messages"):
        reply_box(page).fill("quick")
        reply_box(page).press("Enter")
    while not held:
        page.evaluate("new Promise(requestAnimationFrame)")
    server.user(token, "PATCH", "/support_chat/mark_read", {})
    page.evaluate(
        "new Promise((done) => setInterval(() => heard.includes('messages_read') && done(), 10))"
    )
    expect(bubbles(page)).to_have_text(["hello"])
    for route, response in held:
        route.fulfill(response=response)
    expect(bubbles(page)).to_have_text(["hello", "quick"])
    expect(page.locator(".seen:visible")).to_have_count(1)
    expect(page.locator(".chip")).to_have_count(0)


def test_what_becomes_of_an_e_mail_is_live_and_can_be_decided(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    token = server.token(person(), email="gone@example.com")
    server.say(token, "hello")
    context = new_context(storage_state=staff_cookies, viewport=WIDE)
    page, other = context.new_page(), context.new_page()
    for each in (page, other):
        open_chat(each, server, server.chat_of(token))
        each.evaluate("window.neverReloaded = true")
    chip = ".message .chip"
    reply_box(page).fill("are you still there?")
    reply_box(page).press("Enter")
    for each in (page, other):
        expect(each.locator(chip)).to_contain_text(re.compile(r"^\s*E-mail at \d+:\d\d [AP]M"))
    page.get_by_role("button", name="Do not send").click()
    for each in (page, other):
        expect(each.locator(chip)).not_to_contain_text("E-mail at")
        expect(each.get_by_role("button", name="Do not send")).to_have_count(0)
    page.get_by_role("button", name="Send now").click()
    for each in (page, other):
        expect(each.locator(chip)).to_contain_text(re.compile(r"E-mailed \d+:\d\d"))
    server.reply(token, "and one more")
    expect(page.locator("#message-3 .chip")).to_contain_text("E-mail at")
    server.user(token, "PATCH", "/support_chat/mark_read", {})
    expect(page.locator("#message-3 .chip")).to_have_count(0)
    expect(page.locator("#message-3 .seen")).to_be_visible()
    page.route("**/e-mail/*", lambda route: route.abort())
    server.reply(token, "again")
    page.get_by_role("button", name="Send now").click()
    expect(page.get_by_role("alert")).to_have_text("The server does not answer.")
    assert all(each.evaluate("window.neverReloaded") for each in (page, other))


def _long_chat(server: Server, count: int) -> tuple[str, str]:
    token = server.token(person())
    for number in range(1, count + 1):
        server.say(token, f"message {number}")
    return token, server.chat_of(token)


def test_who_reads_further_up_is_left_there_and_told(server: Server, staff_page: Page) -> None:
    token, chat = _long_chat(server, 40)
    open_chat(staff_page, server, chat)
    jump = staff_page.locator("#jump")
    marker = staff_page.locator("#message-25")
    marker.scroll_into_view_if_needed()
    staff_page.locator(".scroll").evaluate("(node) => { node.scrollTop -= 40; }")
    before = marker.bounding_box()
    server.say(token, "new below")
    expect(jump).to_have_text("1 new message ↓")
    server.say(token, "and another")
    expect(jump).to_have_text("2 new messages ↓")
    assert marker.bounding_box() == before
    assert unread(server, chat)  # it was not seen by anybody
    with staff_page.expect_response("**/mark_viewed"):
        jump.click()
    expect(staff_page.locator(".message").last).to_be_in_viewport()
    expect(jump).to_be_hidden()
    assert not unread(server, chat)


def test_older_messages_come_in_above_without_a_jump(server: Server, staff_page: Page) -> None:
    _, chat = _long_chat(server, 70)
    open_chat(staff_page, server, chat)
    older = staff_page.get_by_role("link", name="Older messages")
    older.scroll_into_view_if_needed()
    marker = staff_page.locator("#message-22")
    before = marker.bounding_box()
    older.click()
    expect(bubbles(staff_page)).to_have_count(70)
    after = marker.bounding_box()
    assert before and after
    assert (
        abs(before["y"] - after["y"]) < 50
    )  # the link above is gone, and a label: nothing else has moved


def test_apart_from_the_end_nothing_jumps_and_one_can_read_on(
    server: Server, staff_page: Page
) -> None:
    token, chat = _long_chat(server, 130)
    staff_page.goto(f"{server.url}/dashboard/chats/{chat}?before=41")
    live(staff_page)
    expect(bubbles(staff_page)).to_have_count(40)
    server.say(token, "131st")
    expect(staff_page.locator("#jump")).to_have_text("1 new message ↓")
    expect(bubbles(staff_page)).to_have_count(40)
    for count in (90, 131):
        staff_page.locator(".scroll").evaluate(
            "(node) => { node.scrollTop = -100; node.scrollTop = 0; }"
        )
        expect(bubbles(staff_page)).to_have_count(count)
    expect(bubbles(staff_page)).to_have_text(
        [*(f"message {number}" for number in range(1, 131)), "131st"]
    )
    expect(staff_page.locator("#latest")).to_be_hidden()
    staff_page.goto(f"{server.url}/dashboard/chats/{chat}?before=41")
    live(staff_page)
    server.say(token, "132nd")
    staff_page.locator("#jump").click()
    expect(bubbles(staff_page).last).to_have_text("132nd")
    expect(bubbles(staff_page)).to_have_count(50)


def test_what_was_found_is_shown_in_its_place(server: Server, staff_page: Page) -> None:
    token, _ = _long_chat(server, 60)
    word = f"needle{person()[-12:].replace('-', '')}"
    server.say(token, word)
    for number in range(60):
        server.say(token, f"later {number}")
    staff_page.get_by_role("searchbox").fill(word)
    staff_page.get_by_role("searchbox").press("Enter")
    staff_page.get_by_role("link", name=word).click()
    live(staff_page)
    expect(staff_page.locator("#message-61")).to_be_in_viewport()
    assert staff_page.evaluate("document.querySelector(':target').id") == "message-61"
    server.say(token, "news")
    expect(staff_page.locator("#jump")).to_have_text("1 new message ↓")
    expect(staff_page.locator("#message-61")).to_be_in_viewport()


def test_a_page_has_one_stream(server: Server, staff_cookies: Any, new_context: NewContext) -> None:
    token = server.token(person())
    server.say(token, "hello")
    page = new_context(storage_state=staff_cookies, viewport=WIDE).new_page()
    page.add_init_script(
        "window.open_ = new Set(); window.EventSource = class extends EventSource {"
        " constructor(url) { super(url); open_.add(this); } close() { super.close(); open_.delete(this); } };"
    )
    open_list(page, server)
    card(page, server.chat_of(token)).locator("a").click()
    expect(page.locator("#chat h1")).to_be_visible()
    live(page)
    assert page.evaluate(
        "[...open_].map((source) => new URL(source.url).search.split('&')[0])"
    ) == [f"?chat_id={server.chat_of(token)}"]


def test_the_server_dies_and_the_page_says_how_old_it_is(
    own_server: Server, new_context: NewContext
) -> None:
    server = own_server
    token = server.token(person(), email="ada@example.com")
    server.say(token, "one")
    chat = server.chat_of(token)
    page = new_context(viewport=WIDE).new_page()
    page.clock.install()
    server.log_in(page)
    open_chat(page, server, chat)
    page.evaluate("window.neverReloaded = true")
    server.kill()
    banner = page.locator("#stale")
    page.clock.run_for(3000)
    expect(banner).to_contain_text("Not live. What you see is less than a minute old.")
    page.clock.fast_forward(125_000)
    expect(banner).to_contain_text("Not live. What you see is 2 minutes old.")
    reply_box(page).fill("typed in the dark")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text(
        "The server does not answer. Your text is still here: try again."
    )
    expect(reply_box(page)).to_have_value("typed in the dark")
    server.start()
    others = [server.token(person(), name=f"Person {number}") for number in range(3)]
    for other in others:
        server.say(other, "meanwhile")
    server.say(token, "two")
    page.get_by_role("button", name="Try now").click()
    expect(banner).to_be_hidden(timeout=RECOVERY_MS)
    expect(bubbles(page)).to_have_text([message["content"] for message in server.stored(token)])
    stored = [item["id"] for item in server.staff("GET", "/admin/chats")]
    shown = page.locator(".card").evaluate_all(
        "(cards) => cards.map((card) => card.id.slice('chat-'.length))"
    )
    assert shown == stored
    expect(page.locator(".tabs [aria-current] .count")).to_have_text(str(len(stored)))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(bubbles(page)).to_have_text(["one", "two", "typed in the dark"])
    expect(reply_box(page)).to_have_value("")
    assert [message["content"] for message in server.stored(token)] == [
        "one",
        "two",
        "typed in the dark",
    ]
    assert page.evaluate("window.neverReloaded")

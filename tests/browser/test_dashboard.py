"""What staff can do with the dashboard: live with JavaScript, whole without it."""

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Error, Page, expect

from .dashboard import bubbles, card, no_connection, open_chat, unread
from .hosting import NewContext, person
from .serving import STAFF_EMAIL, STAFF_PASSWORD, Server

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "{{7*7}}{% for x in y %}${7*7}",
    "javascript:alert(1)",
    "\u202egnp.exe \u2066x\u2069 👩\u200d👩\u200d👧 &lt;b&gt;",
]


def as_name(payload: str) -> str:
    """A name does not keep what turns the text around it."""
    return payload.translate(dict.fromkeys(map(ord, "\u202e\u2066\u2069")))


def test_login_refuses_and_lets_in_and_leads_back(server: Server, new_context: NewContext) -> None:
    page = new_context().new_page()
    page.goto(f"{server.url}/dashboard?archived=true")
    page.get_by_label("E-mail").fill(STAFF_EMAIL)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    expect(page.get_by_label("E-mail")).to_have_value(STAFF_EMAIL)
    page.get_by_label("Password").fill(STAFF_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{server.url}/dashboard?archived=true")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{server.url}/login")
    page.goto(f"{server.url}/dashboard")
    expect(page).to_have_url(re.compile(r"/login\?next="))


def test_the_list_is_live(server: Server, staff_page: Page) -> None:
    token = server.token(person(), email="ada@example.com")
    server.say(token, "first question")
    chat_id = server.chat_of(token)
    entry = card(staff_page, chat_id)
    expect(entry).to_contain_text("ada@example.com")
    expect(entry).to_contain_text("first question")
    expect(entry).to_contain_text("1 message · just now")
    expect(entry.locator(".mark")).to_be_visible()
    expect(staff_page).to_have_title(re.compile(r"^\(\d+\) Support$"))
    server.say(server.token(person()), "somebody else")
    expect(staff_page.locator(".card .preview").first).to_have_text("somebody else")
    server.say(token, "second question")
    expect(staff_page.locator(".card").first).to_have_id(f"chat-{chat_id}")
    expect(entry).to_contain_text("2 messages")
    server.reply(token, "an answer")
    expect(entry.locator(".preview")).to_have_text("You: an answer")
    server.staff("POST", f"/admin/chats/{chat_id}/mark_viewed")
    expect(entry.locator(".mark")).to_have_count(0)
    server.staff("POST", f"/admin/chats/{chat_id}/archive")
    expect(entry).to_have_count(0)
    server.say(token, "one more thing")  # a user's message brings it back
    expect(entry).to_contain_text("one more thing")


def test_a_card_keeps_the_focus_when_it_changes_and_moves(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    server.say(token, "I stay")
    entry = card(staff_page, server.chat_of(token))
    expect(entry.locator(".preview")).to_have_text("I stay")
    entry.locator("a").focus()
    server.say(server.token(person()), "I come")
    expect(staff_page.locator(".card .preview").first).to_have_text("I come")
    expect(entry.locator("a")).to_be_focused()
    server.say(token, "I change")
    expect(staff_page.locator(".card .preview").first).to_have_text("I change")
    expect(entry.locator("a")).to_be_focused()


def test_a_chat_is_live_both_ways(server: Server, staff_page: Page) -> None:
    token = server.token(person(), email="bob@example.com")
    server.say(token, "hello")
    chat_id = server.chat_of(token)
    open_chat(staff_page, server, chat_id)
    expect(staff_page.get_by_role("heading", name="bob@example.com")).to_be_visible()
    server.say(token, "are you there?")
    expect(bubbles(staff_page)).to_have_text(["hello", "are you there?"])
    staff_page.get_by_label("Reply").fill("Yes.")
    staff_page.get_by_label("Reply").press("Enter")
    expect(bubbles(staff_page)).to_have_text(["hello", "are you there?", "Yes."])
    expect(staff_page.get_by_label("Reply")).to_have_value("")
    seen = staff_page.locator(".seen:visible")
    expect(seen).to_have_count(0)
    server.user(token, "PATCH", "/support_chat/mark_read", {})
    expect(seen).to_have_count(1)
    assert [message["content"] for message in server.stored(token)] == [
        "hello",
        "are you there?",
        "Yes.",
    ]


def test_viewed_is_what_was_shown_to_somebody(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    server.say(token, "one")
    chat_id = server.chat_of(token)
    assert unread(server, chat_id)
    open_chat(staff_page, server, chat_id)
    assert not unread(server, chat_id)
    staff_page.evaluate(
        "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})"
    )
    server.say(token, "two")
    expect(bubbles(staff_page)).to_have_text(["one", "two"])
    assert unread(server, chat_id)
    with staff_page.expect_response("**/mark_viewed"):
        staff_page.evaluate(
            "delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert not unread(server, chat_id)


def test_archiving_and_restoring(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    server.say(token, "please archive me")
    chat_id = server.chat_of(token)
    open_chat(staff_page, server, chat_id)
    staff_page.get_by_role("button", name="Archive").click()
    expect(staff_page).to_have_url(f"{server.url}/dashboard")
    expect(card(staff_page, chat_id)).to_have_count(0)
    staff_page.get_by_role("link", name="Archived").click()
    card(staff_page, chat_id).locator("a").click()
    expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
    restore, archive = (
        staff_page.get_by_role("button", name=name) for name in ("Restore", "Archive")
    )
    restore.press("Enter")
    expect(archive).to_be_focused()
    server.staff("POST", f"/admin/chats/{chat_id}/archive")
    expect(restore).to_be_focused()
    server.say(token, "I am back")
    expect(staff_page.get_by_role("button", name="Archive")).to_be_visible()
    expect(staff_page.get_by_role("button", name="Restore")).to_be_hidden()


def test_a_reply_that_fails_stays_in_the_box_with_the_reason(
    server: Server, staff_page: Page
) -> None:
    token = server.token(person())
    server.say(token, "hello")
    open_chat(staff_page, server, server.chat_of(token))
    staff_page.route("**/admin/chats/*/messages", lambda route: route.abort(), times=1)
    staff_page.get_by_label("Reply").fill("typed with care")
    staff_page.get_by_role("button", name="Send", exact=True).click()
    expect(staff_page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(staff_page.get_by_label("Reply")).to_have_value("typed with care")
    staff_page.reload()
    expect(staff_page.get_by_label("Reply")).to_have_value("typed with care")
    expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
    staff_page.get_by_role("button", name="Send", exact=True).click()
    expect(bubbles(staff_page)).to_have_text(["hello", "typed with care"])


def test_older_messages_on_demand_and_every_message_once(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    for number in range(1, 111):
        server.say(token, f"message {number}")
    open_chat(staff_page, server, server.chat_of(token))
    expect(bubbles(staff_page)).to_have_count(50)
    older = staff_page.get_by_role("link", name="Older messages")
    older.dblclick()  # asks for the same page twice
    expect(bubbles(staff_page)).to_have_count(100)
    older.click()
    expect(bubbles(staff_page)).to_have_text([f"message {number}" for number in range(1, 111)])
    expect(older).to_be_hidden()


def test_it_says_when_it_is_not_live_and_catches_up(server: Server, staff_page: Page) -> None:
    token = server.token(person())
    server.say(token, "before")
    open_chat(staff_page, server, server.chat_of(token))
    with no_connection(staff_page):
        expect(staff_page.locator("#stale")).to_be_visible()
        expect(staff_page.locator("#stale")).to_contain_text("Not live. What you see is")
        server.say(token, "during")
    expect(bubbles(staff_page)).to_have_text(["before", "during"])
    expect(staff_page.locator("#stale")).to_be_hidden()


def test_times_are_in_the_readers_time_zone(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    token = server.token(person())
    sent = server.say(token, "what time is it?")
    page = new_context(timezone_id="Asia/Kolkata", storage_state=staff_cookies).new_page()
    open_chat(page, server, server.chat_of(token))
    local = page.evaluate(
        "(at) => new Date(at).toLocaleTimeString('en', {hour: 'numeric', minute: '2-digit'})",
        sent["created_at"],
    )
    expect(page.locator(".message time")).to_have_text(local)
    offset = page.evaluate("new Date().getTimezoneOffset()")
    assert offset == -330


def test_times_are_written_as_in_the_readers_country(
    server: Server, staff_cookies: Any, new_context: NewContext
) -> None:
    """The page is in English for both: British staff read 16:52, American staff 4:52 PM."""
    token = server.token(person())
    server.say(token, "hello")
    for locale, clock in (("en-GB", r"^\d\d:\d\d$"), ("en-US", r"^\d{1,2}:\d\d\s[AP]M$")):
        page = new_context(storage_state=staff_cookies, locale=locale).new_page()
        open_chat(page, server, server.chat_of(token))
        expect(page.locator("[data-clock]")).to_have_text(re.compile(clock))


def test_it_works_without_javascript(server: Server, new_context: NewContext) -> None:
    name = f"Nora {person()[-8:]}"
    token = server.token(person(), name=name)
    for number in range(1, 61):
        server.say(token, f"message {number}")
    chat_id = server.chat_of(token)
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"{server.url}/dashboard")
    page.get_by_label("E-mail").fill(STAFF_EMAIL)
    page.get_by_label("Password").fill(STAFF_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    card(page, chat_id).locator("a").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(bubbles(page)).to_have_count(50)
    page.get_by_role("link", name="Older messages").click()
    expect(bubbles(page)).to_have_text([f"message {number}" for number in range(1, 11)])
    page.get_by_role("link", name="Latest messages").click()
    page.get_by_label("Reply").fill("An answer\nin two lines")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(bubbles(page).last).to_have_text("An answer\nin two lines")
    page.get_by_label("Reply").fill(
        "界" * 10_000
    )  # 90,000 bytes if it were encoded as most forms are
    page.get_by_role("button", name="Send", exact=True).click()
    expect(bubbles(page)).to_have_count(50)
    assert [message["content"] for message in server.stored(token)[-2:]] == [
        "An answer\nin two lines",
        "界" * 10_000,
    ]
    page.get_by_label("Reply").fill("x" * 10_001)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Too long: 10000 characters are allowed.")
    expect(page.get_by_label("Reply")).to_have_value("x" * 10_001)
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    page.locator(".card a").first.click()
    expect(page).to_have_url(re.compile(chat_id))
    page.get_by_role("button", name="Archive").click()
    expect(card(page, chat_id)).to_have_count(0)
    page.get_by_role("link", name="Archived").click()
    card(page, chat_id).locator("a").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("button", name="Archive")).to_be_visible()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_users_write_is_text_everywhere(
    server: Server, staff_page: Page, payload: str
) -> None:
    named = server.token(person(), name=payload)
    server.say(named, payload)
    chat_id = server.chat_of(named)
    expect(card(staff_page, chat_id).locator(".preview")).to_have_text(payload)
    expect(card(staff_page, chat_id).locator(".person")).to_have_text(as_name(payload))
    open_chat(staff_page, server, chat_id)
    server.say(named, payload)  # this one comes as a fragment
    expect(bubbles(staff_page)).to_have_text([payload, payload])
    expect(staff_page.get_by_role("heading", level=1)).to_have_text(as_name(payload))
    assert staff_page.locator("main :is(script, img, svg, iframe, b)").count() == 0
    staff_page.reload()
    expect(staff_page.locator("#announcer")).to_be_empty()
    server.say(named, payload)
    expect(staff_page.locator("#announcer")).to_contain_text(payload.strip()[-4:])
    for query in (payload, "<script>"):
        staff_page.goto(f"{server.url}/dashboard/search?{urlencode({'q': query})}")
        expect(staff_page.get_by_role("searchbox")).to_have_value(query)
        assert staff_page.locator("main :is(script, img, svg, iframe, b)").count() == 0


def test_all_pages_keep_the_content_security_policy(server: Server, staff_page: Page) -> None:
    """The fixture fails any test for a report; this walks through what the other tests leave out."""
    token = server.token(person(), name="Walker")
    server.say(token, "walking through all pages")
    chat = f"/dashboard/chats/{server.chat_of(token)}"
    staff = ("?archived=true", "/nothing", "/account", "/search", "/search?q=walking")
    for path in (
        "/demo",
        "/demo?as=visitor",
        *(f"/dashboard{one}" for one in staff),
        chat,
        f"{chat}?message=1",
        "/login",
    ):
        response = staff_page.goto(server.url + path)
        assert response is not None
        policy = response.headers["content-security-policy"].split("; ")
        assert {
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "trusted-types 'none'",
        } <= set(policy)
        if path.startswith("/demo"):
            staff_page.locator("support-chat .launcher").click()
            expect(staff_page.locator("support-chat textarea")).to_be_focused()
        elif path.startswith(chat):
            expect(staff_page.locator("body[data-live=yes]")).to_be_visible()
            staff_page.get_by_role("button", name="Keyboard shortcuts").click()
            staff_page.get_by_role("button", name="Close").click()


def test_the_policy_would_be_noticed(server: Server, new_context: NewContext) -> None:
    """The watch over the policy works: without it the test above would prove nothing."""
    context = new_context()
    noticed: list[str] = []
    context.expose_function("noticed", lambda directive: noticed.append(directive))
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) => {"
        " event.stopImmediatePropagation(); window.noticed(event.violatedDirective); }, {capture: true})"
    )
    page = context.new_page()
    page.goto(f"{server.url}/login")
    with suppress(Error):
        page.evaluate("document.body.innerHTML = '<p style=\"color: red\">'")
    page.wait_for_function("true")
    assert noticed == ["require-trusted-types-for"]

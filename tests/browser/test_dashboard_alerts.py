"""Staff who do not look are called: a notification and a sound, once per browser, if they want it, and text only."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from .dashboard import WIDE, bubbles, live, open_list
from .hosting import NewContext, person, set_visible
from .serving import Server
from .test_dashboard import PAYLOADS, as_name

pytestmark = pytest.mark.browser

# what a browser would show and play; permission is asked for and granted as `grant` says
RECORDER = """
const kept = location.protocol.startsWith('http') ? sessionStorage : {};
window.called = JSON.parse(kept.called ?? '[]');
const note = (what) => { called.push(what); kept.called = JSON.stringify(called); };
window.shown = [];
window.Notification = class {
  static get permission() { return localStorage.permission ?? 'default'; }
  static async requestPermission() { note('asked'); return (localStorage.permission = localStorage.grant ?? 'granted'); }
  constructor(title, { body, tag }) { Object.assign(this, { title, body, tag }); note('shown'); shown.push(this); }
  close() {}
};
AudioContext.prototype.createOscillator = new Proxy(AudioContext.prototype.createOscillator, {
  apply(target, context, args) { note('tone'); return Reflect.apply(target, context, args); } });
window.claims = 0;  // of messages, whether this tab got them or not
if (navigator.locks) navigator.locks.request = new Proxy(navigator.locks.request, {
  apply(target, locks, [name, options, then]) {
    const counted = (lock) => { const held = then(lock); claims += 1; return held; };
    return Reflect.apply(target, locks, [name, options, counted]); } });
"""
TONES = ["tone", "tone"]
NOTIFYING = "if (location.protocol === 'http:') localStorage.permission = 'granted', localStorage['dashboard:notifications'] = 'on'"


@pytest.fixture
def context(staff_cookies: Any, new_context: NewContext) -> BrowserContext:
    made = new_context(storage_state=staff_cookies, viewport=WIDE)
    made.add_init_script(RECORDER)
    return made


def _called(page: Page) -> list[str]:
    called: list[str] = page.evaluate("called")
    return called


def _until_called(page: Page, what: list[str]) -> None:
    """Waits for exactly these."""
    _until(page, "called", what)


def _until(page: Page, name: str, value: Any) -> None:
    """The page's policy refuses wait_for_function, which makes programs out of text."""
    page.evaluate(
        """([name, value]) => new Promise((resolve, reject) => {
            const look = () => JSON.stringify(window[name]) === value && resolve();
            setInterval(look, 20);
            setTimeout(() => reject(new Error(JSON.stringify(window[name]))), 8000);
        })""",
        [name, json.dumps(value, separators=(",", ":"))],
    )


def _say(server: Server, content: str = "hello", *, name: str = "", email: str = "") -> str:
    token = server.token(person(), name=name or None, email=email or None)
    server.say(token, content)
    return server.chat_of(token)


def test_a_notification_is_asked_for_by_a_click_and_leads_to_the_chat(
    server: Server, context: BrowserContext
) -> None:
    page = context.new_page()
    open_list(page, server)
    page.reload()
    live(page)
    assert _called(page) == []  # never on load
    page.get_by_role("button", name="Desktop notifications").click()
    expect(page.get_by_role("button", name="Desktop notifications", pressed=True)).to_be_visible()
    assert _called(page) == ["asked"]
    _say(server, "while you look")
    expect(page.locator(".card .preview").first).to_have_text("while you look")
    set_visible(page, False)
    chat = _say(server, "x" * 300, email="eva@example.com")
    _until_called(page, ["asked", *TONES, "shown"])
    assert page.evaluate("[shown[0].title, shown[0].body, shown[0].tag]") == [
        "eva@example.com",
        "x" * 200,
        chat,
    ]
    set_visible(page, True)
    page.evaluate("shown[0].onclick()")
    expect(page).to_have_url(f"{server.url}/dashboard/chats/{chat}")
    expect(bubbles(page)).to_have_text(["x" * 300])


def test_each_can_be_switched_off(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    open_list(page, server)
    page.get_by_role("button", name="Desktop notifications").click()
    page.get_by_role("button", name="Sound").click()
    set_visible(page, False)
    _say(server)
    _until_called(page, ["asked", "shown"])
    page.goto(f"{server.url}/dashboard/account")
    page.get_by_role("checkbox", name="Desktop notifications").uncheck()
    page.get_by_role("checkbox", name="Sound").check()
    open_list(page, server)
    set_visible(page, False)
    _say(server)
    _until_called(page, ["asked", "shown", *TONES])


def test_a_browser_that_refuses_is_explained(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    open_list(page, server)
    page.evaluate("localStorage.grant = 'denied'")
    page.get_by_role("button", name="Desktop notifications").click()
    expect(page.locator(".hint")).to_contain_text("Your browser blocks notifications")
    expect(page.get_by_role("button", name="Desktop notifications", pressed=False)).to_be_visible()
    page.goto(f"{server.url}/dashboard/account")
    page.get_by_role("checkbox", name="Desktop notifications").click()
    expect(page.get_by_role("checkbox", name="Desktop notifications")).not_to_be_checked()
    expect(page.get_by_text("Your browser blocks notifications").last).to_be_visible()


def test_once_per_browser_and_not_while_one_tab_is_looked_at(
    server: Server, context: BrowserContext
) -> None:
    tabs = [context.new_page() for _ in range(3)]
    for tab in tabs:
        open_list(tab, server)
        set_visible(tab, False)
    _say(server, "nobody looks")
    for tab in tabs:
        expect(tab.locator(".card .preview").first).to_have_text("nobody looks")
    _until_claimed(tabs, 1)
    before = [_called(tab) for tab in tabs]
    assert sorted(before) == [[], [], TONES]
    for messages, looked_at in enumerate((tabs[0], tabs[2]), 2):  # the first to hear, and the last
        set_visible(looked_at, True)
        _say(server, "one looks")
        for tab in tabs:
            expect(tab.locator(".card .preview").first).to_have_text("one looks")
        _until_claimed(tabs, messages)
        assert [_called(tab) for tab in tabs] == before
        set_visible(looked_at, False)


def _until_claimed(tabs: list[Page], messages: int) -> None:
    """Until every tab has had its turn: they claim after 0.4 s, or at the next full second of a hidden page's clock."""
    for tab in tabs:
        _until(tab, "claims", messages)


def test_a_notification_marks_what_a_visitor_typed(server: Server, context: BrowserContext) -> None:
    """A notification named a visitor who typed the boss's address like the boss."""
    page = context.new_page()
    page.add_init_script(NOTIFYING)
    open_list(page, server)
    set_visible(page, False)
    for profile in ({"email": "boss@example.com"}, {"name": "boss@example.com"}, {}):
        server.say(server.user("", "POST", "/visitors", profile)["token"], "hello")
    _until_called(page, [*TONES, "shown"] * 3)
    assert set(page.evaluate("shown.map(({ title }) => title)")) == {
        "boss@example.com (not verified)",
        "“boss@example.com” (not verified)",
        "A visitor",
    }


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_notification_and_the_title_are_text(
    server: Server, context: BrowserContext, payload: str
) -> None:
    page = context.new_page()
    page.add_init_script(NOTIFYING)
    open_list(page, server)
    set_visible(page, False)
    chat = _say(server, payload, name=payload)
    _until_called(page, [*TONES, "shown"])
    assert page.evaluate("[shown[0].title, shown[0].body]") == [as_name(payload), payload]
    page.evaluate("shown[0].onclick()")
    expect(page.locator("#chat h1")).to_have_text(as_name(payload))
    live(page)
    assert as_name(payload) in page.evaluate("document.title")
    assert page.locator(f"#chat-{chat}").count() == 1
    assert page.locator("main :is(script, img, iframe, b), main svg").count() == 0

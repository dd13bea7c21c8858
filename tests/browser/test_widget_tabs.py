"""Many tabs of one browser: one stream, one sound, one truth."""

import time

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from .hosting import (
    NewContext,
    host_page,
    launcher,
    messages,
    open_chat,
    person,
    set_visible,
    write,
)
from .serving import PLAIN_HOST_PAGE, Server

pytestmark = pytest.mark.browser

LIMIT_S = 1.0  # how long a takeover, and a message from the last of many tabs, may take
STUB_SOUND = """
class Part { connect(next) { return next; } stop() {} frequency = {};
  gain = { setValueAtTime() {}, exponentialRampToValueAtTime() {} };
  start() { const { dataset } = document.documentElement; dataset.notes = Number(dataset.notes ?? 0) + 1; } }
window.AudioContext = class { currentTime = 0; createOscillator() { return new Part(); } createGain() { return new Part(); } };
"""
NOTES = 2  # of one sound
FREEZABLE = """
window.BroadcastChannel = class extends BroadcastChannel {
  postMessage(what) { if (!window.frozen) super.postMessage(what); }
  set onmessage(hear) { super.onmessage = (event) => { if (!window.frozen) hear(event); }; }
};
"""


def streams_of(context: BrowserContext) -> list[Page]:
    """Fills with the page of each stream that is opened from now on."""
    pages: list[Page] = []

    def note(request: Request) -> None:
        if "/support_chat/stream" in request.url and request.method == "GET":
            pages.append(request.frame.page)

    context.on("request", note)
    return pages


def test_eight_tabs_have_one_stream_and_the_eighth_sends_at_once(
    server: Server, new_context: NewContext
) -> None:
    """Over HTTP/1.1 a browser opens six connections to a server; with a stream per tab the seventh tab would hang."""
    context, token = new_context(), server.token(person())
    streams = streams_of(context)
    pages = [host_page(context, server, token=token) for _ in range(8)]
    for page in pages:
        launcher(page).click()
        expect(page.locator("support-chat .dot.live")).to_be_visible()
    assert len(streams) == 1
    with pages[7].expect_response("**/support_chat/messages") as sent:
        write(pages[7], "from the eighth")
    assert sent.value.ok
    took_ms = pages[7].evaluate(
        "(url) => performance.getEntriesByName(url).at(-1).duration",
        f"{server.url}/support_chat/messages",
    )
    assert took_ms < LIMIT_S * 1000
    server.reply(token, "to all")
    for page in pages:
        expect(messages(page)).to_have_text(["from the eighth", "to all"])
    assert len(streams) == 1


def test_when_the_leading_tab_closes_another_takes_over_within_a_second(
    server: Server, new_context: NewContext
) -> None:
    context, token = new_context(), server.token(person())
    streams = streams_of(context)
    pages = [host_page(context, server, token=token) for _ in range(3)]
    for page in pages:
        expect(page.locator("support-chat .dot.live")).to_be_attached()
    (leader,) = streams
    others = [page for page in pages if page is not leader]
    closed_at = time.monotonic()
    with context.expect_event("request", lambda request: "/stream" in request.url):
        leader.close()
    assert time.monotonic() - closed_at < LIMIT_S
    server.reply(token, "still heard")
    for page in others:
        expect(messages(page)).to_have_text(["still heard"])
    assert len(streams) == 2


def test_a_tab_whose_token_has_expired_leaves_the_lead_to_one_that_has_a_fresh_one(
    server: Server, new_context: NewContext
) -> None:
    """Its stream would be refused for ever, and the other tabs would wait for it."""
    context, sub = new_context(), person()
    streams = streams_of(context)
    stale = host_page(context, server, token=server.token(sub))
    expect(stale.locator("support-chat .dot.live")).to_be_attached()
    fresh = host_page(context, server, token=server.token(sub))
    expect(fresh.locator("support-chat .dot.live")).to_be_attached()
    stale.route(
        "**/support_chat/stream*",
        lambda route: route.fulfill(
            status=401, headers={"Access-Control-Allow-Origin": "*"}, body="{}"
        ),
    )
    with context.expect_event(
        "request", lambda request: "/stream" in request.url and request.frame.page == fresh
    ):
        stale.evaluate("window.dispatchEvent(new Event('online'))")
    expect(stale.locator("support-chat .dot.live")).to_be_attached()
    assert streams[0] is stale
    server.reply(server.token(sub), "for both")
    for page in (stale, fresh):
        expect(messages(page)).to_have_text(["for both"])


def test_a_frozen_leader_loses_the_lead(server: Server, new_context: NewContext) -> None:
    """Phones stop the tabs that nobody looks at, with the lock in their hands."""
    context, token = new_context(), server.token(person())
    context.add_init_script(FREEZABLE)
    streams = streams_of(context)
    frozen, looked_at = (host_page(context, server, token=token) for _ in range(2))
    for page in (frozen, looked_at):
        expect(page.locator("support-chat .dot.live")).to_be_attached()
    assert streams == [frozen]
    frozen.evaluate("window.frozen = true")
    server.reply(token, "news")
    looked_at.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(messages(looked_at)).to_have_text(["news"])
    assert streams == [frozen, looked_at]
    frozen.evaluate("window.frozen = false")
    server.reply(token, "for both")
    for page in (frozen, looked_at):
        expect(messages(page)).to_have_text(["news", "for both"])


def test_reading_in_one_tab_clears_the_badge_in_the_other(
    server: Server, new_context: NewContext
) -> None:
    context, token = new_context(), server.token(person())
    first, second = (host_page(context, server, token=token) for _ in range(2))
    server.reply(token, "unread")
    for page in (first, second):
        expect(page.locator("support-chat .badge")).to_have_text("1")
    second.bring_to_front()
    open_chat(second)
    expect(first.locator("support-chat .badge")).to_be_hidden()


def test_without_locks_every_tab_has_its_own_stream(
    server: Server, new_context: NewContext
) -> None:
    context, token = new_context(), server.token(person())
    streams = streams_of(context)
    pages = [host_page(context, server, token=token, origin=PLAIN_HOST_PAGE) for _ in range(2)]
    for page in pages:
        assert page.evaluate("navigator.locks") is None
        expect(page.locator("support-chat .dot.live")).to_be_attached()
    server.reply(token, "to both")
    for page in pages:
        expect(messages(page)).to_have_text(["to both"])
    assert len(streams) == 2


def test_a_visitors_first_message_makes_all_tabs_live(
    server: Server, new_context: NewContext
) -> None:
    context = new_context()
    first, second = (host_page(context, server) for _ in range(2))
    for page in (first, second):
        launcher(page).click()
        expect(page.locator("support-chat .dot.idle")).to_be_visible()
    write(first, "Hello?")
    expect(messages(second)).to_have_text(["Hello?"])
    write(second, "Anybody?")
    expect(messages(first)).to_have_text(["Hello?", "Anybody?"])


def notes(page: Page) -> int:
    return int(page.locator("html").get_attribute("data-notes") or 0)


def let_sounds_pass(pages: list[Page]) -> None:
    """A sound waits 400 ms, whether somebody reads the message; a timer that is set later, for longer, ends later."""
    for page in pages:
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")


def test_a_message_that_nobody_looks_at_sounds_in_one_tab(
    server: Server, new_context: NewContext
) -> None:
    context, token = new_context(), server.token(person())
    context.add_init_script(STUB_SOUND)
    pages = [host_page(context, server, token=token) for _ in range(3)]
    for page in pages:
        expect(page.locator("support-chat .dot.live")).to_be_attached()
    server.reply(token, "one")
    for page in pages:
        expect(messages(page)).to_have_count(1)
    let_sounds_pass(pages)
    assert sorted(map(notes, pages)) == [0, 0, NOTES]
    pages[1].bring_to_front()
    open_chat(pages[1])
    server.reply(token, "somebody looks at this one")
    expect(pages[0].locator("support-chat .badge")).to_be_hidden()
    let_sounds_pass(pages)
    assert sum(map(notes, pages)) == NOTES


def test_the_sound_can_be_switched_off_and_stays_off(
    server: Server, new_context: NewContext
) -> None:
    context, token = new_context(), server.token(person())
    context.add_init_script(STUB_SOUND)
    page = host_page(context, server, token=token)
    open_chat(page)
    sound = page.get_by_role("button", name="Sound for new messages")
    expect(sound).to_have_attribute("aria-pressed", "true")
    sound.click()
    page.reload()
    open_chat(page)
    expect(sound).to_have_attribute("aria-pressed", "false")
    set_visible(page, False)
    server.reply(token, "silence")
    expect(messages(page)).to_have_count(1)
    let_sounds_pass([page])
    assert notes(page) == 0
    sound.click()
    server.reply(token, "ping")
    expect(page.locator("html")).to_have_attribute("data-notes", str(NOTES))


def test_the_title_counts_while_nobody_looks_and_is_put_back(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    page = host_page(new_context(), server, token=token)
    set_visible(page, False)
    server.reply(token, "one")
    expect(page).to_have_title("(1) A shop")
    page.evaluate("document.title = 'Your basket'")
    server.reply(token, "two")
    expect(page).to_have_title("(2) Your basket")
    set_visible(page, True)
    expect(page).to_have_title("Your basket")

"""The network between widget and server stalls, cuts, keeps half of a connection, holds streams back. Nothing is lost."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from .hosting import NewContext, host_page, messages, open_chat, person, wait_until_stored, write
from .network import Wire, network
from .serving import Server

pytestmark = pytest.mark.browser

DEAD_MS = 38_000  # a stream that was silent for 37.5 s is dead
HELD_BACK_MS = 10_000  # a stream without its first byte after this does not come through
POLL_MS = 5_000
STREAM_AGAIN_MS = 60_000


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    with network(server.port) as proxy:
        yield proxy


def chat_through(wire: Wire, context_of: NewContext, token: str) -> Page:
    """A page whose clock the test may put forward."""
    context = context_of()
    page = host_page(context, wire, token=token)
    page.clock.install()
    page.reload()
    return page


def status(page: Page, name: str) -> None:
    expect(page.locator(f"support-chat .dot.{name}")).to_be_visible()


def test_cuts_lose_nothing(server: Server, wire: Wire, new_context: NewContext) -> None:
    token = server.token(person())
    page = host_page(new_context(), wire, token=token)
    open_chat(page)
    said = []
    for number in range(3):
        wire.cut()
        server.reply(token, f"reply {number}")
        write(page, f"question {number}")
        said += [f"reply {number}", f"question {number}"]
        expect(page.locator("support-chat .unsent")).to_have_count(0)
        expect(messages(page)).to_have_text(said, timeout=2 * POLL_MS)
    wait_until_stored(page, server, token, said)


@pytest.mark.parametrize("trouble", ["stall", "half_open"])
def test_a_connection_that_has_died_silently_is_replaced(
    trouble: str, server: Server, wire: Wire, new_context: NewContext
) -> None:
    token = server.token(person())
    page = chat_through(wire, new_context, token)
    open_chat(page)
    status(page, "live")
    getattr(wire, trouble)()
    server.reply(token, "not heard")
    page.clock.fast_forward(DEAD_MS)
    if trouble == "stall":
        status(page, "connecting")
        wire.resume()
    page.clock.fast_forward(DEAD_MS)
    expect(messages(page)).to_have_text(["not heard"])
    status(page, "live")


@pytest.mark.parametrize("treatment", ["hold", "cut"])
def test_where_streams_do_not_come_through_it_polls(
    treatment: str, server: Server, wire: Wire, new_context: NewContext
) -> None:
    """Same messages, same order, a little later; and it notices when streams come through again."""
    token = server.token(person())
    server.say(token, "before")
    wire.streams(treatment)
    page = chat_through(wire, new_context, token)
    page.locator("support-chat .launcher").click()
    expect(messages(page)).to_have_text(["before"])
    page.clock.fast_forward(HELD_BACK_MS)
    status(page, "polling")
    expect(page.locator("support-chat .status")).to_have_text("Connected, a little slowly")
    server.reply(token, "polled")
    page.clock.fast_forward(POLL_MS)
    expect(messages(page)).to_have_text(["before", "polled"])
    write(page, "sent")
    wait_until_stored(page, server, token, ["before", "polled", "sent"])
    wire.streams("pass")
    page.clock.fast_forward(STREAM_AGAIN_MS)
    status(page, "live")
    server.reply(token, "live again")
    expect(messages(page)).to_have_text(["before", "polled", "sent", "live again"])


def test_offline_and_online(server: Server, wire: Wire, new_context: NewContext) -> None:
    """The browser says when it is back: nobody waits for the end of a pause."""
    context, token = new_context(), server.token(person())
    page = host_page(context, wire, token=token)
    open_chat(page)
    status(page, "live")
    context.set_offline(True)
    status(page, "offline")
    server.reply(token, "while offline")
    context.set_offline(False)
    expect(messages(page)).to_have_text(["while offline"])
    status(page, "live")

"""The network between client and server: it cuts, stalls, keeps half of a connection, buffers."""

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import AsyncIterator

import pytest

import chatsvc.streams.connection
from tests.faults.client import HOST, Follower, Sender, head_of, port_of, request
from tests.faults.history import History, Seen, read_database, violations
from tests.faults.proxy import Proxy
from tests.faults.storm import Storm
from tests.support.service import Service
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

SILENCE_LIMIT_S = 0.5  # of the clients here; real ones wait for two and a half pings
FIRST_BYTES_LIMIT_S = 1.0
GONE_LIMIT_S = 3.0
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
DROP_ALL = struct.pack(
    "HBBI", 0x06, 0, 0, 0
)  # a packet filter of one instruction: take 0 bytes of whatever comes


async def test_clients_behind_a_bad_network_miss_nothing(service: Service) -> None:
    async with (
        Proxy(port_of(service)) as proxy,
        Storm(
            [proxy.port], service.database_url, chats=2, silence_limit_s=SILENCE_LIMIT_S
        ) as storm,
    ):
        for _ in range(3):
            await storm.more(30)
            proxy.cut()
        await storm.more(30)

        proxy.stall()
        await all_reconnect(storm)
        proxy.resume()
        await storm.more(30)

        proxy.half_open()
        await all_reconnect(storm)
        await storm.more(30)

        proxy.buffering = True
        proxy.cut()
        await storm.more(30)  # what is no stream comes through
        proxy.buffering = False
        proxy.cut()
        await storm.more(30)

        await storm.pause()
        proxy.idle_limit_s = 0.2
        proxy.cut()
        await until(lambda: proxy.idle_cuts > 2 * len(storm.followers), "idle connections are cut")
        proxy.idle_limit_s = None
        proxy.cut()
        await storm.finish(reconnect=True)
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201}


async def all_reconnect(storm: Storm) -> None:
    """Until each follower has given its connection up."""
    before = {follower: follower.tries for follower in storm.followers}
    await until(
        lambda: all(one.tries > before[one] for one in storm.followers),
        "everybody noticed the silence",
    )


async def test_a_client_that_comes_back_without_its_cursor_is_found_out(service: Service) -> None:
    """The negative control of the test above."""
    token, history = service.user_token(), History()
    chat_id = await service.chat_id(token)
    sender = Sender([port_of(service)], "/support_chat/messages", token, chat_id, history)
    async with Proxy(port_of(service)) as proxy:
        seen = Seen("careless", chat_id)
        history.seen.append(seen)
        follower = Follower([proxy.port], "/support_chat/stream", token, seen, keeps_cursor=False)
        async with kept_running(follower):
            await sender.send()
            await until(lambda: seen.newest == 1, "the first message came")
            proxy.stall()
            proxy.cut()
            await sender.send()
            proxy.resume()
            await until(
                lambda: follower.is_open and len(service.app.streams) == 1, "the client is back"
            )
            await sender.send()
            await until(lambda: seen.newest == 3, "the third message came")
    assert violations(history, read_database(service.database_url)) == [
        "I3 careless misses 1 messages: [2]"
    ]


async def test_clients_that_leave_while_their_stream_opens_leave_nothing(service: Service) -> None:
    """Their connection is closed when the database has answered: that was an error in the log, and a request that never ended."""
    token = await service.staff_token()
    path = f"/admin/chats/{await service.chat_id(service.user_token())}/stream"
    for n in range(30):
        _, writer = await asyncio.open_connection(HOST, port_of(service))
        writer.write(head_of("GET", path, token))
        await asyncio.sleep(n * 0.0001)
        writer.transport.abort()
    await until(
        lambda: not service.app.web.settings["services"].running, "all requests have ended", 5
    )
    await until(lambda: len(service.app.streams) == 0, "all streams are forgotten", 5)


def cut_off(reader: socket.socket) -> None:
    """From now on this socket hears nothing and acknowledges nothing, as behind a network that is gone: no FIN, no RST."""
    program = ctypes.create_string_buffer(DROP_ALL)
    reader.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program))
    )


@pytest.mark.skipif(
    sys.platform != "linux", reason="packet filters and TCP_USER_TIMEOUT are Linux's"
)
@pytest.mark.parametrize("limited", [True, False])
async def test_a_client_behind_a_network_that_is_gone_is_noticed_by_what_it_does_not_acknowledge(
    service: Service, limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats alone notice it after more than 90 s. Negative control: without TCP_USER_TIMEOUT (0) the stream stays registered."""
    assert (
        chatsvc.streams.connection.USER_TIMEOUT_MS == 25_000
    )  # with a ping every 15 s: forgotten within 45 s
    monkeypatch.setattr(chatsvc.streams.connection, "USER_TIMEOUT_MS", 500 if limited else 0)
    token = service.user_token()
    reader, writer = await open_stream(port_of(service), token)
    with contextlib.closing(writer):
        await reader.readuntil(b'"state"')
        cut_off(writer.get_extra_info("socket"))
        await service.send(token, "nobody takes this")
        with contextlib.suppress(AssertionError):
            await until(
                lambda: len(service.app.streams) == 0, "the stream is forgotten", GONE_LIMIT_S
            )
        assert len(service.app.streams) == (0 if limited else 1)


async def test_a_proxy_that_buffers_shows_itself_and_polling_gets_everything(
    service: Service,
) -> None:
    """A client tells a stream that does not come through by its first bytes; then it polls with the same cursor."""
    token = service.user_token()
    for n in range(5):
        await service.send(token, f"message {n}")
    async with Proxy(port_of(service)) as proxy:
        assert await first_bytes(proxy.port, token) is not None
        proxy.buffering = True
        assert await first_bytes(proxy.port, token) is None
        got: list[int] = []
        while len(got) < 5:
            path = f"/support_chat/messages?after={got[-1] if got else 0}&limit=2"
            page = (await request(proxy.port, "GET", path, token)).json
            got += [message["seq"] for message in page["messages"]]
            assert page["has_more"] == (len(got) < 5)
    assert got == [1, 2, 3, 4, 5]


async def open_stream(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(head_of("GET", "/support_chat/stream", token, "Accept-Encoding: gzip"))
    return reader, writer


async def first_bytes(port: int, token: str) -> bytes | None:
    """The first bytes of a stream's body; None if none come within FIRST_BYTES_LIMIT_S."""
    reader, writer = await open_stream(port, token)
    with contextlib.closing(writer):
        try:
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(b"\r\n\r\n")
                return await reader.readuntil(b"\n")
        except TimeoutError:
            return None


@contextlib.asynccontextmanager
async def kept_running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        await until(lambda: follower.is_open, "the stream is open")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

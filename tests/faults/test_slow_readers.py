"""Clients that read nothing, or a byte a second, while messages flow."""

import asyncio
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest

import chatsvc.streams.connection
from chatsvc.streams.connection import LINGER_S, WRITE_BUFFER_BYTES, StreamConnection
from tests.faults.client import HOST, Follower, Sender, head_of, port_of, request
from tests.faults.health import assert_settled, metric, open_sockets, rss
from tests.faults.history import History, Seen, read_database, violations
from tests.faults.storm import Storm
from tests.support.process import ServerProcess
from tests.support.service import Service
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

SLOW = 200
TEXT = (
    "\N{SPEECH BALLOON}" * 9_900
)  # 40 KB on the wire, and with the sender's mark not over 10,000 characters
FRAME_BYTES = 41_000
SLACK_BYTES = 16 * 2**20  # replays read pages of messages; the allocator's grain
RECEIVE_BUFFER_BYTES = 4096  # the smaller, the sooner the server has to hold what is not read
FLOOD = 20  # messages: twice of what fits into the buffers of one stream
FLOOD_LIMIT = 100


class SlowReader:
    """A stream that is opened and then not read, or a byte at a time."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.socket.connect((HOST, port))
        self.socket.sendall(head_of("GET", "/support_chat/stream", token))
        self.socket.setblocking(False)

    def __enter__(self) -> "SlowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def read_byte(self) -> None:
        with suppress(OSError):  # nothing there, or ended by now
            self.socket.recv(1)


async def trickle(readers: list[SlowReader]) -> None:
    """One byte a second for each."""
    while True:
        for reader in readers:
            reader.read_byte()
        await asyncio.sleep(1)


async def watch_rss(server: ServerProcess, peak: list[int]) -> None:
    while True:
        peak.append(rss(server))
        await asyncio.sleep(0.05)


@pytest.mark.soak
@pytest.mark.gen_test(timeout=60)
async def test_slow_readers_cost_a_bounded_memory_and_nobody_else_anything(
    durable_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    server = await asyncio.to_thread(start_server, durable_url)
    async with (
        Storm([server.port], durable_url, chats=2, senders=1) as storm,
        AsyncExitStack() as opened,
    ):
        await storm.more(100)
        await storm.pause()
        chat_id, token = next(iter(storm.users.items()))
        flood = Sender([server.port], "/support_chat/messages", token, chat_id, storm.history)
        streams, peak = len(storm.followers), [before := rss(server)]
        sending_before = await seconds_to_send(storm.senders[-1])
        slow = [opened.enter_context(SlowReader(server.port, token)) for _ in range(SLOW)]
        await until(lambda: is_open(server, streams + SLOW), "all streams are open")
        start = (await asyncio.to_thread(read_database, durable_url)).last_seqs[chat_id]
        background = [
            asyncio.create_task(trickle(slow[::2])),
            asyncio.create_task(watch_rss(server, peak)),
        ]
        for _ in range(FLOOD):
            await flood.send(TEXT)
        sending = await seconds_to_send(storm.senders[-1])
        await until(
            lambda: is_open(server, streams), "the slow streams are forgotten", 3 * LINGER_S
        )
        assert sending < max(10 * sending_before, 1.0)
        assert all(follower.connections == 1 for follower in storm.followers), (
            "others are unaffected"
        )
        assert 'chatsvc_streams_closed_total{reason="slow"} 200.0' in await metrics(server.port)
        await opened.aclose()
        await come_back(storm, chat_id, token, start)
        for task in background:
            task.cancel()
        grown = max(peak) - before
        print(
            f"RSS {before >> 10} KiB, peak +{grown >> 10} KiB; a send {sending_before:.4f} -> {sending:.4f} s"
        )
        assert grown <= SLOW * (WRITE_BUFFER_BYTES + FRAME_BYTES) + SLACK_BYTES
        await storm.finish()
        await assert_settled(server, storm, rss_before=before)


async def come_back(storm: Storm, chat_id: str, token: str, cursor: int) -> None:
    """All slow readers come back with the cursor they had, read as fast as they can, and have everything."""
    newest = (await asyncio.to_thread(read_database, storm.database_url)).last_seqs[chat_id]
    back = [
        Follower(storm.ports, "/support_chat/stream", token, Seen(f"slow {n}", chat_id, cursor))
        for n in range(SLOW)
    ]
    storm.history.seen += [follower.seen for follower in back]
    tasks = [asyncio.create_task(follower.run()) for follower in back]
    began = time.monotonic()
    await until(lambda: all(one.seen.newest == newest for one in back), "they have everything", 30)
    print(f"{SLOW} x {newest - cursor} messages caught up in {time.monotonic() - began:.2f} s")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def seconds_to_send(sender: Sender) -> float:
    """The median of some messages to another chat."""
    for _ in range(20):
        await sender.send()
    return statistics.median(one.seconds for one in sender.tries[-20:])


async def is_open(server: ServerProcess, streams: int) -> bool:
    return (
        await metric(server.port, "chatsvc_open_streams") == streams
        and open_sockets(server) == streams
    )


async def metrics(port: int) -> str:
    return (await request(port, "GET", "/metrics")).body.decode()


@pytest.mark.parametrize("bounded", [True, False])
async def test_what_one_stalled_reader_holds_is_bounded(
    service: Service, bounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: without the bound the same reader holds ever more and is never closed."""
    connections: list[StreamConnection] = []
    if not bounded:
        monkeypatch.setattr(chatsvc.streams.connection, "WRITE_BUFFER_BYTES", 2**40)
    monkeypatch.setattr(
        StreamConnection, "on_close", noting(connections, StreamConnection.on_close)
    )
    token, history, pending = service.user_token(), History(), 0
    sender = Sender(
        [port_of(service)], "/support_chat/messages", token, await service.chat_id(token), history
    )
    with SlowReader(port_of(service), token):
        await until(lambda: len(service.app.streams) == 1, "the stream is open")
        for _ in range(FLOOD_LIMIT):
            await sender.send(TEXT)
            pending = max(pending, connections[0].pending)
            if not bounded and pending > 2 * WRITE_BUFFER_BYTES:
                break
            if any(one.reason == "slow" for one in service.app.streams._open):
                break
    print(f"{len(sender.tries)} messages, {pending >> 10} KiB held")
    assert not violations(history, read_database(service.database_url))
    if bounded:
        assert pending <= WRITE_BUFFER_BYTES + FRAME_BYTES
        await until(lambda: len(service.app.streams) == 0, "the slow stream is forgotten")
    else:
        assert pending > WRITE_BUFFER_BYTES + FRAME_BYTES


def noting(connections: list[StreamConnection], real: Callable[..., None]) -> Callable[..., None]:
    def on_close(self: StreamConnection, callback: Callable[[], None]) -> None:
        connections.append(self)
        real(self, callback)

    return on_close

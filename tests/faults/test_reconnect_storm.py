"""The server comes back, and so do a thousand clients, at once."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.faults.client import Follower, Sender, request
from tests.faults.health import metric, open_sockets
from tests.faults.history import History, Seen, read_database, violations
from tests.faults.storm import user_token
from tests.support.process import ServerProcess
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

CLIENTS = 1000
CHATS = 50
MISSED = 5  # messages in each chat, while everybody is away
LIMIT_S = 20.0  # for all to have everything


@pytest.mark.soak
@pytest.mark.gen_test(timeout=60)
async def test_a_thousand_clients_that_come_back_at_once_get_what_they_missed(
    database_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    """Negative control: one of them has lost its cursor."""
    server = await asyncio.to_thread(start_server, database_url)
    history, forgetful = History(), History()
    senders, followers = await people(server.port, history)
    followers[0].keeps_cursor = False
    forgetful.seen.append(history.seen.pop(0))

    connections = await connect(followers, 1)
    server.kill()
    await asyncio.gather(*connections, return_exceptions=True)
    await asyncio.to_thread(server.start)
    for _ in range(MISSED):
        await asyncio.gather(*(sender.send() for sender in senders))
    began = time.monotonic()
    connections = await connect(followers, 1 + MISSED)
    print(f"{CLIENTS} clients have {MISSED} messages each after {time.monotonic() - began:.2f} s")
    assert [f.connections for f in followers] == [2] * CLIENTS
    assert not any(follower.refusals for follower in followers)
    assert await metric(server.port, "chatsvc_open_streams") == CLIENTS == open_sockets(server)

    await asyncio.gather(*(sender.send() for sender in senders))
    await until(
        lambda: all(follower.seen.newest == 2 + MISSED for follower in followers), "all are live"
    )
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    database = read_database(database_url)
    assert not violations(history, database)
    lost = [line for line in violations(forgetful, database) if line.startswith("I3")]
    assert lost == [f"I3 {forgetful.seen[0].name} misses {MISSED} messages: [2, 3, 4, 5, 6]"]
    await until(lambda: _is_empty(server), "all are forgotten")


async def people(port: int, history: History) -> tuple[list[Sender], list[Follower]]:
    """A sender in each of CHATS chats, which hold a message, and CLIENTS followers that have not connected."""
    senders, followers = [], []
    for n in range(CHATS):
        token = user_token(f"user{n}")
        chat_id = (await request(port, "GET", "/support_chat", token)).json["id"]
        senders.append(Sender([port], "/support_chat/messages", token, chat_id, history))
        await senders[-1].send()
        for k in range(CLIENTS // CHATS):
            seen = Seen(f"user{n} at device {k}", chat_id)
            history.seen.append(seen)
            followers.append(Follower([port], "/support_chat/stream", token, seen))
    return senders, followers


async def connect(followers: list[Follower], seq: int) -> list[asyncio.Task[None]]:
    """All open a stream at once; returns when they have the message `seq`."""
    connections = [asyncio.create_task(follower.follow()) for follower in followers]
    wanted = [follower for follower in followers if follower.keeps_cursor]
    await until(lambda: all(one.is_open for one in followers), "all are connected", LIMIT_S)
    await until(
        lambda: all(one.seen.newest >= seq for one in wanted), f"all have message {seq}", LIMIT_S
    )
    return connections


async def _is_empty(server: ServerProcess) -> bool:
    return await metric(server.port, "chatsvc_open_streams") == 0 == open_sockets(server)

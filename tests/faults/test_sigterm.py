"""SIGTERM, once and twice, while everybody writes."""

import asyncio
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.client import request
from tests.faults.health import assert_settled, metric
from tests.faults.postgres import locked_chat
from tests.faults.storm import Storm, some_time, user_token
from tests.support.process import ServerProcess
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

AT_ONCE_S = 2.0
RETRY_RANGE_MS = range(500, 5001)
CLOSE = {"reason": "shutdown", "reconnect": True}


@pytest.mark.gen_test(timeout=60)
async def test_sigterm_under_load_ends_in_order_and_all_resume_at_the_next_start(
    database_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    server = await asyncio.to_thread(start_server, database_url)
    async with Storm([server.port], database_url) as storm:
        for round_ in (1, 2):
            await storm.more(100)
            await storm.all_open()
            await some_time()
            began = time.monotonic()
            assert await asyncio.to_thread(server.stop) == 0
            print(f"stopped after {time.monotonic() - began:.2f} s")
            assert [len(follower.closes) for follower in storm.followers] == [round_] * len(
                storm.followers
            )
            await asyncio.to_thread(server.start)
        await storm.more(100)
        await storm.pause()
        await assert_settled(server, storm)
        await storm.finish()
        closes = [close for follower in storm.followers for close in follower.closes]
        assert all(data == CLOSE and retry_ms in RETRY_RANGE_MS for data, retry_ms in closes), (
            closes
        )
        assert len({retry_ms for _, retry_ms in closes}) > len(closes) / 2, (
            "spread, so that they do not come back as one"
        )
        print(storm.outcomes)
        assert "IncompleteReadError" not in storm.outcomes, (
            "a request that was accepted is answered"
        )
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201, 503}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_request_under_way_is_finished(
    database_url: str, start_server: Callable[[str | None], ServerProcess], how: signal.Signals
) -> None:
    """A lock keeps it waiting until the server is stopping. Negative control: a server that is killed."""
    server, token = await asyncio.to_thread(start_server, database_url), user_token("alice")
    chat_id = (await request(server.port, "GET", "/support_chat", token)).json["id"]
    with locked_chat(database_url, chat_id) as unlock:
        body = {"content": "hello"}
        post = asyncio.create_task(
            request(server.port, "POST", "/support_chat/messages", token, body)
        )
        await until(lambda: _waits_for_the_database(server), "the request is under way")
        server.signal(how)
        if how == signal.SIGTERM:
            await until(lambda: "stopping" in server.log, "the server is stopping")
            unlock()
            assert (await post).status == 201
            assert (
                server.process is not None
                and await asyncio.to_thread(server.process.wait, AT_ONCE_S) == 0
            )
        else:
            with pytest.raises((EOFError, ConnectionError)):
                await post


@pytest.mark.gen_test(timeout=60)
async def test_a_second_sigterm_ends_at_once_and_nothing_is_lost(
    database_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    server = await asyncio.to_thread(start_server, database_url)
    async with Storm([server.port], database_url, chats=2) as storm:
        await storm.more(50)
        with locked_chat(database_url, next(iter(storm.users))):
            await until(lambda: _waits_for_the_database(server), "requests are under way")
            server.signal(signal.SIGTERM)
            await until(lambda: "stopping" in server.log, "the server is stopping")
            assert server.process is not None and server.process.poll() is None, (
                "it waits for the requests"
            )
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, AT_ONCE_S) == 1
            print(f"ended {time.monotonic() - began:.3f} s after the second SIGTERM")
        await asyncio.to_thread(server.start)
        await storm.more(50)
        await storm.finish()


async def _waits_for_the_database(server: ServerProcess) -> bool:
    return await metric(server.port, "chatsvc_database_queue") > 0

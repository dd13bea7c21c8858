"""kill -9 of the server, again and again, while everybody writes."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from chatsvc.postgres.manager import EmbeddedPostgres
from tests.faults.client import Sender, port_of
from tests.faults.health import assert_settled
from tests.faults.history import History, read_database, violations
from tests.faults.postgres import postmaster_pid
from tests.faults.proxy import Proxy
from tests.faults.storm import Storm, some_time
from tests.support.process import ServerProcess
from tests.support.service import Service

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

KILLS = 5
BETWEEN_KILLS = 100  # acknowledged messages


@pytest.mark.soak
@pytest.mark.gen_test(timeout=60)
async def test_five_kills_under_load_lose_double_and_reorder_nothing(
    durable_url: str, start_server: Callable[[str | None], ServerProcess]
) -> None:
    server = await asyncio.to_thread(start_server, durable_url)
    async with Storm([server.port], durable_url) as storm:
        for _ in range(KILLS):
            await storm.more(BETWEEN_KILLS)
            await storm.all_open()
            await some_time()
            server.kill()
            await asyncio.to_thread(server.start)
        await storm.more(BETWEEN_KILLS)
        await storm.pause()
        await assert_settled(server, storm)
        await storm.finish()
        assert all(follower.connections == KILLS + 1 for follower in storm.followers)
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201}
        print(f"{len(storm.history.acknowledged)} acknowledged, {storm.outcomes}")


@pytest.mark.soak
@pytest.mark.gen_test(timeout=60)
async def test_a_kill_that_takes_the_embedded_postgresql_along_loses_nothing(
    tmp_path: Path, start_server: Callable[[str | None], ServerProcess]
) -> None:
    """First the server alone is killed (the kernel then ends its PostgreSQL), then both at once: crash recovery."""
    server = await asyncio.to_thread(start_server, None)
    data_dir = Path(server.environment["CHATSVC_DATA_DIR"])
    beside = EmbeddedPostgres(data_dir)
    url = await asyncio.to_thread(beside.start)
    async with Storm([server.port], url, chats=2) as storm:
        await storm.more(BETWEEN_KILLS)
        server.kill()
        await asyncio.to_thread(server.start)
        await storm.more(BETWEEN_KILLS)
        await some_time()
        postgres = psutil.Process(postmaster_pid(data_dir))
        victims = [postgres, *postgres.children(recursive=True)]
        server.kill()
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        await asyncio.to_thread(server.start)
        await storm.more(BETWEEN_KILLS)
        await storm.pause()
        await assert_settled(server, storm)
        await storm.finish()
    await asyncio.to_thread(beside.stop)


@pytest.mark.parametrize("client_ids", [True, False])
async def test_a_send_whose_answer_was_cut_off_is_stored_once_by_its_client_id(
    service: Service, client_ids: bool
) -> None:
    """The crash between COMMIT and answer, on demand. Negative control: a sender that repeats without a client_id."""
    token, history = service.user_token(), History()
    chat_id = await service.chat_id(token)
    async with Proxy(port_of(service)) as proxy:
        sender = Sender(
            [proxy.port], "/support_chat/messages", token, chat_id, history, client_ids=client_ids
        )
        proxy.answers_to_cut = 3
        await sender.send()
    assert [one.outcome for one in sender.tries[:-1]] == ["IncompleteReadError"] * 3
    found = violations(history, read_database(service.database_url))
    if client_ids:
        assert not found
    else:
        assert any(line.startswith("I1 stored 4 times") for line in found)

"""PostgreSQL goes away, or hangs, while everybody writes."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import chatsvc.database.threads
from chatsvc.database.connection import Connection, Transaction
from chatsvc.database.threads import READERS, Database
from tests.faults.client import Reply, port_of, request, running
from tests.faults.health import assert_settled, metric, rss
from tests.faults.postgres import DurablePostgres, locked_chat
from tests.faults.storm import Storm, some_time
from tests.support.postgres import execute
from tests.support.process import ServerProcess
from tests.support.service import Service, make_config
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

RECOVERY_LIMIT_S = 5.0  # 2 s on a machine of its own
ANSWER_LIMIT_S = 6.0
RESTARTS = [signal.SIGINT, signal.SIGQUIT]  # fast, immediate


@pytest.mark.gen_test(timeout=60)
async def test_restarts_of_postgresql_cost_some_503_and_nothing_else(
    durable: DurablePostgres,
    durable_url: str,
    start_server: Callable[[str | None], ServerProcess],
    expected_log: list[str],
) -> None:
    expected_log.append("PostgreSQL ended by itself")
    server = await asyncio.to_thread(start_server, durable_url)
    async with Storm([server.port], durable_url) as storm:
        await storm.more(100)
        rss_before = rss(server)
        for how in RESTARTS:
            await some_time()
            began = time.monotonic()
            down_s = await asyncio.to_thread(durable.restart, how)
            await storm.more(100)
            recovery_s = storm.seconds_until_acknowledged(began + down_s)
            print(
                f"{how.name}: down {down_s:.2f} s, first acknowledgement {recovery_s:.2f} s after that"
            )
            assert recovery_s < RECOVERY_LIMIT_S
        await storm.pause()
        await assert_settled(server, storm, rss_before=rss_before)
        await storm.finish()
        print(storm.outcomes)
        assert set(storm.outcomes) <= {200, 201, 503} and storm.outcomes[503], storm.outcomes
        assert all(follower.connections == 1 for follower in storm.followers), "streams stay open"


@pytest.mark.parametrize("reconnects", [True, False])
async def test_a_write_whose_connection_was_ended_is_run_again(
    service: Service, reconnects: bool, monkeypatch: pytest.MonkeyPatch, expected_log: list[str]
) -> None:
    """Negative control: sessions that keep a broken connection."""
    token = service.user_token()
    await service.send(token, "before")
    if not reconnects:
        expected_log.append("the database failed")
        monkeypatch.setattr(Transaction, "rollback", lambda self, error: None)
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await asyncio.to_thread(execute, service.database_url, sql)
    statuses = [(await post(port_of(service), token, f"after {n}")).status for n in range(3)]
    assert statuses == ([201] * 3 if reconnects else [503] * 3)


@pytest.mark.parametrize("how", RESTARTS)
async def test_after_a_restart_no_thread_refuses_its_first_work(
    durable: DurablePostgres, durable_url: str, how: signal.Signals, expected_log: list[str]
) -> None:
    """After an immediate one it did: psycopg2 takes a connection for open on which the server said that it crashed, and hung up."""
    expected_log.append("PostgreSQL ended by itself")
    db = Database(durable_url)
    await db.start()
    try:
        for before in (True, False):
            await asyncio.gather(
                *(db.read(pause_and_ask) for _ in range(READERS)), db.write(pause_and_ask)
            )
            if before:
                await asyncio.to_thread(durable.restart, how)
    finally:
        await db.stop()


def pause_and_ask(connection: Connection) -> None:
    """Long enough that no reader does the work of two."""
    connection.execute_sql("SELECT pg_sleep(0.1)")


@pytest.mark.gen_test(timeout=60)
async def test_a_frozen_postgresql_freezes_nothing_else(
    durable: DurablePostgres,
    durable_url: str,
    start_server: Callable[[str | None], ServerProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected_log: list[str],
) -> None:
    """Requests are answered 503 within 6 s, streams and /healthz go on. Negative control: a service without the limit still hangs."""
    expected_log.append("the database failed")
    monkeypatch.setattr(
        chatsvc.database.threads, "WAIT_LIMIT_S", 3600.0
    )  # for the service in this process
    server = await asyncio.to_thread(start_server, durable_url)
    async with (
        running(Service(make_config(tmp_path), durable_url)) as unlimited,
        Storm([server.port], durable_url) as storm,
    ):
        token = unlimited.user_token("unlimited")
        await unlimited.send(token, "before")
        storm.history.attempted.add((await unlimited.chat_id(token), "before"))
        storm.history.attempted.add((await unlimited.chat_id(token), "during"))
        await storm.more(100)
        rss_before, health = rss(server), asyncio.create_task(probe(server.port, "/healthz"))
        with durable.frozen():
            began = time.monotonic()
            hanging = asyncio.create_task(unlimited.send(token, "during"))
            ready = await request(server.port, "GET", "/readyz")
            assert ready.status == 503 and time.monotonic() - began < ANSWER_LIMIT_S
            await until(
                lambda: storm.outcomes[503] >= len(storm.senders),
                "every sender is told 503",
                ANSWER_LIMIT_S,
            )
            assert (
                await metric(server.port, "chatsvc_database_queue")
                <= chatsvc.database.threads.IN_FLIGHT_MAX
            )
            await asyncio.wait([hanging], timeout=began + ANSWER_LIMIT_S - time.monotonic())
            assert not hanging.done(), "without the limit a request hangs: what this test looks for"
        thawed = time.monotonic()
        await storm.more(100)
        print(
            f"first acknowledgement {storm.seconds_until_acknowledged(thawed):.2f} s after the thaw"
        )
        await hanging
        health.cancel()
        slowest = max(one.seconds for sender in storm.senders for one in sender.tries)
        print(f"slowest answer {slowest:.2f} s", storm.outcomes)
        assert slowest < ANSWER_LIMIT_S
        await storm.pause()
        await assert_settled(server, storm, rss_before=rss_before)
        await storm.finish()
        assert set(storm.outcomes) == {200, 201, 503} or set(storm.outcomes) == {201, 503}, (
            storm.outcomes
        )
        assert all(follower.connections == 1 for follower in storm.followers), "streams stay open"
        assert (await asyncio.gather(health, return_exceptions=True))[
            0
        ].__class__ is asyncio.CancelledError


@pytest.mark.parametrize("bound", [20, 10_000])
async def test_work_that_waits_for_the_database_is_bounded(
    service: Service, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock keeps the writer busy. What is beyond the bound is refused at once. Negative control: a bound that is out of reach."""
    monkeypatch.setattr(chatsvc.database.threads, "IN_FLIGHT_MAX", bound)
    token = service.user_token()
    chat_id = await service.chat_id(token)
    port = port_of(service)
    with locked_chat(service.database_url, chat_id) as unlock:
        posts = [asyncio.create_task(post(port, token, f"message {n}")) for n in range(30)]
        if bound == 20:
            refused, _ = await asyncio.wait(posts, timeout=2, return_when=asyncio.FIRST_COMPLETED)
            await until(
                lambda: sum(post.done() for post in posts) == 10,
                "what is beyond the bound is refused",
            )
            assert refused
        await until(lambda: service.app.db.in_flight == min(bound, 30), "the rest waits")
        unlock()
        statuses = sorted([(await answer).status for answer in posts])
    assert statuses == ([201] * 20 + [503] * 10 if bound == 20 else [201] * 30)


async def post(port: int, token: str, content: str) -> Reply:
    return await request(port, "POST", "/support_chat/messages", token, {"content": content})


async def probe(port: int, path: str) -> None:
    """Asks all the time; ends with an error when an answer is not 200 or takes a second."""
    while True:
        reply = await request(port, "GET", path, limit_s=1.0)
        assert reply.status == 200, reply
        await asyncio.sleep(0.1)

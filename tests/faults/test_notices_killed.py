"""I5 under kill -9 and between two servers: no e-mail is lost, none is sent twice but by a crash, and then under the same Message-ID."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.client import request
from tests.faults.storm import staff_token, user_token
from tests.support.mail import MailServer, mail_server
from tests.support.postgres import execute
from tests.support.process import ROOT, ServerProcess
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

NOTICES, KILLS = 200, 20
DELAY_S = 3  # of one server: longer than a start
SLOW_S = 0.01  # the mail server, for each e-mail: a kill meets every step of it
FILL = """
INSERT INTO users (id, kind, external_id, email)
    SELECT gen_random_uuid(), 'host', 'u' || n, 'u' || n || '@example.com' FROM generate_series(1, %s) n;
INSERT INTO support_chats (id, user_id, last_seq) SELECT gen_random_uuid(), id, 1 FROM users;
INSERT INTO support_messages (id, chat_id, seq, content, sender_type, sender_id, created_at, updated_at)
    SELECT gen_random_uuid(), id, 1, 'm1', 'admin', user_id, now(), now() FROM support_chats;
INSERT INTO support_notices (id, chat_id, first_seq, due_at) SELECT gen_random_uuid(), id, 1, now() FROM support_chats;
"""
LEASES_END = "UPDATE support_notices SET claimed_until = now() WHERE state = 'claimed'"  # as if minutes had passed
# The protection taken away: what is due is looked up, sent, and marked afterwards.
CARELESS = '''
import sys
from chatsvc.store import claims

claims._LOCK_DUE = claims._LOCK_DUE._replace(sql=claims._LOCK_DUE.sql.replace("FOR NO KEY UPDATE OF c SKIP LOCKED", ""))
claims._CLAIM = claims._CLAIM._replace(sql="""
    SELECT statement_timestamp(), 1, coalesce(message_id, $3) FROM support_notices WHERE id = $1
""")

from chatsvc.cli import main

sys.exit(main(["serve"]))
'''


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        server.pause_s = SLOW_S
        yield server


@pytest.fixture
def due(durable_url: str) -> str:
    """A database with NOTICES that are due."""
    execute(durable_url, FILL, NOTICES)
    return durable_url


@pytest.fixture
def servers(tmp_path: Path, due: str, mails: MailServer) -> Iterator[list[ServerProcess]]:
    """Two, not yet started."""
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(ServerProcess(tmp_path / name, due, smtp_url=mails.url))
    yield both
    for server in both:
        server.close()


def states(database_url: str) -> Counter[object]:
    rows = execute(database_url, "SELECT state, count(*) FROM support_notices GROUP BY state")
    return Counter({state: count for state, count in rows if isinstance(count, int)})


@pytest.mark.soak
@pytest.mark.gen_test(timeout=100)
async def test_twenty_kills_lose_no_e_mail_and_repeat_at_most_one_each(
    due: str, servers: list[ServerProcess], mails: MailServer
) -> None:
    server = servers[0]
    await asyncio.to_thread(server.start, wait=False)
    for kill in range(1, KILLS + 1):
        wanted = len(mails.seen) + NOTICES // (KILLS + 2)
        await until(lambda wanted=wanted: len(mails.seen) >= wanted, limit_s=20)  # type: ignore[misc]
        await asyncio.sleep(random.uniform(0, 2 * SLOW_S))
        server.kill()
        assert len(mails.seen) < NOTICES + kill, "all were sent before the kills were over"
        await asyncio.to_thread(execute, due, LEASES_END)
        await asyncio.to_thread(server.start, wait=False)
    await until(lambda: states(due) == {"sent": NOTICES}, limit_s=20)
    assert server.stop() == 0
    told = Counter(mails.message_ids)
    rows = execute(due, "SELECT message_id FROM support_notices")
    print(
        f"{len(mails.mails)} e-mails, {len(mails.mails) - NOTICES} of them repeats after {KILLS} kills"
    )
    assert set(told) == {message_id for (message_id,) in rows} and len(told) == NOTICES
    assert len(mails.mails) <= NOTICES + KILLS


async def both_send(servers: list[ServerProcess], due: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(server.start, wait=False) for server in servers))
    await until(lambda: states(due) == {"sent": NOTICES}, limit_s=30)


@pytest.mark.gen_test(timeout=60)
async def test_two_servers_send_each_e_mail_once(
    due: str, servers: list[ServerProcess], mails: MailServer
) -> None:
    await both_send(servers, due)
    assert len(mails.message_ids) == len(set(mails.message_ids)) == NOTICES
    for server in servers:
        assert server.stop() == 0


@pytest.mark.soak
@pytest.mark.gen_test(timeout=60)
async def test_without_the_claim_two_servers_send_twice(
    tmp_path: Path, due: str, servers: list[ServerProcess], mails: MailServer
) -> None:
    """The negative control: a plain select, send, update."""
    careless = tmp_path / "careless.py"
    careless.write_text(CARELESS)
    for server in servers:
        server.command_line[1:] = [str(careless)]
        server.environment["PYTHONPATH"] = str(ROOT)
    await both_send(servers, due)
    print(f"{len(mails.message_ids) - NOTICES} of {NOTICES} twice")
    assert len(mails.message_ids) > NOTICES * 1.1 and len(set(mails.message_ids)) == NOTICES


@pytest.mark.gen_test(timeout=60)
async def test_a_server_that_is_killed_before_an_e_mail_is_due_sends_it_when_it_is_back(
    durable_url: str, servers: list[ServerProcess], mails: MailServer
) -> None:
    """Posted through the API; the alarm clock died with the process, the row did not."""
    server = servers[0]
    execute(durable_url, "UPDATE support_notices SET state = 'cancelled'")
    server.environment["CHATSVC_EMAIL_DELAY_S"] = str(DELAY_S)
    await asyncio.to_thread(server.start)
    user, staff = user_token("alice"), await asyncio.to_thread(staff_token, durable_url)
    chat_id = (await request(server.port, "GET", "/support_chat", user)).json["id"]
    answer = await request(
        server.port, "POST", f"/admin/chats/{chat_id}/messages", staff, {"content": "m1"}
    )
    posted = time.monotonic()
    assert answer.status == 201
    server.kill()
    await asyncio.to_thread(server.start)
    await until(lambda: mails.mails)
    assert DELAY_S - 0.1 < mails.times[0] - posted < DELAY_S + 2
    assert server.stop() == 0
    assert len(mails.seen) == 1

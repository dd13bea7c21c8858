"""Properties that hold for all inputs: what was read, how events are framed, how messages are numbered."""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tornado.ioloop import IOLoop

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.events import encode_frame
from chatsvc.services.chats import Sender
from chatsvc.store.messages import MessageRow, insert_messages
from chatsvc.wire import NewMessageEvent, PingEvent, SupportMessage
from tests.support.postgres import execute
from tests.support.service import Service

slow_but_sure = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=30,
)

# ---- the read mark ----

MARKS = st.one_of(st.sampled_from("ua"), st.none(), st.integers(0, 12), st.just(2**31 - 1))


@slow_but_sure
@given(steps=st.lists(MARKS, max_size=25))
def test_the_read_mark_follows_its_model(
    io_loop: IOLoop, service: Service, steps: list[str | int | None]
) -> None:
    """Never back, never beyond what is stored; unread are the staff's messages after it."""
    io_loop.run_sync(lambda: follow_model(service, steps))


async def follow_model(service: Service, steps: list[str | int | None]) -> None:
    chats, caller = (
        service.app.chats,
        await service.app.identity.authenticate_bearer(service.user_token(str(uuid4()))),
    )
    chat_id = await chats.chat_id_for_user(caller.user_id)
    senders: list[str] = []
    read_up_to = 0
    for step in steps:
        if isinstance(step, str):
            await chats.post_message(
                chat_id, Sender(caller.user_id, "user" if step == "u" else "admin"), "x", None
            )
            senders.append(step)
            continue
        by_staff = [seq for seq, who in enumerate(senders, 1) if who == "a"]
        read_up_to = max([read_up_to, *(seq for seq in by_staff if step is None or seq <= step)])
        mark = await chats.mark_read(chat_id, step)
        assert (mark.read_up_to, mark.unread_count) == (
            read_up_to,
            sum(seq > read_up_to for seq in by_staff),
        )
    messages = (await chats.messages_after(chat_id, 0, 200)).messages
    for message, who in zip(messages, senders, strict=True):
        assert (message.read_at is not None) == (who == "a" and message.seq <= read_up_to)


# ---- framing ----


def parse_stream(text: str) -> list[dict[str, str]]:
    """Events as the HTML standard reads them: lines end with CR, LF or both; an empty line ends an event."""
    events: list[dict[str, str]] = []
    fields: dict[str, str] = {}
    for line in re.split("\r\n|\r|\n", text):
        name, _, value = line.partition(":")
        if not line:
            events += [fields] if "data" in fields else []
            fields = {}
        elif name == "data" and "data" in fields:
            fields["data"] += "\n" + value.removeprefix(" ")
        elif name:
            fields[name] = value.removeprefix(" ")
    return events


@given(content=st.text(), client_id=st.none() | st.text(), seq=st.integers(1, 2**31 - 1))
@example("a\r\nb\rc\nd", "\u2028\u2029\x85\x0b\x0c", 1)
@example("\n\ndata: {}\n\n", "id: 7\revent: close", 2)
@example("\ufeff:", ":", 3)
def test_any_text_comes_back_as_exactly_one_event(
    content: str, client_id: str | None, seq: int
) -> None:
    moment = "2026-01-29T10:30:00.123456Z"
    message = SupportMessage(str(uuid4()), content, "user", None, moment, seq, client_id)
    frame = encode_frame(NewMessageEvent(message), seq=seq)
    ping = encode_frame(PingEvent(seq), name="ping")
    first, second = parse_stream((frame + ping).decode())
    assert set(first) == {"id", "data"} and first["id"] == str(seq)
    told = json.loads(first["data"])["message"]
    assert (told["content"], told["client_id"], told["seq"]) == (content, client_id, seq)
    assert second == {"event": "ping", "data": f'{{"seq":{seq}}}'}


# ---- numbering ----

WRITES = 80  # by each of two processes
LINGER = "SELECT pg_sleep(random() * 0.004)"  # between the insert and the commit


class Reader:
    """A client that polls with a cursor, on a connection of its own, while others write: does it see every row?"""

    def __init__(self, url: str, sql: str) -> None:
        self.seen: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, args=(url, sql))
        self._thread.start()

    def _poll(self, url: str, sql: str) -> None:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            at_the_end = False
            while not at_the_end:
                at_the_end = self._stop.is_set()
                cursor.execute(sql, (self.seen[-1] if self.seen else 0,))
                self.seen += [seq for (seq,) in cursor.fetchall()]

    def finish(self) -> list[int]:
        self._stop.set()
        self._thread.join(20)
        return self.seen


async def two_processes(url: str, write: Callable[[Transaction, int], Any], poll: str) -> list[int]:
    """Two Databases write WRITES times each, as two processes would; what a polling reader saw."""
    databases = [Database(url, readers=1) for _ in range(2)]
    for database in databases:
        await database.start()
    reader = Reader(url, poll)
    try:
        await asyncio.gather(*(one.write(write, n) for n in range(WRITES) for one in databases))
    finally:
        seen = await asyncio.to_thread(reader.finish)
        for database in databases:
            await database.stop()
    return seen


async def test_messages_are_numbered_in_the_order_of_their_commits(service: Service) -> None:
    """No holes, nothing that a reader with a cursor misses, times that rise with the numbers."""
    url, alice = service.database_url, service.user_token()
    chat_id = await service.chat_id(alice)
    user_id = str(execute(url, "SELECT user_id FROM support_chats WHERE id = %s", chat_id)[0][0])

    def write(tx: Transaction, n: int) -> None:
        row = MessageRow(
            str(uuid4()), chat_id, None, str(n), "user", user_id, str(uuid4()), 300, 3600
        )
        insert_messages(tx, [row])
        tx.execute_sql(LINGER)

    poll = "SELECT seq FROM support_messages WHERE seq > %s ORDER BY seq"
    assert await two_processes(url, write, poll) == list(range(1, 2 * WRITES + 1))
    rises = "created_at > coalesce(lag(created_at) OVER (ORDER BY seq), '-infinity') AS rises"
    times = execute(
        url,
        f"SELECT count(*), bool_and(rises) FROM (SELECT {rises} FROM support_messages) t",  # noqa: S608
    )
    assert times == [(2 * WRITES, True)]


async def test_the_same_harness_misses_rows_that_a_sequence_numbers(service: Service) -> None:
    """The negative control: with a bigserial as cursor a reader passes by rows that are committed late."""
    execute(service.database_url, "CREATE TABLE feed (id bigserial PRIMARY KEY)")

    def write(tx: Transaction, n: int) -> None:
        tx.execute_sql("INSERT INTO feed DEFAULT VALUES")
        tx.execute_sql(LINGER)

    seen = await two_processes(
        service.database_url, write, "SELECT id FROM feed WHERE id > %s ORDER BY id"
    )
    assert len(seen) < 2 * WRITES

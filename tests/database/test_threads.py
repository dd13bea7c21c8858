"""The database's threads: group commit, order, what a failure takes with it, limits (ARCHITECTURE.md)."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import peewee
import psycopg2
import pytest
from tornado.ioloop import IOLoop

from chatsvc.database import threads as db_module
from chatsvc.database.connection import Connection, Transaction
from chatsvc.database.models import User
from chatsvc.database.threads import BATCH_MAX, Database, Emitted
from chatsvc.errors import Conflict, DomainError, NotFound, Unavailable
from chatsvc.events import Emission, Signal
from tests.support.postgres import execute, with_database
from tests.support.service import Service
from tests.support.waiting import until
from tests.support.writer import HOLD_LIMIT_S, HeldWriter

READERS = 2


@pytest.fixture
def sizes() -> list[int]:
    """How many writes each commit held."""
    return []


@pytest.fixture
def doubts() -> list[str]:
    """One for each write with events of which it is unknown whether it was committed."""
    return []


class Published(list[int]):
    """The numbers in published `Noted` signals and events, in order."""

    fail_at: int | None = None

    def take(self, emitted: Emitted) -> None:
        noted = emitted.event if isinstance(emitted, Emission) else emitted
        assert isinstance(noted, Noted)
        if noted.n == self.fail_at:
            raise RuntimeError("publishing failed")
        self.append(noted.n)


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def db(
    io_loop: IOLoop,
    database_url: str,
    sizes: list[int],
    doubts: list[str],
    published: Published,
) -> Iterator[Database]:
    execute(
        database_url, "CREATE TABLE notes (n int PRIMARY KEY, backend int DEFAULT pg_backend_pid())"
    )
    database = Database(
        database_url,
        publish=published.take,
        readers=READERS,
        on_commit=lambda size, seconds: sizes.append(size),
        on_doubt=lambda: doubts.append("doubt"),
    )
    io_loop.run_sync(database.start)
    yield database
    io_loop.run_sync(database.stop)


class Noted(Signal, frozen=True):
    """A number was stored. Also emitted as an event."""

    n: int


def note(tx: Transaction, n: int) -> int:
    tx.execute_sql("INSERT INTO notes (n) VALUES (%s)", n)
    tx.emit("notes", Noted(n))
    return n


def stored(url: str) -> list[int]:
    return [int(str(n)) for (n,) in execute(url, "SELECT n FROM notes ORDER BY n")]


async def in_one_batch(database: Database, *work: tuple[Any, ...]) -> list[Any]:
    """Writes all of it while the writer is busy; results or exceptions, in order."""
    held = await HeldWriter(database).begin()
    jobs = [
        asyncio.ensure_future(
            database.write_many(*args) if args[0] is note_all else database.write(*args)
        )
        for args in work
    ]
    await asyncio.sleep(0)
    await held.release()
    return await asyncio.gather(*jobs, return_exceptions=True)


# ---- what stays ----


class Result:
    """Something that can be seen to be gone."""


def is_gone(result: weakref.ref[Result]) -> bool:
    return result() is None


async def test_a_thread_that_waits_keeps_nothing_of_its_last_job(db: Database) -> None:
    for run in (db.read, db.write):
        kept = weakref.ref(await run(lambda connection: Result()))
        await until(partial(is_gone, kept))


# ---- order ----


async def test_what_waits_is_committed_together_and_answered_in_order(
    db: Database, sizes: list[int], published: Published
) -> None:
    """Events and results come back in the order of the writes, each event before its result."""
    returned: list[int] = []

    async def write(n: int) -> None:
        returned.append(await db.write(note, n))
        assert n in published

    held = await HeldWriter(db).begin()
    writes = [asyncio.create_task(write(n)) for n in range(100)]
    await asyncio.sleep(0)
    assert db.in_flight == 101
    await held.release()
    await asyncio.gather(*writes)
    assert sizes == [1, BATCH_MAX, 100 - BATCH_MAX]
    assert published == returned == list(range(100))
    assert db.in_flight == 0


async def test_a_lone_write_waits_for_nobody(db: Database, sizes: list[int]) -> None:
    for n in range(3):
        assert await db.write(note, n) == n
    assert sizes == [1, 1, 1]


async def test_events_are_published_after_commit(
    database_url: str, db: Database, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_from_outside: list[list[int]] = []

    def look(emitted: Emitted) -> None:
        seen_from_outside.append(stored(database_url))

    monkeypatch.setattr(published, "append", look)
    await db.write(note, 1)
    assert seen_from_outside == [[1]]


def note_all(tx: Transaction, rows: Sequence[int]) -> Sequence[tuple[int, int] | DomainError]:
    """Store all but 3. Results tell how many rows the call had."""
    return [NotFound() if n == 3 else (note(tx, n), len(rows)) for n in rows]


async def test_rows_that_wait_for_one_function_are_handed_over_together(
    db: Database, published: Published
) -> None:
    """Their events come in the order of the rows, also when the first row is refused."""
    results = await in_one_batch(db, (note_all, 3), (note, 2), (note_all, 1), (note_all, 4))
    assert isinstance(results[0], NotFound)
    assert results[1:] == [2, (1, 3), (4, 3)]
    assert published == [1, 4, 2]


class HeldReaders:
    """All reader threads, kept busy: what is read meanwhile waits."""

    def __init__(self, database: Database, count: int) -> None:
        self._released, self._entered = threading.Event(), threading.Semaphore(0)
        self._jobs = [asyncio.ensure_future(database.read(self._hold)) for _ in range(count)]

    def _hold(self, connection: Connection) -> None:
        self._entered.release()
        self._released.wait(HOLD_LIMIT_S)

    async def begin(self) -> "HeldReaders":
        for _ in self._jobs:
            await until(lambda: self._entered.acquire(blocking=False))
        return self

    async def release(self) -> None:
        self._released.set()
        await asyncio.gather(*self._jobs)


def read_all(
    connection: Connection, rows: Sequence[int]
) -> Sequence[tuple[int, int] | DomainError]:
    """Return each row with how many rows the call had. There is no 3, and 1000 is an error."""
    if 1000 in rows:
        raise ZeroDivisionError
    return [NotFound() if n == 3 else (n, len(rows)) for n in rows]


async def read_together(database: Database, rows: Sequence[int]) -> list[Any]:
    """Read them while the readers are busy; results or exceptions, in order."""
    held = await HeldReaders(database, READERS).begin()
    jobs = [asyncio.ensure_future(database.read_many(read_all, n)) for n in rows]
    await asyncio.sleep(0)
    await held.release()
    return await asyncio.gather(*jobs, return_exceptions=True)


async def test_waiting_reads_of_one_function_are_answered_together(db: Database) -> None:
    """Each gets the result of its own row, and a row that is refused fails alone."""
    results = await read_together(db, range(100))
    assert isinstance(results.pop(3), NotFound)
    assert [n for n, _ in results] == [*range(3), *range(4, 100)]
    assert [size for _, size in results] == [BATCH_MAX] * (BATCH_MAX - 1) + [100 - BATCH_MAX] * (
        100 - BATCH_MAX
    )
    assert db.in_flight == 0


async def test_a_lone_read_waits_for_nobody(db: Database) -> None:
    for n in range(3):
        assert await db.read_many(read_all, n) == (n, 1)


async def test_one_bad_read_does_not_spoil_its_group(db: Database) -> None:
    results = await read_together(db, [10, 11, 1000, 12])
    assert isinstance(results.pop(2), ZeroDivisionError)
    assert results == [(10, 1), (11, 1), (12, 1)]


# ---- failures ----


def divide(tx: Transaction) -> None:
    tx.execute_sql("SELECT 1 / 0")


def fail_after_writing(tx: Transaction, n: int) -> None:
    note(tx, n)
    raise ZeroDivisionError


async def test_one_bad_write_does_not_spoil_its_batch(db: Database, database_url: str) -> None:
    for poison in ((divide,), (fail_after_writing, 1000), (note, 5)):  # the last: a duplicate key
        execute(database_url, "TRUNCATE notes")
        execute(database_url, "INSERT INTO notes VALUES (5)")
        work = [(note, n) for n in range(100, 163)]
        results = await in_one_batch(db, *work[:30], poison, *work[30:])
        assert isinstance(
            results.pop(30), psycopg2.Error | peewee.PeeweeException | ZeroDivisionError
        )
        assert results == list(range(100, 163))
        assert stored(database_url) == [5, *range(100, 163)]


async def test_a_domain_error_fails_its_own_write_alone_and_without_a_second_run(
    db: Database, database_url: str, sizes: list[int], published: Published
) -> None:
    runs = []

    def refuse(tx: Transaction) -> None:
        runs.append(1)
        tx.emit("notes", Noted(3))
        raise Conflict("taken")

    results = await in_one_batch(db, (note, 1), (refuse,), (note, 2))
    assert (results[0], results[2]) == (1, 2) and isinstance(results[1], Conflict)
    assert runs == [1] and sizes == [1, 3] and stored(database_url) == published == [1, 2]


async def test_a_failed_write_publishes_nothing(
    db: Database, database_url: str, published: Published
) -> None:
    for fn, args in ((fail_after_writing, (1,)), (divide, ())):
        with pytest.raises((ZeroDivisionError, psycopg2.Error)):
            await db.write(fn, *args)
    results = await in_one_batch(db, (fail_after_writing, 1), (note, 2))
    assert isinstance(results[0], ZeroDivisionError)
    assert published == stored(database_url) == [2]


async def test_a_publisher_that_raises_harms_no_result_and_no_other_event(
    db: Database, database_url: str, published: Published, expected_log: list[str]
) -> None:
    expected_log.append("publishing Emission failed")
    published.fail_at = 1
    results = await asyncio.gather(db.write(note, 1), db.write(note, 2))
    assert list(results) == stored(database_url) == [1, 2] and published == [2]


async def test_a_publisher_that_raises_costs_no_message(
    service: Service, expected_log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_log.append("publishing Emission failed")
    alice = service.user_token()
    await service.chat_id(alice)

    def fail(event: object) -> None:
        raise RuntimeError("no bus")

    monkeypatch.setattr(service.app.bus, "publish", fail)
    answer = await service.post("/support_chat/messages", alice, {"content": "hello"})
    assert answer.status == 201
    assert (await service.get("/support_chat", alice)).json["messages"] == [answer.json]


async def test_an_event_of_a_message_that_was_rolled_back_is_never_delivered(
    service: Service, expected_log: list[str]
) -> None:
    """The insert succeeds, the COMMIT does not; the messages that shared its batch are stored and delivered."""
    expected_log.append("failed")
    execute(
        service.database_url,
        """
        CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.content = 'poison' THEN RAISE 'poisoned'; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER poison AFTER INSERT ON support_messages
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION poison()
        """,
    )
    alice = service.user_token()
    await service.chat_id(alice)
    stream = await service.stream(alice)
    await stream.next("state")
    contents = ["a", "b", "poison", "c", "d"]
    answers = await asyncio.gather(
        *(service.post("/support_chat/messages", alice, {"content": text}) for text in contents)
    )
    assert [answer.status for answer in answers] == [201, 201, 500, 201, 201]
    delivered = await stream.messages_up_to(4)
    assert delivered == (await service.get("/support_chat", alice)).json["messages"]
    assert sorted(message["content"] for message in delivered) == ["a", "b", "c", "d"]


# ---- connections ----


def backend(connection: Connection) -> int:
    return int(connection.execute_sql("SELECT pg_backend_pid()")[0][0])


async def test_a_write_whose_connection_is_cut_is_run_once_more(
    db: Database, database_url: str
) -> None:
    runs: list[int] = []

    def note_and_lose(tx: Transaction, n: int) -> int:
        runs.append(backend(tx))
        note(tx, n)
        if len(runs) == 1:
            execute(database_url, "SELECT pg_terminate_backend(%s)", runs[0])
        return n

    assert await db.write(note_and_lose, 1) == 1
    assert len(set(runs)) == 2 and stored(database_url) == [1]


async def test_a_commit_whose_answer_is_lost_does_not_double_the_message(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks between PostgreSQL's COMMIT and its answer: the batch is run again and finds its rows."""
    alice = service.user_token()
    await service.chat_id(alice)
    stream = await service.stream(alice)
    await stream.next("state")
    commit, commits = Transaction.commit, []

    def commit_and_lose(tx: Transaction) -> None:
        commit(tx)
        commits.append(1)
        if len(commits) in (1, 3):
            tx.database.connection().close()  # type: ignore[no-untyped-call]
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Transaction, "commit", commit_and_lose)
    answers = [
        await service.post("/support_chat/messages", alice, {"content": f"m{n}"}) for n in range(3)
    ]
    assert [answer.status for answer in answers] == [201, 201, 201] and len(commits) == 5
    assert [answer.json["seq"] for answer in answers] == [1, 2, 3]
    assert await stream.messages_up_to(3) == [answer.json for answer in answers]


async def test_only_an_unknown_outcome_of_a_commit_with_events_is_in_doubt(
    db: Database,
    database_url: str,
    doubts: list[str],
    published: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else each deadlock and each broken read would have all streams compared with the database."""
    runs: list[str] = []

    def fail_once(tx: Connection, how: str) -> None:
        if isinstance(tx, Transaction):
            tx.emit("notes", Noted(len(runs)))
        if how not in runs:
            runs.append(how)
            if how == "lost":
                execute(database_url, "SELECT pg_terminate_backend(%s)", backend(tx))
            tx.execute_sql("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$")

    await db.write(fail_once, "deadlock")
    with pytest.raises(psycopg2.Error):
        await db.write(divide)
    await db.read(fail_once, "lost")
    runs.clear()
    await db.write(fail_once, "lost")  # before COMMIT: certainly not stored
    assert published == [1, 1] and not doubts
    lose_next_commit(monkeypatch)
    await db.write(backend)  # emits nothing
    assert not doubts
    lose_next_commit(monkeypatch)
    await db.write(note_unless_stored, 7)
    assert doubts == ["doubt"] and published == [1, 1] and stored(database_url) == [7]


def lose_next_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next COMMIT is carried out, but the connection breaks before its response."""
    commit = Transaction.commit

    def commit_and_lose(tx: Transaction) -> None:
        monkeypatch.setattr(Transaction, "commit", commit)
        commit(tx)
        tx.database.connection().close()  # type: ignore[no-untyped-call]
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Transaction, "commit", commit_and_lose)


def note_unless_stored(tx: Transaction, n: int) -> None:
    if not tx.execute_sql("SELECT n FROM notes WHERE n = %s", n):
        note(tx, n)


async def test_threads_come_back_after_all_connections_were_cut(
    db: Database, database_url: str
) -> None:
    await db.write(note, 1)
    await asyncio.gather(*(db.read(backend) for _ in range(4)))
    for n in (2, 3):
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'chatsvc %'"
        assert len(execute(database_url, cut)) >= 2
        assert await db.write(note, n) == n
        assert len(await asyncio.gather(*(db.read(backend) for _ in range(4)))) == 4
    assert stored(database_url) == [1, 2, 3]


async def test_a_connection_that_breaks_inside_a_query_of_two_statements_is_unavailable(
    db: Database, expected_log: list[str]
) -> None:
    """A restart of PostgreSQL under load once gave a 500: psycopg2 raises its plain DatabaseError then, without a SQLSTATE."""
    expected_log.append("the database failed")

    def cut(connection: Connection) -> None:
        raise psycopg2.DatabaseError("server closed the connection unexpectedly")

    with pytest.raises(Unavailable):
        await db.write(cut)


async def test_a_full_disk_is_unavailable_and_no_reason_to_reconnect(
    db: Database, database_url: str, expected_log: list[str]
) -> None:
    """DiskFull is an OperationalError, as a lost connection is: taken for one it makes a loop of reconnects."""
    expected_log.append("the database failed")

    def fill_up(connection: Connection, state: str) -> None:
        connection.execute_sql(
            f"DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '{state}'; END $$"
        )

    before = await db.write(backend)
    for state in ("53100", "53300", "57014"):
        with pytest.raises(Unavailable):
            await db.write(fill_up, state)
    assert await db.write(backend) == before


async def test_a_failover_needs_no_restart(service: Service, expected_log: list[str]) -> None:
    """The address leads to a read-only server for a while, then to a writable one again.

    Once every message was refused until a restart, and /readyz said ready: the writer kept its
    connection, on which nothing could be written.
    """
    expected_log.append("the database failed")
    alice, url = service.user_token(), service.database_url
    await service.send(alice, "before")
    await asyncio.to_thread(set_read_only, url, True)
    for _ in range(2):
        refused = await service.post("/support_chat/messages", alice, {"content": "meanwhile"})
        assert refused.status == 503
    assert (await service.get("/readyz")).status == 503
    await asyncio.to_thread(set_read_only, url, False)
    for content in ("after", "and again"):
        assert (await service.send(alice, content))["content"] == content
    assert (await service.get("/readyz")).status == 200


async def test_a_reader_opens_no_connection_to_a_standby(
    service: Service, expected_log: list[str]
) -> None:
    """A read from a standby that lags behind would show less than was acknowledged."""
    expected_log.append("the database failed")
    alice, url = service.user_token(), service.database_url
    await service.send(alice, "before")
    await asyncio.to_thread(set_read_only, url, True, cut=True)
    assert (await service.get("/support_chat", alice)).status == 503
    assert (await service.get("/readyz")).status == 503
    await asyncio.to_thread(set_read_only, url, False)
    assert (await service.get("/support_chat", alice)).json["last_seq"] == 1
    assert (await service.get("/readyz")).status == 200


def set_read_only(url: str, on: bool, *, cut: bool = False) -> None:
    """Make the database read-only for new connections, and as a provider does for present ones.

    With `cut` present connections end, as at a failover.
    """
    admin = with_database(url, "postgres")
    name = urlsplit(url).path.removeprefix("/")
    value = "on" if on else "off"
    execute(admin, f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    if on:
        execute(admin, f"{others} AND (application_name = 'chatsvc writer' OR %s)", name, cut)


async def test_a_refused_write_counts_until_one_succeeds_or_for_a_while(
    db: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    expected_log: list[str],
) -> None:
    """/readyz said ready while the disk was full. For ever it must not say otherwise.

    A load balancer sends no traffic to a server that is not ready, so nothing would be written.
    """
    expected_log.append("the database failed")

    def fail(tx: Transaction, state: str) -> None:
        tx.execute_sql(f"DO $$ BEGIN RAISE EXCEPTION 'failed' USING ERRCODE = '{state}'; END $$")

    for state, is_refusal in (("53100", True), ("57014", False), ("25006", True)):
        before = await db.write(backend)
        with pytest.raises(Unavailable):
            await db.write(fail, state)
        assert db.refuses_writes is is_refusal
        await db.write(note, int(state))
        assert not db.refuses_writes
        assert (await db.write(backend) == before) is (state != "25006")
    with pytest.raises(Unavailable):
        await db.write(fail, "53100")
    assert db.refuses_writes
    monkeypatch.setattr(db_module, "REFUSAL_S", 0.0)
    assert not db.refuses_writes


async def test_two_that_stand_in_each_others_way_are_run_again_at_once(db: Database) -> None:
    runs: list[int] = []

    def deadlock(connection: Connection) -> str:
        runs.append(1)
        if len(runs) == 1:
            connection.execute_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"
            )
        return "done"

    assert await db.write(deadlock) == "done" and len(runs) == 2


async def test_each_connection_says_what_it_is_and_has_its_limits(db: Database) -> None:
    def settings(connection: Connection) -> list[str]:
        names = (
            "application_name",
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
        )
        return [
            str(connection.execute_sql("SELECT current_setting(%s)", name)[0][0]) for name in names
        ]

    assert await db.write(settings) == ["chatsvc writer", "5s", "3s", "10s"]
    assert await db.read(settings) == ["chatsvc reader", "5s", "3s", "10s"]


# ---- limits ----


async def test_work_beyond_the_bound_is_refused(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "IN_FLIGHT_MAX", 3)
    held = await HeldWriter(db).begin()
    accepted = [asyncio.ensure_future(db.write(note, n)) for n in range(2)]
    await asyncio.sleep(0)
    for refused in (db.write(note, 9), db.read(backend)):
        with pytest.raises(Unavailable) as error:
            await refused
        assert error.value.retry_after_s and error.value.status == 503
    await held.release()
    assert await asyncio.gather(*accepted) == [0, 1]
    assert await db.read(backend)


async def test_nobody_waits_longer_than_the_limit(
    db: Database, database_url: str, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running write is stored and published, late; one not yet started is dropped."""
    monkeypatch.setattr(db_module, "WAIT_LIMIT_S", 0.1)
    entered, released = threading.Event(), threading.Event()

    def slow_note(tx: Transaction, n: int) -> int:
        entered.set()
        released.wait(20)
        return note(tx, n)

    begun = asyncio.ensure_future(db.write(slow_note, 1))
    await until(entered.is_set)
    waiting = asyncio.ensure_future(db.write(note, 2))
    results = await asyncio.gather(begun, waiting, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    released.set()
    await until(lambda: db.in_flight == 0)
    assert published == stored(database_url) == [1]


async def test_a_caller_that_is_cancelled_stops_no_write(
    db: Database, database_url: str, published: Published
) -> None:
    held = await HeldWriter(db).begin()
    gone = asyncio.ensure_future(db.write(note, 1))
    await asyncio.sleep(0)
    gone.cancel()
    await held.release()
    await until(lambda: db.in_flight == 0)
    assert stored(database_url) == published == [1]


async def test_a_stop_commits_what_was_accepted(database_url: str) -> None:
    execute(database_url, "CREATE TABLE notes (n int PRIMARY KEY)")
    database = Database(database_url)
    await database.start()
    writes = [asyncio.ensure_future(database.write(note, n)) for n in range(200)]
    await asyncio.sleep(0)
    await database.stop()
    assert await asyncio.gather(*writes) == list(range(200)) == stored(database_url)


async def test_a_query_outside_its_thread_is_refused(db: Database) -> None:
    """A foreign key touched on the loop would run SQL there and hold up everybody."""
    connection: Any = await db.write(lambda tx: tx)
    for use in (
        connection.commit,
        lambda: connection.execute_sql("SELECT 1"),
        lambda: connection.database,
    ):
        with pytest.raises(RuntimeError, match="outside its thread"):
            use()
    unbound: Callable[[], object] = lambda: list(User.select())  # noqa: E731
    with pytest.raises((peewee.PeeweeException, AttributeError)):
        unbound()

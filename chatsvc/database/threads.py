"""Database threads: several readers, and one writer that commits waiting work in one transaction.

A function passed to `read` or `write` runs on a database thread with a Connection or a
Transaction. It returns wire structs or plain values, never Peewee model instances. A function
passed to `write` may run twice (when the outcome of its COMMIT is unknown), so it must be safe to
repeat: ids are made before it is called.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from chatsvc.database.connection import (
    Connection,
    Transaction,
    is_repeatable,
    is_transient,
    refuses_writes,
)
from chatsvc.errors import DomainError, Unavailable
from chatsvc.events import Emission, Signal

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = TypeVar("Row")
AnyConnection = TypeVar("AnyConnection", bound=Connection)

READERS = 4  # they mostly wait for PostgreSQL; more than there are cores only costs connections
BATCH_MAX = 64  # beyond 50 rows a row gets no cheaper, and a failed batch repeats more work
WAIT_LIMIT_S = 5.0  # how long a caller waits for a database thread before the response is 503
# Threads that run one function's groups. More threads mean smaller groups; with one, a hung
# connection would block all of them.
GROUPS_AT_ONCE = 2
IN_FLIGHT_MAX = 2_000  # two seconds of work at full speed; more would exceed WAIT_LIMIT_S
# How long a refused write keeps the process "not ready"; an idle process has no other write to
# clear it.
REFUSAL_S = 30.0
DRAIN_LIMIT_S = 10.0  # at stop: to commit accepted work

Emitted = Emission | Signal


class _Job(Generic[T]):
    """A function on its way to a database thread and back."""

    __slots__ = (
        "abandoned",
        "args",
        "emitted",
        "error",
        "fn",
        "future",
        "in_doubt",
        "ran",
        "result",
        "takes_rows",
    )

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], *, takes_rows: bool = False
    ) -> None:
        self.fn, self.args, self.takes_rows = fn, args, takes_rows
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        # for write_many the first job holds the emissions of all rows
        self.emitted: list[Emitted] = []
        self.ran = False
        self.abandoned = False  # the caller no longer waits: do not start it
        self.in_doubt = False  # COMMIT failed after events were emitted; it may have succeeded

    def settle(self, result: Any) -> None:
        """Take what the function returned for this job. A returned exception counts as raised."""
        self.ran = True
        self.error, self.result = (
            (result, None) if isinstance(result, BaseException) else (None, result)
        )

    def fail(self, error: BaseException | None) -> None:
        """The transaction was rolled back. With `error` None the job will run again."""
        self.ran, self.emitted, self.error = False, [], error


class _Group:
    """The waiting reads of one function that takes rows.

    GROUPS_AT_ONCE threads run it at the same time. What arrives meanwhile is the next group.
    """

    __slots__ = ("_jobs", "_reads", "_threads")

    def __init__(self, reads: "_ReadQueue") -> None:
        self._jobs: SimpleQueue[_Job[Any]] = SimpleQueue()
        self._reads = reads
        self._threads = threading.Semaphore(GROUPS_AT_ONCE)  # that this group may still wake

    def put(self, job: _Job[Any]) -> None:
        self._jobs.put(job)
        self._queue()

    def take(self) -> list[_Job[Any]]:
        """Return waiting jobs, up to BATCH_MAX. There may be none."""
        jobs: list[_Job[Any]] = []
        with suppress(Empty):
            while len(jobs) < BATCH_MAX:
                jobs.append(self._jobs.get_nowait())
        return jobs

    def done(self) -> None:
        """Note that the thread has run its jobs; wake another if more wait."""
        self._threads.release()
        if not self._jobs.empty():
            self._queue()

    def _queue(self) -> None:
        """Wake one thread, not one for each job."""
        if self._threads.acquire(blocking=False):
            self._reads.put(self)


_Queue = SimpleQueue[_Job[Any] | None]  # None ends the thread
_ReadQueue = SimpleQueue[_Job[Any] | _Group | None]


class Database:
    """Runs functions on database threads and brings their results back to the loop.

    After COMMIT, `publish` is called on the loop with each event and signal that the transaction
    emitted, in commit order. `on_doubt()` is called on the loop if it is unknown whether a
    transaction with events was committed: its repetition may have found nothing to change and so
    emitted nothing. `on_commit(size, seconds)` is called on the writer thread after each commit.
    """

    def __init__(
        self,
        url: str,
        *,
        publish: Callable[[Emitted], None] = lambda emitted: None,
        readers: int = READERS,
        on_commit: Callable[[int, float], None] = lambda size, seconds: None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._publish, self._on_commit, self._on_doubt = publish, on_commit, on_doubt
        self._reads: _ReadQueue = SimpleQueue()
        self._groups: dict[Callable[..., Any], _Group] = {}
        self._writes: _Queue = SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_loop, name=f"db-reader-{n}", daemon=True)
            for n in range(readers)
        ]
        self._writer = threading.Thread(target=self._write_loop, name="db-writer", daemon=True)
        self._in_flight = 0
        self._refused_at = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def in_flight(self) -> int:
        """Accepted functions whose results are outstanding."""
        return self._in_flight

    @property
    def refuses_writes(self) -> bool:
        """Whether the last write failed because the database is read-only, full or unreachable."""
        return time.monotonic() < self._refused_at + REFUSAL_S

    @property
    def queued_writes(self) -> int:
        """Writes that wait for the writer thread."""
        return self._writes.qsize()

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in (*self._readers, self._writer):
            thread.start()

    async def stop(self) -> None:
        """Commit accepted work and close the connections. Give up after DRAIN_LIMIT_S."""
        for _ in self._readers:
            self._reads.put(None)
        self._writes.put(None)
        deadline = time.monotonic() + DRAIN_LIMIT_S
        for thread in (*self._readers, self._writer):
            await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))

    async def read(self, fn: Callable[..., T], *args: Any) -> T:
        """Run `fn(connection, *args)` on a reader thread. Raises Unavailable without a database."""
        job: _Job[T] = _Job(fn, args)
        return await self._submit(job, self._reads.put)

    async def read_many(
        self, fn: Callable[[Connection, Sequence[Row]], Sequence[T | DomainError]], row: Row
    ) -> T:
        """Like `read`, but `fn` gets the rows of up to BATCH_MAX callers that wait for it.

        It returns one result, or DomainError, per row. A lone caller is not delayed.
        """
        group = self._groups.get(fn)
        if group is None:
            group = self._groups[fn] = _Group(self._reads)
        job: _Job[T] = _Job(fn, (row,), takes_rows=True)
        return await self._submit(job, group.put)

    async def write(self, fn: Callable[..., T], *args: Any) -> T:
        """Run `fn(tx, *args)` on the writer thread, in a transaction that it may share with others.

        Returns after COMMIT, when everything that `fn` emitted was published. Raises what `fn`
        raised (nothing is stored or published then), or Unavailable after WAIT_LIMIT_S or without
        a database. A DomainError does not roll back: raise it before changing anything.
        """
        job: _Job[T] = _Job(fn, args)
        return await self._submit(job, self._writes.put)

    async def write_many(
        self, fn: Callable[[Transaction, Sequence[Row]], Sequence[T | DomainError]], row: Row
    ) -> T:
        """Like `write`, but `fn` gets the rows of all callers that wait for it at once.

        It returns one result, or DomainError, per row and emits in the order of the rows.
        """
        job: _Job[T] = _Job(fn, (row,), takes_rows=True)
        return await self._submit(job, self._writes.put)

    async def _submit(self, job: _Job[T], put: Callable[[_Job[Any]], None]) -> T:
        assert self._loop is not None
        if self._in_flight >= IN_FLIGHT_MAX:
            raise Unavailable("too many requests are waiting for the database")
        self._in_flight += 1
        put(job)
        limit = self._loop.call_later(WAIT_LIMIT_S, _give_up, job)
        try:
            return await job.future
        finally:
            limit.cancel()

    # ---- on database threads ----

    def _read_loop(self) -> None:
        connection = Connection(self._url, application_name="chatsvc reader")
        while (item := self._reads.get()) is not None:
            jobs = [item] if isinstance(item, _Job) else item.take()
            _read(connection, [job for job in jobs if not job.abandoned])
            if isinstance(item, _Group):
                item.done()
            if jobs:
                self._hand_over(jobs)
            del item, jobs  # otherwise they and their results stay alive until the next job
        connection.close()

    def _write_loop(self) -> None:
        tx = Transaction(self._url, application_name="chatsvc writer")
        while batch := _next_batch(self._writes):
            started = time.perf_counter()
            done = _commit(tx, [job for job in batch if not job.abandoned])
            if done:
                self._on_commit(len(done), time.perf_counter() - started)
                self._note_refusal(done)
            self._hand_over(done + [job for job in batch if not job.ran and job.error is None])
            del batch, done
        tx.close()

    def _note_refusal(self, done: list[_Job[Any]]) -> None:
        causes = [job.error and job.error.__cause__ for job in done]
        if any(cause is not None and refuses_writes(cause) for cause in causes):
            self._refused_at = time.monotonic()
        elif any(job.error is None for job in done):
            self._refused_at = -math.inf

    def _hand_over(self, jobs: list[_Job[Any]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, jobs)
        except RuntimeError:
            log.warning("the loop was closed before %d results were handed over", len(jobs))

    # ---- back on the loop ----

    def _deliver(self, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            for emitted in job.emitted:
                self._publish_one(emitted)
        for job in jobs:
            self._in_flight -= 1
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if any(job.in_doubt for job in jobs):
            self._on_doubt()

    def _publish_one(self, emitted: Emitted) -> None:
        try:
            self._publish(emitted)
        except Exception:  # it is committed: a publisher that fails must not fail the caller
            log.exception("publishing %s failed", type(emitted).__name__)


def _give_up(job: _Job[Any]) -> None:
    job.abandoned = True
    if not job.future.done():
        job.future.set_exception(
            Unavailable(f"the database did not respond within {WAIT_LIMIT_S:.0f} s")
        )


def _read(connection: Connection, jobs: list[_Job[Any]]) -> None:
    """Run a job, or a group; if a group fails, run each of its jobs by itself."""
    if len(jobs) > 1:
        try:
            _run_together(connection, jobs)
            return
        except Exception as error:  # the individual runs show which job it was
            connection.rollback(error)
            log.info(
                "a group of %d reads failed, running them one by one: %s",
                len(jobs),
                type(error).__name__,
            )
    for job in jobs:
        if not job.abandoned:  # while the others ran
            _attempt(connection, job, _run)


def _next_batch(queue: _Queue) -> list[_Job[Any]]:
    """Return waiting jobs, up to BATCH_MAX; a lone job is not delayed. Empty at the end."""
    batch: list[_Job[Any]] = []
    job = queue.get()
    while job is not None:
        batch.append(job)
        if len(batch) == BATCH_MAX:
            return batch
        try:
            job = queue.get_nowait()
        except Empty:
            return batch
    if batch:
        queue.put(None)  # leave the end mark for the next call
    return batch


def _commit(tx: Transaction, batch: list[_Job[Any]]) -> list[_Job[Any]]:
    """Run the batch in one transaction; if it fails, run each job in its own.

    Returns the jobs in the order in which they ran.
    """
    if len(batch) > 1:
        try:
            return _run_transaction(tx, batch)
        except Exception as error:  # the individual runs show which job it was
            tx.rollback(error)
            log.info(
                "a batch of %d writes failed, running them one by one: %s",
                len(batch),
                type(error).__name__,
            )
            for job in batch:
                job.fail(None)
    for job in batch:
        _attempt(tx, job, lambda tx, job: _run_transaction(tx, [job]))
    return batch


def _run_transaction(tx: Transaction, batch: list[_Job[Any]]) -> list[_Job[Any]]:
    tx.begin()
    order: list[_Job[Any]] = []
    for job in batch:
        if job.ran:
            continue
        order += _run_together(tx, _alike(job, batch)) if job.takes_rows else _run(tx, job)
        job.emitted = tx.take_emitted()
    try:
        tx.commit()
    except Exception as error:
        if tx.is_lost_with(error):
            for job in order:
                job.in_doubt = job.in_doubt or _has_events(job)
        raise
    return order


def _alike(first: _Job[Any], batch: list[_Job[Any]]) -> list[_Job[Any]]:
    return [job for job in batch if job.takes_rows and job.fn == first.fn]


def _run_together(connection: Connection, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
    results = jobs[0].fn(connection, [job.args[0] for job in jobs])
    for job, result in zip(jobs, results, strict=True):
        job.settle(result)
    return jobs


def _run(connection: Connection, job: _Job[Any]) -> list[_Job[Any]]:
    if job.takes_rows:
        return _run_together(connection, [job])
    try:
        job.settle(job.fn(connection, *job.args))
    except DomainError as error:
        job.settle(error)
        if isinstance(connection, Transaction):
            connection.take_emitted()  # dropped
    return [job]


def _has_events(job: _Job[Any]) -> bool:
    return any(isinstance(emitted, Emission) for emitted in job.emitted)


def _attempt(
    connection: AnyConnection, job: _Job[Any], run: Callable[[AnyConnection, _Job[Any]], Any]
) -> None:
    """Run a job, and once more if the connection broke or another transaction was in conflict."""
    for may_repeat in (True, False):
        try:
            run(connection, job)
            return
        except Exception as error:
            repeat = may_repeat and (connection.is_lost_with(error) or is_repeatable(error))
            connection.rollback(error)
            if repeat:
                job.fail(None)
                continue
            job.fail(_as_unavailable(error) if is_transient(error) else error)
            return


def _as_unavailable(error: Exception) -> Unavailable:
    log.warning(
        "the database failed: %s",
        str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
    )
    unavailable = Unavailable("the database does not respond")
    unavailable.__cause__ = error
    return unavailable

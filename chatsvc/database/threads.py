"""The database's threads: readers, and one writer that commits what is waiting in one transaction (ARCHITECTURE.md).

A function that is given to `read` or `write` runs on a database thread with a Session. It returns wire structs or plain
values, never Peewee model instances. A function given to `write` may run twice (a commit whose answer was lost is run again), so it
is safe to repeat: ids are made before it is called.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from chatsvc.database.connection import Session, is_repeatable, is_transient
from chatsvc.errors import DomainError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = TypeVar("Row")

READERS = 4  # a reader waits for PostgreSQL most of the time; more than the cores can use only adds connections
BATCH_MAX = 64  # beyond 50 rows a commit the cost of a row no longer falls, and one bad row makes more to run again
WAIT_LIMIT_S = 5.0  # how long the loop waits for a database thread before it answers 503
IN_FLIGHT_MAX = (
    2_000  # two seconds of work at full speed; more could not be answered within WAIT_LIMIT_S
)
DRAIN_LIMIT_S = 10.0  # at stop: for what was accepted to be committed


class _Job(Generic[T]):
    """One function on its way to a database thread and back."""

    __slots__ = ("abandoned", "args", "error", "fn", "future", "in_doubt", "ran", "result", "then")

    def __init__(
        self, fn: Callable[..., T], args: tuple[Any, ...], then: Callable[[T], None] | None
    ) -> None:
        self.fn, self.args, self.then = fn, args, then
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.ran = False
        self.abandoned = False  # the loop no longer waits; what has not begun is not begun
        self.in_doubt = False  # the connection broke under it: it may be stored by a run whose `then` nobody called

    def settle(self, result: Any) -> None:
        """Takes what the function returned; a returned exception counts as raised (functions of many rows answer row by row)."""
        self.ran = True
        self.error, self.result = (
            (result, None) if isinstance(result, BaseException) else (None, result)
        )


_Queue = SimpleQueue[_Job[Any] | None]  # None ends the thread


def takes_many_rows(
    fn: Callable[[Session, Sequence[Row]], Sequence[T | DomainError]],
) -> Callable[[Session, Row], T]:
    """Declares that `fn` takes all rows that wait for it at once and answers with one result (or DomainError) per row, in order.

    It is handed to `Database.write` with a single row, as any other function.
    """
    fn.takes_many_rows = True  # type: ignore[attr-defined]
    return fn  # type: ignore[return-value]


class Database:
    """Runs functions on database threads and brings their results back to the loop.

    `on_commit(size, seconds)` is called on the writer thread after each commit. `on_doubt()` is called on the loop after a write with a
    `then` lost its connection: it may have been stored without that `then`. The run that followed it, if it came through, found
    nothing to change any more and had nothing to publish.
    """

    def __init__(
        self,
        url: str,
        *,
        readers: int = READERS,
        on_commit: Callable[[int, float], None] = lambda size, seconds: None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._on_commit, self._on_doubt = on_commit, on_doubt
        self._reads: _Queue = SimpleQueue()
        self._writes: _Queue = SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_loop, name=f"db-reader-{n}", daemon=True)
            for n in range(readers)
        ]
        self._writer = threading.Thread(target=self._write_loop, name="db-writer", daemon=True)
        self._in_flight = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def in_flight(self) -> int:
        """Functions that were accepted and have not come back."""
        return self._in_flight

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in (*self._readers, self._writer):
            thread.start()

    async def stop(self) -> None:
        """Commits what was accepted, closes the connections. Gives up after DRAIN_LIMIT_S (a frozen PostgreSQL)."""
        for _ in self._readers:
            self._reads.put(None)
        self._writes.put(None)
        deadline = time.monotonic() + DRAIN_LIMIT_S
        for thread in (*self._readers, self._writer):
            await asyncio.to_thread(thread.join, max(0.0, deadline - time.monotonic()))

    async def read(self, fn: Callable[..., T], *args: Any) -> T:
        """Runs `fn(session, *args)` on a reader thread. Raises Unavailable after WAIT_LIMIT_S or without a database."""
        return await self._submit(self._reads, _Job(fn, args, None))

    async def write(
        self, fn: Callable[..., T], *args: Any, then: Callable[[T], None] | None = None
    ) -> T:
        """Runs `fn(session, *args)` on the writer thread, inside a transaction that it may share with others.

        After COMMIT, on the loop, in the order of commits: `then(result)`, then the caller goes on. Raises what `fn` raised (then
        nothing of it is stored), Unavailable after WAIT_LIMIT_S or without a database.
        """
        return await self._submit(self._writes, _Job(fn, args, then))

    async def _submit(self, queue: _Queue, job: _Job[T]) -> T:
        assert self._loop is not None
        if self._in_flight >= IN_FLIGHT_MAX:
            raise Unavailable("too much work is waiting for the database")
        self._in_flight += 1
        queue.put(job)
        limit = self._loop.call_later(WAIT_LIMIT_S, _give_up, job)
        try:
            return await job.future
        finally:
            limit.cancel()

    # ---- on database threads ----

    def _read_loop(self) -> None:
        session = Session(self._url, application_name="chatsvc reader")
        while (job := self._reads.get()) is not None:
            if not job.abandoned:
                _attempt(session, job, _run)
            self._hand_over([job])
            del job  # else it and its result would stay here until the next
        session.close()

    def _write_loop(self) -> None:
        session = Session(self._url, application_name="chatsvc writer")
        while batch := _next_batch(self._writes):
            started = time.perf_counter()
            done = _commit(session, [job for job in batch if not job.abandoned])
            if done:
                self._on_commit(len(done), time.perf_counter() - started)
            self._hand_over(done + [job for job in batch if not job.ran and job.error is None])
            del batch, done
        session.close()

    def _hand_over(self, jobs: list[_Job[Any]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._deliver, jobs)
        except RuntimeError:
            log.warning("the loop was closed before %d results were handed over", len(jobs))

    # ---- back on the loop ----

    def _deliver(self, jobs: list[_Job[Any]]) -> None:
        for job in jobs:
            self._in_flight -= 1
            if job.ran and job.error is None and job.then is not None:
                _call_then(job)
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if any(job.in_doubt and job.then is not None for job in jobs):
            self._on_doubt()


def _give_up(job: _Job[Any]) -> None:
    job.abandoned = True
    if not job.future.done():
        job.future.set_exception(
            Unavailable(f"the database did not answer within {WAIT_LIMIT_S:.0f} s")
        )


def _call_then(job: _Job[Any]) -> None:
    assert job.then is not None
    try:
        job.then(job.result)
    except Exception:  # it is stored: the caller gets the result whatever happens to the publishing
        log.exception("what follows %s failed", getattr(job.fn, "__name__", job.fn))


def _next_batch(queue: _Queue) -> list[_Job[Any]]:
    """What waits in the queue, up to BATCH_MAX jobs; a lone job waits for nobody. Empty at the end."""
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
        queue.put(None)
    return batch


def _commit(session: Session, batch: list[_Job[Any]]) -> list[_Job[Any]]:
    """Runs the batch in one transaction; if that fails it is rolled back and run one by one. Returns the jobs in the order they ran."""
    if len(batch) > 1:
        try:
            return _run_transaction(session, batch)
        except Exception as error:  # whatever it is, each job's own run says whose it was
            in_doubt = session.is_lost_with(error)
            for job in batch:
                job.in_doubt = in_doubt
            session.rollback()
            log.info(
                "a batch of %d writes failed and is run one by one: %s",
                len(batch),
                type(error).__name__,
            )
    for job in batch:
        _attempt(session, job, lambda session, job: _run_transaction(session, [job]))
    return batch


def _run_transaction(session: Session, batch: list[_Job[Any]]) -> list[_Job[Any]]:
    session.begin()
    order: list[_Job[Any]] = []
    for job in batch:
        if not getattr(job.fn, "takes_many_rows", False):
            _run(session, job)
            order.append(job)
        elif job not in order:
            together = [other for other in batch if other.fn is job.fn]
            for each, result in zip(
                together, job.fn(session, [other.args[0] for other in together]), strict=True
            ):
                each.settle(result)
            order += together
    session.commit()
    return order


def _run(session: Session, job: _Job[Any]) -> None:
    try:
        job.settle(job.fn(session, *job.args))
    except DomainError as error:
        job.settle(error)


def _attempt(session: Session, job: _Job[Any], run: Callable[[Session, _Job[Any]], Any]) -> None:
    """Runs a job; once more if the connection broke or another transaction stood in its way. The job ends with a result or an error."""
    for may_repeat in (True, False):
        try:
            run(session, job)
            return
        except Exception as error:
            is_lost = session.is_lost_with(error)
            job.in_doubt = job.in_doubt or is_lost
            repeat = may_repeat and (is_lost or is_repeatable(error))
            session.rollback()
            job.ran = False
            if not repeat:
                job.error = _as_unavailable(error) if is_transient(error) else error
                return


def _as_unavailable(error: Exception) -> Unavailable:
    log.warning(
        "the database could not do it: %s",
        str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
    )
    unavailable = Unavailable("the database does not answer")
    unavailable.__cause__ = error
    return unavailable

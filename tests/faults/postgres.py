"""A PostgreSQL of the tests' own, with fsync, that can be restarted and frozen."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg2

from chatsvc.postgres.manager import EmbeddedPostgres
from tests.support.postgres import Cluster, answers
from tests.support.waiting import wait


def postmaster_pid(data_dir: Path) -> int:
    """The pid of the PostgreSQL below a DATA_DIR; 0 while there is none."""
    try:
        return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
    except (OSError, IndexError):
        return 0


class DurablePostgres(Cluster):
    """Started by this process, which starts it again when it ends. All methods block."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._embedded = EmbeddedPostgres(data_dir, fsync=True)
        super().__init__(self._embedded.start())

    def stop(self) -> None:
        self._embedded.stop()

    def restart(self, how: signal.Signals) -> float:
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one. Returns the seconds until it answers again."""
        pid, began = postmaster_pid(self._data_dir), time.monotonic()
        os.kill(pid, how)
        wait(
            lambda: postmaster_pid(self._data_dir) not in (0, pid) and answers(self.url),
            "PostgreSQL is back",
        )
        return time.monotonic() - began

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops all its processes as they are: connections stay open, nobody answers."""
        postmaster = psutil.Process(postmaster_pid(self._data_dir))
        postmaster.suspend()
        processes = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in processes:
                process.suspend()
            yield
        finally:
            for process in processes:
                process.resume()


@contextmanager
def locked_chat(database_url: str, chat_id: str) -> Iterator[Callable[[], None]]:
    """Lock a chat's row, so that writes to the chat wait. Return the function that releases it."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM support_chats WHERE id = %s FOR UPDATE", [chat_id])
        yield connection.rollback

"""Who starts and stops the PostgreSQL that comes with the Python environment, when no DATABASE_URL is given.

DATA_DIR/postgres holds
    owner.lock    flock of the process that starts and stops the cluster; who else comes uses what it started
    users.lock    shared flock of every command that uses it: one that owns it stops it after the last
    cluster.lock  flock that PostgreSQL's own processes inherit (cluster.py)
    log           what PostgreSQL has to say
    cluster       PostgreSQL's data directory, mode 0700, with the socket inside
Only the server's account and root can connect: peer authentication on that socket, no TCP, no password.
"""

import contextlib
import fcntl
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg2

from chatsvc.postgres import launch
from chatsvc.postgres.cluster import NAME, PORT, READY_WAIT_S, Cluster
from chatsvc.postgres.launch import EmbeddedError
from chatsvc.postgres.locks import open_private, polls, try_lock, unlock

__all__ = ["EmbeddedError", "EmbeddedPostgres"]

SOCKET_PATH_MAX = 103  # bytes: sun_path takes 108 on Linux, 104 on macOS, with the closing NUL
OWNER_WAIT_S = 10  # a command that owns the cluster lives a second or two
USERS_WAIT_S = 10  # the same, seen from a command that would stop the cluster
OWNER_ONLY = 0o700


class EmbeddedPostgres:
    """The cluster below `data_dir`. Its methods block: not for the loop's thread while the loop runs.

    fsync=False is for tests: a crash of PostgreSQL loses its latest commits, one of the machine everything.
    """

    def __init__(self, data_dir: Path, *, fsync: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._base = self._data_dir / "postgres"
        self._fsync = fsync
        self._cluster: Cluster | None = None  # while this object owns it
        self._exclusive = False
        self._undo = contextlib.ExitStack()

    def start(self, *, exclusive: bool = False) -> str:
        """The postgresql:// URL of a database that answers; starts the cluster unless another process has.

        exclusive=True is for the server: it must own the cluster, or another's stop() would take it away.
        The URL may hold a path that is valid only while this object is started. Raises EmbeddedError.
        """
        self._exclusive = exclusive
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise EmbeddedError(
                f"embedded PostgreSQL: {error.filename or self._base}: {error.strerror or error}; "
                "CHATSVC_DATA_DIR must name a folder that this account can write to, with space left"
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the cluster if this object started it, never another process's. May be repeated."""
        cluster, self._cluster = self._cluster, None
        try:
            if cluster is not None:
                if not self._exclusive:
                    self._wait_for_users()
                cluster.stop()
        finally:
            self._undo.close()

    def _start(self) -> str:
        self._data_dir.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        folder = self._base / "cluster"
        account = launch.account_for(folder, self._data_dir)
        self._make_base()
        url = f"postgresql://{NAME}@/{NAME}?host={quote(str(self._socket_folder(folder)), safe='')}&port={PORT}"
        if self._join(folder, url):
            self._cluster = Cluster(folder, account, fsync=self._fsync)
            self._cluster.start()
            self._cluster.wait_until_ready(lambda: has_database(url, create=True))
        return url

    # Folders and names

    def _make_base(self) -> None:
        """Root makes it for the owner of DATA_DIR, who must be able to run the server himself later."""
        with contextlib.suppress(FileExistsError):
            self._base.mkdir(mode=OWNER_ONLY)
            if os.geteuid() == 0:
                owner = self._data_dir.stat()
                os.chown(self._base, owner.st_uid, owner.st_gid)

    def _socket_folder(self, folder: Path) -> Path:
        """A name of the cluster's folder, short enough for a socket's path, good while we are started."""
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX:
            return folder
        if (
            sys.platform == "linux"
        ):  # no file in /tmp that a cleaner or a private /tmp could take away
            descriptor = os.open(self._base, os.O_PATH | os.O_DIRECTORY)
            self._undo.callback(os.close, descriptor)
            return Path(f"/proc/{os.getpid()}/fd/{descriptor}") / folder.name
        alias = Path(self._undo.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))) / "c"
        alias.symlink_to(folder)
        return alias

    # Owner or user of the cluster

    def _join(self, folder: Path, url: str) -> bool:
        """True when this process became the owner; False when another owner's cluster answers."""
        owner, self._users = (self._lock_file("owner.lock"), self._lock_file("users.lock"))
        for _ in polls(
            OWNER_WAIT_S if self._exclusive else READY_WAIT_S, f"the chatsvc that owns {folder}"
        ):
            # a server does not count as a user: the command whose end it waits for would wait for it
            using = not self._exclusive and try_lock(self._users, fcntl.LOCK_SH)
            if try_lock(owner):
                return True
            if using and has_database(url):
                return False
        raise EmbeddedError(
            f"another chatsvc runs on the data directory {self._data_dir}: "
            "stop it, or give this one a CHATSVC_DATA_DIR of its own"
        )

    def _lock_file(self, name: str) -> int:
        descriptor = open_private(self._base / name)
        self._undo.callback(unlock, descriptor)
        return descriptor

    def _wait_for_users(self) -> None:
        for _ in polls(USERS_WAIT_S, "other commands that use the embedded PostgreSQL"):
            if try_lock(self._users):
                return


def has_database(url: str, *, create: bool = False) -> bool:
    """Whether the server at `url` answers and holds our database (made now if `create`)."""
    try:
        connection = psycopg2.connect(url, dbname="postgres", connect_timeout=2)
    except psycopg2.OperationalError:
        return False
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            found = cursor.fetchone() is not None
            if create and not found:
                cursor.execute(f'CREATE DATABASE "{NAME}"')
        return found or create
    finally:
        connection.close()

"""Share the embedded PostgreSQL between the server and the commands if DATABASE_URL is not set.

DATA_DIR/postgres contains
    owner.lock    flock of the process that starts and stops the cluster; other processes use it
    users.lock    shared flock of every command that uses it; an owning command waits for them
    cluster.lock  flock that PostgreSQL's own processes inherit (cluster.py)
    log           PostgreSQL's log
    cluster       PostgreSQL's data directory, mode 0700, with the socket inside
Only the server's account and root can connect: the socket uses peer authentication, and PostgreSQL
listens on no TCP port.
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

SOCKET_PATH_MAX = 103  # bytes: sun_path takes 108 on Linux and 104 on macOS, including the NUL
OWNER_WAIT_S = 10  # a command that owns the cluster runs for a second or two
USERS_WAIT_S = 10  # the same for a command that is about to stop the cluster
OWNER_ONLY = 0o700


class EmbeddedPostgres:
    """The cluster in `data_dir`. Its methods block, so do not call them on a running event loop.

    fsync=False is for tests: a crash of PostgreSQL loses its latest commits, and a crash of the
    machine can destroy the cluster.
    """

    def __init__(self, data_dir: Path, *, fsync: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._base = self._data_dir / "postgres"
        self._fsync = fsync
        self._cluster: Cluster | None = None  # while this object owns it
        self._exclusive = False
        self._undo = contextlib.ExitStack()

    def start(self, *, exclusive: bool = False) -> str:
        """Start the cluster unless another process has, and return the database's URL.

        exclusive=True is for the server, which must own the cluster: otherwise another process's
        stop() would end it. The URL may contain a path that is valid until this object stops.
        Raise EmbeddedError.
        """
        self._exclusive = exclusive
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise EmbeddedError(
                f"embedded PostgreSQL: {error.filename or self._base}: {error.strerror or error}; "
                "CHATSVC_DATA_DIR must be a folder that this account can write to, "
                "on a disk with free space"
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the cluster if this object started it. Further calls do nothing."""
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
        host = quote(str(self._socket_folder(folder)), safe="")
        url = f"postgresql://{NAME}@/{NAME}?host={host}&port={PORT}"
        if self._join(folder, url):
            self._cluster = Cluster(folder, account, fsync=self._fsync)
            self._cluster.start()
            self._cluster.wait_until_ready(lambda: has_database(url, create=True))
        return url

    # Folders and names

    def _make_base(self) -> None:
        """Create the folder. Root gives it to DATA_DIR's owner, who may run the server later."""
        with contextlib.suppress(FileExistsError):
            self._base.mkdir(mode=OWNER_ONLY)
            if os.geteuid() == 0:
                owner = self._data_dir.stat()
                os.chown(self._base, owner.st_uid, owner.st_gid)

    def _socket_folder(self, folder: Path) -> Path:
        """Return a path of the folder that is short enough for a socket; valid until stop()."""
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX:
            return folder
        # A descriptor, unlike a link in /tmp, survives a cleaner and works with a private /tmp.
        if sys.platform == "linux":
            descriptor = os.open(self._base, os.O_PATH | os.O_DIRECTORY)
            self._undo.callback(os.close, descriptor)
            return Path(f"/proc/{os.getpid()}/fd/{descriptor}") / folder.name
        alias = Path(self._undo.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))) / "c"
        alias.symlink_to(folder)
        return alias

    # Owner or user of the cluster

    def _join(self, folder: Path, url: str) -> bool:
        """Return True if this process became the owner, False if another owner runs the cluster."""
        owner, self._users = (self._lock_file("owner.lock"), self._lock_file("users.lock"))
        for _ in polls(
            OWNER_WAIT_S if self._exclusive else READY_WAIT_S, f"the chatsvc that owns {folder}"
        ):
            # A server is no user: it waits for the owning command, which waits for all users.
            using = not self._exclusive and try_lock(self._users, fcntl.LOCK_SH)
            if try_lock(owner):
                return True
            if using and has_database(url):
                return False
        raise EmbeddedError(
            f"another chatsvc runs on the data directory {self._data_dir}: "
            "stop it, or set another CHATSVC_DATA_DIR for this one"
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
    """Return whether the server at `url` responds and has our database; `create` creates it."""
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

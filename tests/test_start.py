"""The start and the end of the service: bad days end it with one clear line, signals end it cleanly."""

import http.cookiejar
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from chatsvc import serve
from chatsvc.postgres import manager
from tests.support.command import Command
from tests.support.ports import reserve_port
from tests.support.postgres import Cluster, execute, with_database
from tests.support.process import ServerProcess
from tests.support.waiting import wait

LIMIT_S = 20.0
AT_ONCE_S = 2.0  # below the first pause and a half of a start that waits


@pytest.fixture
def start(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Starts the service with these options and returns the one line by which the start ended."""
    command = Command(server.environment, monkeypatch, capsys)
    return lambda **options: command("serve", **options).refusal()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something else on a port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken


def ended(server: ServerProcess, limit_s: float = LIMIT_S) -> int:
    assert server.process is not None
    return server.process.wait(limit_s)


# ---- bad days ----


def test_a_port_in_use_ends_the_start_with_one_line(
    server: ServerProcess, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    server.environment["CHATSVC_PORT"] = str(port)
    assert ended(server.start(wait=False)) == 1
    assert server.log == (
        f"chatsvc: CHATSVC_HOST and CHATSVC_PORT: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another port, or stop the program that uses it\n"
    )


def test_a_host_that_is_not_ours_ends_the_start(server: ServerProcess) -> None:
    server.environment["CHATSVC_HOST"] = "192.0.2.1"  # TEST-NET-1
    assert ended(server.start(wait=False)) == 1
    assert server.log.startswith(
        "chatsvc: CHATSVC_HOST and CHATSVC_PORT: cannot listen on 192.0.2.1 port "
    )
    assert (
        "CHATSVC_HOST must be an address of this machine" in server.log
        and "another port" not in server.log
    )
    assert server.log.count("\n") == 1


@pytest.mark.parametrize("database", ["embedded", "given"])
def test_a_data_dir_that_is_a_file_ends_the_start(
    start: Callable[..., str], tmp_path: Path, database_url: str, database: str
) -> None:
    (tmp_path / "file").write_text("")
    options = {"database_url": "" if database == "embedded" else database_url, "secret_key": ""}
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        line = start(data_dir=str(path), **options)
        assert (
            "CHATSVC_DATA_DIR" in line and str(path) in line and "folder that this account" in line
        )


@pytest.mark.parametrize("database", ["embedded", "given"])
@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="a place where even root may not make a folder"
)
def test_a_data_dir_that_cannot_be_made_ends_the_start(
    start: Callable[..., str], database_url: str, database: str
) -> None:
    options = {"database_url": "" if database == "embedded" else database_url, "secret_key": ""}
    line = start(data_dir="/proc/chatsvc", **options)
    assert (
        "CHATSVC_DATA_DIR" in line
        and "/proc/chatsvc" in line
        and "No such file or directory" in line
    )


def test_what_waiting_does_not_help_ends_the_start_at_once(
    start: Callable[..., str], database_url: str
) -> None:
    started = time.monotonic()
    line = start(database_url=with_database(database_url, "nowhere"))
    assert line.startswith("CHATSVC_DATABASE_URL: ") and line.endswith(
        'FATAL:  database "nowhere" does not exist'
    )
    line = start(database_url=database_url.replace("chatsvc@", "mallory@"))
    assert (
        line.startswith("CHATSVC_DATABASE_URL: ")
        and 'authentication failed for user "mallory"' in line
    )
    assert time.monotonic() - started < AT_ONCE_S


def test_a_database_that_stays_away_ends_the_start_after_a_while(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.DATABASE_WAIT_S == 30.0
    monkeypatch.setattr(serve, "DATABASE_WAIT_S", 0.2)
    monkeypatch.setattr(serve, "DATABASE_RETRY_S", 0.05)
    port = reserve_port()
    url = f"postgresql://me:a-secret@127.0.0.1:{port}/chat"
    done = Command(server.environment, monkeypatch, capsys)("serve", database_url=url)
    *waiting, last = done.stderr.splitlines()
    reason = f'connection to server at "127.0.0.1", port {port} failed: Connection refused'
    assert done.status == 1 and done.stdout == ""
    assert len(waiting) >= 2 and set(waiting) == {f"chatsvc: waiting for the database: {reason}"}
    assert last == f"chatsvc: CHATSVC_DATABASE_URL: {reason}"


def test_a_database_that_comes_up_late_is_waited_for(
    server: ServerProcess, database_url: str, tmp_path: Path
) -> None:
    """At boot PostgreSQL and the service start at the same moment."""
    folder = parse_dsn(database_url)["host"]
    late = tmp_path / "late"
    server.environment["CHATSVC_DATABASE_URL"] = (
        f"{database_url.partition('?')[0]}?host={urllib.parse.quote(str(late), safe='')}&port=5432"
    )
    server.start(wait=False)
    server.wait_logged("waiting for the database")
    late.symlink_to(folder)
    server.wait_ready()


def test_wrong_options_end_the_start_with_a_line_each(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(server.environment, monkeypatch, capsys)
    done = command("serve", secret_key="too short", identity_secret="x", port="http")
    assert (done.status, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "chatsvc: CHATSVC_IDENTITY_SECRET: unknown option; did you mean CHATSVC_IDENTITY_SECRETS?",
        "chatsvc: CHATSVC_PORT: must be a whole number from 0 to 65535, not 'http'",
        "chatsvc: CHATSVC_SECRET_KEY: must be at least 32 bytes long; "
        "`openssl rand -hex 32` prints a suitable one (the value has 9 bytes)",
    ]


def test_a_schema_from_the_future_ends_the_start(
    start: Callable[..., str], database_url: str
) -> None:
    execute(
        database_url, "INSERT INTO schema_migrations (name, applied) VALUES ('9999_future', now())"
    )
    line = start()
    assert line.startswith(
        "the database's schema is newer than this version of chatsvc (it has 9999_future): "
    )


def test_a_database_that_stays_read_only_ends_the_start_after_a_while(
    server: ServerProcess,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """During a failover the database is read-only for some seconds, so the start waits first."""
    monkeypatch.setattr(serve, "DATABASE_WAIT_S", 0.2)
    monkeypatch.setattr(serve, "DATABASE_RETRY_S", 0.05)
    name = f"locked_{uuid4().hex}"
    execute(cluster.url, f'CREATE DATABASE "{name}"')
    execute(cluster.url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    url = with_database(cluster.url, name)
    done = Command(server.environment, monkeypatch, capsys)("serve", database_url=url)
    execute(cluster.url, f'DROP DATABASE "{name}" WITH (FORCE)')
    *waiting, last = done.stderr.splitlines()
    assert done.status == 1 and done.stdout == ""
    assert waiting and all("waiting for the database: " in line for line in waiting)
    assert last.startswith("chatsvc: CHATSVC_DATABASE_URL: ") and "read-only" in last


@pytest.mark.slow
def test_two_servers_on_one_data_dir_are_refused(
    start: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "OWNER_WAIT_S", 0.1)
    first = ServerProcess(tmp_path)
    try:
        first.start()
        assert start(database_url="").startswith(
            f"another chatsvc runs on the data directory {tmp_path}: "
        )
    finally:
        first.close()


# ---- signals ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_database_is_waited_for_ends_cleanly(
    server: ServerProcess, number: signal.Signals
) -> None:
    server.environment["CHATSVC_DATABASE_URL"] = f"postgresql://me@127.0.0.1:{reserve_port()}/chat"
    server.start(wait=False)
    server.wait_logged("waiting for the database")
    server.signal(number)
    assert ended(server) == 0
    assert all(
        line.startswith("chatsvc: waiting for the database: ") for line in server.log.splitlines()
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_cleanly(server: ServerProcess, number: signal.Signals) -> None:
    server.start()
    server.signal(number)
    assert ended(server) == 0
    assert re.search(r"chatsvc\.serve: stopping\n(.*\n)*.* chatsvc\.serve: stopped\n$", server.log)
    assert "Traceback" not in server.log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_second_signal_ends_the_service_at_once(server: ServerProcess, database_url: str) -> None:
    """A request waits for a lock, so that the stop takes seconds."""
    server.start()
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        visitor = threading.Thread(target=new_visitor, args=[server.url])
        visitor.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        wait(lambda: execute(database_url, waiting))
        server.signal(signal.SIGTERM)
        server.wait_logged("chatsvc.serve: stopping")
        server.signal(signal.SIGTERM)
        assert ended(server, AT_ONCE_S) == 1
    visitor.join(LIMIT_S)
    assert "stopped" not in server.log and "Traceback" not in server.log


def new_visitor(url: str) -> None:
    """A POST whose answer does not come."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/visitors", b"{}", headers, method="POST")
    with pytest.raises(OSError):
        urllib.request.urlopen(request, timeout=LIMIT_S)


# ---- what `make run` shows ----


def test_the_demo_says_where_it_is_and_how_to_log_in(server: ServerProcess) -> None:
    server.environment |= {"CHATSVC_DEMO": "on", "CHATSVC_PORT": "0"}
    server.start(wait=False)
    server.wait_logged("(shown this once)\n")
    shown = dict(
        re.findall(r"^(Demo page|Dashboard|Staff|Password): +(\S+)", server.log, re.MULTILINE)
    )
    assert re.fullmatch(r"http://localhost:[1-9]\d+/demo", shown["Demo page"])
    with urllib.request.urlopen(shown["Demo page"], timeout=LIMIT_S) as page:
        assert page.status == 200
    assert logs_in(shown["Dashboard"], shown["Staff"], shown["Password"])
    assert server.stop() == 0

    before = len(server.log)
    server.start(wait=False)
    again = server.wait_logged("a new password: ", after=before)
    assert "Password:" not in again and "Staff:      as shown at the first start\n" in again
    assert re.search(
        r"a new password: \S*python\S* \S*server\.py create-admin staff@example\.com\n", again
    )


def logs_in(dashboard: str, email: str, password: str) -> bool:
    """Whether the form at the dashboard's login page lets this account in."""
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    page = browser.open(dashboard, timeout=LIMIT_S)
    xsrf = next(cookie.value for cookie in cookies if cookie.name.startswith("_xsrf"))
    form = urllib.parse.urlencode({"email": email, "password": password, "_xsrf": xsrf}).encode()
    answer = browser.open(page.url, form, timeout=LIMIT_S)
    return str(answer.url) == dashboard and answer.status == 200

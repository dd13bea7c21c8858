"""systemd: the unit files, what the service tells it, the sockets that it hands over. A stand-in plays its part."""

import asyncio
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from chatsvc.database.schema import ADVISORY_LOCK
from chatsvc.ops import systemd
from chatsvc.ops.systemd import Supervisor
from chatsvc.web.sockets import ListenError, inherited
from tests.support.ports import reserve_port
from tests.support.postgres import execute
from tests.support.process import ROOT, ServerProcess
from tests.support.programs import path_of
from tests.support.systemd import MESSAGE_MAX_BYTES, SupervisedServer
from tests.support.waiting import wait

UNITS = ROOT / "systemd"
EXPOSURE_MAX = 15  # tenths; a unit without hardening has 92
LIMIT_S = 20.0
WATCHDOG_S = 0.4


@pytest.fixture
def supervised(tmp_path: Path, database_url: str) -> Iterator[SupervisedServer]:
    server = SupervisedServer(tmp_path, database_url)
    yield server
    server.close()


# ---- the unit files ----


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [path_of("systemd-analyze"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def test_the_units_have_no_mistake(tmp_path: Path) -> None:
    """Programs and files that only an installation has are replaced by some that are here."""
    here = {
        "/opt/chatsvc/bin/chatsvc": "/bin/true",
        "file:///opt/chatsvc/source/docs/install.md": "https://example.com",
    }
    for unit in [*UNITS.glob("*.service"), *UNITS.glob("*.socket")]:
        text = unit.read_text()
        for there, instead in here.items():
            text = text.replace(there, instead)
        (tmp_path / unit.name.replace("@", "@8881")).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    done = analyze("verify", *units)
    assert units and (done.returncode, done.stderr) == (0, "")
    broken = tmp_path / "chatsvc.service"
    broken.write_text(broken.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    assert "ProtectHomes" in analyze("verify", *units).stderr, "the negative control"


def test_the_service_is_exposed_little() -> None:
    units = [str(UNITS / "chatsvc.service")]
    done = analyze(
        "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}", *units
    )
    assert units and done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["service", "socket"])
def test_one_of_several_servers_runs_as_the_only_one_does(kind: str) -> None:
    """But for its name, its port, and that it begins after Redis."""
    one, several = (
        (UNITS / f"{name}.{kind}").read_text().splitlines() for name in ("chatsvc", "chatsvc@")
    )
    assert len(one) == len(several)
    different = {
        a.partition("=")[0]: b
        for a, b in zip(one, several, strict=True)
        if a != b and not a.startswith("#")
    }
    expected = {
        "service": ["Description", "Requires", "After"],
        "socket": ["Description", "ListenStream"],
    }
    assert list(different) == expected[kind] and all("%i" in line for line in different.values())


def test_every_restriction_has_its_reason() -> None:
    """A comment above it, or above those of the same name before it."""
    above = ""
    for line in (
        (UNITS / "chatsvc.service")
        .read_text()
        .partition("may not do.\n")[2]
        .partition("\n[Install]")[0]
        .splitlines()
    ):
        name = line.partition("=")[0]
        assert line.startswith("#") or not line or above.startswith(("#", f"{name}=")), line
        above = line


# ---- telling ----


def test_it_is_told_when_the_service_listens_and_when_it_stops(
    supervised: SupervisedServer,
) -> None:
    supervised.environment["WATCHDOG_USEC"] = str(int(WATCHDOG_S * 1e6))
    supervised.start(wait=False)
    assert supervised.told() == "READY=1"
    with urllib.request.urlopen(f"{supervised.url}/readyz", timeout=LIMIT_S) as answer:
        assert answer.status == 200
    began = time.monotonic()
    assert [supervised.told() for _ in range(4)] == ["WATCHDOG=1"] * 4
    assert time.monotonic() - began < 4 * WATCHDOG_S, "several in an interval"
    supervised.signal(signal.SIGTERM)
    rest = [supervised.told()]
    while rest[-1] == "WATCHDOG=1":
        rest.append(supervised.told())
    assert rest[-1] == "STOPPING=1"
    assert supervised.process is not None and supervised.process.wait(LIMIT_S) == 0


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Where systemd is told, in the abstract name space, as `@name`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"\0chatsvc-test-{os.getpid()}")
        made.setblocking(False)
        yield made


def supervisor(door: socket.socket, **environ: str) -> Supervisor:
    return Supervisor({"NOTIFY_SOCKET": "@" + door.getsockname()[1:].decode(), **environ})


async def test_a_loop_that_stands_still_is_not_well(
    door: socket.socket, monkeypatch: pytest.MonkeyPatch, expected_log: list[str]
) -> None:
    """The ping that comes late is left out, the one after it is not."""
    expected_log.append("the loop is ")
    monkeypatch.setattr(systemd, "LAG_MAX_S", 0.1)
    loop, pause_s = asyncio.get_running_loop(), WATCHDOG_S / systemd.PINGS_PER_INTERVAL
    watch = asyncio.create_task(supervisor(door, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6))).watch())
    try:
        assert (
            await asyncio.wait_for(loop.sock_recv(door, MESSAGE_MAX_BYTES), LIMIT_S)
            == b"WATCHDOG=1"
        )
        until = loop.time() + pause_s + 0.15
        while loop.time() < until:
            pass
        assert (
            await asyncio.wait_for(loop.sock_recv(door, MESSAGE_MAX_BYTES), LIMIT_S)
            == b"WATCHDOG=1"
        )
        assert loop.time() >= until + pause_s
    finally:
        watch.cancel()


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}],
    ids=["no watchdog", "another's watchdog"],
)
async def test_without_a_watchdog_there_are_no_pings(
    door: socket.socket, environ: dict[str, str]
) -> None:
    await asyncio.wait_for(supervisor(door, **environ).watch(), LIMIT_S)
    with pytest.raises(BlockingIOError):
        door.recv(MESSAGE_MAX_BYTES)


def test_without_systemd_nothing_is_told_and_a_door_that_is_gone_is_no_end(
    tmp_path: Path, expected_log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    Supervisor({}).ready()
    assert not caplog.records
    expected_log.append("cannot notify systemd of READY=1: No such file or directory")
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).ready()
    assert len(caplog.records) == 1


# ---- listening ----


def test_clients_wait_for_a_service_with_an_inherited_socket(supervised: SupervisedServer) -> None:
    """Nobody is refused before it has started; its own address is not used; the socket outlives it."""
    with socket.create_connection(("127.0.0.1", supervised.port)) as early:
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n")
        supervised.start()
        early.settimeout(LIMIT_S)
        assert early.recv(MESSAGE_MAX_BYTES).startswith(b"HTTP/1.1 200")
    assert f"listening on 127.0.0.1 port {supervised.port}\n" in supervised.log
    assert supervised.stop() == 0
    socket.create_connection(("127.0.0.1", supervised.port)).close()


@pytest.fixture
def at_known_port(tmp_path: Path, database_url: str) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, database_url, port=reserve_port())
    yield server
    server.close()


def test_it_listens_only_when_it_is_ready(at_known_port: ServerProcess, database_url: str) -> None:
    """Another migration is waited for before a client can connect."""
    server = at_known_port
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        server.start(wait=False)
        waits = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'chatsvc migrate' AND wait_event_type = 'Lock'"
        )
        wait(lambda: execute(database_url, waits))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
    server.wait_ready()


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "PATH": "/bin"}
    assert inherited(environ) == [] and environ == {"PATH": "/bin"}
    assert inherited({}) == []


@pytest.mark.parametrize("kind", ["datagrams", "a path", "not listening", "no socket"])
def test_what_nobody_can_listen_on_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = socket.socket(
        socket.AF_UNIX if kind == "a path" else socket.AF_INET,
        socket.SOCK_DGRAM if kind == "datagrams" else socket.SOCK_STREAM,
    )
    made.bind(str(tmp_path / "socket") if kind == "a path" else ("127.0.0.1", 0))
    if kind == "a path":
        made.listen()
    file = os.open(tmp_path, os.O_RDONLY)
    descriptor = os.dup(file if kind == "no socket" else made.fileno())
    monkeypatch.setattr("chatsvc.web.sockets.FIRST_DESCRIPTOR", descriptor)
    try:
        with pytest.raises(ListenError, match=f"systemd passed descriptor {descriptor}"):
            inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
    finally:
        made.close()
        os.close(file)
        if kind == "no socket":
            os.close(descriptor)


# ---- hanging up ----


def test_sighup_reads_nothing_again_and_says_so(server: ServerProcess) -> None:
    server.start()
    server.signal(signal.SIGHUP)
    server.wait_logged("SIGHUP: the service reads no files again")
    with urllib.request.urlopen(f"{server.url}/readyz", timeout=LIMIT_S) as answer:
        assert answer.status == 200

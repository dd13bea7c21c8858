"""The PostgreSQL versions that the machine has of its own (Debian's), started for tests."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.postgres import Cluster, answers
from tests.support.waiting import wait

STOP_LIMIT_S = 20.0


def installed_versions() -> list[Path]:
    """The bin folders under /usr/lib/postgresql that hold a whole server, oldest version first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(
        (each for each in found if (each / "initdb").exists()),
        key=lambda each: int(each.parent.name),
    )


def _account() -> dict[str, Any]:
    """PostgreSQL refuses root: as root it runs as `nobody`."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def running(binaries: Path) -> Iterator[Cluster]:
    """A cluster of that version, without fsync, reachable through a socket in its own folder."""
    folder, account = Path(tempfile.mkdtemp(prefix="pg")), _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    options: dict[str, Any] = {
        **account,
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    data = ["-D", str(folder / "data")]
    server: subprocess.Popen[bytes] | None = None
    try:
        init = [
            str(binaries / "initdb"),
            *data,
            "-U",
            "test",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(init, check=True, **options)
        quiet = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder)]
        server = subprocess.Popen([str(binaries / "postgres"), *data, *quiet], **options)
        url = f"postgresql://test@/postgres?host={quote(str(folder), safe='')}"
        wait(lambda: server.poll() is not None or answers(url), "PostgreSQL answers")
        assert server.poll() is None, f"PostgreSQL ended with {server.poll()}"
        yield Cluster(url)
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(STOP_LIMIT_S)
        shutil.rmtree(folder, ignore_errors=True)

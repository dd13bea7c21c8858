"""The Redis of a run, on a port of its own, which keeps nothing on disk."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers import free_port

START_S = 10


class NoRedis(RuntimeError):
    """There is none on this machine."""


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Its URL and pid. Raises NoRedis."""
    program = shutil.which("redis-server")
    if program is None:
        raise NoRedis("there is no redis-server (Debian and Ubuntu: apt-get install redis-server)")
    port = free_port()
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_listening(port)
            yield f"redis://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Redis does not listen after {START_S} s") from None
            time.sleep(0.02)

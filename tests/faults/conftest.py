"""Fixtures of the fault tests: a durable PostgreSQL, a database on it, enough file descriptors."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.faults.postgres import DurablePostgres
from tests.support.process import ServerProcess


@pytest.fixture(scope="session", autouse=True)
def descriptors() -> None:
    """As many as this account may have: a client in these tests has 1,000 connections."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurablePostgres]:
    """A PostgreSQL with fsync: what it committed outlives it."""
    server = DurablePostgres(tmp_path_factory.mktemp("durable"))
    yield server
    server.stop()


@pytest.fixture
def durable_url(durable: DurablePostgres) -> Iterator[str]:
    """A migrated, empty database on it."""
    yield from durable.database()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[str | None], ServerProcess]]:
    """Starts server.py on a database (None: on its own embedded one)."""
    started: list[ServerProcess] = []

    def start(database_url: str | None) -> ServerProcess:
        folder = Path(
            mkdtemp(prefix="server", dir=tmp_path)
        )  # a name of its own: two may be started at once
        server = ServerProcess(folder, database_url)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.close()

"""Fixtures that all tests share: a cluster per session, a database per test, a service, a server process."""

import asyncio
import gc
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tornado.ioloop import IOLoop

from chatsvc.postgres.manager import EmbeddedPostgres
from tests.support.certificate import Certificate
from tests.support.postgres import Cluster
from tests.support.process import ServerProcess
from tests.support.redis import RedisCluster, RedisServer
from tests.support.service import Service, make_config

ASYNC_TEST_LIMIT_S = 60  # those that take a second take 20 when much else runs
SEAMS = (
    "rates",
    "passwords",
    "rhythm",
    "server_limits",
)  # of App; all else that a service is made with is an option

# how long an example takes says how busy the machine is
settings.register_profile("chatsvc", deadline=None)
settings.load_profile("chatsvc")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        default="chromium",
        choices=["chromium", "firefox"],
        help="the engine of the browser tests; those of WebKit are in tests/browser/test_webkit.py",
    )


def pytest_sessionstart() -> None:
    """Keep asyncio from making a loop that nobody closes when Tornado asks for the current one."""
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is a coroutine function runs on the loop of pytest-tornado."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.add_marker(pytest.mark.gen_test(timeout=ASYNC_TEST_LIMIT_S))
            item.fixturenames.append("io_loop")


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of `pytest_runtest_teardown`."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Find now what a test left open: the ResourceWarning fails this test and not a later one."""
    gc.collect()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The embedded PostgreSQL, without fsync. It hangs under libfaketime (tools/test_clock.sh)."""
    if "libfaketime" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("PostgreSQL does not run under a faked clock")
    server = EmbeddedPostgres(tmp_path_factory.mktemp("cluster"), fsync=False)
    try:
        yield Cluster(server.start())
    finally:
        server.stop()


@pytest.fixture
def database_url(cluster: Cluster) -> Iterator[str]:
    """A migrated, empty database."""
    yield from cluster.database()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis on a private port. Who stops it starts it again."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Two masters that share the slots."""
    cluster = RedisCluster(tmp_path_factory.mktemp("redis-cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.kill()


ServiceFactory = Callable[..., Service]


@pytest.fixture
def make_service(io_loop: IOLoop, database_url: str, tmp_path: Path) -> Iterator[ServiceFactory]:
    """Starts services in this process: `make_service(visitors=False)`; all of them on the test's database."""
    started: list[Service] = []

    def make(**changes: Any) -> Service:
        seams = {name: changes.pop(name) for name in SEAMS if name in changes}
        url = changes.pop("database_url", None) or database_url
        service = Service(make_config(tmp_path, **changes), url, **seams)
        io_loop.run_sync(service.start)
        started.append(service)
        return service

    yield make
    for service in started:
        io_loop.run_sync(service.stop)


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    """A running service with the default options and no rate limits."""
    return make_service()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate.make(tmp_path)


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[ServerProcess]:
    """server.py as a process, not yet started, on the test's database."""
    process = ServerProcess(tmp_path, database_url)
    yield process
    process.close()


@pytest.fixture(autouse=True)
def expected_log(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Log lines of WARNING and above fail a test, unless one of the texts that it adds to this list is in them."""
    expected: list[str] = []
    with caplog.at_level(logging.INFO):
        yield expected
    records = [record for when in ("setup", "call") for record in caplog.get_records(when)]
    unexpected = [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING
        and not any(text in record.getMessage() for text in expected)
    ]
    assert not unexpected, f"unexpected log lines: {unexpected}"

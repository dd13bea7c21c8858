"""Run the service: the database first, then the application, until a signal stops it."""

import argparse
import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec
import psycopg2
import uvloop
from uuid_utils import uuid7

from chatsvc.app import App, make_bus
from chatsvc.bus.local import Bus
from chatsvc.config.config import Config, load_or_create_secret
from chatsvc.database.connection import Connection, Transaction, sqlstate
from chatsvc.database.schema import migrate
from chatsvc.events import ACCESS_TOPIC, Event
from chatsvc.ops import log_format
from chatsvc.ops.signals import Signals, ignore, leave
from chatsvc.ops.systemd import Supervisor
from chatsvc.postgres.manager import EmbeddedPostgres
from chatsvc.security.passwords import hash_password
from chatsvc.store import people
from chatsvc.tasks import cancel
from chatsvc.web.sockets import inherited, listen

log = logging.getLogger(__name__)

DATABASE_WAIT_S = 30.0  # at boot PostgreSQL may start after this service
DATABASE_RETRY_S = 2.0
# A retry does not help against these: classes of SQLSTATE, and libpq's texts for a refused login,
# which has no SQLSTATE. If the server's texts are in another language, retries go on until
# DATABASE_WAIT_S.
PERMANENT_CLASSES = ("28", "3D", "42")
PERMANENT_TEXTS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "not permitted to log in",
    "permission denied for database",
    "does not support SSL",
)
DEMO_STAFF = "staff@example.com"


class StartError(Exception):
    """The service or a command cannot start. The text says why and what to do."""


def serve(config: Config, _: argparse.Namespace) -> None:
    """Run the service until SIGTERM or SIGINT. A second signal ends it at once."""
    log_format.configure(config.log_format)
    with Signals() as signals:
        sockets = inherited(os.environ)
        secret_key = config.secret_key or load_or_create_secret(config.data_dir)
        with database(config, exclusive=True) as url:
            if applied := migrate(url):
                log.info("applied migrations: %s", ", ".join(applied))
            if config.port == 0 and not sockets:
                sockets = listen(config.host, 0)
            if sockets:
                config = _with_port(config, sockets[0].getsockname()[1])
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(App(config, url, secret_key), url, sockets, signals))


def invalidate_sessions(config: Config) -> None:
    """Make all servers on the bus check the sessions and tokens of staff now.

    A server without a bus checks them every few seconds.
    """
    if config.bus_url is None:
        return
    secret_key = config.secret_key or load_or_create_secret(config.data_dir)
    asyncio.run(_publish_once(make_bus(config, secret_key), Event(ACCESS_TOPIC, b"")))


async def _publish_once(bus: Bus, event: Event) -> None:
    await bus.start(lambda event: None, lambda: None)
    bus.publish(event)
    await bus.close()


@contextmanager
def database(config: Config, *, exclusive: bool = False) -> Iterator[str]:
    """Yield the URL of a database that responds. The embedded PostgreSQL stops after the block.

    exclusive=True is for the server, which must own the embedded PostgreSQL.
    Raise StartError if the database does not respond within DATABASE_WAIT_S, and EmbeddedError.
    """
    if config.database_url is not None:
        _wait_for(config.database_url)
        yield config.database_url
        return
    embedded = EmbeddedPostgres(config.data_dir)
    try:
        yield embedded.start(exclusive=exclusive)
    finally:
        embedded.stop()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + DATABASE_WAIT_S
    while (error := connect_error(url)) is not None:
        reason = first_line(error)
        if is_permanent(error) or time.monotonic() >= deadline:
            raise StartError(f"CHATSVC_DATABASE_URL: {reason}") from error
        print(f"chatsvc: waiting for the database: {reason}", file=sys.stderr, flush=True)
        time.sleep(DATABASE_RETRY_S)


def connect_error(url: str, *, read_only: bool = False) -> Exception | None:
    """Try once to connect. Return the error, or None if the connection works."""
    try:
        with closing(
            Connection(url, application_name="chatsvc start", read_only=read_only)
        ) as connection:
            connection.execute_sql("SELECT 1")
    except Exception as error:
        return error
    return None


def is_permanent(error: Exception) -> bool:
    """Return whether a retry would fail with the same error."""
    if not isinstance(error, psycopg2.Error) and not isinstance(error.__context__, psycopg2.Error):
        return True
    return sqlstate(error).startswith(PERMANENT_CLASSES) or any(
        text in str(error) for text in PERMANENT_TEXTS
    )


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _with_port(config: Config, port: int) -> Config:
    """Set the port that systemd or the kernel chose, also in the default addresses."""
    before, after = f"http://localhost:{config.port}", f"http://localhost:{port}"
    addresses = {name: getattr(config, name) for name in ("public_url", "chat_page_url")}
    changes = {name: after for name, address in addresses.items() if address == before}
    return msgspec.structs.replace(config, port=port, **changes)


def _create_demo_staff(url: str) -> str | None:
    """Create the demo's staff account if there is no staff, and return its password."""
    password = secrets.token_urlsafe(9)
    with closing(Transaction(url, application_name="chatsvc demo")) as tx:
        if people.any_staff(tx):
            return None
        people.save_staff(tx, str(uuid7()), DEMO_STAFF, "Demo Staff", hash_password(password))
    return password


async def _serve(app: App, url: str, sockets: list[socket.socket], signals: Signals) -> None:
    stop, loop, supervisor = asyncio.Event(), asyncio.get_running_loop(), Supervisor(os.environ)
    signals.stop = lambda: loop.call_soon_threadsafe(stop.set)
    signals.hang_up = lambda: loop.call_soon_threadsafe(
        log.info, "SIGHUP: the service reads no files again; restart it to apply changes"
    )
    try:
        for address in [listening.getsockname() for listening in await app.start(sockets)]:
            log.info("listening on %s port %d", *address[:2])
        if app.config.demo:
            print(
                _welcome(app.config.public_url, await asyncio.to_thread(_create_demo_staff, url)),
                flush=True,
            )
        gc.freeze()  # scanning these lasting objects for garbage held the loop for 50 ms each time
        supervisor.ready()
        watch = asyncio.create_task(supervisor.watch())
        await stop.wait()
        log.info("stopping")
        supervisor.stopping()
        await app.stop()
        await cancel(watch)
        log.info("stopped")
    finally:
        signals.stop, signals.hang_up = leave, ignore


def _welcome(public_url: str, password: str | None) -> str:
    """Return what the demo prints at the start: the addresses and the login."""
    if password is not None:
        staff = [f"Staff:      {DEMO_STAFF}", f"Password:   {password}   (shown this once)"]
    else:
        command = f"{os.path.relpath(sys.executable)} {sys.argv[0]} create-admin {DEMO_STAFF}"
        staff = [
            "Staff:      as shown at the first start",
            f"            a new password: {command}",
        ]
    return "\n".join(
        ["", f"Demo page:  {public_url}/demo", f"Dashboard:  {public_url}/dashboard", *staff, ""]
    )

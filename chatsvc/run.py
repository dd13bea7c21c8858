"""Running the service: database first, then the application, until a signal comes."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from contextlib import ExitStack, closing

import psycopg2
import uvloop
from uuid_utils import uuid7

from chatsvc import logs
from chatsvc.app import App
from chatsvc.config import Config, load_or_create_secret
from chatsvc.embedded import EmbeddedPostgres
from chatsvc.passwords import hash_password
from chatsvc.schema import migrate
from chatsvc.session import Session, sqlstate
from chatsvc.store import accounts

log = logging.getLogger(__name__)

DATABASE_WAIT_S = 30.0  # at boot PostgreSQL may come up after us
DATABASE_RETRY_S = 2.0
HOPELESS_CLASSES = ("28", "3D")  # wrong password, no such database: waiting does not help
DEMO_STAFF = "staff@example.com"


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


class PortError(DatabaseError):
    """The address cannot be listened on."""


def serve(config: Config, _: argparse.Namespace) -> None:
    """Runs until SIGTERM or SIGINT; a second one ends at once."""
    logs.set_up(config.log_format)
    with ExitStack() as stack:
        embedded = EmbeddedPostgres(config.data_dir) if config.database_url is None else None
        if embedded is not None:
            stack.callback(embedded.stop)
        url = database(config, embedded, exclusive=True)
        applied = migrate(url)
        if applied:
            log.info("the schema was brought up to date: %s", ", ".join(applied))
        demo_password = _create_demo_staff(url) if config.demo else None
        secret_key = config.secret_key or load_or_create_secret(config.data_dir)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(App(config, url, secret_key), demo_password))


def database(config: Config, embedded: EmbeddedPostgres | None, *, exclusive: bool = False) -> str:
    """The URL of a database that answers. Raises DatabaseError after DATABASE_WAIT_S, EmbeddedError."""
    if embedded is not None:
        return embedded.start(exclusive=exclusive)
    assert config.database_url is not None
    deadline = time.monotonic() + DATABASE_WAIT_S
    while True:
        try:
            with closing(Session(config.database_url, application_name="chatsvc start")) as session:
                session.execute_sql("SELECT 1")
            return config.database_url
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            hopeless = sqlstate(error).startswith(HOPELESS_CLASSES) or _is_refused_login(reason)
            if not _is_database_error(error) or hopeless or time.monotonic() >= deadline:
                raise DatabaseError(f"CHATSVC_DATABASE_URL: {reason}") from error
            print(f"chatsvc: waiting for the database: {reason}", file=sys.stderr, flush=True)
            time.sleep(DATABASE_RETRY_S)


def _is_database_error(error: Exception) -> bool:
    cause = error.__cause__ or error.__context__ or error
    return isinstance(cause, psycopg2.Error) or isinstance(error, psycopg2.Error)


def _is_refused_login(reason: str) -> bool:
    """A refused connection carries no SQLSTATE in libpq; its text does not change with the version."""
    return "password authentication failed" in reason or ("database" in reason and "does not exist" in reason)


def _create_demo_staff(url: str) -> str | None:
    """A staff account for trying out, if there is none yet; returns its password, which is shown once."""
    password = secrets.token_urlsafe(9)
    with closing(Session(url, application_name="chatsvc demo")) as session:
        if accounts.any_staff(session):
            return None
        accounts.save_staff(session, str(uuid7()), DEMO_STAFF, "Demo Staff", hash_password(password))
    return password


async def _serve(app: App, demo_password: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _signalled, stop)
    try:
        sockets = await app.start()
    except OSError as error:
        address = f"{app.config.host}:{app.config.port}"
        raise PortError(
            f"CHATSVC_HOST and CHATSVC_PORT: cannot listen on {address}: {error.strerror or error}; choose another port, or stop what uses it"
        ) from error
    _announce(app, sockets, demo_password)
    await stop.wait()
    log.info("stopping")
    await app.stop()
    log.info("stopped")


def _signalled(stop: asyncio.Event) -> None:
    if stop.is_set():
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(1)  # the second signal: at once; PostgreSQL recovers, clients resume
    stop.set()


def _announce(app: App, sockets: list[socket.socket], demo_password: str | None) -> None:
    port = sockets[0].getsockname()[1]
    log.info("listening on %s port %d", app.config.host, port)
    if not app.config.demo:
        return
    public = app.config.public_url if app.config.port else f"http://localhost:{port}"
    lines = [f"Demo page:  {public}/demo", f"Dashboard:  {public}/dashboard"]
    if demo_password is not None:
        lines += [f"Staff:      {DEMO_STAFF}", f"Password:   {demo_password}   (shown once)"]
    else:
        lines += ["Staff:      as shown at the first start; `server.py create-admin EMAIL` sets a new password"]
    print("\n".join(["", *lines, ""]), flush=True)

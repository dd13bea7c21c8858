"""The command `doctor`: checks an installation, whether its server runs or not.

It leaves nothing behind.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing

import msgspec
import peewee
import psycopg2

from chatsvc.config.config import Config
from chatsvc.database.connection import Connection, Transaction
from chatsvc.doctor import bus, database, environment, mail, notices, secrets, stream
from chatsvc.doctor.finding import Finding, fail, warn
from chatsvc.postgres.manager import EmbeddedError, EmbeddedPostgres
from chatsvc.serve import connect_error, first_line, is_permanent


def report(found: Iterable[Finding], *, as_json: bool) -> int:
    """Print a line per finding when it is known, or all as one JSON array. Return the exit status.

    It is 1 if any level is FAIL.
    """
    reported = []
    for finding in found:
        reported.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        encoded = msgspec.json.encode([finding._asdict() for finding in reported])
        print(msgspec.json.format(encoded).decode())
    return int(any(finding.level == "FAIL" for finding in reported))


def wrong_options(problems: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding per problem of the configuration; nothing else can be checked."""
    for problem in problems:
        yield fail("configuration", problem, "correct it, then run the command `doctor` again")


def findings(config: Config) -> Iterator[Finding]:
    """Run all checks, those that may wait for a timeout last."""
    yield from environment.check(config)
    yield from secrets.check(config, os.environ)
    yield environment.descriptors()
    yield mail.check(config)
    yield from bus.check(config)
    if config.database_url is not None:
        yield from _with_database(config, config.database_url)
    else:
        yield from _with_embedded(config)


def _with_embedded(config: Config) -> Iterator[Finding]:
    embedded = EmbeddedPostgres(config.data_dir)
    try:
        url = embedded.start()
    except EmbeddedError as error:
        yield fail("database", str(error), "the service cannot start without it")
        yield from _without_database(config)
    else:
        yield from _with_database(config, url)
    finally:
        embedded.stop()


def _with_database(config: Config, url: str) -> Iterator[Finding]:
    error = connect_error(url, read_only=True)
    if error is not None:
        wrong = "correct CHATSVC_DATABASE_URL, or the rights named in this error"
        missing = "start PostgreSQL, or correct the address in CHATSVC_DATABASE_URL"
        yield fail("database", first_line(error), wrong if is_permanent(error) else missing)
        yield from _without_database(config)
        return
    with closing(Transaction(url, application_name="chatsvc doctor", read_only=True)) as connection:
        checked = list(_guarded(connection))
        yield from checked
        if any(finding.level == "FAIL" for finding in checked):
            yield from _without_database(config)
        else:
            yield database.staff(connection)
            yield from notices.check(connection)
            yield from stream.check(config, connection)


def _guarded(connection: Connection) -> Iterator[Finding]:
    try:
        yield from database.check(connection)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        yield fail(
            "database", first_line(error), "grant the account the rights named in this error"
        )


def _without_database(config: Config) -> Iterator[Finding]:
    yield stream.reach(config)
    yield warn("stream", "not tried", "fix the database first")

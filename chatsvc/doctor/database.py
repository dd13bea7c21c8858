"""The doctor on the database: version, rights, schema, settings that harm, the clock. Blocking; writes nothing."""

import time
from collections.abc import Callable, Iterator

from chatsvc.database.connection import Connection
from chatsvc.database.models import (
    StaffSession,
    StaffToken,
    SupportChat,
    SupportMessage,
    SupportNotice,
    User,
)
from chatsvc.database.schema import MIGRATIONS
from chatsvc.database.threads import READERS
from chatsvc.doctor.finding import Finding, fail, ok, warn
from chatsvc.security.tokens import LEEWAY
from chatsvc.store.people import any_staff

VERSION_MIN = 14  # what the service is tested with, up to 18
CONNECTIONS_NEEDED = READERS + 1 + 2  # readers, the writer, a command and the doctor
SKEW_NOTICED_S = 2.0  # two machines that ask the same time server differ by less
TABLES = [
    model._meta.table_name
    for model in (User, StaffSession, StaffToken, SupportChat, SupportMessage, SupportNotice)
]

CLOSED_TABLES = """
SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = current_schema() AND relname = ANY (%s) AND NOT (
    has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
    AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE')
    AND pg_has_role(relowner, 'USAGE'))
ORDER BY relname
"""
SETTINGS = """
SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_setting('default_transaction_read_only'),
    current_setting('fsync'), current_setting('synchronous_commit')
"""
FREE_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^chatsvc (reader|writer)$')::int
"""


def check(connection: Connection) -> Iterator[Finding]:
    """Raises the database's own errors."""
    for one in (version, rights, schema, settings, connections, clock):
        yield one(connection)


def version(connection: Connection) -> Finding:
    number, text = connection.execute_sql(
        "SELECT current_setting('server_version_num'), current_setting('server_version')"
    )[0]
    found = f"PostgreSQL {text}"
    if int(number) >= VERSION_MIN * 10_000:
        return ok("database", found)
    return fail("database", found, f"this service needs version {VERSION_MIN} or later")


def rights(connection: Connection) -> Finding:
    about = "database rights"
    [(role, namespace)] = connection.execute_sql("SELECT current_user, current_schema()")
    if namespace is None:
        return fail(
            about,
            f"no schema in the search_path of {role} exists",
            f'CREATE SCHEMA AUTHORIZATION "{role}"',
        )
    [(may_create,)] = connection.execute_sql(
        "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    )
    if not may_create:
        advice = f'GRANT CREATE, USAGE ON SCHEMA "{namespace}" TO "{role}"'
        return fail(about, f"{role} may not make tables in schema {namespace}", advice)
    closed = [name for (name,) in connection.execute_sql(CLOSED_TABLES, TABLES)]
    if closed:
        advice = "; ".join(f'ALTER TABLE "{name}" OWNER TO "{role}"' for name in closed)
        return fail(about, f"{role} does not own {', '.join(closed)} or may not use it", advice)
    return ok(about, f"{role} in schema {namespace}")


def schema(connection: Connection) -> Finding:
    expected = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
    [(found,)] = connection.execute_sql("SELECT to_regclass('schema_migrations') IS NOT NULL")
    applied = (
        [name for (name,) in connection.execute_sql("SELECT name FROM schema_migrations")]
        if found
        else []
    )
    newer, pending = sorted(set(applied) - set(expected)), sorted(set(expected) - set(applied))
    if newer:
        advice = "install the newer chatsvc again, or restore a backup made with this version"
        return fail("schema", f"newer than this program: it has {', '.join(newer)}", advice)
    if pending:
        advice = "run the command `migrate`, or start the service, which does it"
        return fail("schema", f"not current: {', '.join(pending)} not applied", advice)
    return ok("schema", f"current ({expected[-1]})")


def settings(connection: Connection) -> Finding:
    """Those that lose or refuse messages."""
    about = "database settings"
    [(standby, encoding, read_only, fsync, commit)] = connection.execute_sql(SETTINGS)
    if standby or read_only == "on":
        return fail(
            about,
            "it is read-only",
            "let CHATSVC_DATABASE_URL lead to the primary, and allow it to write",
        )
    if encoding != "UTF8":
        return fail(
            about,
            f"encoding {encoding}",
            "make the database with ENCODING 'UTF8' TEMPLATE template0",
        )
    harmful = [
        f"{name} = off"
        for name, value in (("fsync", fsync), ("synchronous_commit", commit))
        if value == "off"
    ]
    if harmful:
        found = f"{', '.join(harmful)}: a crash loses messages that were answered as stored"
        return warn(about, found, "set it to on in postgresql.conf")
    return ok(about, "UTF8, commits are durable")


def connections(connection: Connection) -> Finding:
    """What is free now; a running service already has its own."""
    [(free, ours)] = connection.execute_sql(FREE_CONNECTIONS)
    found = f"{free} free, {ours} of a running service"
    if free + ours >= CONNECTIONS_NEEDED:
        return ok("database connections", found)
    return warn(
        "database connections", found, f"{CONNECTIONS_NEEDED} are needed: raise max_connections"
    )


def staff(connection: Connection) -> Finding:
    """Needs a schema that is current."""
    if any_staff(connection):
        return ok("staff", "there is an account to log in with")
    return warn(
        "staff", "nobody can log in to the dashboard yet", "run the command `create-admin EMAIL`"
    )


def clock(connection: Connection, now: Callable[[], float] = time.time) -> Finding:
    """Tokens live by our clock, e-mails by the database's. `now` gives seconds since 1970."""
    before = now()
    [(theirs,)] = connection.execute_sql("SELECT extract(epoch FROM clock_timestamp())::float8")
    skew = theirs - (before + now()) / 2
    found = f"the database's is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours"
    advice = "let both machines ask a time server (timedatectl set-ntp true)"
    if abs(skew) < SKEW_NOTICED_S:
        return ok("clock", "the database and this machine agree")
    return (
        warn("clock", found, advice)
        if abs(skew) < LEEWAY.total_seconds()
        else fail("clock", found, advice)
    )

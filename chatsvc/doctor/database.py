"""Checks the database: version, rights, schema, harmful settings, free connections, clock.

Blocking; writes nothing.
"""

import time
from collections.abc import Callable, Iterator

from chatsvc.database.connection import Connection
from chatsvc.database.models import MODELS
from chatsvc.database.schema import MIGRATIONS
from chatsvc.database.threads import READERS
from chatsvc.doctor.finding import Finding, fail, ok, warn
from chatsvc.security.tokens import LEEWAY
from chatsvc.store.people import any_staff

VERSION_MIN = 14  # tests run on 14 to 18
CONNECTIONS_NEEDED = READERS + 1 + 2  # readers, the writer, a command and the doctor
SKEW_WARNED_S = 2.0  # machines with the same time server differ by less
TABLES = [model._meta.table_name for model in MODELS]

INACCESSIBLE_TABLES = """
SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = current_schema() AND relname = ANY (%s) AND NOT (
    has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT')
    AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE')
    AND pg_has_role(relowner, 'USAGE'))
ORDER BY relname
"""
SETTINGS = """
SELECT pg_is_in_recovery(), current_setting('server_encoding'),
    current_setting('default_transaction_read_only'),
    current_setting('fsync'), current_setting('synchronous_commit')
"""
FREE_CONNECTIONS = """
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name ~ '^chatsvc (reader|writer)$')::int
"""


def check(connection: Connection) -> Iterator[Finding]:
    """Yield a finding per check. Raises the errors of peewee and psycopg2."""
    for check_one in (version, rights, schema, settings, connections, clock):
        yield check_one(connection)


def version(connection: Connection) -> Finding:
    number, text = connection.execute_sql(
        "SELECT current_setting('server_version_num'), current_setting('server_version')"
    )[0]
    found = f"PostgreSQL {text}"
    if int(number) >= VERSION_MIN * 10_000:
        return ok("database", found)
    return fail("database", found, f"chatsvc needs PostgreSQL {VERSION_MIN} or later")


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
        return fail(about, f"{role} may not create tables in schema {namespace}", advice)
    tables = [name for (name,) in connection.execute_sql(INACCESSIBLE_TABLES, TABLES)]
    if tables:
        advice = "; ".join(f'ALTER TABLE "{name}" OWNER TO "{role}"' for name in tables)
        return fail(about, f"{role} does not own {', '.join(tables)} or may not use it", advice)
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
        return fail("schema", f"newer than this version: it has {', '.join(newer)}", advice)
    if pending:
        advice = "run the command `migrate`, or start the service, which does it"
        return fail("schema", f"not up to date: {', '.join(pending)} not applied", advice)
    return ok("schema", f"up to date ({expected[-1]})")


def settings(connection: Connection) -> Finding:
    """Check the settings that make the service refuse or lose messages."""
    about = "database settings"
    [(standby, encoding, read_only, fsync, commit)] = connection.execute_sql(SETTINGS)
    if standby or read_only == "on":
        return fail(
            about,
            "it is read-only",
            "set CHATSVC_DATABASE_URL to the primary server, and allow writing there",
        )
    if encoding != "UTF8":
        return fail(
            about,
            f"encoding {encoding}",
            "create the database with ENCODING 'UTF8' TEMPLATE template0",
        )
    harmful = [
        f"{name} = off"
        for name, value in (("fsync", fsync), ("synchronous_commit", commit))
        if value == "off"
    ]
    if harmful:
        found = f"{', '.join(harmful)}: a crash loses messages that were confirmed as stored"
        return warn(about, found, "set it to on in postgresql.conf")
    return ok(about, "UTF8, commits are durable")


def connections(connection: Connection) -> Finding:
    """Check the free connections. Those of a running service count as free."""
    [(free, in_use)] = connection.execute_sql(FREE_CONNECTIONS)
    found = f"{free} free, {in_use} used by a running service"
    if free + in_use >= CONNECTIONS_NEEDED:
        return ok("database connections", found)
    return warn(
        "database connections", found, f"{CONNECTIONS_NEEDED} are needed: raise max_connections"
    )


def staff(connection: Connection) -> Finding:
    """Check whether a staff account exists. Needs an up-to-date schema."""
    if any_staff(connection):
        return ok("staff", "a staff account exists")
    return warn(
        "staff", "nobody can log in to the dashboard yet", "run the command `create-admin EMAIL`"
    )


def clock(connection: Connection, now: Callable[[], float] = time.time) -> Finding:
    """Compare the clocks of the database and of this machine. `now` returns Unix time.

    Tokens expire by this machine's clock; e-mails are due by the database's.
    """
    before = now()
    [(database_now,)] = connection.execute_sql(
        "SELECT extract(epoch FROM clock_timestamp())::float8"
    )
    skew_s = database_now - (before + now()) / 2
    if abs(skew_s) < SKEW_WARNED_S:
        return ok("clock", "database and this machine agree")
    direction = "ahead of" if skew_s > 0 else "behind"
    found = f"the database's clock is {abs(skew_s):.1f} s {direction} this machine's"
    level = warn if abs(skew_s) < LEEWAY.total_seconds() else fail
    return level("clock", found, "synchronise both clocks (timedatectl set-ntp true)")

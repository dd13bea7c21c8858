"""PostgreSQL for tests: one cluster per session, one migrated and empty database per test."""

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg2

from chatsvc.database.schema import migrate


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def execute(url: str, sql: str, *params: object) -> list[tuple[object, ...]]:
    """Runs SQL on a connection of its own and returns the rows, if there are any."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, params or None)
            return cursor.fetchall() if cursor.description else []


def answers(url: str) -> bool:
    """Whether there is a PostgreSQL that takes connections."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# Each change of the schema makes or removes rows of these tables. Emptying a table only changes
# rows of pg_class, so of that one what matters is named.
CATALOGS = [
    "pg_attrdef",
    "pg_attribute",
    "pg_constraint",
    "pg_extension",
    "pg_index",
    "pg_namespace",
    "pg_proc",
    "pg_rewrite",
    "pg_trigger",
    "pg_type",
    "public.schema_migrations",
]
SCHEMA = " UNION ALL ".join(
    (
        *(f"SELECT count(*), max(xmin::text::bigint)::text FROM {name}" for name in CATALOGS),  # noqa: S608
        "SELECT count(*), string_agg(concat(oid, relname, relacl, reloptions), ',' ORDER BY oid)"
        " FROM pg_class WHERE relpersistence = 'p'",
        "SELECT count(*), '' FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        " WHERE datname = current_database()",
    )
)
EMPTY_ALL = """
SET LOCAL session_replication_role = replica; -- no foreign key is looked at
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'schema_migrations'
    LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
END $$
"""
# what deleted rows leave behind is kept up to this; a new database is this large on its own
LARGEST = "SELECT max(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relkind = 'r'"
LARGEST_BYTES = 4_000_000


class Cluster:
    """A PostgreSQL server for tests. `url` leads to a database where others can be made.

    To make and to drop a database takes ten times as long as to empty one, so a database whose
    schema a test left as it was is used again.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._template: str | None = None
        self._schema: list[tuple[object, ...]] = []
        self._empty: list[str] = []

    def template(self) -> str:
        """The name of a migrated, empty database."""
        if self._template is None:
            self._template = f"template_{uuid4().hex}"
            execute(self.url, f'CREATE DATABASE "{self._template}"')
            migrate(with_database(self.url, self._template))
            self._schema = execute(with_database(self.url, self._template), SCHEMA)
        return self._template

    def _strategy(self) -> str:
        """Copying files is twice as fast as writing them to the log; known since PostgreSQL 15."""
        rows = execute(self.url, "SELECT current_setting('server_version_num')::int >= 150000")
        return "STRATEGY file_copy" if rows[0][0] else ""

    def database(self) -> Iterator[str]:
        """The URL of a migrated, empty database, for one test."""
        name = self._empty.pop() if self._empty else self._make()
        url = with_database(self.url, name)
        yield url
        if self._is_emptied(url):
            self._empty.append(name)
        else:
            execute(self.url, f'DROP DATABASE "{name}" WITH (FORCE)')

    def _make(self) -> str:
        name = f"test_{uuid4().hex}"
        copy = f'TEMPLATE "{self.template()}" {self._strategy()}'
        execute(self.url, f'CREATE DATABASE "{name}" {copy}')
        return name

    def _is_emptied(self, url: str) -> bool:
        """Empty a database, unless its schema or its settings were changed."""
        try:
            with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
                cursor.execute(END_OTHERS)
                cursor.execute(SCHEMA)
                if cursor.fetchall() != self._schema:
                    return False
                cursor.execute(LARGEST)
                if cursor.fetchall() > [(LARGEST_BYTES,)]:
                    return False
                cursor.execute(EMPTY_ALL)
                connection.commit()
        except psycopg2.Error:
            return False
        return True

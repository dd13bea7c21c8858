"""Migrations: apply them and check that they are applied. Blocking, so not for the loop."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from playhouse.migrations import Runner

from chatsvc.database.connection import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x63686174  # "chat": two processes that start at once migrate one after the other
MIGRATION_TIMEOUT_S = 3600  # building an index over a large table takes long


class SchemaError(Exception):
    """The schema does not match this version of chatsvc; the text says what to do."""


def migrate(url: str, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply pending migrations under an advisory lock and return their names.

    Raises SchemaError if the schema is newer than this program.
    """
    with closing(
        Connection(url, application_name="chatsvc migrate", statement_timeout_s=MIGRATION_TIMEOUT_S)
    ) as connection:
        connection.execute_sql("SELECT pg_advisory_lock(%s)", ADVISORY_LOCK)
        runner: Any = Runner(  # type: ignore[no-untyped-call]
            connection.database, str(migrations), table_name="schema_migrations"
        )
        _refuse_newer(runner)
        applied: list[str] = runner.up()
        return applied


def _refuse_newer(runner: Any) -> None:
    unknown = [migration.name for migration in runner.status() if migration.path is None]
    if unknown:
        raise SchemaError(
            "the database's schema is newer than this version of chatsvc "
            f"(it has {', '.join(unknown)}): install the newer chatsvc again, "
            "or restore a backup made with this version"
        )


def current_check(migrations: Path = MIGRATIONS) -> Callable[[Connection], bool]:
    """Return a function for Database.read: whether all migrations of this program are applied."""
    expected = sorted(path.stem for path in migrations.glob("[0-9]*.py"))

    def is_current(connection: Connection) -> bool:
        rows = connection.execute_sql("SELECT name FROM schema_migrations ORDER BY name")
        return [name for (name,) in rows] == expected

    return is_current

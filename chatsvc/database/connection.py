"""What functions on database threads work with: `Connection` to read, `Transaction` to write.

Both run SQL constants that are prepared once per connection, and serve Peewee's query builder.
"""

import threading
from contextlib import suppress
from typing import Any, NamedTuple

import peewee
import psycopg2
import psycopg2.extensions
from msgspec import Struct
from peewee import PostgresqlDatabase

from chatsvc.events import Emission, Signal

CONNECT_TIMEOUT_S = 3  # below threads.WAIT_LIMIT_S
STATEMENT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 3  # a lock held longer belongs to a transaction that is stuck
IDLE_IN_TRANSACTION_TIMEOUT_S = 10  # ends the transactions of a frozen process
TCP_TIMEOUT_MS = 10_000  # a cut network is noticed after this long, not after 15 minutes

# SQLSTATE classes and codes after which the same work may succeed later: connection, resources
# (disk full, too many connections), intervention (shutdown, statement timeout), system error,
# rollback (deadlock), lock timeout, read-only (a failover in progress).
_TRANSIENT_CLASSES = ("08", "53", "57", "58", "40")
_READ_ONLY = "25006"
_TRANSIENT_CODES = ("55P03", _READ_ONLY, "25P03")
_REFUSAL_CLASSES = ("53", "58")  # disk full and other resources, input/output errors
_REPEATABLE_CLASS = "40"  # deadlock, serialization failure: retried at once

# Ids are text in this service; Peewee makes psycopg2 return UUID objects in the whole process.
_UUID_AS_TEXT = psycopg2.extensions.new_type((2950,), "UUID_AS_TEXT", lambda value, cursor: value)

Rows = list[tuple[Any, ...]]


class Statement(NamedTuple):
    """A SQL constant that is prepared once per connection. `types` are those of $1, $2, …"""

    name: str
    types: tuple[str, ...]
    sql: str

    @property
    def prepare(self) -> str:
        types = f" ({', '.join(self.types)})" if self.types else ""
        return f"PREPARE {self.name}{types} AS {self.sql}"

    @property
    def call(self) -> str:
        if not self.types:
            return f"EXECUTE {self.name}"
        return f"EXECUTE {self.name} ({', '.join('%s::' + type_ for type_ in self.types)})"


class Connection:
    """One thread's connection. It opens at the first query and reopens after it broke.

    It opens only to a server that accepts writes, or with `read_only` to any. For Peewee's query
    builder: `query.execute(connection.database)`.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str,
        statement_timeout_s: int = STATEMENT_TIMEOUT_S,
        read_only: bool = False,
    ) -> None:
        self._owner = threading.get_ident()
        self._begins = False  # BEGIN goes with the first statement: one round trip less
        self._settings = _settings(statement_timeout_s)
        self._prepared: dict[str, str] = {}
        self._connection: Any = None
        self._database = PostgresqlDatabase(
            url.replace("postgres://", "postgresql://", 1),
            autoconnect=False,
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=TCP_TIMEOUT_MS,
            # after a failover the address may lead to a standby for some seconds
            target_session_attrs="any" if read_only else "read-write",
        )

    @property
    def database(self) -> PostgresqlDatabase:
        """The open connection as Peewee knows it."""
        self._open()
        if self._begins:
            self.execute_sql("SELECT")
        return self._database

    def execute(self, statement: Statement, *params: Any) -> Rows:
        """Run a prepared statement and return its rows."""
        connection = self._open()
        call = self._prepared.get(statement.name)
        with connection.cursor() as cursor:
            if call is None:
                cursor.execute(statement.prepare)
                call = self._prepared[statement.name] = statement.call
            values = [
                _as_array(value, type_) if isinstance(value, list) else value
                for value, type_ in zip(params, statement.types, strict=True)
            ]
            cursor.execute(self._with_begin(call), values)
            return cursor.fetchall() if cursor.description else []

    def execute_sql(self, sql: str, *params: Any) -> Rows:
        """Run SQL without preparing it and return its rows."""
        with self._open().cursor() as cursor:
            cursor.execute(self._with_begin(sql), params or None)
            return cursor.fetchall() if cursor.description else []

    def rollback(self, error: BaseException | None = None) -> None:
        """End a transaction that failed. Never raises.

        Closes the connection if it cannot do so, or if `error` shows that the server is read-only:
        the primary may be another server now.
        """
        self._begins = False
        try:
            if self._connection is not None and not self.is_lost:
                self.execute_sql("ROLLBACK")
        except psycopg2.Error:
            self.close()
        if self.is_lost or (error is not None and sqlstate(error) == _READ_ONLY):
            self.close()

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke (psycopg2 notices when it is used)."""
        return self._connection is not None and bool(self._connection.closed)

    def is_lost_with(self, error: BaseException) -> bool:
        """Whether `is_lost` or `error` shows that the connection broke.

        Then a COMMIT in progress may have been carried out.
        """
        return self.is_lost or _is_broken_off(error)

    def close(self) -> None:
        with suppress(peewee.PeeweeException, psycopg2.Error):
            self._database.close()
        self._connection = None
        self._prepared.clear()

    def _with_begin(self, sql: str) -> str:
        if not self._begins:
            return sql
        self._begins = False
        return f"BEGIN; {sql}"

    def _open(self) -> Any:
        if threading.get_ident() != self._owner:
            raise RuntimeError(
                "a database connection was used outside its thread: "
                "pass a function to Database.read or Database.write"
            )
        if self._connection is None:
            self._database.connect(reuse_if_open=True)
            self._connection = self._database.connection()  # type: ignore[no-untyped-call]
            psycopg2.extensions.register_type(_UUID_AS_TEXT, self._connection)
            with self._connection.cursor() as cursor:
                cursor.execute(self._settings)
        return self._connection


def _as_array(values: list[Any], type_: str) -> str:
    """Return the text of an array. psycopg2 would write an expression, at twice to seven times the
    time, which PostgreSQL would have to evaluate.
    """
    if type_ == "text[]":
        texts = ["NULL" if one is None else _quote_element(one) for one in values]
    else:  # types whose texts have no quotes, commas or braces
        texts = ["NULL" if one is None else str(one) for one in values]
    return f"{{{','.join(texts)}}}"


def _quote_element(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Transaction(Connection):
    """A connection for writing. `emitted` holds what is published if the transaction commits."""

    def __init__(self, url: str, *, application_name: str, read_only: bool = False) -> None:
        super().__init__(url, application_name=application_name, read_only=read_only)
        self.emitted: list[Emission | Signal] = []

    def emit(self, topic: str, event: Struct, seq: int | None = None) -> None:
        """Publish an event to the subscribers of `topic` after COMMIT."""
        self.emitted.append(Emission(topic, event, seq))

    def signal(self, signal: Signal) -> None:
        """Tell a part of this process something after COMMIT."""
        self.emitted.append(signal)

    def take_emitted(self) -> list[Emission | Signal]:
        """Return what was emitted since the last call, and forget it."""
        taken, self.emitted = self.emitted, []
        return taken

    def begin(self) -> None:
        """Start a transaction. BEGIN is sent with its first statement."""
        self._begins = True

    @property
    def is_empty(self) -> bool:
        """Whether no statement has run since `begin`."""
        return self._begins

    def commit(self) -> None:
        if self.is_empty:
            self._begins = False
        else:
            self.execute_sql("COMMIT")

    def rollback(self, error: BaseException | None = None) -> None:
        self.emitted = []
        super().rollback(error)


def _settings(statement_timeout_s: int) -> str:
    """Return the settings of a connection. Migrations may take longer and wait for locks."""
    usual = statement_timeout_s == STATEMENT_TIMEOUT_S
    settings = {
        "TimeZone": "UTC",
        "statement_timeout": f"{statement_timeout_s}s",
        "lock_timeout": f"{LOCK_TIMEOUT_S if usual else 0}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_S if usual else 0}s",
        # A plan made while a table was small must not scan it after it has grown.
        "enable_seqscan": "off" if usual else "on",
    }
    return "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or "" without one (the connection itself failed).

    Peewee wraps psycopg2's errors.
    """
    for candidate in (error, error.__cause__, error.__context__):
        code = getattr(candidate, "pgcode", None)
        if code:
            return str(code)
    return ""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later."""
    code = sqlstate(error)
    if code:
        return code.startswith(_TRANSIENT_CLASSES) or code in _TRANSIENT_CODES
    return _is_broken_off(error) or isinstance(
        error,
        psycopg2.OperationalError
        | psycopg2.InterfaceError
        | peewee.OperationalError
        | peewee.InterfaceError,
    )


def refuses_writes(error: BaseException) -> bool:
    """Whether the database could not have carried out any other write either."""
    code = sqlstate(error)
    return not code or code.startswith(_REFUSAL_CLASSES) or code == _READ_ONLY


def is_repeatable(error: BaseException) -> bool:
    """Whether the same work may succeed at once: two transactions were in conflict."""
    return sqlstate(error).startswith(_REPEATABLE_CLASS)


def _is_broken_off(error: BaseException) -> bool:
    """Whether the server crashed, or the connection broke in a query of two statements.

    psycopg2 raises its base class without a SQLSTATE then, and still considers the connection open.
    """
    return not sqlstate(error) and type(error) in (psycopg2.DatabaseError, peewee.DatabaseError)

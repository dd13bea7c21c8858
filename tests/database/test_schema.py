"""The schema: models and migrations say the same, migrating is safe to repeat, and it works on every PostgreSQL here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from peewee import ForeignKeyField, IntegerField, TextField, UUIDField
from playhouse.postgres_ext import DateTimeTZField
from tornado.ioloop import IOLoop

from chatsvc.database.connection import Connection, Statement
from chatsvc.database.models import MODELS
from chatsvc.database.schema import SchemaError, current_check, migrate
from chatsvc.database.threads import Database
from chatsvc.store import chats, claims, messages, notices, search
from tests.support.installed import installed_versions, running
from tests.support.postgres import Cluster, execute, with_database
from tests.support.process import ROOT, ServerProcess
from tests.support.service import Service, make_config

TYPES = {
    UUIDField: "uuid",
    TextField: "text",
    IntegerField: "integer",
    DateTimeTZField: "timestamp with time zone",
}


@pytest.fixture
def empty_url(cluster: Cluster) -> Iterator[str]:
    """A database without any table."""
    execute(cluster.url, "CREATE DATABASE not_migrated")
    yield with_database(cluster.url, "not_migrated")
    execute(cluster.url, "DROP DATABASE not_migrated WITH (FORCE)")


# ---- models and migrations ----


def column_type(field: Any) -> str:
    return (
        column_type(field.rel_field) if isinstance(field, ForeignKeyField) else TYPES[type(field)]
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_models_say_what_the_migrations_make(model: Any, database_url: str) -> None:
    table = model._meta.table_name
    columns = execute(
        database_url,
        "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns WHERE table_name = %s",
        table,
    )
    fields = model._meta.sorted_fields
    assert {name: (type_, null) for name, type_, null in columns} == {
        field.column_name: (column_type(field), field.null) for field in fields
    }
    plain = [
        ([field.column_name], field.unique)
        for field in fields
        if field.index or field.unique or field.primary_key
    ]
    several = [
        ([model._meta.fields[name].column_name for name in names], unique)
        for names, unique in model._meta.indexes
    ]
    in_models = {(*names, unique or names == ["id"]) for names, unique in plain + several}
    indexes = execute(
        database_url,
        """
        SELECT (SELECT array_agg(a.attname::text ORDER BY k.n)
                FROM unnest(i.indkey) WITH ORDINALITY k(number, n)
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number), i.indisunique
        FROM pg_index i WHERE i.indrelid = %s::regclass AND i.indpred IS NULL AND i.indexprs IS NULL
        """,
        table,
    )
    assert {(*names, unique) for names, unique in indexes} == in_models  # type: ignore[misc]


def test_foreign_keys_are_those_of_the_models(database_url: str) -> None:
    found = execute(
        database_url,
        """
        SELECT conrelid::regclass::text, attname::text, confrelid::regclass::text, confdeltype = 'c'
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] WHERE contype = 'f'
        """,
    )
    expected = {
        (
            model._meta.table_name,
            field.column_name,
            field.rel_model._meta.table_name,
            field.on_delete == "CASCADE",
        )
        for model in MODELS
        for field in model._meta.sorted_fields
        if isinstance(field, ForeignKeyField)
    }
    assert set(found) == expected


# ---- migrating ----


async def test_migrating_again_changes_nothing(empty_url: str) -> None:
    first = migrate(empty_url)
    assert first == sorted(
        path.stem for path in (ROOT / "chatsvc" / "database" / "migrations").glob("0*.py")
    )
    assert migrate(empty_url) == []
    database = Database(empty_url)
    await database.start()
    assert await database.read(current_check()) is True
    execute(empty_url, "DELETE FROM schema_migrations")
    assert await database.read(current_check()) is False
    await database.stop()


def test_two_processes_at_once_migrate_once(empty_url: str) -> None:
    program = (
        "import sys; from chatsvc.database.schema import migrate; print(len(migrate(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, empty_url]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], ends
    applied = sorted(int(out) for out, _ in ends)
    assert applied[:2] == [0, 0] and applied[2] > 0


NEWER = """
INSERT INTO schema_migrations
SELECT (jsonb_populate_record(m, '{"id": 9999, "name": "9999_next"}')).* FROM schema_migrations m LIMIT 1
"""


def test_a_schema_that_is_newer_than_the_program_is_refused(
    database_url: str, tmp_path: Path
) -> None:
    execute(database_url, NEWER)
    with pytest.raises(SchemaError, match=r"newer than this version of chatsvc.*9999_next"):
        migrate(database_url)
    process = ServerProcess(tmp_path, database_url)
    for arguments in (["migrate"], ["serve"]):
        ended = process.command(*arguments)
        said = (ended.stdout + ended.stderr).strip()
        assert ended.returncode == 1 and "9999_next" in said and "Traceback" not in said
        assert len(said.splitlines()) == 1, said


# ---- every PostgreSQL here ----


@pytest.fixture(
    params=["embedded", *installed_versions()],
    ids=lambda found: getattr(found, "parent", Path(str(found))).name,
)
def any_cluster(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Cluster]:
    if request.param == "embedded":
        yield cluster
    else:
        with running(request.param) as other:
            yield other


@pytest.mark.slow
def test_the_main_job_works_on_it(any_cluster: Cluster, io_loop: IOLoop, tmp_path: Path) -> None:
    for url in any_cluster.database():
        service = Service(make_config(tmp_path), url)
        io_loop.run_sync(service.start)
        try:
            io_loop.run_sync(lambda service=service: main_job(service))
        finally:
            io_loop.run_sync(service.stop)


async def main_job(service: Service) -> None:
    """Every statement of the store once."""
    alice, staff, visitor = (
        service.user_token(),
        await service.staff_token(),
        await service.visitor_token(name="V"),
    )
    stream = await service.stream(alice)
    await stream.next("state")
    sent = [await service.send(alice, "hello", "c1")]
    chat_id = await service.chat_id(alice)
    sent.append(await service.send(staff, "hi", chat_id=chat_id))
    assert await service.send(alice, "hello", "c1") == sent[0]
    assert await stream.messages_up_to(2) == sent
    marked = await service.request(
        "PATCH", "/support_chat/mark_read", token=alice, body={"up_to": 2}
    )
    assert marked.json == {"unread_count": 0, "read_up_to": 2}
    for action in ("mark_viewed", "archive", "unarchive"):
        assert (await service.post(f"/admin/chats/{chat_id}/{action}", staff)).status == 200
    for query in ("after=0", "before=2", f"since={sent[0]['created_at']}"):
        page = (await service.get(f"/support_chat/messages?{query}", alice)).json
        assert len(page["messages"]) == (2 if query == "after=0" else 1)
    await service.send(visitor, "me too")
    await service.request("PATCH", "/visitors/me", token=visitor, body={"email": "v@example.com"})
    first = await service.get("/admin/chats?limit=1", staff)
    assert [item["user_email"] for item in first.json] == [
        "v@example.com"
    ] and "Link" in first.headers
    assert (await service.get(f"/admin/chats/{chat_id}", staff)).json["last_seq"] == 2
    assert (await service.get("/dashboard", cookies=await service.login())).status == 200
    assert (await service.get("/readyz")).status == 200
    assert execute(service.database_url, "SELECT state FROM support_notices") == [("cancelled",)]


# ---- plans ----

FILL = """
INSERT INTO users (id, kind, external_id) SELECT gen_random_uuid(), 'host', n::text FROM generate_series(1, 4000) n;
INSERT INTO support_chats (id, user_id, last_seq, last_message_at, last_user_message_at, archived_at)
    SELECT gen_random_uuid(), id, 5, clock_timestamp(), clock_timestamp(), CASE WHEN random() < 0.5 THEN now() END FROM users;
INSERT INTO support_messages (id, chat_id, seq, client_id, content, sender_type, sender_id, created_at, updated_at)
    SELECT gen_random_uuid(), c.id, n, gen_random_uuid()::text, 'm', CASE WHEN n < 4 THEN 'user' ELSE 'admin' END, c.user_id, now(), now()
    FROM support_chats c, generate_series(1, 5) n;
INSERT INTO support_notices (id, chat_id, first_seq, due_at, state)
    SELECT gen_random_uuid(), id, 1, now(), CASE WHEN random() < 0.1 THEN 'pending' ELSE 'sent' END FROM support_chats;
ANALYZE
"""
COUNTED = "count_chats"  # reads at most 1,000 rows of each kind, from wherever they are found first


def statements() -> list[Statement]:
    found = {
        value.name: value
        for module in (chats, claims, messages, notices, search)
        for value in vars(module).values()
        if isinstance(value, Statement)
    }
    assert len(found) > 15
    return list(found.values())


def plan_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from plan_nodes(child)


def reads_all(node: dict[str, Any]) -> bool:
    """A scan of a table, or of a whole index in its place."""
    kind = node["Node Type"]
    return kind == "Seq Scan" or (
        kind.endswith(("Index Scan", "Index Only Scan")) and "Index Cond" not in node
    )


@pytest.mark.slow
def test_no_hot_statement_reads_a_whole_table(any_cluster: Cluster) -> None:
    """With generic plans, which is what prepared statements end with, on tables of some thousand rows."""
    for url in any_cluster.database():
        execute(url, FILL)
        with closing(Connection(url, application_name="test")) as connection:
            connection.execute_sql("SET plan_cache_mode = force_generic_plan")
            for statement in statements():
                connection.execute_sql(statement.prepare)
                nulls = f"({', '.join('NULL' for _ in statement.types)})" if statement.types else ""
                [(explained,)] = connection.execute_sql(
                    f"EXPLAIN (FORMAT JSON) EXECUTE {statement.name}{nulls}"
                )
                nodes = list(plan_nodes(explained[0]["Plan"]))
                if statement.name != COUNTED:
                    assert not [node for node in nodes if reads_all(node)], (
                        statement.name,
                        json.dumps(explained)[:3000],
                    )


def test_the_list_is_read_in_the_order_of_its_index(database_url: str) -> None:
    """No sort: a page of the list costs the same whatever is behind it."""
    execute(database_url, FILL)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        for statement in (chats.LIST_ACTIVE, chats.LIST_ARCHIVED):
            cursor.execute(statement.prepare)
            cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {statement.name} ('infinity', NULL, 50)")
            [(explained,)] = cursor.fetchall()
            kinds = {node["Node Type"] for node in plan_nodes(explained[0]["Plan"])}
            assert "Sort" not in kinds and "Incremental Sort" not in kinds, kinds

"""Upgrades and backups: what is stored stays, and so do the cursors that clients hold."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chatsvc.database.connection import Connection
from chatsvc.database.schema import MIGRATIONS, migrate
from chatsvc.postgres.launch import package_binaries
from chatsvc.postgres.manager import EmbeddedPostgres
from chatsvc.security import tokens
from tests.support.postgres import Cluster, execute, with_database
from tests.support.service import Service

FIRST = "0001_initial"
STAFF_TOKEN = tokens.new_secret(tokens.STAFF_PREFIX)
ALICE, STAFF, CHAT, OTHER, OTHER_CHAT = (str(uuid4()) for _ in range(5))

# What the first release stored: a user with a chat of four messages, two of which by staff and one of these read;
# a visitor with an archived chat; a notice that is due.
FIRST_ROWS = f"""
INSERT INTO users (id, kind, external_id, email, name, claims_issued_at) VALUES
    ('{ALICE}', 'host', 'alice', 'alice@example.com', 'Alice', now() - interval '1 day'), ('{OTHER}', 'visitor', NULL, NULL, 'Vic', NULL);
INSERT INTO users (id, kind, email, name, password_hash) VALUES ('{STAFF}', 'staff', 'sam@example.com', 'Sam', '!');
INSERT INTO staff_tokens (id, user_id, token_hash) VALUES (gen_random_uuid(), '{STAFF}', '{tokens.hash_token(STAFF_TOKEN)}');
INSERT INTO support_chats (id, user_id, last_seq, read_up_to, last_message_at, last_user_message_at, archived_at) VALUES
    ('{CHAT}', '{ALICE}', 4, 2, '2026-01-04Z', '2026-01-03Z', NULL),
    ('{OTHER_CHAT}', '{OTHER}', 1, 0, '2026-01-01Z', '2026-01-01Z', '2026-01-02Z');
INSERT INTO support_messages (id, chat_id, seq, client_id, content, sender_type, sender_id, read_at, created_at, updated_at)
    SELECT gen_random_uuid(), '{CHAT}', n, 'c' || n, 'message ' || n, CASE WHEN n % 2 = 0 THEN 'admin' ELSE 'user' END,
        (CASE WHEN n % 2 = 0 THEN '{STAFF}' ELSE '{ALICE}' END)::uuid, CASE WHEN n = 2 THEN now() END, day, day
    FROM generate_series(1, 4) n, LATERAL (SELECT '2026-01-01Z'::timestamptz + (n - 1) * interval '1 day' AS day) d;
INSERT INTO support_messages (id, chat_id, seq, content, sender_type, sender_id, created_at, updated_at)
    VALUES (gen_random_uuid(), '{OTHER_CHAT}', 1, 'hello', 'user', '{OTHER}', '2026-01-01Z', '2026-01-01Z');
INSERT INTO support_notices (id, chat_id, first_seq, due_at) VALUES (gen_random_uuid(), '{CHAT}', 4, now() + interval '1 hour');
"""  # noqa: S608 - constants of this module


@pytest.fixture
def first_release_url(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """A database as the first release left it."""
    name = f"first_{uuid4().hex}"
    execute(cluster.url, f'CREATE DATABASE "{name}"')
    url, migrations = with_database(cluster.url, name), tmp_path / "migrations"
    migrations.mkdir()
    shutil.copy(MIGRATIONS / f"{FIRST}.py", migrations)
    assert migrate(url, migrations) == [FIRST]
    execute(url, FIRST_ROWS)
    yield url
    execute(cluster.url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def upgraded(first_release_url: str, make_service: Callable[..., Service]) -> Service:
    newest = [path.stem for path in sorted(MIGRATIONS.glob("[0-9]*.py"))]
    assert migrate(first_release_url) == newest[1:] != []
    return make_service(database_url=first_release_url)


async def test_an_upgrade_from_the_first_release_keeps_everything(upgraded: Service) -> None:
    alice = upgraded.user_token("alice")
    stream = await upgraded.stream(alice, cursor=2)
    messages = await stream.messages_up_to(4)
    assert [(one["seq"], one["content"]) for one in messages] == [
        (3, "message 3"),
        (4, "message 4"),
    ]
    chat = (await upgraded.get("/support_chat", alice)).json
    assert (chat["id"], chat["last_seq"], chat["unread_count"], chat["archived"]) == (
        CHAT,
        4,
        1,
        False,
    )
    assert [one["content"] for one in chat["messages"]] == [f"message {n}" for n in range(1, 5)]
    assert [one["read_at"] is not None for one in chat["messages"]] == [False, True, False, False]
    assert (await upgraded.send(alice, "message 1", "c1"))["seq"] == 1, "sent by the first release"
    assert (await upgraded.send(alice, "message 5"))["seq"] == 5

    active = (await upgraded.get("/admin/chats", STAFF_TOKEN)).json
    archived = (await upgraded.get("/admin/chats?archived=true", STAFF_TOKEN)).json
    assert [(one["id"], one["user_email"], one["unread"]) for one in active] == [
        (CHAT, "alice@example.com", True)
    ]
    assert [(one["id"], one["user_name"]) for one in archived] == [(OTHER_CHAT, "Vic")]
    assert execute(upgraded.database_url, "SELECT state FROM support_notices") == [("pending",)]
    await upgraded.request("PATCH", "/support_chat/mark_read", token=alice, body={})
    assert execute(upgraded.database_url, "SELECT state FROM support_notices") == [("cancelled",)]


# ---- backups ----


@pytest.fixture
def other_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Another machine's PostgreSQL."""
    server = EmbeddedPostgres(tmp_path / "other", fsync=False)
    try:
        yield Cluster(server.start())
    finally:
        server.stop()


def postgres(program: str, *arguments: object) -> None:
    command = [str(package_binaries() / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
async def test_after_a_restore_every_client_has_a_correct_list_or_is_told_to_fetch_it(
    service: Service, other_cluster: Cluster, tmp_path: Path
) -> None:
    """The backup holds three messages. What was written after it is gone, and who has seen that fetches again."""
    alice, staff = service.user_token(), await service.staff_token()
    chat_id = await service.chat_id(alice)
    for n in (1, 2, 3):
        await service.send(alice, f"message {n}", f"c{n}")
    stored = (await service.get("/support_chat", alice)).json["messages"]
    dump = tmp_path / "chatsvc.dump"
    postgres("pg_dump", "--format=custom", f"--file={dump}", service.database_url)
    await service.send(alice, "written after the backup", "c4")

    execute(other_cluster.url, "CREATE DATABASE restored")
    url = with_database(other_cluster.url, "restored")
    postgres("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", dump)
    assert migrate(url) == []
    restored = await Service(service.app.config, url).start()
    try:
        assert (await restored.get("/support_chat", alice)).json["messages"] == stored
        await behind(restored, alice, stored)
        await ahead(restored, alice, stored)
        assert (await restored.get(f"/admin/chats/{chat_id}", staff)).json["last_seq"] == 3, (
            "a staff token still works"
        )
        assert (await restored.send(alice, "message 3", "c3"))["seq"] == 3, "it was stored before"
        assert (await restored.send(alice, "written after the backup", "c4"))["seq"] == 4, (
            "a client that repeats it"
        )
    finally:
        await restored.stop()
    same_schema(service.database_url, url)


async def behind(restored: Service, token: str, stored: list[Any]) -> None:
    """Clients that the backup knows more than, or as much as: the rest, in order."""
    for cursor in range(4):
        stream = await restored.stream(token, cursor=cursor)
        assert (await stream.next()).type == "state"
        assert cursor == 3 or await stream.messages_up_to(3) == stored[cursor:]
        assert not any(event.type == "reset" for event in stream.events)
        page = (await restored.get(f"/support_chat/messages?after={cursor}", token)).json
        assert page["messages"] == stored[cursor:]


async def ahead(restored: Service, token: str, stored: list[Any]) -> None:
    """A client that has seen what is gone."""
    stream = await restored.stream(token, cursor=4)
    assert [(await stream.next()).type for _ in range(2)] == ["state", "reset"]
    assert (await restored.get("/support_chat", token)).json["messages"] == stored


def same_schema(one: str, other: str) -> None:
    """Indexes and constraints came along."""
    sql = """SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
             UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"""
    found = []
    for url in (one, other):
        with closing(Connection(url, application_name="test")) as connection:
            found.append(connection.execute_sql(sql))
    assert found[0] == found[1] and len(found[0]) > 20

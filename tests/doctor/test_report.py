"""The doctor: each thing that can be wrong is provoked once, and named with what to do about it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chatsvc.config.config import Config, load_or_create_secret
from chatsvc.database.connection import Connection, Transaction
from chatsvc.doctor import database, environment, notices, secrets
from chatsvc.doctor.finding import Finding
from chatsvc.doctor.report import findings
from chatsvc.store.people import save_staff
from tests.support.command import Command
from tests.support.ports import reserve_port
from tests.support.postgres import Cluster, execute, with_database
from tests.support.process import ROOT, ServerProcess
from tests.support.service import IDENTITY_SECRET, make_config

RANDOM = b"0123456789abcdef0123456789abcdef"


def found(config: Config) -> dict[str, Finding]:
    """All findings by what they are about."""
    return {finding.about: finding for finding in findings(config)}


# ---- as a command ----


def test_each_check_is_a_line_and_a_failure_is_the_exit_status(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service does not run."""
    port = reserve_port()
    server.environment["CHATSVC_PORT"] = str(port)
    done = Command(server.environment, monkeypatch, capsys)("doctor")
    lines = done.stdout.splitlines()
    assert done.status == 1 and done.stderr == ""
    assert len(lines) >= 15 and all(
        re.fullmatch(r"(ok  |warn|FAIL)  [\w ]+: \S.*", line) for line in lines
    )
    failures = [line for line in lines if line.startswith("FAIL")]
    assert failures == [
        f"FAIL  reachable: http://localhost:{port}: Connection refused; "
        "start the service and its proxy, or correct CHATSVC_PUBLIC_URL"
    ]


def test_the_same_as_json(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(server.environment, monkeypatch, capsys)
    done, as_json = command("doctor"), command("doctor", "--json")
    told = json.loads(as_json.stdout)
    assert as_json.status == done.status == 1 and as_json.stderr == ""
    assert [str(Finding(**one)) for one in told] == done.stdout.splitlines()


def test_options_that_are_wrong_are_findings_too(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short secret stops every command; the doctor says so in its own form."""
    command = Command(server.environment, monkeypatch, capsys)
    done = command("doctor", "--json", secret_key="short", port="http")
    assert done.status == 1 and done.stderr == ""
    assert json.loads(done.stdout) == [
        {
            "level": "FAIL",
            "about": "configuration",
            "found": found,
            "advice": "correct it, then run the command `doctor` again",
        }
        for found in (
            "CHATSVC_PORT: must be a whole number from 0 to 65535, not 'http'",
            "CHATSVC_SECRET_KEY: must be at least 32 bytes long; "
            "`openssl rand -hex 32` prints a suitable one (the value has 5 bytes)",
        )
    ]
    assert command("doctor", secret_key="short").stdout.startswith(
        "FAIL  configuration: CHATSVC_SECRET_KEY: "
    )


@pytest.mark.slow
def test_the_limit_of_file_descriptors_is_that_of_the_process(server: ServerProcess) -> None:
    limited = [
        "sh",
        "-c",
        'ulimit -n 300; exec "$@"',
        "sh",
        sys.executable,
        str(ROOT / "server.py"),
        "doctor",
        "--json",
    ]
    done = subprocess.run(
        limited,
        env=server.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    seen = {one["about"]: one for one in json.loads(done.stdout)}
    assert seen["file descriptors"]["level"] == "warn", done.stdout
    assert seen["file descriptors"]["found"] == "300 for this account, enough for 100 open streams"
    assert "LimitNOFILE=65536" in seen["file descriptors"]["advice"]


# ---- options ----

PUBLIC = {"public_url": "https://chat.example.com"}


@pytest.mark.parametrize(
    ("changes", "about", "level", "words"),
    [
        ({"public_url": "http://localhost:8888"}, "PUBLIC_URL", "ok", "http://localhost:8888"),
        ({"public_url": "http://[::1]:8888"}, "PUBLIC_URL", "ok", "http://[::1]:8888"),
        (PUBLIC, "PUBLIC_URL", "ok", "https://chat.example.com"),
        ({"public_url": "http://chat.example.com"}, "PUBLIC_URL", "warn", "is not encrypted"),
        ({"public_url": "http://localhost.example.com"}, "PUBLIC_URL", "warn", "is not encrypted"),
        ({"public_url": "http://192.168.0.7"}, "PUBLIC_URL", "warn", "is not encrypted"),
        ({"public_url": "http://localhost:0"}, "PUBLIC_URL", "warn", "the port is unknown"),
        ({}, "TRUSTED_PROXIES", "ok", "none"),
        (PUBLIC, "TRUSTED_PROXIES", "warn", "all users appear to come from the proxy"),
        (PUBLIC | {"trusted_proxies": ("127.0.0.1",)}, "TRUSTED_PROXIES", "ok", "127.0.0.1"),
        ({}, "ALLOWED_ORIGINS", "warn", "only on pages of PUBLIC_URL"),
        ({"demo": True}, "ALLOWED_ORIGINS", "ok", "none"),
        ({"allowed_origins": ("https://a.example",)}, "ALLOWED_ORIGINS", "ok", "https://a.example"),
        ({}, "DEMO", "ok", "off"),
        ({"demo": True}, "DEMO", "warn", "CHATSVC_DEMO=off"),
        (PUBLIC | {"demo": True}, "DEMO", "FAIL", "anybody can get a token"),
        ({"smtp_url": "smtp://mail"}, "MAIL_FROM", "warn", "has no public domain"),
        (
            {"smtp_url": "smtp://mail", "mail_from": "A <a@b.example>"},
            "MAIL_FROM",
            "ok",
            "A <a@b.example>",
        ),
        ({"smtp_url": "smtp://mail"}, "CHAT_PAGE_URL", "warn", "no page with the widget"),
        (
            {"smtp_url": "smtp://mail", "chat_page_url": "https://b.example/help"},
            "CHAT_PAGE_URL",
            "ok",
            "/help",
        ),
    ],
)
def test_risky_options_are_named(
    tmp_path: Path, changes: Any, about: str, level: str, words: str
) -> None:
    config = make_config(tmp_path, **changes)
    if "chat_page_url" not in changes:
        config = msgspec.structs.replace(config, chat_page_url=config.public_url)
    finding = next(one for one in environment.check(config) if one.about == about)
    assert finding.level == level and words in str(finding)


def test_a_data_dir_that_cannot_be_used_fails(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    seen = found(make_config(file))
    assert seen["DATA_DIR"].level == seen["database"].level == "FAIL"
    assert (
        seen["DATA_DIR"].found == f"{file} is not a folder" and str(file) in seen["database"].found
    )
    assert environment.data_dir(make_config(tmp_path / "new" / "one")).level == "ok"


@pytest.mark.parametrize(
    ("limit", "level"), [(-1, "ok"), (20_000, "ok"), (1024, "warn"), (200, "FAIL")]
)
def test_too_few_file_descriptors_are_named(limit: int, level: str) -> None:
    finding = environment.descriptors(limit)
    assert finding.level == level and ("LimitNOFILE" in finding.advice) == (level != "ok")


# ---- secrets ----


def test_a_generated_key_that_others_can_read_fails(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    assert secrets.secret_key(config).found.startswith("none yet")
    load_or_create_secret(tmp_path)
    assert secrets.secret_key(config).level == "ok"
    file = tmp_path / "secret_key"
    file.chmod(0o644)
    finding = secrets.secret_key(config)
    assert (
        finding.level == "FAIL"
        and "mode 644" in finding.found
        and finding.advice == f"chmod 600 {file}"
    )
    file.write_text("short")
    assert "has 5 bytes; the minimum is 32" in secrets.secret_key(config).found


@pytest.mark.parametrize(
    ("changes", "about", "level", "words"),
    [
        ({"secret_key": RANDOM}, "SECRET_KEY", "ok", "set, 32 bytes"),
        ({"secret_key": b"secret" * 6}, "SECRET_KEY", "warn", "only 5 different characters"),
        (
            {"secret_key": IDENTITY_SECRET},
            "SECRET_KEY",
            "FAIL",
            "the same as one of IDENTITY_SECRETS",
        ),
        ({}, "IDENTITY_SECRETS", "ok", f"1, the shortest has {len(IDENTITY_SECRET)} bytes"),
        (
            {"identity_secrets": (RANDOM, b"a" * 32)},
            "IDENTITY_SECRETS, number 2",
            "warn",
            "only 1 different",
        ),
        ({"identity_secrets": ()}, "IDENTITY_SECRETS", "warn", "everybody chats as a visitor"),
        (
            {"identity_secrets": (), "visitors": False},
            "IDENTITY_SECRETS",
            "FAIL",
            "nobody can chat",
        ),
        (
            {"identity_secrets": (), "visitors": False, "demo": True},
            "IDENTITY_SECRETS",
            "ok",
            "the demo page",
        ),
    ],
)
def test_secrets_that_are_none_are_named(
    tmp_path: Path, changes: Any, about: str, level: str, words: str
) -> None:
    finding = next(
        one for one in secrets.check(make_config(tmp_path, **changes), {}) if one.about == about
    )
    assert finding.level == level and words in finding.found
    assert not any(text in str(finding) for text in ("secretsecret", "aaaa", RANDOM.decode()))


def test_a_secret_in_a_file_that_everybody_can_read_fails(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_bytes(RANDOM)
    config = make_config(tmp_path)
    for mode, level in ((0o640, "ok"), (0o644, "FAIL")):
        file.chmod(mode)
        seen = {
            one.about: one for one in secrets.check(config, {"CHATSVC_SMTP_URL_FILE": str(file)})
        }
        assert seen["SMTP_URL_FILE"].level == level


# ---- database ----


@pytest.fixture
def connection(database_url: str) -> Iterator[Transaction]:
    with closing(Transaction(database_url, application_name="test")) as opened:
        yield opened


def test_a_database_in_order_has_no_failure(connection: Connection) -> None:
    seen = {one.about: one for one in database.check(connection)}
    assert [one for one in seen.values() if one.level == "FAIL"] == []
    assert seen["database"].found.startswith("PostgreSQL 1")
    assert seen["database settings"].found.startswith("fsync = off, ")  # as in all tests


def test_a_dashboard_that_nobody_can_log_in_to_is_told(connection: Transaction) -> None:
    assert database.staff(connection).level == "warn"
    save_staff(connection, str(uuid4()), "staff@example.com", None, "a hash")
    assert database.staff(connection).level == "ok"


def test_a_version_that_is_too_old_fails(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "VERSION_MIN", 99)
    assert database.version(connection).level == "FAIL"


def test_a_schema_that_does_not_fit_fails(connection: Connection) -> None:
    assert database.schema(connection).level == "ok"
    connection.execute_sql(
        "INSERT INTO schema_migrations (name, applied) VALUES ('9999_future', now())"
    )
    newer = database.schema(connection)
    assert newer.level == "FAIL" and newer.found == "newer than this version: it has 9999_future"
    connection.execute_sql("DELETE FROM schema_migrations")
    older = database.schema(connection)
    assert (
        older.level == "FAIL"
        and "0001_initial" in older.found
        and "the command `migrate`" in older.advice
    )
    connection.execute_sql("DROP TABLE schema_migrations")
    assert database.schema(connection) == older


def test_missing_rights_are_named_with_the_statement_that_gives_them(
    connection: Connection,
) -> None:
    """Each advice is followed; the next check finds the next thing."""
    role = f"role_{uuid4().hex}"
    connection.execute_sql(
        f'CREATE ROLE "{role}"; GRANT "{role}" TO current_user; SET ROLE "{role}"'
    )
    try:
        for about in (
            "may not create tables in schema public",
            "does not own email_addresses",
            "in schema public",
        ):
            finding = database.rights(connection)
            assert about in finding.found
            connection.execute_sql(f'RESET ROLE; {finding.advice}; SET ROLE "{role}"')
        assert finding.level == "ok"
        connection.execute_sql("SET search_path = nowhere")
        assert database.rights(connection).level == "FAIL"
    finally:
        connection.execute_sql(
            f'RESET ROLE; RESET search_path; DROP OWNED BY "{role}" CASCADE; DROP ROLE "{role}"'
        )


@pytest.mark.parametrize(
    ("statement", "level", "words"),
    [
        ("SET default_transaction_read_only = on", "FAIL", "it is read-only"),
        ("SET synchronous_commit = off", "warn", "synchronous_commit = off"),
    ],
)
def test_settings_that_harm_are_named(
    connection: Connection, statement: str, level: str, words: str
) -> None:
    connection.execute_sql(statement)
    finding = database.settings(connection)
    assert finding.level == level and words in finding.found


def test_an_encoding_that_cannot_hold_all_text_fails(cluster: Cluster) -> None:
    name = f"ascii_{uuid4().hex}"
    execute(
        cluster.url,
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
    )
    with closing(
        Connection(with_database(cluster.url, name), application_name="test")
    ) as connection:
        finding = database.settings(connection)
    execute(cluster.url, f"DROP DATABASE {name} WITH (FORCE)")
    assert (finding.level, finding.found) == ("FAIL", "encoding SQL_ASCII")


def test_too_few_connections_are_named(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.connections(connection).level == "ok"
    monkeypatch.setattr(database, "CONNECTIONS_NEEDED", 1000)
    assert database.connections(connection).level == "warn"


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [(0, "ok", "agree"), (5, "warn", "5.0 s behind"), (-40, "FAIL", "40.0 s ahead of")],
)
def test_clocks_that_differ_are_named(
    connection: Connection, ahead_s: float, level: str, words: str
) -> None:
    connection.execute_sql("SELECT 1")  # the connection is open: its opening does not count
    finding = database.clock(connection, now=lambda: time.time() + ahead_s)
    assert finding.level == level and words in finding.found


@pytest.fixture
def add_notice(connection: Connection) -> Callable[..., None]:
    """`add_notice("pending", due="-5 minutes", attempts=1)`, in a chat of its own."""

    def add(
        state: str,
        *,
        due: str,
        attempts: int = 0,
        next_try: str | None = None,
        reason: str | None = None,
    ) -> None:
        user_id, chat_id = str(uuid4()), str(uuid4())
        connection.execute_sql(
            "INSERT INTO users (id, kind, external_id) VALUES (%s, 'host', %s)", user_id, user_id
        )
        connection.execute_sql(
            "INSERT INTO support_chats (id, user_id) VALUES (%s, %s)", chat_id, user_id
        )
        connection.execute_sql(
            "INSERT INTO support_notices (id, chat_id, first_seq, due_at, state, attempts, next_try_at, reason) "
            "VALUES (%s, %s, 1, now() + %s::interval, %s, %s, now() + %s::interval, %s)",
            str(uuid4()),
            chat_id,
            due,
            state,
            attempts,
            next_try,
            reason,
        )

    return add


def test_notices_that_wait_too_long_or_failed_are_named(
    connection: Connection, add_notice: Callable[..., None]
) -> None:
    add_notice("pending", due="5 minutes")
    add_notice("sent", due="-1 day")
    add_notice("failed", due="-8 days", reason="long ago")
    assert [one.level for one in notices.check(connection)] == ["ok", "ok"]
    add_notice(
        "pending", due="-3 hours", attempts=3, next_try="1 hour", reason="451 try again later"
    )
    assert notices.waiting(connection).found == "1 will be retried: 451 try again later"
    add_notice("pending", due="-30 minutes")
    add_notice("claimed", due="-20 minutes")
    late = notices.waiting(connection)
    assert late.level == "warn" and late.found.startswith(
        "2 overdue, the oldest was due 180 minutes ago: 451 try"
    )
    add_notice("failed", due="-2 days", reason="550 no such user")
    add_notice("failed", due="-1 day", reason="554 not allowed")
    gone = notices.failed(connection)
    assert (gone.level, gone.found) == ("warn", "2 in 7 days, the latest: 554 not allowed")


def test_a_database_that_cannot_be_used_fails_and_the_rest_is_told(
    tmp_path: Path, database_url: str
) -> None:
    wrong = found(make_config(tmp_path, database_url=with_database(database_url, "nowhere")))
    assert (
        wrong["database"].level == "FAIL"
        and 'database "nowhere" does not exist' in wrong["database"].found
    )
    assert "correct CHATSVC_DATABASE_URL" in wrong["database"].advice
    away = found(
        make_config(
            tmp_path, database_url=f"postgresql://me:a-secret@127.0.0.1:{reserve_port()}/chat"
        )
    )
    assert away["database"].level == "FAIL" and "start PostgreSQL" in away["database"].advice
    assert away["stream"].level == "warn" and "a-secret" not in "".join(map(str, away.values()))

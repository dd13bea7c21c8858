"""The commands of server.py: what they print and where, what they change, what they refuse."""

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from chatsvc import cli
from chatsvc.database.schema import MIGRATIONS
from chatsvc.mail.mailer import TemporaryFailure
from chatsvc.mail.server import GREETING_LIMIT_S
from chatsvc.security import tokens
from chatsvc.security.passwords import MIN_CHARS
from chatsvc.store.people import DISABLED
from tests.support.certificate import Certificate
from tests.support.command import Command, Done
from tests.support.mail import mail_server
from tests.support.postgres import Cluster, execute, with_database
from tests.support.process import ROOT, ServerProcess
from tests.support.service import (
    IDENTITY_SECRET,
    PASSWORD,
    SECRET_KEY,
    Service,
    make_config,
)

COMMANDS = {
    "serve",
    "migrate",
    "create-admin",
    "disable-admin",
    "staff-token",
    "identity-token",
    "test-email",
    "doctor",
}
READ_LIMIT_BYTES = 65_536


@pytest.fixture
def empty_url(cluster: Cluster) -> Iterator[str]:
    """A database without a schema."""
    name = f"empty_{uuid4().hex}"
    execute(cluster.url, f'CREATE DATABASE "{name}"')
    yield with_database(cluster.url, name)
    execute(cluster.url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def command(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(server.environment, monkeypatch, capsys)


async def process(server: ServerProcess, *arguments: str, stdin: str = "") -> Done:
    """A command as a process, while the loop of this test goes on serving."""
    done = await asyncio.to_thread(lambda: server.command(*arguments, stdin=stdin))
    return Done(done.returncode, done.stdout, done.stderr)


def test_help_names_every_command(command: Command) -> None:
    done = command("--help")
    assert done.status == 0 and done.stderr == ""
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}
    assert listed >= COMMANDS
    assert command("--version").stdout.startswith("chatsvc ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["migrate", "--port"], "unrecognized arguments: --port"),
        (["create-admin"], "the following arguments are required: EMAIL"),
        (
            ["identity-token", "--email", "a@b.example"],
            "the following arguments are required: --sub",
        ),
        (
            ["identity-token", "--sub", "1", "--ttl", "soon"],
            "argument --ttl: invalid int value: 'soon'",
        ),
        (
            ["create-admin", "a@b.example", "--name", "\udce9"],
            "argument --name: must be UTF-8",
        ),
    ],
)
def test_a_wrong_command_line_ends_with_usage(
    command: Command, arguments: list[str], message: str
) -> None:
    done = command(*arguments)
    assert done.status == 2 and done.stdout == ""
    assert done.stderr.startswith("usage: chatsvc") and message in done.stderr


# ---- identity-token ----


def test_an_identity_token_is_printed_alone(command: Command) -> None:
    done = command(
        "identity-token", "--sub", "42", "--email", "a@b.example", "--name", "Åsa", "--ttl", "60"
    )
    assert done.status == 0 and done.stderr == ""
    (token,) = done.stdout.splitlines()
    claims = tokens.decode_identity(token, (IDENTITY_SECRET,))
    assert (claims.sub, claims.email, claims.name) == ("42", "a@b.example", "Åsa")
    assert (claims.expires_at - claims.issued_at).total_seconds() == 60


def test_in_demo_mode_the_services_own_secret_signs(command: Command) -> None:
    token = command("identity-token", "--sub", "42", demo="on", identity_secrets="").stdout.strip()
    assert tokens.decode_identity(token, (tokens.demo_secret(SECRET_KEY),)).sub == "42"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sub", ""], "identity-token: --sub is 0 characters long; it must have 1 to 255"),
        (
            ["--sub", "1", "--ttl", "0"],
            "identity-token: --ttl must be from 1 to 86400 seconds, not 0",
        ),
        (
            ["--sub", "1", "--ttl", "86401"],
            "identity-token: --ttl must be from 1 to 86400 seconds, not 86401",
        ),
        (
            ["--sub", "1", "--email", "nobody"],
            "email: must be an e-mail address such as name@example.com, not 'nobody'",
        ),
        (
            ["--sub", "1", "--name", "n" * 4000],
            "identity-token: the token has 5509 bytes; the maximum is 4096",
        ),
    ],
)
def test_an_identity_token_that_would_be_refused_is_not_printed(
    command: Command, arguments: list[str], message: str
) -> None:
    assert command("identity-token", *arguments).refusal() == message


def test_without_a_secret_there_is_no_identity_token(command: Command) -> None:
    line = command("identity-token", "--sub", "1", identity_secrets="").refusal()
    assert line.startswith("identity-token: CHATSVC_IDENTITY_SECRETS is not set")


# ---- create-admin ----


async def test_without_a_terminal_a_password_is_made_and_printed_once(
    service: Service, server: ServerProcess
) -> None:
    done = await process(server, "create-admin", "boss@example.com", "--name", "The Boss")
    assert done.status == 0 and done.stderr == "created the staff account boss@example.com\n"
    (password,) = done.stdout.splitlines()
    assert len(password) >= MIN_CHARS
    assert "chatsvc" in await service.login("boss@example.com", password)
    rows = execute(service.database_url, "SELECT name, kind FROM users")
    assert rows == [("The Boss", "staff")]


async def test_a_new_password_ends_the_sessions_of_the_account_only(
    service: Service, server: ServerProcess
) -> None:
    for email in ("boss@example.com", "other@example.com"):
        await service.create_staff(email)
    boss, other = await service.login("boss@example.com"), await service.login("other@example.com")
    done = await process(
        server,
        "create-admin",
        "Boss@example.com",
        "--password-stdin",
        stdin="another long password\n",
    )
    assert (done.status, done.stdout) == (0, "")
    assert done.stderr == "updated the staff account Boss@example.com\n"
    assert (await service.get("/dashboard", cookies=boss)).status == 302
    assert (await service.get("/dashboard", cookies=other)).status == 200
    form = {
        "email": "boss@example.com",
        "password": "correct horse battery",
        "_xsrf": boss["_xsrf"],
    }
    assert (
        await service.request("POST", "/login", form=form, cookies={"_xsrf": boss["_xsrf"]})
    ).status == 401
    await service.login("boss@example.com", "another long password")
    assert execute(service.database_url, "SELECT count(*) FROM users") == [(2,)]


async def test_a_disabled_account_is_locked_until_it_is_created_again(
    service: Service, command: Command
) -> None:
    """Somebody left, and there was no way to end their access but a password of one's own."""
    email = "Boss@example.com"
    token, cookies = await service.staff_token(email), await service.login(email)
    await service.create_staff("other@example.com")
    done = command("disable-admin", "boss@example.com")
    assert (done.status, done.stdout) == (0, "") and "create-admin enables it" in done.stderr
    assert (await service.get("/dashboard", cookies=cookies)).status == 302
    form = {"email": email, "password": PASSWORD, "_xsrf": cookies["_xsrf"]}
    for password in (PASSWORD, DISABLED, ""):
        form["password"] = password
        assert (await service.request("POST", "/login", form=form, cookies=cookies)).status == 401
    rows = execute(
        service.database_url, "SELECT count(*) FROM staff_tokens WHERE revoked_at IS NULL"
    )
    assert rows == [(0,)] and token
    assert "there is no staff account" in command("disable-admin", "x@example.com").refusal()
    stdin = b"another long password\n"
    assert command("create-admin", email, "--password-stdin", stdin=stdin).status == 0
    service.rates_clock.advance(3600)
    await service.login(email, "another long password")
    await service.login("other@example.com")


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "the password is 0 characters long; it must have 10 to 1024"),
        (b"too short\n", "the password is 9 characters long; it must have 10 to 1024"),
        (b"x" * 1025, "the password is 1025 characters long; it must have 10 to 1024"),
        (b"longer than ten \xff\n", "the password on standard input is not UTF-8"),
    ],
)
def test_a_password_that_does_not_fit_is_refused(
    command: Command, stdin: bytes, message: str
) -> None:
    assert (
        command("create-admin", "a@b.example", "--password-stdin", stdin=stdin).refusal() == message
    )


def test_an_address_or_name_that_does_not_fit_is_refused(
    command: Command, database_url: str
) -> None:
    assert "must be an e-mail address" in command("create-admin", "nobody").refusal()
    assert command("create-admin", "").refusal() == "create-admin: EMAIL must not be empty"
    assert "control character" in command("create-admin", "a@b.example", "--name", "a\nb").refusal()
    assert (
        "--name is 256 characters long"
        in command("create-admin", "a@b.example", "--name", "x" * 256).refusal()
    )
    assert execute(database_url, "SELECT count(*) FROM users") == [(0,)]


def test_without_standard_input_a_password_is_made(command: Command) -> None:
    done = command("create-admin", "boss@example.com", stdin=None)
    assert done.status == 0 and len(done.stdout.strip()) >= MIN_CHARS


def test_a_terminal_is_asked_twice_and_shows_nothing(
    server: ServerProcess, database_url: str
) -> None:
    status, shown = on_terminal(server, ["a long password", "a long password"])
    assert status == 0 and "a long password" not in shown
    assert "Password: " in shown and "Once more: " in shown and "created the staff account" in shown
    status, shown = on_terminal(server, ["a long password", "a wrong password"])
    assert status == 1 and "chatsvc: the two passwords differ" in shown
    assert execute(
        database_url, "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$%%'"
    ) == [(1,)]


def on_terminal(server: ServerProcess, lines: list[str]) -> tuple[int, str]:
    """Runs create-admin with a terminal and types a line at each question; the exit status and all that was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "server.py"), "create-admin", "boss@example.com"],
        env=server.environment,
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    try:
        for line in lines:
            while not shown.endswith(": "):
                shown += os.read(ours, READ_LIMIT_BYTES).decode()
            shown += " "
            os.write(ours, f"{line}\n".encode())
        while True:
            shown += os.read(ours, READ_LIMIT_BYTES).decode()
    except OSError:  # EIO: the command has ended
        return process.wait(10), shown
    finally:
        process.kill()
        os.close(ours)


# ---- staff-token, migrate ----


async def test_a_staff_token_is_printed_alone_and_works(
    service: Service, server: ServerProcess
) -> None:
    await service.create_staff("boss@example.com")
    done = await process(server, "staff-token", "BOSS@example.com")
    assert done.status == 0 and done.stderr == ""
    (token,) = done.stdout.splitlines()
    assert (await service.get("/admin/chats", token)).status == 200
    stored = execute(service.database_url, "SELECT token_hash FROM staff_tokens")
    assert stored == [(tokens.hash_token(token),)]


async def test_revoked_staff_tokens_are_refused_at_once(
    service: Service, server: ServerProcess
) -> None:
    """Two tokens of one account and one of a colleague: a leaked one must be ended without touching the password."""
    leaked, other = (
        await service.staff_token("boss@example.com"),
        await service.staff_token("sam@example.com"),
    )
    await process(server, "staff-token", "boss@example.com")
    done = await process(server, "staff-token", "Boss@example.com", "--revoke")
    assert (done.status, done.stdout) == (
        0,
        "",
    ) and done.stderr == "revoked 2 staff tokens of Boss@example.com\n"
    assert (await service.get("/admin/chats", leaked)).status == 401
    assert (await service.get("/admin/chats", other)).status == 200
    unknown = await process(server, "staff-token", "nobody@example.com", "--revoke")
    assert unknown.status == 1 and "no staff account 'nobody@example.com'" in unknown.stderr


def test_nobody_unknown_gets_a_staff_token(command: Command) -> None:
    message = "there is no staff account 'boss@example.com': create it with create-admin"
    assert command("staff-token", "boss@example.com").refusal() == message


def test_migrate_says_what_it_applied(command: Command, empty_url: str) -> None:
    applied = "".join(f"applied {path.stem}\n" for path in sorted(MIGRATIONS.glob("[0-9]*.py")))
    assert command("migrate", database_url=empty_url) == (0, applied, "")
    assert command("migrate", database_url=empty_url) == (0, "the schema is up to date\n", "")


def test_a_database_that_refuses_is_one_line(command: Command, database_url: str) -> None:
    """create-admin once ended with psycopg2's trace."""
    execute(database_url, "ALTER TABLE users RENAME TO people")
    line = command("create-admin", "boss@example.com").refusal()
    assert line == (
        'the database failed: relation "users" does not exist; run the command `doctor`'
    )


# ---- with the embedded PostgreSQL ----


@pytest.mark.slow
def test_commands_work_beside_a_running_server_and_without_one(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    try:
        server.start()
        made = server.command("create-admin", "boss@example.com")
        assert made.returncode == 0, made.stderr
        doctor = server.command("doctor")
        assert doctor.returncode == 0 and "FAIL" not in doctor.stdout, doctor.stdout
        assert server.stop() == 0
        token = server.command("staff-token", "boss@example.com")
        assert token.returncode == 0 and token.stderr == ""
        assert token.stdout.startswith(tokens.STAFF_PREFIX) and token.stdout.count("\n") == 1
    finally:
        server.close()
    with pytest.raises(psycopg2.OperationalError):  # the command stopped what it started
        psycopg2.connect(
            host=str(tmp_path / "postgres" / "cluster"), dbname="chatsvc", user="chatsvc"
        )


# ---- test-email ----


async def test_a_test_e_mail_says_what_the_mail_server_answered(server: ServerProcess) -> None:
    with mail_server() as mails:
        server.environment |= {"CHATSVC_SMTP_URL": mails.url, "CHATSVC_NAME": "Example"}
        done = await process(server, "test-email", "me@example.com")
        assert done == Done(0, f"127.0.0.1 port {mails.port}: 250 2.0.0 taken\n", "")
        [mail] = mails.mails
        assert mail["To"] == "me@example.com" and "Example Support" in mail["Subject"]
        mails.answers["RCPT"] = "550 5.1.1 unknown"
        refused = (await process(server, "test-email", "me@example.com")).refusal()
        assert refused == f"test-email: 127.0.0.1 port {mails.port}: 550 5.1.1 unknown"
        server.environment["CHATSVC_SMTP_URL"] = mails.url.replace("//", "//me:wrong@")
        refused = (await process(server, "test-email", "me@example.com")).refusal()
        assert refused.startswith(
            "test-email: the mail server refuses user and password: 127.0.0.1 port "
        )
        assert (
            "535" in refused and "wrong" not in refused and "correct user and password" in refused
        )


@pytest.mark.parametrize(
    ("scheme", "query", "answer", "says", "advises"),
    [
        ("smtp", "", "", "offers no STARTTLS", "?tls=off"),
        ("smtps", "", "", "WRONG_VERSION_NUMBER", "smtp:// is for STARTTLS"),
        (
            "smtp",
            "?tls=off",
            "550 5.7.1 not yours",
            "550 5.7.1 not yours",
            "CHATSVC_MAIL_FROM, now support@localhost",
        ),
        (
            "smtp",
            "?tls=off",
            "530 5.7.0 no",
            "530 5.7.0 no",
            "user and password in CHATSVC_SMTP_URL",
        ),
    ],
)
async def test_a_test_e_mail_that_cannot_be_sent_says_which_option_to_change(
    server: ServerProcess, scheme: str, query: str, answer: str, says: str, advises: str
) -> None:
    with mail_server() as mails:
        mails.answers = {"MAIL": answer} if answer else {}
        server.environment["CHATSVC_SMTP_URL"] = f"{scheme}://127.0.0.1:{mails.port}{query}"
        done = await process(server, "test-email", "me@example.com")
    assert says in done.refusal() and advises in done.refusal()


async def test_a_test_e_mail_waits_no_minute_for_a_greeting(
    tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GREETING_LIMIT_S == 15
    monkeypatch.setattr(cli, "GREETING_LIMIT_S", 0.3)
    with mail_server(ssl_context=certificate.context()) as mails:
        config = make_config(tmp_path, smtp_url=mails.url)
        with pytest.raises(TemporaryFailure, match="no response in time"):
            await asyncio.wait_for(cli.send_test(config, "me@example.com"), 10)


async def test_without_a_mail_server_a_test_e_mail_is_a_file(
    server: ServerProcess, tmp_path: Path
) -> None:
    done = await process(server, "test-email", "me@example.com")
    [file] = (tmp_path / "mail").iterdir()
    assert done == Done(0, f"written to {file}\n", "")
    refusal = (await process(server, "test-email", "a@b.example, c@d.example")).refusal()
    assert "must be an e-mail address" in refusal

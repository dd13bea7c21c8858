"""The command line: commands, their arguments and what they print."""

import argparse
import asyncio
import getpass
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import peewee
import psycopg2
from uuid_utils import uuid7

from chatsvc import __version__
from chatsvc.config.config import Config, ConfigError, load, load_or_create_secret
from chatsvc.database.connection import Transaction
from chatsvc.database.schema import SchemaError, migrate
from chatsvc.doctor.report import findings, report, wrong_options
from chatsvc.errors import DomainError
from chatsvc.mail.factory import make_mailer
from chatsvc.mail.mailer import DeliveryError, MailDisabled
from chatsvc.mail.messages import Composer, UnusableAddress
from chatsvc.mail.server import GREETING_LIMIT_S
from chatsvc.pages.assets import Assets
from chatsvc.pages.templates import load_templates
from chatsvc.postgres.manager import EmbeddedError
from chatsvc.security import tokens
from chatsvc.security.passwords import MAX_CHARS, MIN_CHARS, hash_password
from chatsvc.serve import StartError, database, first_line, invalidate_sessions, serve
from chatsvc.store import people
from chatsvc.text.names import NAME_MAX_CHARS, clean_email, clean_name
from chatsvc.text.translations import Translations
from chatsvc.web.sockets import ListenError


class CommandError(Exception):
    """A command failed. The text is one line for its user."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. A test compares it with README.md."""
    parser = argparse.ArgumentParser(
        prog="server.py" if sys.argv[0].endswith("server.py") else "chatsvc",
        description="chatsvc, a self-hosted support chat. "
        "Options come from environment variables CHATSVC_*.",
    )
    parser.add_argument("--version", action="version", version=f"chatsvc {__version__}")
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add = commands.add_parser
    add("serve", help="run the service (the default)").set_defaults(run=serve)
    add("migrate", help="migrate the database to this version's schema").set_defaults(run=_migrate)
    _add_staff_commands(add)
    _add_identity_token(add)
    test = add("test-email", help="send a test e-mail and print the mail server's response")
    test.add_argument("email", metavar="EMAIL", type=_text)
    test.set_defaults(run=_test_email)
    doctor = add("doctor", help="check configuration, database, secrets, mail and streams")
    doctor.add_argument("--json", action="store_true", help="print the findings as a JSON array")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_staff_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    admin = add("create-admin", help="create or update a staff account")
    admin.add_argument("email", metavar="EMAIL", type=_text)
    admin.add_argument("--name", metavar="NAME", type=_text, help="the name that colleagues see")
    admin.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    admin.set_defaults(run=_create_admin)
    disable = add("disable-admin", help="lock a staff account and end its sessions and tokens")
    disable.add_argument("email", metavar="EMAIL", type=_text)
    disable.set_defaults(run=_disable_admin)
    staff = add(
        "staff-token",
        help="create a staff member's token for scripts and print it, or revoke all of them",
    )
    staff.add_argument("email", metavar="EMAIL", type=_text)
    staff.add_argument(
        "--revoke", action="store_true", help="revoke all tokens of this account; create none"
    )
    staff.set_defaults(run=_staff_token)


def _add_identity_token(add: Callable[..., argparse.ArgumentParser]) -> None:
    identity = add(
        "identity-token", help="print an identity token like those of the host application"
    )
    identity.add_argument(
        "--sub", required=True, metavar="ID", type=_text, help="the user's id there"
    )
    identity.add_argument("--email", metavar="E", type=_text)
    identity.add_argument("--name", metavar="N", type=_text)
    identity.add_argument(
        "--ttl", type=int, default=3600, metavar="SECONDS", help="1 to 86400 (default 3600)"
    )
    identity.set_defaults(run=_identity_token)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit status. Print errors as lines, without a stack trace."""
    arguments = build_parser().parse_args(argv)
    run: Callable[[Config, argparse.Namespace], int | None] = arguments.run
    try:
        return run(load(os.environ), arguments) or 0
    except ConfigError as error:
        if run is _doctor:
            return report(wrong_options(error.problems), as_json=arguments.json)
        for line in error.problems:
            print(f"chatsvc: {line}", file=sys.stderr)
    except (CommandError, EmbeddedError, ListenError, SchemaError, StartError) as error:
        for line in str(error).splitlines():
            print(f"chatsvc: {line}", file=sys.stderr)
    except DomainError as error:
        print(f"chatsvc: {error.detail}", file=sys.stderr)
    except (peewee.PeeweeException, psycopg2.Error) as error:
        print(
            f"chatsvc: the database failed: {first_line(error)}; run the command `doctor`",
            file=sys.stderr,
        )
    except EOFError:
        print("chatsvc: nothing was entered", file=sys.stderr)
    return 1


def _text(argument: str) -> str:
    """Check that an argument is UTF-8: Python turns other bytes into surrogates."""
    if any("\ud800" <= character <= "\udfff" for character in argument):
        raise argparse.ArgumentTypeError("must be UTF-8")
    return argument


@contextmanager
def _transaction(config: Config) -> Iterator[Transaction]:
    """Run a transaction in the migrated database, whether the server runs or not."""
    with database(config) as url:
        migrate(url)
        with closing(Transaction(url, application_name="chatsvc command")) as tx:
            tx.begin()
            yield tx
            tx.commit()


def _migrate(config: Config, _: argparse.Namespace) -> None:
    with database(config) as url:
        applied = migrate(url)
    print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")


def _create_admin(config: Config, arguments: argparse.Namespace) -> None:
    email, name = clean_email(arguments.email), clean_name(arguments.name)
    if email is None:
        raise CommandError("create-admin: EMAIL must not be empty")
    if len(arguments.name or "") > NAME_MAX_CHARS:
        raise CommandError(
            f"create-admin: --name is {len(arguments.name)} characters long; "
            f"the maximum is {NAME_MAX_CHARS}"
        )
    password, generated = _password(arguments.password_stdin)
    password_hash = hash_password(password)
    with _transaction(config) as tx:
        created = people.save_staff(tx, str(uuid7()), email, name, password_hash)
    invalidate_sessions(config)
    print(f"{'created' if created else 'updated'} the staff account {email}", file=sys.stderr)
    if generated:
        print(password)


def _disable_admin(config: Config, arguments: argparse.Namespace) -> None:
    with _transaction(config) as tx:
        people.disable_staff(tx, arguments.email)
    invalidate_sessions(config)
    print(
        f"disabled the staff account {arguments.email}; create-admin enables it again",
        file=sys.stderr,
    )


def _password(from_stdin: bool) -> tuple[str, bool]:
    """Return the password, and whether it was generated because there is no terminal."""
    if not from_stdin and not (sys.stdin and sys.stdin.isatty()):
        return secrets.token_urlsafe(12), True
    password = _read_password() if from_stdin else getpass.getpass("Password: ")
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise CommandError(
            f"the password is {len(password)} characters long; "
            f"it must have {MIN_CHARS} to {MAX_CHARS}"
        )
    if not from_stdin and getpass.getpass("Once more: ") != password:
        raise CommandError("the two passwords differ")
    return password, False


def _read_password() -> str:
    try:
        line = sys.stdin.buffer.readline() if sys.stdin else b""
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandError("the password on standard input is not UTF-8") from None


def _staff_token(config: Config, arguments: argparse.Namespace) -> None:
    if arguments.revoke:
        with _transaction(config) as tx:
            revoked = people.revoke_staff_tokens(tx, arguments.email)
        invalidate_sessions(config)
        print(
            f"revoked {revoked} staff token{'' if revoked == 1 else 's'} of {arguments.email}",
            file=sys.stderr,
        )
        return
    token = tokens.new_secret(tokens.STAFF_PREFIX)
    with _transaction(config) as tx:
        people.create_staff_token(tx, str(uuid7()), arguments.email, tokens.hash_token(token))
    print(token)


def _identity_token(config: Config, arguments: argparse.Namespace) -> None:
    secrets_known = config.identity_secrets
    if not secrets_known and config.demo:
        secrets_known = (
            tokens.demo_secret(config.secret_key or load_or_create_secret(config.data_dir)),
        )
    if not secrets_known:
        raise CommandError(
            "identity-token: CHATSVC_IDENTITY_SECRETS is not set; set it to the secret of the host "
            "application, or set CHATSVC_DEMO=on beside `make run`"
        )
    if not 1 <= len(arguments.sub) <= 255:
        raise CommandError(
            f"identity-token: --sub is {len(arguments.sub)} characters long; it must have 1 to 255"
        )
    longest = int(tokens.MAX_LIFETIME.total_seconds())
    if not 1 <= arguments.ttl <= longest:
        raise CommandError(
            f"identity-token: --ttl must be from 1 to {longest} seconds, not {arguments.ttl}"
        )
    email = clean_email(arguments.email)
    token = tokens.sign_identity(
        secrets_known[0], sub=arguments.sub, email=email, name=arguments.name, ttl_s=arguments.ttl
    )
    if len(token) > tokens.MAX_TOKEN_BYTES:
        raise CommandError(
            f"identity-token: the token has {len(token)} bytes; "
            f"the maximum is {tokens.MAX_TOKEN_BYTES}"
        )
    print(token)


def _test_email(config: Config, arguments: argparse.Namespace) -> None:
    email = clean_email(arguments.email)
    if email is None:
        raise CommandError("test-email: EMAIL must not be empty")
    try:
        print(asyncio.run(send_test(config, email)))
    except (DeliveryError, UnusableAddress) as error:
        headline = f"{error.headline}: " if isinstance(error, MailDisabled) else ""
        advice = f"; {error.advice}" if isinstance(error, DeliveryError) and error.advice else ""
        raise CommandError(f"test-email: {headline}{error}{advice}") from error


async def send_test(config: Config, email: str) -> str:
    """Send a test e-mail and return the mail server's response."""
    secret_key = config.secret_key or load_or_create_secret(config.data_dir)
    composer = Composer(config, secret_key, load_templates(Assets()), Translations())
    mailer = make_mailer(config, greeting_limit_s=GREETING_LIMIT_S)
    try:
        return await mailer.send(composer.test_message(email, datetime.now(UTC)))
    finally:
        await mailer.idle()
        await mailer.close()


def _doctor(config: Config, arguments: argparse.Namespace) -> int:
    return report(findings(config), as_json=arguments.json)

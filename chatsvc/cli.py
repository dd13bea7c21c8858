"""The command line: serve (default), migrate, create-admin, staff-token, identity-token, doctor."""

import argparse
import getpass
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from uuid_utils import uuid7

from chatsvc import __version__, tokens
from chatsvc.config import Config, ConfigError, load, load_or_create_secret
from chatsvc.doctor import examine
from chatsvc.embedded import EmbeddedPostgres
from chatsvc.embedded_launch import EmbeddedError
from chatsvc.errors import DomainError
from chatsvc.passwords import MAX_CHARS, MIN_CHARS, hash_password
from chatsvc.profile import clean_email, clean_name
from chatsvc.run import DatabaseError, database, serve
from chatsvc.schema import SchemaError, migrate
from chatsvc.session import Session
from chatsvc.store import accounts


class CommandError(Exception):
    """What the user of a command is told, in one line."""


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options; README.md and a test hold the same list."""
    parser = argparse.ArgumentParser(
        prog="server.py", description="chatsvc, a support chat to host yourself. Options come from CHATSVC_* variables."
    )
    parser.add_argument("--version", action="version", version=f"chatsvc {__version__}")
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add = commands.add_parser
    add("serve", help="run the service (the default)").set_defaults(run=serve)
    add("migrate", help="bring the schema up to date and end").set_defaults(run=_migrate)
    admin = add("create-admin", help="create or update a staff account")
    admin.add_argument("email", metavar="EMAIL")
    admin.add_argument("--name", metavar="NAME", help="shown to colleagues")
    admin.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    admin.set_defaults(run=_create_admin)
    staff = add("staff-token", help="print a new token for scripts of a staff member, once")
    staff.add_argument("email", metavar="EMAIL")
    staff.set_defaults(run=_staff_token)
    identity = add("identity-token", help="print an identity token as a host application would sign it")
    identity.add_argument("--sub", required=True, metavar="ID", help="the host application's user id")
    identity.add_argument("--email", metavar="E")
    identity.add_argument("--name", metavar="N")
    identity.add_argument("--ttl", type=int, default=3600, metavar="SECONDS", help="1 to 86400 (default 3600)")
    identity.set_defaults(run=_identity_token)
    add("doctor", help="check configuration, database, secrets, mail and streams").set_defaults(run=_doctor)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns the exit status. What goes wrong is said in one line per finding, without a trace."""
    arguments = build_parser().parse_args(argv)
    run: Callable[[Config, argparse.Namespace], int | None] = arguments.run
    try:
        return run(load(os.environ), arguments) or 0
    except (ConfigError, CommandError, EmbeddedError, SchemaError, DatabaseError) as error:
        for line in str(error).splitlines():
            print(f"chatsvc: {line}", file=sys.stderr)
    except DomainError as error:
        print(f"chatsvc: {error.detail}", file=sys.stderr)
    except KeyboardInterrupt:
        pass
    return 1


@contextmanager
def _session(config: Config) -> Iterator[Session]:
    """A connection to the migrated database, beside a running server or without one."""
    embedded = EmbeddedPostgres(config.data_dir) if config.database_url is None else None
    try:
        url = database(config, embedded)
        migrate(url)
        with closing(Session(url, application_name="chatsvc command")) as session:
            yield session
    finally:
        if embedded is not None:
            embedded.stop()


def _migrate(config: Config, _: argparse.Namespace) -> None:
    embedded = EmbeddedPostgres(config.data_dir) if config.database_url is None else None
    try:
        applied = migrate(database(config, embedded))
        print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    finally:
        if embedded is not None:
            embedded.stop()


def _create_admin(config: Config, arguments: argparse.Namespace) -> None:
    email, name = clean_email(arguments.email), clean_name(arguments.name)
    if email is None:
        raise CommandError("create-admin: EMAIL is empty")
    password, generated = _password(arguments.password_stdin)
    with _session(config) as session:
        created = accounts.save_staff(session, str(uuid7()), email, name, hash_password(password))
    print(f"{'created' if created else 'updated'} the staff account {email}", file=sys.stderr)
    if generated:
        print(password)


def _password(from_stdin: bool) -> tuple[str, bool]:
    """The password, and whether it was made up here because nobody could be asked."""
    if not from_stdin and not sys.stdin.isatty():
        return secrets.token_urlsafe(12), True
    password = sys.stdin.readline().rstrip("\r\n") if from_stdin else getpass.getpass("Password: ")
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise CommandError(f"the password has {len(password)} characters; {MIN_CHARS} to {MAX_CHARS} would be right")
    if not from_stdin and getpass.getpass("Once more: ") != password:
        raise CommandError("the two passwords differ")
    return password, False


def _staff_token(config: Config, arguments: argparse.Namespace) -> None:
    token = tokens.new_secret(tokens.STAFF_PREFIX)
    with _session(config) as session:
        accounts.create_staff_token(session, str(uuid7()), arguments.email, tokens.hash_token(token))
    print(token)


def _identity_token(config: Config, arguments: argparse.Namespace) -> None:
    secrets_known = config.identity_secrets
    if not secrets_known and config.demo:
        secrets_known = (tokens.demo_secret(config.secret_key or load_or_create_secret(config.data_dir)),)
    if not secrets_known:
        raise CommandError(
            "identity-token: CHATSVC_IDENTITY_SECRETS is not set; set it to what the host application signs with"
        )
    if not 1 <= len(arguments.sub) <= 255:
        raise CommandError(f"identity-token: --sub has {len(arguments.sub)} characters; 1 to 255 would be right")
    longest = int(tokens.MAX_LIFETIME.total_seconds())
    if not 1 <= arguments.ttl <= longest:
        raise CommandError(f"identity-token: --ttl is {arguments.ttl}; 1 to {longest} seconds would be right")
    email = clean_email(arguments.email)
    print(
        tokens.sign_identity(secrets_known[0], sub=arguments.sub, email=email, name=arguments.name, ttl_s=arguments.ttl)
    )


def _doctor(config: Config, _: argparse.Namespace) -> int:
    return examine(config)

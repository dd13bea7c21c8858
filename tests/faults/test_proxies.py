"""The configurations in proxies/, run by a real nginx and a real Caddy: TLS, HTTP/2, streams at once, whom they ask for."""

import asyncio
import contextlib
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatsvc import streams
from chatsvc.doctor import findings
from tests.faults.client import Follower, head_of, port_of, until
from tests.faults.conftest import CADDY, NGINX
from tests.faults.storm import Storm
from tests.faults.test_network import FIRST_BYTES_LIMIT_S, is_listening
from tests.support.process import ROOT, free_port
from tests.support.service import Service, make_config
from tests.support.systemd import SupervisedServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

CURL = shutil.which("curl")
RESTARTS = 3
CLIENT = "127.0.0.9"  # on loopback everybody has many addresses
PROXIES = ROOT / "proxies"


@contextlib.contextmanager
def nginx(server_port: int, folder: Path, *, tls: bool = True) -> Iterator[int]:
    """Its port, with our configuration; without TLS for clients that have none."""
    assert NGINX is not None
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    site = replaced(
        (PROXIES / "nginx.conf").read_text(),
        {
            "127.0.0.1:8888": f"127.0.0.1:{server_port}",
            "listen 443 ssl http2": f"listen 127.0.0.1:{port}{' ssl http2' if tls else ''}",
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "/etc/letsencrypt/live/chat.example.com/fullchain.pem": str(folder / "certificate"),
            "/etc/letsencrypt/live/chat.example.com/privkey.pem": str(folder / "key"),
        },
    )
    site = re.sub(r"^ *listen \[::\].*\n" if tls else r"^ *(listen \[::\]|ssl_cert).*\n", "", site, flags=re.MULTILINE)
    (folder / "nginx.conf").write_text(NGINX_CONFIG.format(folder=folder, user=user, site=site))
    with running([NGINX, "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", f"{folder}/error.log"], folder):
        yield port


@contextlib.contextmanager
def caddy(server_port: int, folder: Path, *, tls: bool = True) -> Iterator[int]:
    """The same of Caddy."""
    assert CADDY is not None
    port = free_port()
    address = f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {folder}/certificate {folder}/key\n"
    if not tls:
        address = f"http://:{port} {{\n    bind 127.0.0.1\n"
    site = replaced(
        (PROXIES / "Caddyfile").read_text(),
        {"chat.example.com {\n": address, "127.0.0.1:8888": f"127.0.0.1:{server_port}"},
    )
    options = (
        "{\n    admin off\n    grace_period 1ms\n    auto_https disable_redirects\n    storage file_system "
        + str(folder)
        + "\n}\n"
    )
    (folder / "Caddyfile").write_text(options + site)
    with running([CADDY, "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"], folder):
        yield port


def replaced(text: str, changes: dict[str, str]) -> str:
    for there, here in changes.items():
        assert there in text, there
        text = text.replace(there, here)
    return text


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


NGINX_CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""
FRONTS = [
    pytest.param(nginx, marks=pytest.mark.skipif(NGINX is None, reason="needs nginx")),
    pytest.param(caddy, marks=pytest.mark.skipif(CADDY is None, reason="needs Caddy")),
]
Front = Callable[..., contextlib.AbstractContextManager[int]]


@pytest.fixture
def trusting(
    make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Service]:
    """A service behind a proxy on this machine, whose certificate is known; the doctor need not wait 15 s for a ping."""
    monkeypatch.setattr(streams, "PING_INTERVAL_S", 1)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-keyout", tmp_path / "key", "-out", tmp_path / "certificate", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
    yield make_service(trusted_proxies=("127.0.0.1",))


@pytest.mark.parametrize("front", FRONTS)
async def test_streams_come_through_at_once_with_the_clients_address(
    trusting: Service, tmp_path: Path, front: Front
) -> None:
    token, staff = trusting.user_token(), await trusting.staff_token()
    await trusting.chat_id(token)
    with front(port_of(trusting), tmp_path) as port:
        await until(lambda: is_listening(port), "the proxy answers")
        reader, writer = await open_stream(port, "/admin/notifications/stream", staff)
        with contextlib.closing(writer):
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(f": chatsvc, for {CLIENT}\n".encode())
                await reader.readuntil(b'"state"')
            await trusting.send(token, "hello there")
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(b"hello there")


async def open_stream(port: int, path: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
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
async def test_the_doctor_finds_nothing_wrong(trusting: Service, tmp_path: Path, front: Front) -> None:
    with front(port_of(trusting), tmp_path) as port:
        await until(lambda: is_listening(port), "the proxy answers")
        config = make_config(
            tmp_path, database_url=trusting.database_url, public_url=f"https://localhost:{port}", trusted_proxies=("127.0.0.1",)
        )  # fmt: skip
        seen = {one.about: one for one in await asyncio.to_thread(lambda: list(findings(config)))}
    for about in ("reachable", "stream", "heartbeat", "client address", "TRUSTED_PROXIES"):
        assert seen[about].level == "ok", seen[about]


@pytest.mark.skipif(CURL is None, reason="needs curl")
@pytest.mark.parametrize("front", FRONTS)
async def test_browsers_get_http_2(trusting: Service, tmp_path: Path, front: Front) -> None:
    """A stream and a message over it, which come back to back on one connection."""
    token = trusting.user_token()
    await trusting.chat_id(token)
    with front(port_of(trusting), tmp_path) as port:
        await until(lambda: is_listening(port), "the proxy answers")
        curl = await asyncio.create_subprocess_exec(
            str(CURL), "--silent", "--no-buffer", "--include", "--http2", "--cacert", str(tmp_path / "certificate"),
            "--header", f"Authorization: Bearer {token}", f"https://localhost:{port}/support_chat/stream",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
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
            await until(lambda: is_listening(port), "the proxy answers")
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

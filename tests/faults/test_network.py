"""The network between client and server: it cuts, stalls, keeps half of a connection, buffers."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.client import HOST, Follower, Sender, head_of, port_of, request, until
from tests.faults.history import History, Seen, read_database, violations
from tests.faults.proxy import Proxy
from tests.faults.storm import Storm
from tests.support.process import free_port
from tests.support.service import Service

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

SILENCE_LIMIT_S = 0.5  # of the clients here; real ones wait for two and a half pings
FIRST_BYTES_LIMIT_S = 1.0
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


async def test_clients_behind_a_bad_network_miss_nothing(service: Service) -> None:
    async with (
        Proxy(port_of(service)) as proxy,
        Storm([proxy.port], service.database_url, chats=2, silence_limit_s=SILENCE_LIMIT_S) as storm,
    ):
        for _ in range(3):
            await storm.more(30)
            proxy.cut()
        await storm.more(30)

        proxy.stall()
        await all_reconnect(storm)
        proxy.resume()
        await storm.more(30)

        proxy.half_open()
        await all_reconnect(storm)
        await storm.more(30)

        proxy.buffering = True
        proxy.cut()
        await storm.more(30)  # what is no stream comes through
        proxy.buffering = False
        proxy.cut()
        await storm.more(30)

        await storm.pause()
        proxy.idle_limit_s = 0.2
        proxy.cut()
        await until(lambda: proxy.idle_cuts > 2 * len(storm.followers), "idle connections are cut")
        proxy.idle_limit_s = None
        proxy.cut()
        await storm.finish(reconnect=True)
        assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201}


async def all_reconnect(storm: Storm) -> None:
    """Until each follower has given its connection up."""
    before = {follower: follower.tries for follower in storm.followers}
    await until(lambda: all(one.tries > before[one] for one in storm.followers), "everybody noticed the silence")


async def test_a_client_that_comes_back_without_its_cursor_is_found_out(service: Service) -> None:
    """The negative control of the test above."""
    token, history = service.user_token(), History()
    chat_id = await service.chat_id(token)
    sender = Sender([port_of(service)], "/support_chat/messages", token, chat_id, history)
    async with Proxy(port_of(service)) as proxy:
        seen = Seen("careless", chat_id)
        history.seen.append(seen)
        follower = Follower([proxy.port], "/support_chat/stream", token, seen, keeps_cursor=False)
        async with kept_running(follower):
            await sender.send()
            await until(lambda: seen.newest == 1, "the first message came")
            proxy.stall()
            proxy.cut()
            await sender.send()
            proxy.resume()
            await until(lambda: follower.is_open and len(service.app.streams) == 1, "the client is back")
            await sender.send()
            await until(lambda: seen.newest == 3, "the third message came")
    assert violations(history, read_database(service.database_url)) == ["I3 careless misses 1 messages: [2]"]


async def test_a_proxy_that_buffers_shows_itself_and_polling_gets_everything(service: Service) -> None:
    """A client tells a stream that does not come through by its first bytes; then it polls with the same cursor."""
    token = service.user_token()
    for n in range(5):
        await service.send(token, f"message {n}")
    async with Proxy(port_of(service)) as proxy:
        assert await first_bytes(proxy.port, token) is not None
        proxy.buffering = True
        assert await first_bytes(proxy.port, token) is None
        got: list[int] = []
        while len(got) < 5:
            path = f"/support_chat/messages?after={got[-1] if got else 0}&limit=2"
            page = (await request(proxy.port, "GET", path, token)).json
            got += [message["seq"] for message in page["messages"]]
            assert page["has_more"] == (len(got) < 5)
    assert got == [1, 2, 3, 4, 5]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: the proxy of our own has shown what buffering does")
async def test_streams_come_through_nginx_with_its_defaults_at_once(service: Service, tmp_path: Path) -> None:
    """Its defaults buffer, and it compresses this type here: only the answer's headers keep it from holding events back."""
    token = service.user_token()
    chat_id = await service.chat_id(token)
    with nginx(port_of(service), tmp_path) as port:
        await until(lambda: is_listening(port), "nginx answers")
        assert (await first_bytes(port, token)) is not None
        reader, writer = await open_stream(port, token)
        with contextlib.closing(writer):
            await reader.readuntil(b'"state"')
            for n in range(3):
                began = time.monotonic()
                await service.send(token, f"message {n}")
                await asyncio.wait_for(reader.readuntil(f"message {n}".encode()), FIRST_BYTES_LIMIT_S)
                print(f"through nginx: POST to event {time.monotonic() - began:.4f} s")
    assert read_database(service.database_url).last_seqs[chat_id] == 3


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
async def test_without_those_headers_nginx_holds_a_stream_back(tmp_path: Path) -> None:
    """The negative control of the test above: a server that says nothing but the type."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(reader)
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: first bytes\n\n")
            await reader.read()
        writer.close()
        asked.remove(reader)

    asked: list[asyncio.StreamReader] = []
    server = await asyncio.start_server(plain, HOST, 0)
    with nginx(server.sockets[0].getsockname()[1], tmp_path) as port:
        await until(lambda: is_listening(port), "nginx answers")
        assert await first_bytes(port, "none") is None
    server.close()
    await until(lambda: not asked, "its connections are closed")


async def open_stream(port: int, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(head_of("GET", "/support_chat/stream", token, "Accept-Encoding: gzip"))
    return reader, writer


async def first_bytes(port: int, token: str) -> bytes | None:
    """The first bytes of a stream's body; None if none come within FIRST_BYTES_LIMIT_S."""
    reader, writer = await open_stream(port, token)
    with contextlib.closing(writer):
        try:
            async with asyncio.timeout(FIRST_BYTES_LIMIT_S):
                await reader.readuntil(b"\r\n\r\n")
                return await reader.readuntil(b"\n")
        except TimeoutError:
            return None


async def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        return True
    return False


@contextlib.asynccontextmanager
async def kept_running(follower: Follower) -> AsyncIterator[None]:
    task = asyncio.create_task(follower.run())
    try:
        await until(lambda: follower.is_open, "the stream is open")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def nginx(server_port: int, folder: Path) -> Iterator[int]:
    """nginx in front of a port, with its default settings for proxies, and compression of everything; gives its port."""
    assert NGINX is not None
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(port=port, server_port=server_port, folder=folder, user="user root;" if os.geteuid() == 0 else ""))  # fmt: skip
    command = [NGINX, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


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
    gzip on;
    gzip_min_length 1;
    gzip_proxied any;
    gzip_types text/event-stream application/json;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{server_port}; }}
    }}
}}
"""

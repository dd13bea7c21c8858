"""A real nginx in front."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.client import HOST, port_of
from tests.faults.history import read_database
from tests.faults.test_network import FIRST_BYTES_LIMIT_S, first_bytes, open_stream
from tests.support.ports import reserve_port
from tests.support.proxies import nginx
from tests.support.service import Service
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]


async def test_streams_come_through_nginx_with_its_defaults_at_once(
    service: Service, tmp_path: Path
) -> None:
    """Its defaults buffer, and it compresses this type here: only the answer's headers keep it from holding events back."""
    token = service.user_token()
    chat_id = await service.chat_id(token)
    with with_its_defaults(port_of(service), tmp_path) as port:
        assert (await first_bytes(port, token)) is not None
        reader, writer = await open_stream(port, token)
        with contextlib.closing(writer):
            await asyncio.wait_for(reader.readuntil(b'"state"'), FIRST_BYTES_LIMIT_S)
            for n in range(3):
                began = time.monotonic()
                await service.send(token, f"message {n}")
                await asyncio.wait_for(
                    reader.readuntil(f"message {n}".encode()), FIRST_BYTES_LIMIT_S
                )
                print(f"through nginx: POST to event {time.monotonic() - began:.4f} s")
    assert read_database(service.database_url).last_seqs[chat_id] == 3


async def test_without_those_headers_nginx_holds_a_stream_back(tmp_path: Path) -> None:
    """The negative control of the test above: a server that says nothing but the type."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(reader)
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: first bytes\n\n"
            )
            await reader.read()
        writer.close()
        asked.remove(reader)

    asked: list[asyncio.StreamReader] = []
    async with await asyncio.start_server(plain, HOST, 0) as server:
        with with_its_defaults(server.sockets[0].getsockname()[1], tmp_path) as port:
            assert await first_bytes(port, "none") is None
    await until(lambda: not asked, "its connections are closed")


SITE = """
gzip on;
gzip_min_length 1;
gzip_proxied any;
gzip_types text/event-stream application/json;
server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{server_port}; }}
}}
"""


@contextlib.contextmanager
def with_its_defaults(server_port: int, folder: Path) -> Iterator[int]:
    """nginx in front of a port, with its default settings for proxies, and compression of everything; gives its port."""
    port = reserve_port()
    with nginx(SITE.format(port=port, server_port=server_port), port, folder):
        yield port

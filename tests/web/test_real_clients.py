"""The clients and proxies that people have, against the web server alone."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatsvc.web.server import WebServer
from tests.support.ports import reserve_port
from tests.support.programs import path_of
from tests.support.proxies import caddy, nginx
from tests.web.serving import LIMIT_S, application, connected, request, serving

NGINX = """
upstream chat {{ server 127.0.0.1:{server_port}; {upstream} }}
server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{ proxy_pass http://chat; {location} }}
}}
"""
KEEP_ALIVE = ("keepalive 4;", 'proxy_http_version 1.1; proxy_set_header Connection "";')
UNBUFFERED = ("keepalive 4;", KEEP_ALIVE[1] + " proxy_request_buffering off;")
HTTP10 = ("", "proxy_http_version 1.0;")
REQUESTS = 50


async def run(program: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        path_of(program), *arguments, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    return output.decode()


async def curl(*arguments: str) -> str:
    return await run("curl", "--silent", "--show-error", "--max-time", "10", *arguments)


async def test_curl(tmp_path: Path) -> None:
    """One connection for several requests, HTTP/1.0, HEAD, uploads of unknown length, 100-continue."""
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200_000)
    async with serving(application()) as (server, port):
        url = f"http://127.0.0.1:{port}"
        assert await curl(f"{url}/1", f"{url}/2", f"{url}/3") == "/1/2/3"
        assert await curl("--http1.0", f"{url}/1", f"{url}/2") == "/1/2"
        assert "Content-Length: 5" in await curl("--head", f"{url}/head")
        assert await curl("--data-binary", f"@{body}", f"{url}/") == "x" * 200_000
        chunks = ("--header", "Transfer-Encoding: chunked", "--upload-file", str(body))
        assert await curl(*chunks, f"{url}/upload") == "200000 bytes"
        waits = ("--header", "Expect: 100-continue", "--expect100-timeout", "60")
        assert await curl(*waits, "--data-binary", f"@{body}", f"{url}/") == "x" * 200_000
        assert '"status": 413' in await curl("--data-binary", f"@{Path(__file__)}", *too_large(url))
        assert len(await curl(f"{url}/large")) == 8_000_000
        assert server.unsent.used == 0


def too_large(url: str) -> tuple[str, ...]:
    return "--header", f"Content-Length: {10**9}", f"{url}/"


def ask(port: int) -> list[tuple[int, bytes]]:
    """Requests of Python's http.client on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    answers = []
    for method, path, body in (
        ("GET", "/a?b=c", None),
        ("POST", "/", b"body"),
        ("PUT", "/upload", iter([b"a" * 10, b"b" * 20])),
        ("HEAD", "/", None),
        ("DELETE", "/gone", None),
    ):
        connection.request(method, path, body)
        response = connection.getresponse()
        answers.append((response.status, response.read()))
        assert connection.sock is not None, "the connection is kept"
    connection.close()
    return answers


async def test_python() -> None:
    expected = [b"/a?b=c", b"body", b"30 bytes", b"", b"/gone"]
    async with serving(application()) as (_, port):
        assert await asyncio.to_thread(ask, port) == [(200, body) for body in expected]


@contextlib.asynccontextmanager
async def behind_nginx(
    options: tuple[str, str], folder: Path
) -> AsyncIterator[tuple[WebServer, int]]:
    async with serving(application()) as (server, server_port):
        port = reserve_port()
        site = NGINX.format(
            port=port, server_port=server_port, upstream=options[0], location=options[1]
        )
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, nginx(site, port, folder))
            try:
                yield server, port
            finally:
                await asyncio.to_thread(stack.close)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(KEEP_ALIVE, id="keep-alive"),
        pytest.param(UNBUFFERED, id="unbuffered"),
        pytest.param(HTTP10, id="http10"),
    ],
)
async def test_nginx(options: tuple[str, str], tmp_path: Path) -> None:
    async with behind_nginx(options, tmp_path) as (server, port):
        await many(port)
        assert await asyncio.to_thread(ask, port)
        kept = [one for one in server.connections if one.has_answered]
        assert bool(kept) is (options is not HTTP10)


async def test_nginx_takes_a_connection_that_ends_for_what_it_is(tmp_path: Path) -> None:
    """From the beginning of a stop each response says that it is the last: no request is lost."""
    async with behind_nginx(KEEP_ALIVE, tmp_path) as (server, port):
        await many(port)
        server.end_keep_alive()
        await many(port)
        assert not [one for one in server.connections if one.has_answered]


async def test_caddy(tmp_path: Path) -> None:
    async with serving(application()) as (_, server_port):
        port = reserve_port()
        site = f"http://:{port} {{\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:{server_port}\n}}\n"
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, caddy(site, port, tmp_path))
            await many(port)
            assert await asyncio.to_thread(ask, port)
            await asyncio.to_thread(stack.close)


async def many(port: int) -> None:
    """Clients at once, each with requests one after the other: all are answered, by the right body."""

    async def one(name: int) -> None:
        async with connected(port) as client:
            for n in range(REQUESTS):
                body = json.dumps([name, n]).encode()
                await client.send(request("POST", "/", f"Content-Length: {len(body)}", body=body))
                assert await client.response() == (200, body)

    await asyncio.gather(*(one(name) for name in range(8)))

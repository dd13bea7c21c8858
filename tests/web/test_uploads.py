"""Bodies that a handler takes piece by piece."""

import asyncio
from pathlib import Path

import pytest

from chatsvc.web.limits import ServerLimits
from tests.support.waiting import until
from tests.web.serving import (
    application,
    connected,
    peak_memory,
    request,
    server_process,
    serving,
    talk,
)

UPLOAD_BYTES = 300 * 1024 * 1024
GROWTH_MAX_BYTES = 2 * 1024 * 1024
PIECE = b"x" * 65536


async def test_a_streamed_body_may_be_larger_than_the_limit_of_others() -> None:
    async with (
        serving(application(), ServerLimits(body_max_bytes=10)) as (_, port),
        connected(port) as client,
    ):
        chunks = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
        for _ in range(2):
            await client.send(
                request("PUT", "/upload", "Content-Length: 100000", body=b"x" * 100_000)
            )
            assert await client.response() == (200, b"100000 bytes")
            await client.send(request("PUT", "/upload", "Transfer-Encoding: chunked", body=chunks))
            assert await client.response() == (200, b"1024 bytes")
        await client.send(request("POST", "/", "Content-Length: 11"))  # the limit is back
        assert (await client.response())[0] == 413


async def test_a_handler_that_is_slow_slows_its_client_down() -> None:
    """What one upload can hold is bounded, however fast it is sent."""
    gate = asyncio.Event()
    async with serving(application(gate=gate)) as (server, port), connected(port) as client:
        await client.send(request("PUT", "/upload", "Content-Length: 50000000"))
        client.writer.write(b"x" * 50_000_000)
        await until(lambda: [one.is_reading for one in server.connections] == [False], "it stops")
        gate.set()
        assert await client.response() == (200, b"50000000 bytes")


async def test_a_client_that_leaves_during_its_upload_is_noticed() -> None:
    app = application()
    async with serving(app) as (server, port):
        async with connected(port) as client:
            await client.send(request("PUT", "/upload", "Content-Length: 100", body=b"x"))
            await until(lambda: bool(app.settings["seen"]), "it is under way")
        await until(lambda: app.settings["seen"][-1] == "closed", "the handler is told")
        assert server.connections == ()


async def test_a_malformed_chunk_in_an_upload_is_400() -> None:
    app = application()
    async with serving(app) as (_, port):
        raw = request("PUT", "/upload", "Transfer-Encoding: chunked", body=b"1\r\nx\r\nz\r\n")
        assert (await talk(port, raw)).startswith(b"HTTP/1.1 400 ")
        await until(lambda: app.settings["seen"][-1] == "closed", "the handler is told")


async def test_a_slow_upload_has_more_time_at_the_least_rate() -> None:
    limits = ServerLimits(body_s=0.3, least_bytes_per_s=1000)
    async with serving(application(), limits) as (_, port), connected(port) as client:
        await client.send(request("PUT", "/upload", "Content-Length: 1000"))
        for _ in range(10):  # a second in all
            await client.send(b"x" * 100)
            await asyncio.sleep(0.1)
        assert await client.response() == (200, b"1000 bytes")


@pytest.mark.slow
async def test_300_mib_are_taken_with_the_memory_of_a_piece(tmp_path: Path) -> None:
    """The handler is slower than its client, on the loop that the service has."""
    async with server_process(tmp_path) as (process, port):
        warm_up = request("PUT", "/upload", f"Content-Length: {2**20}", "Connection: close")
        assert (await talk(port, warm_up + b"x" * 2**20)).startswith(b"HTTP/1.1 200 ")
        before = process.memory_info().rss
        async with peak_memory(process) as peak, connected(port) as client:
            await client.send(request("PUT", "/upload", f"Content-Length: {UPLOAD_BYTES}"))
            for _ in range(UPLOAD_BYTES // len(PIECE)):
                await client.send(PIECE)
            assert await client.response() == (200, b"%d bytes" % UPLOAD_BYTES)
        print(f"RSS {before >> 10} KiB, peak +{(peak[0] - before) >> 10} KiB")
        assert peak[0] - before <= GROWTH_MAX_BYTES

"""Bytes on a socket, for what no HTTP client would send."""

import asyncio
from urllib.parse import urlsplit

LIMIT_S = 10.0


async def exchange(url: str, data: bytes) -> bytes:
    """Sends `data` and returns what comes until the other side hangs up."""
    parts = urlsplit(url)
    assert parts.hostname
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(LIMIT_S):
            writer.write(data)
            return await _read_all(reader)
    finally:
        writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """A connection that is reset after its answer has answered all the same."""
    received = b""
    while True:
        try:
            chunk = await reader.read(65536)
        except ConnectionError:
            return received
        if not chunk:
            return received
        received += chunk


def head(method: str, path: str, *lines: str, host: str = "localhost") -> bytes:
    """The head of a request that is the last one on its connection."""
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]
    ).encode("latin-1")


def status(answer: bytes) -> int:
    """0: hung up without an answer."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0

"""Requests that two servers could read differently: refused as a whole, and nothing behind them is read."""

import pytest

from chatsvc.web.connection import State
from tests.support.waiting import until
from tests.web.serving import Client, application, connected, request, serving, talk
from tests.web.test_body import BAD as BAD_CHUNKS
from tests.web.test_head import BAD as BAD_HEADS

SMUGGLED = request("POST", "/smuggled", "Content-Length: 0")
CHUNKED = request("POST", "/chunks", "Transfer-Encoding: chunked")
CORPUS = {
    **{f"head {raw!r}": raw for raw in BAD_HEADS if raw != b"\r\n\r\n"},
    **{f"chunks {raw!r}": CHUNKED + raw for raw in BAD_CHUNKS},
    "length and chunks": request(
        "POST", "/", "Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\nX"
    ),
    "chunks and length": request(
        "POST", "/", "Transfer-Encoding: chunked", "Content-Length: 6", body=b"0\r\n\r\nX"
    ),
    "hidden chunks": request(
        "POST", "/", "Content-Length: 6", "Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\nX"
    ),
    "two lengths": request("POST", "/", "Content-Length: 0", "Content-Length: 44"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a list of hosts": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
}


@pytest.mark.parametrize("what", CORPUS)
async def test_an_ambiguous_request_is_refused(what: str) -> None:
    """Whole, and with each byte in a packet of its own."""
    app = application()
    async with serving(app) as (server, port):
        for send in (Client.send, Client.send_bytes):
            answer = await talk(port, CORPUS[what] + SMUGGLED, send=send)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"\r\nConnection: close\r\n" in answer
        assert app.settings["seen"] == []
        await until(lambda: server.connections == (), "the connections are closed")


async def test_what_comes_before_a_refused_request_is_answered() -> None:
    app = application()
    async with serving(app) as (_, port), connected(port) as client:
        await client.send(request() + CORPUS["length and chunks"] + SMUGGLED)
        assert await client.response() == (200, b"/")
        assert (await client.response())[0] == 400
        assert await client.rest() == b""
        assert len(app.settings["seen"]) == 1


async def test_what_comes_after_the_last_request_is_not_read() -> None:
    app = application()
    async with serving(app) as (_, port):
        for first in (request("GET", "/1", "Connection: close"), b"GET /1 HTTP/1.0\r\n\r\n"):
            answer = await talk(port, first + SMUGGLED)
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.count(b"HTTP/1.1 ") == 1
        assert [uri for _, uri, _ in app.settings["seen"]] == ["/1", "/1"]


async def test_a_body_is_no_request_even_if_it_looks_like_one() -> None:
    app = application()
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    async with serving(app) as (_, port):
        for raw in (
            request("POST", "/", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
            request("GET", "/", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
            CHUNKED + chunks,
        ):
            for send in (Client.send, Client.send_bytes):
                async with connected(port) as client:
                    await send(client, raw + request("GET", "/next"))
                    await client.response()
                    assert await client.response() == (200, b"/next")
        paths = {uri for _, uri, _ in app.settings["seen"]}
        assert paths == {"/", "/chunks", "/next"}


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00",
        b"{}",
    ],
)
async def test_who_speaks_something_else_is_told_at_once(start: bytes) -> None:
    """Without the empty line at the end of a head it once waited for 30 s."""
    async with serving(application()) as (_, port):
        assert (await talk(port, start)).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_goes_on_sending_can_read_why_it_was_refused() -> None:
    """Closing at once resets the connection, which throws the response away on its way."""
    async with serving(application()) as (_, port), connected(port) as client:
        client.writer.write(request("POST", "/", "Content-Length: x") + b"a" * 4_000_000)
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")


async def test_a_refused_client_may_send_later_what_it_wanted_to() -> None:
    """The connection stays until the client closes it, though nothing unread is there."""
    async with serving(application()) as (server, port), connected(port) as client:
        await client.send(request("POST", "/", "Content-Length: x"))
        assert (await client.response())[0] == 400
        (connection,) = server.connections
        assert connection.state is State.LINGERING
        await client.send(b"the body")
        assert await client.rest() == b""
        await client.closed()
        await until(lambda: server.connections == (), "it is closed")

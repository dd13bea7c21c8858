"""What HTTP/1.1 asks of a server, in the cases of Tornado's own tests as far as they are about that.

tornado/test/httpserver_test.py and http1connection_test.py of 6.6.1, class by class:

| case | here |
|---|---|
| SSLTest, BadSSLOptionsTest, SSLXHeaderTest | not: TLS ends at the proxy |
| HTTPConnectionTest.test_multipart_form | test_types has the header; the body is RequestHandler's |
| HTTPConnectionTest.test_newlines | CRLF; bare LF is refused on purpose (test_smuggling.py) |
| HTTPConnectionTest.test_100_continue | test_100_continue |
| HTTPServerTest (all six) | test_a_query_arrives_as_it_was_sent, test_types; the rest is RequestHandler's |
| HTTPServerRawTest.test_empty_request | test_a_client_that_says_nothing_leaves_nothing |
| HTTPServerRawTest.test_malformed_*, test_invalid_host_* | test_head.py, test_smuggling.py |
| HTTPServerRawTest.test_chunked_*, test_invalid_content_length | test_body.py, test_head.py, test_smuggling.py |
| HTTPServerRawTest.test_content_length_list_whitespace | any list is refused, one of equal lengths too |
| HTTPServerRawTest.test_invalid_methods | test_head.py; tests/security/test_matrix.py has the 405 |
| XHeaderTest, ManualProtocolTest | not: tests/web/test_client_address.py |
| UnixSocketTest* | not: the server listens on TCP |
| KeepAliveTest.test_two_requests .. test_keepalive_chunked_head_no_body | the test of that name below |
| KeepAliveTest.test_keepalive_chunked | over HTTP/1.1; chunks in HTTP/1.0 are refused |
| Gzip*Test, StreamingChunkSizeTest.test_*compressed | not: no request is decompressed, as before |
| StreamingChunkSizeTest.test_regular_body, test_chunked_body | test_pieces_of_a_body_are_bounded |
| InvalidOutputContentLengthTest | test_a_response_that_is_not_as_long_as_it_says_is_cut_off |
| MaxHeaderSizeTest, IdleTimeoutTest, BodyLimitsTest | test_limits.py, test_uploads.py |
| LegacyInterfaceTest | not: responses without write_headers are not supported |
| HTTP1ConnectionTest.test_1xx_*, test_http10_no_content_length | of the client side |
| HTTP1ConnectionTest.test_error_in_* | test_an_error_of_a_delegate_ends_its_connection |
| HTTP1ConnectionTest.test_chunked_body_* | test_many_tiny_chunks, test_body.py |
"""

import asyncio
import json
import socket
from typing import Any

import pytest
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from chatsvc.web.connection import State
from chatsvc.web.limits import ServerLimits
from tests.support.waiting import until
from tests.web.serving import LIMIT_S, Client, application, connected, request, serving, talk

HTTP10 = b"GET / HTTP/1.0\r\n\r\n"
HTTP10_KEEP_ALIVE = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


class Hello(RequestHandler):
    """Responses of every form."""

    async def get(self, form: str) -> None:
        if form == "chunks":
            for part in ("Hello", " ", "world"):
                self.write(part)
                await self.flush()
        elif form in ("204", "304"):
            self.set_status(int(form))
        else:
            self.write("Hello world")

    head = get


class Types(RequestHandler):
    """The types of what Tornado's handlers are given."""

    def get(self) -> None:
        request = self.request
        values = {
            **{name: getattr(request, name) for name in ("method", "uri", "version", "host")},
            **{name: getattr(request, name) for name in ("path", "query", "remote_ip", "protocol")},
            "header": request.headers["X-Header"],
            "cookie": request.cookies["a"].value,
            "argument": self.get_argument("a"),
        }
        assert all(isinstance(value, str) for value in values.values())
        assert isinstance(request.body, bytes)
        self.write(values)


class Waits(RequestHandler):
    """Begins a response, and ends it when its client has left."""

    closed: asyncio.Event

    def initialize(self, closed: asyncio.Event) -> None:
        self.closed = closed

    async def get(self) -> None:
        self.write("begun")
        await self.flush()
        await self.closed.wait()
        with pytest.raises(StreamClosedError):
            await self.flush()

    def on_connection_close(self) -> None:
        self.closed.set()
        self.finish("too late")


# ---- keep-alive and pipelining ----


async def test_two_requests() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        for _ in range(2):
            await client.send(request())
            assert await client.response() == (200, b"/")


async def test_request_close() -> None:
    async with serving(application()) as (server, port):
        answer = await talk(port, request("GET", "/", "Connection: close"))
        assert b"\r\nConnection: close\r\n" in answer and answer.endswith(b"\r\n\r\n/")
        await until(lambda: server.connections == (), "it is closed here too")


async def test_http10() -> None:
    async with serving(application()) as (_, port):
        answer = await talk(port, HTTP10)
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n/")
        assert b"Keep-Alive" not in answer and b"chunked" not in answer


async def test_http10_keepalive() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        for extra in (b"", b"\r\n"):  # as in test_http10_keepalive_extra_crlf
            await client.send(HTTP10_KEEP_ALIVE + extra)
            assert b"\r\nConnection: Keep-Alive\r\n" in await client.head()
            assert await client.reader.readexactly(1) == b"/"


async def test_http10_ends_a_response_without_length_by_closing() -> None:
    async with serving(Application([("/(.*)", Hello)])) as (_, port):
        answer = await talk(port, b"GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert answer.endswith(b"\r\n\r\nHello world") and b"\r\nConnection: close\r\n" in answer


async def test_a_hundred_pipelined_requests_are_answered_in_order() -> None:
    """One after the other, bodies of both kinds among them; one packet or one byte per packet."""
    app = application()
    requests = [
        request("GET", f"/{n}")
        if n % 3 == 0
        else request("POST", f"/{n}", "Content-Length: 3", body=b"%03d" % n)
        if n % 3 == 1
        else request("POST", f"/{n}", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n")
        for n in range(100)
    ]
    expected = [(b"/%d" % n, b"%03d" % n, b"x")[n % 3] for n in range(100)]
    async with serving(app) as (_, port):
        for send in (Client.send, Client.send_bytes):
            app.settings["seen"].clear()
            async with connected(port) as client:
                await send(client, b"".join(requests))
                assert [await client.response() for _ in range(100)] == [
                    (200, body) for body in expected
                ]
            assert [uri for _, uri, _ in app.settings["seen"]] == [f"/{n}" for n in range(100)]


async def test_a_pipelined_request_waits_for_the_one_before() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    begun: list[str] = []

    class Gate(RequestHandler):
        async def get(self, number: str) -> None:
            begun.append(number)
            await gates[int(number)].wait()
            self.write(number)

    async with serving(Application([("/(.)", Gate)])) as (_, port), connected(port) as client:
        await client.send(request("GET", "/0") + request("GET", "/1"))
        await until(lambda: bool(begun), "the first one is under way")
        gates[1].set()
        for _ in range(3):
            await asyncio.sleep(0)
        assert begun == ["0"]
        gates[0].set()
        assert await client.response() == (200, b"0")
        assert await client.response() == (200, b"1")


async def test_pipelined_cancel() -> None:
    async with serving(application()) as (server, port):
        async with connected(port) as client:
            await client.send(request() * 2)
            await client.response()
        await until(lambda: server.connections == (), "the connection is forgotten")


async def test_a_client_that_pipelines_without_reading_is_not_read_from_for_ever() -> None:
    """What one connection can hold of requests is bounded, whatever is sent."""
    gate = asyncio.Event()

    class Gate(RequestHandler):
        async def get(self) -> None:
            await gate.wait()

    async with serving(Application([(".*", Gate)])) as (server, port), connected(port) as client:
        await client.send(request("GET", "/" + "a" * 1000) * 100)
        await until(lambda: [one.is_reading for one in server.connections] == [False], "it stops")
        gate.set()
        assert [await client.response() for _ in range(100)] == [(200, b"")] * 100


async def test_keepalive_chunked() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        await client.send(request("POST", "/", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"))
        assert await client.response() == (200, b"")
        await client.send(request())
        assert await client.response() == (200, b"/")


async def test_a_client_that_says_nothing_leaves_nothing() -> None:
    async with serving(application()) as (server, port):
        async with connected(port):
            await until(lambda: len(server.connections) == 1, "it is accepted")
        await until(lambda: server.connections == (), "it is forgotten")


# ---- responses ----


@pytest.mark.parametrize("form", ["text", "chunks", "204", "304"])
async def test_head_204_and_304_have_no_content(form: str) -> None:
    """The connection stays in step: the next response is read as one."""
    async with serving(Application([("/(.*)", Hello)])) as (_, port), connected(port) as client:
        for method in ("HEAD", "GET"):
            if method == "GET" and form in ("text", "chunks"):
                continue
            for _ in range(2):
                await client.send(request(method, f"/{form}"))
                head = await client.head()
                assert head.startswith(
                    b"HTTP/1.1 200 " if form in ("text", "chunks") else b"HTTP/1.1 "
                )
                assert b"Transfer-Encoding" not in head
                if form == "text":
                    assert b"\r\nContent-Length: 11\r\n" in head
        await client.send(request("GET", "/text"))
        assert await client.response() == (200, b"Hello world")


async def test_a_response_without_length_comes_in_chunks() -> None:
    async with serving(Application([("/(.*)", Hello)])) as (_, port), connected(port) as client:
        for _ in range(2):
            await client.send(request("GET", "/chunks"))
            assert b"\r\nTransfer-Encoding: chunked\r\n" in await client.head()
            expected = b"5\r\nHello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
            assert await client.reader.readexactly(len(expected)) == expected


async def test_a_large_response_comes_whole() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        await client.send(request("GET", "/large?bytes=20000000") + request())
        assert await client.response() == (200, b"x" * 20_000_000)
        assert await client.response() == (200, b"/")


async def test_cancel_during_download() -> None:
    async with serving(application()) as (server, port):
        async with connected(port) as client:
            await client.send(request("GET", "/large"))
            await client.head()
        await until(lambda: server.connections == (), "the connection is forgotten")
        assert server.unsent.used == 0


async def test_finish_while_closed() -> None:
    """A handler hears that its client has left, and what it still writes goes nowhere."""
    closed = asyncio.Event()
    async with serving(Application([("/", Waits, {"closed": closed})])) as (_, port):
        async with connected(port) as client:
            await client.send(request())
            await client.head()
        async with asyncio.timeout(LIMIT_S):
            await closed.wait()


async def test_100_continue() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        for _ in range(2):
            await client.send(request("POST", "/", "Content-Length: 4", "Expect: 100-continue"))
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"body")
            assert await client.response() == (200, b"body")


async def test_100_continue_is_not_said_when_the_body_is_there_or_refused() -> None:
    limits = ServerLimits(body_max_bytes=10)
    async with serving(application(), limits) as (_, port), connected(port) as client:
        head = request("POST", "/", "Content-Length: 4", "Expect: 100-continue")
        await client.send(head + b"body")
        assert await client.response() == (200, b"body")
        await client.send(b"POST / HTTP/1.0\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.response())[0] == 413


# ---- what handlers are given ----


async def test_types() -> None:
    async with serving(Application([("/.*", Types)])) as (_, port), connected(port) as client:
        await client.send(request("GET", "/x%20y?a=%C3%A9", "X-Header: \xe9", "Cookie: a=b"))
        status, body = await client.response()
        assert (status, json.loads(body)) == (
            200,
            {
                "method": "GET",
                "uri": "/x%20y?a=%C3%A9",
                "version": "HTTP/1.1",
                "host": "chat",
                "path": "/x%20y",
                "query": "a=%C3%A9",
                "header": "\xe9",
                "cookie": "b",
                "argument": "\xe9",
                "remote_ip": "127.0.0.1",
                "protocol": "http",
            },
        )


@pytest.mark.parametrize("uri", ["/?", "//double", "/a?b=c?d&e", "/?q=%u1234", "/a#b", "/;x=1"])
async def test_a_query_arrives_as_it_was_sent(uri: str) -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        await client.send(request("GET", uri))
        assert await client.response() == (200, uri.encode())


class Sizes(HTTPServerConnectionDelegate, HTTPMessageDelegate):
    """Respond with the sizes of the pieces of a body, or fail at the configured stage."""

    def __init__(self, fails_in: str = "") -> None:
        self.fails_in = fails_in
        self.calls: list[str] = []

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        self.connection, self.sizes = request_conn, list[int]()
        return self

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails_in:
            raise ValueError(f"as the test wants in {call}")

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        self.note("headers_received")

    def data_received(self, chunk: bytes) -> None:
        self.sizes.append(len(chunk))
        self.note("data_received")

    def finish(self) -> None:
        self.note("finish")
        body = json.dumps(self.sizes).encode()
        headers = HTTPHeaders({"Content-Length": str(len(body))})
        self.connection.write_headers(ResponseStartLine("", 200, "OK"), headers)
        self.connection.write(body)
        self.connection.finish()

    def on_connection_close(self) -> None:
        self.calls.append("on_connection_close")

    def on_close(self, server_conn: object) -> None:
        self.calls.append("on_close")


@pytest.mark.parametrize("fails_in", ["headers_received", "data_received", "finish"])
async def test_an_error_of_a_delegate_ends_its_connection(
    fails_in: str, expected_log: list[str]
) -> None:
    expected_log.append("a request failed before its handler")
    delegate = Sizes(fails_in)
    async with serving(delegate) as (_, port):
        assert await talk(port, request("POST", "/", "Content-Length: 1", body=b"x")) == b""
        await until(lambda: delegate.calls[-1] == "on_close", "it is told")
        closes = delegate.calls.count("on_connection_close")
        assert closes == (fails_in != "finish") and delegate.calls.count("finish") == (1 - closes)


async def test_pieces_of_a_body_are_bounded() -> None:
    async with (
        serving(Sizes(), ServerLimits(body_max_bytes=10**6)) as (_, port),
        connected(port) as client,
    ):
        await client.send(request("POST", "/", "Content-Length: 500000", body=b"x" * 500_000))
        sizes = json.loads((await client.response())[1])
        assert sum(sizes) == 500_000 and max(sizes) <= 65536


async def test_many_tiny_chunks() -> None:
    """They become one piece per packet, not one call each."""
    delegate = Sizes()
    async with serving(delegate) as (_, port), connected(port) as client:
        body = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
        await client.send(request("POST", "/", "Transfer-Encoding: chunked", body=body))
        sizes = json.loads((await client.response())[1])
        assert sum(sizes) == 10_000 and len(sizes) < 200


class Writes(HTTPServerConnectionDelegate, HTTPMessageDelegate):
    """Send ten bytes under another Content-Length before the whole request has arrived."""

    def __init__(self, length: str, *, at_once: bool = True) -> None:
        self.length, self.at_once = length, at_once

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        self.connection = request_conn
        return self

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        headers = HTTPHeaders({"Content-Length": self.length})
        self.connection.write_headers(ResponseStartLine("", 200, "OK"), headers)
        self.connection.write(b"1234567890")
        self.connection.finish()


async def test_a_response_before_the_body_is_the_last_one() -> None:
    """The rest of the body is not read as a request."""
    async with serving(Writes("10")) as (_, port):
        answer = await talk(port, request("POST", "/", "Content-Length: 99") + request())
        assert answer.count(b"1234567890") == 1 and b"\r\nConnection: close\r\n" in answer


async def test_a_response_to_a_head_without_body_keeps_the_connection() -> None:
    async with serving(Writes("10")) as (_, port), connected(port) as client:
        await client.send(request() * 2)
        assert await client.response() == await client.response() == (200, b"1234567890")


@pytest.mark.parametrize("length", ["9", "11", "foo", "+10", "1_0"])
async def test_a_response_that_is_not_as_long_as_it_says_is_cut_off(
    length: str, expected_log: list[str]
) -> None:
    expected_log.append("a request failed before its handler")
    async with serving(Writes(length)) as (server, port):
        answer = await talk(port, request() * 2)
        assert answer.count(b"HTTP/1.1 ") <= 1
        assert answer == b"" or len(answer.partition(b"\r\n\r\n")[2]) < int(length)
        assert server.connections == ()


async def test_a_line_break_in_a_response_header_is_an_error(expected_log: list[str]) -> None:
    expected_log.append("a request failed before its handler")
    async with serving(Writes("10\r\nX: y")) as (_, port):
        assert await talk(port, request()) == b""


async def test_a_detached_connection_is_the_callers() -> None:
    """No end is sent, no descriptor is taken, and nothing of it stays here."""
    taken: list[socket.socket] = []

    class Detaches(RequestHandler):
        async def get(self) -> None:
            taken.append(self.detach())  # type: ignore[arg-type]

    async with serving(Application([("/", Detaches)])) as (server, port), connected(port) as client:
        await client.send(request())
        await until(lambda: bool(taken), "it is handed over")
        assert server.connections == ()
        taken[0].send(b"hello")
        assert await client.reader.readexactly(5) == b"hello"
        await client.send(b"anything")
        assert taken[0].getblocking() is False
        await until(lambda: readable(taken[0]), "it arrives there")
        taken[0].close()
        assert await client.rest() == b""


async def test_detaching_from_a_client_that_has_left_gives_nothing() -> None:
    taken: list[Any] = []
    gate = asyncio.Event()

    class Detaches(RequestHandler):
        async def get(self) -> None:
            await gate.wait()
            taken.append(self.detach())

    async with serving(Application([("/", Detaches)])) as (server, port):
        async with connected(port) as client:
            await client.send(request())
            await until(
                lambda: [one.state for one in server.connections] == [State.ANSWERING], "it waits"
            )
        await until(lambda: server.connections == (), "it has left")
        gate.set()
        await until(lambda: taken == [None], "nothing is handed over")


def readable(sock: socket.socket) -> bool:
    try:
        return sock.recv(100) == b"anything"
    except BlockingIOError:
        return False

"""What one client, and all together, may take of the web server."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import pytest

from chatsvc.web.connection import State
from chatsvc.web.limits import ServerLimits
from chatsvc.web.server import WebServer
from tests.support.waiting import until
from tests.web.serving import (
    Client,
    application,
    connected,
    listening,
    peak_memory,
    request,
    server_process,
    serving,
    talk,
)

FAST = ServerLimits(idle_s=0.2, head_s=0.2, body_s=0.2, take_s=0.4, scarce_take_s=0.2)
GROWTH_MAX_BYTES = 64 * 1024 * 1024
UNSENT_MAX_BYTES = 16 * 1024 * 1024


async def test_a_head_over_its_limit_is_431(caplog: pytest.LogCaptureFixture) -> None:
    """It once was a closed connection without a status or a line in the log."""
    app = application()
    limits = ServerLimits(head_max_bytes=1000)
    fits = request("GET", "/", "Connection: close", "X: " + "a" * 946)
    assert len(fits) == 1000
    async with serving(app, limits) as (_, port):
        assert (await talk(port, fits)).startswith(b"HTTP/1.1 200 ")
        for send in (Client.send, Client.send_bytes):
            for raw in (
                request("GET", "/", "Connection: close", "X: " + "a" * 947),
                request("GET", "/" + "a" * 1000),
                b"GET / HTTP/1.1\r\nX: " + b"a" * 1000,
                request("GET", "/", *(f"X{n}: y" for n in range(200))),
            ):
                answer = await talk(port, raw, send=send)
                assert (
                    answer.startswith(b"HTTP/1.1 431 ") and b"\r\nConnection: close\r\n" in answer
                )
        assert len(app.settings["seen"]) == 1
    assert "request refused: 431 The head is longer than 1000 bytes." in caplog.messages


async def test_a_refusal_is_a_problem_document() -> None:
    async with serving(application()) as (_, port), connected(port) as client:
        await client.send(b"GET / HTTP/9.9\r\n\r\n")
        status, body = await client.response()
        problem = json.loads(body)
        assert (status, problem["status"], problem["title"]) == (400, 400, "Bad Request")


@pytest.mark.parametrize("expects", [(), ("Expect: 100-continue",)])
async def test_a_body_over_its_limit_is_413(expects: tuple[str, ...]) -> None:
    """An announced one before it is sent; one in chunks when the size is told."""
    app = application()
    async with serving(app, ServerLimits(body_max_bytes=10)) as (_, port):
        for raw in (
            request("POST", "/", "Content-Length: 11", *expects),
            request("POST", "/", f"Content-Length: {10**17}", *expects),
            request("POST", "/", "Transfer-Encoding: chunked", body=b"b\r\n"),
            request("POST", "/", "Transfer-Encoding: chunked", body=b"1\r\nx\r\nffffffff\r\nxx"),
        ):
            assert (await talk(port, raw)).startswith(b"HTTP/1.1 413 ")
        assert app.settings["seen"] == []
        exact = request(
            "POST", "/", "Transfer-Encoding: chunked", body=b"a\r\n0123456789\r\n0\r\n\r\n"
        )
        async with connected(port) as client:
            await client.send(exact)
            assert await client.response() == (200, b"0123456789")


SLOW = {
    "half a head": (b"GET / HTTP/1.1\r\nX: a", 408),
    "one byte": (b"G", 408),
    "no body": (request("POST", "/", "Content-Length: 9"), 408),
    "half a body": (request("POST", "/", "Content-Length: 9", body=b"a"), 408),
    "half a chunk": (request("POST", "/", "Transfer-Encoding: chunked", body=b"3\r\na"), 408),
    "no end": (request("POST", "/", "Transfer-Encoding: chunked", body=b"1\r\na\r\n"), 408),
    "no request": (b"", 0),
    "empty lines": (b"\r\n\r\n", 0),
}


@pytest.mark.parametrize("what", SLOW)
async def test_who_is_slow_is_408_and_who_is_idle_is_closed(what: str) -> None:
    app = application()
    data, status = SLOW[what]
    async with serving(app, FAST) as (_, port):
        answer = await talk(port, data)
        assert answer.startswith(b"HTTP/1.1 %d " % status) if status else answer == b""
        assert app.settings["seen"] == []


async def test_idle_after_use() -> None:
    async with serving(application(), FAST) as (_, port), connected(port) as client:
        for _ in range(2):
            await client.send(request())
            assert await client.response() == (200, b"/")
        assert await client.rest() == b""


async def test_a_handler_may_take_longer_than_its_client() -> None:
    """Time limits are the client's: the handler's own time counts against nobody."""
    gate = asyncio.Event()
    app = application(gate=gate)
    async with serving(app, FAST) as (server, port), connected(port) as client:
        await client.send(request("PUT", "/upload", "Content-Length: 2", body=b"a"))
        await until(lambda: bool(app.settings["seen"]), "it is under way")
        (connection,) = server.connections
        for n in range(1, 100):
            connection.check_time(asyncio.get_running_loop().time() + n)
        gate.set()
        await client.send(b"b")
        assert await client.response() == (200, b"2 bytes")


async def test_many_half_open_connections_disturb_nobody() -> None:
    """2,000 in the slow mark; each gets its 408, and a whole request is answered meanwhile."""
    await half_open(200)


@pytest.mark.slow
async def test_two_thousand_half_open_connections() -> None:
    await half_open(2000)


async def half_open(count: int) -> None:
    limits = ServerLimits(head_s=3.0, body_s=3.0)
    halves = [b"GET / HT", request("POST", "/", "Content-Length: 9", body=b"half")]
    async with serving(application(), limits) as (server, port):
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(port)) for _ in range(count)]
            for client in clients:
                client.writer.write(halves[clients.index(client) % 2])
            await until(lambda: len(server.connections) == count, "all are accepted")
            async with connected(port) as client:
                await client.send(request())
                assert await client.response() == (200, b"/")
            answers = await asyncio.gather(*(client.rest() for client in clients))
            assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
        await until(lambda: server.connections == (), "all are forgotten")


# ---- responses that nobody takes ----


class Deaf:
    """A client that asks for a large response and reads none of it."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(request("GET", path))

    def __enter__(self) -> "Deaf":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


async def test_a_response_that_is_not_taken_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(application(), FAST) as (server, port):
        with Deaf(port, "/large"):
            await until(lambda: server.unsent.used > 0, "it does not read")
            await until(lambda: server.connections == (), "it is closed")
            assert server.unsent.used == 0
    assert any("took too little" in message for message in caplog.messages)


async def test_a_slow_reader_above_the_least_rate_gets_its_response() -> None:
    limits = ServerLimits(take_s=0.3, scarce_take_s=0.3, least_bytes_per_s=1000)
    async with serving(application(), limits) as (_, port), connected(port) as client:
        await client.send(request("GET", "/large"))
        await client.head()
        left = 8_000_000
        while left:
            left -= len(await client.reader.read(65536))
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("bounded", [True, False])
async def test_unread_responses_together_have_a_bound(bounded: bool) -> None:
    """From half of it on, new requests are 503 unread. Negative control: a server without it."""
    app = application()
    limits = ServerLimits(unsent_max_bytes=UNSENT_MAX_BYTES if bounded else 2**40)
    async with serving(app, limits) as (server, port), AsyncExitStack() as stack:
        for n in range(1, 20):
            stack.enter_context(Deaf(port, f"/large?bytes={UNSENT_MAX_BYTES // 2}"))
            await until(lambda n=n: server.unsent.is_scarce or len(app.settings["seen"]) == n)  # type: ignore[misc]
            if server.unsent.is_scarce or server.unsent.used > 2 * UNSENT_MAX_BYTES:
                break
        assert server.unsent.is_scarce is bounded
        assert (server.unsent.used <= UNSENT_MAX_BYTES) is bounded
        if bounded:
            asked = len(app.settings["seen"])
            async with connected(port) as client:
                await client.send(request("POST", "/", "Content-Length: 1000000"))
                head = await client.head()
                assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in head
            assert len(app.settings["seen"]) == asked
        await stack.aclose()
        await until(lambda: server.unsent.used == 0, "all is given back")
        async with connected(port) as client:
            await client.send(request())
            assert await client.response() == (200, b"/")


async def test_readers_of_nothing_cost_a_bounded_memory(tmp_path: Path) -> None:
    """50 connections once took 660 MiB: 13 each, without end. 1,000 in the slow mark."""
    await read_nothing(tmp_path, 200)


@pytest.mark.slow
async def test_a_thousand_readers_of_nothing_cost_a_bounded_memory(tmp_path: Path) -> None:
    await read_nothing(tmp_path, 1000)


async def read_nothing(folder: Path, count: int) -> None:
    """Each asks for 13 MiB twice and reads none of it; others are answered at the end."""
    async with server_process(folder) as (process, port):
        assert (await talk(port, request("GET", "/large", "Connection: close")))[-1:] == b"x"
        before = process.memory_info().rss
        async with peak_memory(process) as peak:
            with ExitStack() as stack:
                deaf = [
                    stack.enter_context(Deaf(port, f"/large?bytes={13 * 2**20}"))
                    for _ in range(count)
                ]
                for client in deaf:
                    with suppress(ConnectionError):
                        client.socket.sendall(request("GET", "/large"))
                await until(lambda: is_answered(port), "others are answered at last")
        print(f"RSS {before >> 20} MiB, peak +{(peak[0] - before) >> 20} MiB")
        assert peak[0] - before <= GROWTH_MAX_BYTES


async def is_answered(port: int) -> bool:
    answer = await talk(port, request("GET", "/", "Connection: close"))
    return answer.startswith(b"HTTP/1.1 200 ")


async def test_one_response_that_exceeds_the_bound_is_cut_off() -> None:
    limits = ServerLimits(unsent_max_bytes=1_000_000)
    app = application()
    async with serving(app, limits) as (server, port):
        with Deaf(port, "/large?bytes=30000000"):
            await until(lambda: bool(app.settings["seen"]), "it is under way")
            await until(lambda: server.connections == (), "it is closed")
            assert server.unsent.used == 0
        async with connected(port) as client:
            await client.send(request())
            assert await client.response() == (200, b"/")


# ---- connections of one address ----


async def test_one_address_has_a_bounded_number_of_connections(expected_log: list[str]) -> None:
    """1,010 silent connections of one address once closed a server with 1,024 descriptors."""
    expected_log.append("the maximum from one address is 3")
    server = WebServer(
        application(), FAST, connections_per_source=3, source_key=lambda address: "one key"
    )
    async with listening(server) as port:
        clients = [await Client.connect(port) for _ in range(3)]
        await until(lambda: len(server.connections) == 3, "they are accepted")
        assert await talk(port, request()) == b""
        await clients.pop().closed()
        await until(lambda: len(server.connections) == 2, "one has left")
        assert (await talk(port, request("GET", "/", "Connection: close"))).endswith(b"/")
        for client in clients:
            assert await client.rest() == b""
            await client.closed()
        await until(lambda: server.connections == (), "all have left")


async def test_a_proxy_may_have_any_number_of_connections() -> None:
    server = WebServer(application(), connections_per_source=3, source_key=lambda address: None)
    async with listening(server) as port:
        clients = [await Client.connect(port) for _ in range(10)]
        for client in clients:
            await client.send(request())
            assert await client.response() == (200, b"/")
            await client.closed()
        await until(lambda: server.connections == (), "all have left")


async def test_states_are_told_as_they_are() -> None:
    gate = asyncio.Event()
    async with serving(application(gate=gate)) as (server, port), connected(port) as client:
        for data, state in (
            (b"", State.IDLE),
            (b"\r\n", State.IDLE),
            (b"PUT /upload HTTP/1.1\r\n", State.READING_HEAD),
            (b"Host: chat\r\nContent-Length: 1\r\n\r\n", State.READING_BODY),
        ):
            await client.send(data)
            await until(lambda: [one.state for one in server.connections] == [state], state.name)  # noqa: B023
        await client.send(b"x")
        gate.set()
        assert await client.response() == (200, b"1 bytes")
        await until(lambda: server.connections[0].state is State.IDLE, "idle again")

"""The end of keep-alive connections: none is closed with a request in it, or with an answer that is not out."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from chatsvc.app import REQUESTS_POLL_S
from chatsvc.web.connection import State
from chatsvc.web.server import WebServer
from tests.faults.client import port_of
from tests.support.service import Service
from tests.support.waiting import until

LARGE = 8 * 1024 * 1024  # more than the kernel keeps for a client that does not read
END = b"good bye"
HEAD = b"POST / HTTP/1.1\r\nHost: chat\r\nContent-Length: %d\r\n\r\n" % len(END)
LIMIT_S = 10.0
# What a client may have sent, and what it sends when the server has begun to end.
UNREAD = {
    "all of a request": (HEAD + END, b""),
    "half a head": (HEAD[:20], HEAD[20:] + END),
    "no body": (HEAD, END),
}


class Echo(RequestHandler):
    def post(self) -> None:
        self.write(self.request.body)

    def get(self) -> None:
        self.write(b"x" * LARGE + END)


class Careless(WebServer):
    """The protection taken away: a connection is idle when no handler runs."""

    def close_idle(self, *, patient: bool) -> int:
        for connection in self.connections:
            connection.abort()
        return 0


class Client:
    """A keep-alive connection. What is sent is in the server's kernel when `send` returns."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    async def answer(self, end: bytes = END) -> bytes:
        """What comes until `end`, or until the server hangs up."""
        return await asyncio.to_thread(self._read, end)

    def _read(self, end: bytes) -> bytes:
        received = b""
        while not (end and received.endswith(end)):
            try:
                chunk = self.socket.recv(65536)
            except ConnectionError:
                break
            if not chunk:
                break
            received += chunk
        return received


@asynccontextmanager
async def connected(
    server_class: type[WebServer] = WebServer,
) -> AsyncIterator[tuple[WebServer, Client]]:
    """A server, and a client that was answered once."""
    server = server_class(Application([("/", Echo)]))
    listening, port = bind_unused_port()
    server.add_sockets([listening])
    client = Client(port)
    try:
        client.send(HEAD + END)
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        await until(lambda: is_waiting(server), "it waits for the next request")
        yield server, client
    finally:
        client.socket.close()
        server.stop()
        server.close_all()


def is_waiting(server: WebServer) -> bool:
    return all(connection.state is State.IDLE for connection in server.connections)


def is_slow(server: WebServer) -> bool:
    (connection,) = server.connections
    reads = connection.state in (State.READING_HEAD, State.READING_BODY)
    return reads or connection.unsent_bytes > 0


async def ended(server: WebServer) -> bool:
    return server.close_idle(patient=True) == 0


async def test_a_connection_that_waits_for_a_request_is_closed() -> None:
    async with connected() as (server, client):
        assert server.close_idle(patient=True) == 0
        assert await client.answer() == b""


async def test_who_has_just_connected_is_spared_for_a_while() -> None:
    """On a busy machine the request comes a while after the connection."""
    async with connected() as (server, served):
        new = Client(served.socket.getpeername()[1])
        try:
            await until(
                lambda: len(server.connections) == 2 and is_waiting(server), "it is accepted"
            )
            assert server.close_idle(patient=True) == 1
            assert await served.answer() == b""
            new.send(HEAD + END)
            assert (await new.answer()).startswith(b"HTTP/1.1 200 ")
            await until(
                lambda: server.close_idle(patient=True) == 0,
                "it is one of those that had a request",
            )
        finally:
            new.socket.close()


@pytest.mark.parametrize("what", UNREAD)
@pytest.mark.parametrize("server_class", [WebServer, Careless])
async def test_what_has_arrived_is_answered(what: str, server_class: type[WebServer]) -> None:
    """A message that came in the very turn of the loop that closed its connection was cut off: stored or not, its sender could not know.

    Negative control: a server that looks at the running handlers alone.
    """
    sent, rest = UNREAD[what]
    async with connected(server_class) as (server, client):
        client.send(sent)
        busy = server.close_idle(patient=True)
        if server_class is Careless:
            assert await client.answer() == b""
            return
        assert busy == 1
        await asyncio.sleep(0)  # it is read, and still not closed
        assert server.close_idle(patient=True) == 1
        client.send(rest)
        assert (await client.answer()).startswith(b"HTTP/1.1 200 ")
        await until(lambda: ended(server), "it is closed after the answer")


@pytest.mark.parametrize("sent", [HEAD[:20], HEAD, b"GET / HTTP/1.1\r\nHost: chat\r\n\r\n"])
async def test_patience_with_clients_ends(sent: bytes) -> None:
    """Anybody could hold up each restart with half a request, or with an answer that he does not take."""
    async with connected() as (server, client):
        client.send(sent)
        await until(lambda: is_slow(server), "its client is slow")
        assert server.close_idle(patient=True) == 1
        assert server.close_idle(patient=False) == 0


async def test_an_answer_that_a_slow_client_reads_is_not_cut_off() -> None:
    async with connected() as (server, client):
        client.send(b"GET / HTTP/1.1\r\nHost: chat\r\n\r\n")
        await until(
            lambda: any(one.unsent_bytes for one in server.connections), "the answer is on its way"
        )
        assert server.close_idle(patient=True) == 1
        assert len(await client.answer()) > LARGE
        await until(lambda: ended(server), "it is closed after the answer")


async def test_the_last_answer_says_so() -> None:
    """A proxy or a browser then sends its next request elsewhere, instead of into a connection that is being closed."""
    async with connected() as (server, client):
        server.end_keep_alive()
        client.send(HEAD + END)
        assert b"\r\nConnection: close\r\n" in await client.answer(end=b"")


async def test_a_message_that_is_half_sent_when_the_service_stops_is_stored_and_answered(
    service: Service,
) -> None:
    body = json.dumps({"content": "hello", "client_id": "1"}).encode()
    head = f"POST /support_chat/messages HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {service.user_token()}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client = Client(port_of(service))
    client.send(head.encode() + body[:5])
    await until(lambda: bool(service.app.server.connections), "it is accepted")
    stopped = asyncio.create_task(service.app.stop())
    await until(lambda: not service.app.server.is_accepting, "it is stopping")
    for _ in range(3):  # longer than what it gives those who have just connected
        await asyncio.sleep(REQUESTS_POLL_S)
    client.send(body[5:])
    assert (await client.answer(end=b"}")).startswith(b"HTTP/1.1 201 ")
    await stopped
    client.socket.close()

"""The load generator: raw non-blocking sockets on one epoll, to cost little beside what it measures."""

import errno
import itertools
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Sequence

CLIENT_ID = "bm-%010d"
CLIENT_ID_IN_FRAME = re.compile(rb"bm-(\d{10})")
NEW_MESSAGE = b"bm-"
FIRST_EVENT = b'"state"'  # each stream begins with one
FRAME_ENDS = (b"\n\n", b"\n\r\n")  # the second: inside a chunk of a chunked answer
RECEIVE_BYTES = 65_536
POLL_S = 0.2  # longest wait before deadlines are looked at again
STREAMS_PER_SOURCE = (
    5_000  # below the ephemeral ports of one address (28,232), with room for TIME_WAIT
)
OPEN_LIMIT_S = 120  # for thousands of streams at a service that takes 10 ms for each
SPARE_FILES = 500  # files of the process besides its sockets


def allow_open_files(sockets: int) -> None:
    """Raise the limit for this process and the servers it starts. Raises ValueError where that is refused."""
    wanted = sockets + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


class LoadError(Exception):
    """The measured server did something that makes the figure worthless."""


class Stream:
    """One event stream, as the kernel shows it: bytes, and how many answered with 200."""

    __slots__ = ("fd", "head", "live", "load", "request", "rest", "socket")

    def __init__(self, load: "Load", request: bytes, source: str) -> None:
        self.load, self.request = load, request
        self.head: bytes | None = b""
        self.rest = b""
        self.live = False
        self.socket = connect(load.address, source)
        self.fd = self.socket.fileno()

    def ready(self, events: int) -> None:
        if self.request:
            if (error := self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                self.load.lose(self, errno.errorcode.get(error, str(error)))
                return
            self.socket.send(self.request)
            self.request = b""
            self.load.poll.modify(self.fd, select.EPOLLIN)
            return
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except OSError as error:
            self.load.lose(self, errno.errorcode.get(error.errno or 0, str(error)))
            return
        if not data:
            self.load.lose(self, "closed by the server")
        elif self.head is None:
            self.receive(data)
        else:
            self.receive_head(data)

    def receive_head(self, data: bytes) -> None:
        head = (self.head or b"") + data
        end = head.find(b"\r\n\r\n")
        if end < 0:
            self.head = head
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.load.lose(self, head[9:12].decode("ascii", "replace"))
            return
        self.head = None
        self.load.opening -= 1
        self.load.opened += 1
        self.receive(head[end + 4 :])

    def receive(self, data: bytes) -> None:
        if self.rest:
            data, self.rest = self.rest + data, b""
        if not data.endswith(FRAME_ENDS):
            cut = data.rfind(b"\n\n") + 2
            data, self.rest = (data[:cut], data[cut:]) if cut > 1 else (b"", data)
        if not self.live and FIRST_EVENT in data:
            self.live = True
            self.load.live += 1
        if NEW_MESSAGE in data:
            self.load.on_frames(data)


class Sender:
    """A keep-alive connection that sends its next request as soon as the last one is answered."""

    __slots__ = ("answer", "fd", "load", "next_request", "socket")

    def __init__(self, load: "Load", next_request: Callable[[], bytes | None]) -> None:
        self.load, self.next_request = load, next_request
        self.answer = b""
        self.socket = socket.create_connection(load.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.fd = self.socket.fileno()
        load.add(self, select.EPOLLIN)

    def send(self) -> None:
        if (request := self.next_request()) is not None:
            self.load.unanswered += 1
            self.socket.send(request)

    def ready(self, events: int) -> None:
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise LoadError("the server closed a sender's connection")
        self.answer += data
        if not whole_answer(self.answer):
            return
        if not self.answer.startswith(b"HTTP/1.1 20"):
            raise LoadError(f"POST was answered with {self.answer[:300]!r}")
        self.answer = b""
        self.load.unanswered -= 1
        self.send()


def whole_answer(data: bytes) -> bool:
    """Whether the answer is complete. Only answers with Content-Length are understood."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    start = data.lower().find(b"content-length: ", 0, end)
    if start < 0:
        raise LoadError(f"no Content-Length in {data[:300]!r}")
    length = int(data[start + 16 : data.find(b"\r\n", start)])
    return len(data) >= end + 4 + length


def connect(address: tuple[str, int], source: str) -> socket.socket:
    """Begin a connection from that loopback address, without waiting for it."""
    connection = socket.socket()
    connection.setblocking(False)
    # the port is chosen at connect: otherwise all ports of the machine are shared by all source addresses
    connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT of linux/in.h
    connection.bind((source, 0))
    error = connection.connect_ex(address)
    if error not in (0, errno.EINPROGRESS):
        raise LoadError(f"connect from {source}: {errno.errorcode[error]}")
    return connection


class Load:
    """All connections to one server, or to several in turns."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self._addresses = itertools.cycle(addresses)
        self.poll = select.epoll()
        self.connections: dict[int, Stream | Sender] = {}
        self.opening = self.opened = self.live = self.unanswered = 0
        self.lost: dict[str, int] = {}
        self.on_frames: Callable[[bytes], None] = lambda data: None

    @property
    def address(self) -> tuple[str, int]:
        """Where the next connection goes."""
        return next(self._addresses)

    def add(self, connection: Stream | Sender, events: int) -> None:
        self.connections[connection.fd] = connection
        self.poll.register(connection.fd, events)

    def lose(self, stream: Stream, reason: str) -> None:
        """The server or the kernel ended this stream: count why."""
        self.lost[reason] = self.lost.get(reason, 0) + 1
        if stream.head is None:
            self.opened -= 1
            self.live -= stream.live
        else:
            self.opening -= 1
        self.drop(stream)

    def drop(self, connection: Stream | Sender) -> None:
        del self.connections[connection.fd]
        connection.socket.close()

    def turn(self, timeout: float = POLL_S) -> None:
        """Handle what is ready, waiting for it at most that long."""
        connections = self.connections
        for fd, events in self.poll.poll(timeout):
            connection = connections.get(fd)
            if connection is not None:
                connection.ready(events)

    def run_until(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Turn until done, at most that long; tells whether it was done."""
        deadline = time.perf_counter() + limit_s
        while not done():
            left = deadline - time.perf_counter()
            if left <= 0:
                return False
            self.turn(min(left, POLL_S))
        return True

    def run_for(self, seconds: float) -> None:
        self.run_until(lambda: False, seconds)

    def open_streams(self, requests: Sequence[bytes], in_flight: int, limit_s: float) -> float:
        """Open one stream per request, so many at a time; seconds until all were answered or the limit."""
        began = time.perf_counter()
        began_with = len(self.connections)
        started = 0
        while started < len(requests) or self.opening:
            while started < len(requests) and self.opening < in_flight:
                source = f"127.0.0.{2 + (began_with + started) // STREAMS_PER_SOURCE}"
                self.add(Stream(self, requests[started], source), select.EPOLLOUT)
                self.opening += 1
                started += 1
            self.turn()
            if time.perf_counter() - began > limit_s:
                break
        return time.perf_counter() - began

    def close_streams(self) -> None:
        for connection in list(self.connections.values()):
            if isinstance(connection, Stream):
                self.drop(connection)
        self.opening = self.opened = self.live = 0

    def close(self) -> None:
        for connection in list(self.connections.values()):
            self.drop(connection)
        self.poll.close()


def open_streams_strictly(load: Load, requests: Sequence[bytes], in_flight: int = 200) -> float:
    """Open them all, up to their first event, or raise LoadError: for figures that need every stream."""
    seconds = load.open_streams(requests, in_flight, OPEN_LIMIT_S)
    load.run_until(lambda: load.live >= load.opened, OPEN_LIMIT_S)
    if load.lost or load.opening or load.live < load.opened:
        left = load.opening + load.opened - load.live
        raise LoadError(
            f"of {len(requests)} streams {left} did not begin in time, lost: {load.lost}"
        )
    return seconds

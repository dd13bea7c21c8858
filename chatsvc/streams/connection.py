"""The socket of an open stream, in four verbs: write, pending, close, on_close. Nothing else here knows which server accepted it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from chatsvc.streams.selector import SocketSelector

WRITE_BUFFER_BYTES = (
    256 * 1024
)  # what a slow reader can hold; without a bound one took 188 MB in 2 s
SEND_BUFFER_BYTES = (
    128 * 1024
)  # left alone, the kernel takes 2.5 MB more for a slow reader over loopback, where a proxy is
USER_TIMEOUT_MS = 25_000  # a client behind a cut network is given up after this; the kernel's own limit is over 15 minutes
KEEPALIVE_S = 20  # finds a dead peer on a stream that carries nothing
READ_BYTES = 4096
LINGER_S = 5.0  # for the last event to go out before the socket is closed


class BufferFull(Exception):
    """The reader is too slow: WRITE_BUFFER_BYTES are waiting for it."""


class Connection(Protocol):
    """What a Subscriber needs of a connection. All of it is called on the loop."""

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        """Writes one whole frame. None if the kernel took it, else a future that ends when it has. Raises BufferFull."""

    @property
    def pending(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""

    def close(self, last: bytes = b"") -> None:
        """Closes the connection: at once without `last`, else when that has gone out or LINGER_S have passed."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the connection is closed, by either side."""


class StreamConnection:
    """A connected socket, written directly. Only what the kernel does not take is kept, up to WRITE_BUFFER_BYTES.

    Not Tornado's IOStream: idle, that holds two deques and as many closures, half of what an open stream costs.
    """

    __slots__ = ("_buffer", "_callback", "_is_closing", "_loop", "_selector", "_socket", "_taken")

    def __init__(self, sock: socket.socket, selector: SocketSelector) -> None:
        self._socket = sock
        _set_options(self._socket)
        self._buffer = b""
        self._taken: asyncio.Future[None] | None = (
            None  # ends when the buffer is empty or the connection closed
        )
        self._is_closing = False
        self._callback: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._selector = selector
        selector.add(self._socket, self)

    @property
    def _is_closed(self) -> bool:
        return self._socket.fileno() < 0

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        if not self._buffer:
            frame = self._send(frame)
            if not frame:
                return None
            self._selector.await_writable(self._socket, self, True)
            self._taken = self._loop.create_future()
        elif len(self._buffer) + len(frame) > WRITE_BUFFER_BYTES and not self._is_closing:
            raise BufferFull
        self._buffer += frame
        return self._taken

    def close(self, last: bytes = b"") -> None:
        self._is_closing = True
        if last:
            self.write(last)
        if last and self._buffer:
            self._loop.call_later(LINGER_S, self._end)
        else:
            self._end()

    def on_close(self, callback: Callable[[], None]) -> None:
        if self._is_closed:
            self._loop.call_soon(callback)
        else:
            self._callback = callback

    def _send(self, data: bytes) -> bytes:
        """Gives the kernel what it takes; returns the rest. On a connection that is gone nothing is left to send."""
        try:
            return data[self._socket.send(data) :]
        except (BlockingIOError, InterruptedError):
            return data
        except OSError:
            self._end()
            return b""

    def writable(self) -> None:
        self._buffer = self._send(self._buffer)
        if self._buffer or self._is_closed:
            return
        self._selector.await_writable(self._socket, self, False)
        self._settle()
        if self._is_closing:
            self._end()

    def readable(self) -> None:
        """A stream's client has nothing to say: what it sends is dropped, its end is noticed."""
        try:
            is_open = bool(self._socket.recv(READ_BYTES))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            is_open = False
        if not is_open:
            self._end()

    def _end(self) -> None:
        if self._is_closed:
            return
        self._selector.remove(self._socket)
        self._socket.close()
        self._buffer = b""
        self._settle()
        if self._callback is not None:
            self._loop.call_soon(self._callback)
            self._callback = (
                None  # it holds the subscriber, which holds this: the memory of both goes at once
            )

    def _settle(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        self._taken = None


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # a second frame does not wait for the first one's ACK
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", KEEPALIVE_S),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
    ):
        option = getattr(socket, name, None)  # not every system has each of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

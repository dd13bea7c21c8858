"""The connection of an open stream, independent of the HTTP server that accepted it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from chatsvc.streams.selector import SocketSelector

WRITE_BUFFER_BYTES = 256 * 1024  # without a limit one slow reader took 188 MB in 2 s
SEND_BUFFER_BYTES = 128 * 1024  # by default the kernel's grows to 2.5 MB over loopback (a proxy)
USER_TIMEOUT_MS = 25_000  # until a client that acknowledges nothing is dropped; default 15 minutes
KEEPALIVE_S = 20  # finds a dead peer on a silent stream
READ_BYTES = 4096
LINGER_S = 5.0  # for the last event to be sent before the socket is closed


class BufferFull(Exception):
    """The reader is too slow: WRITE_BUFFER_BYTES are waiting for it."""


class Connection(Protocol):
    """What a Subscriber needs of a connection. Called on the loop only."""

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        """Write a whole frame.

        Return None if the kernel took it, else a future that ends when it has. Raises BufferFull.
        """

    @property
    def pending(self) -> int:
        """The number of written bytes that the kernel has not taken yet."""

    def close(self, last: bytes = b"") -> None:
        """Close the connection: after sending `last` or LINGER_S; without `last` at once."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the connection is closed, by either side."""


class StreamConnection:
    """A connected socket. It buffers up to WRITE_BUFFER_BYTES that the kernel does not take.

    An idle IOStream of Tornado, with two deques and two closures, would double the memory of an
    open stream.
    """

    __slots__ = ("_buffer", "_callback", "_is_closing", "_loop", "_selector", "_socket", "_taken")

    def __init__(self, sock: socket.socket, selector: SocketSelector) -> None:
        self._socket = sock
        _set_options(self._socket)
        self._buffer = b""
        # ends when the buffer is empty or the connection is closed
        self._taken: asyncio.Future[None] | None = None
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
        """Send as much as the kernel takes and return the rest; b"" if the connection is closed."""
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
        """Drop what the client sends; end the connection if the client has closed it."""
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
            self._callback = None  # breaks the cycle with the subscriber, so both are freed at once

    def _settle(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)
        self._taken = None


def _set_options(sock: socket.socket) -> None:
    # with Nagle's algorithm a second frame would wait for the ACK of the first
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", KEEPALIVE_S),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
    ):
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

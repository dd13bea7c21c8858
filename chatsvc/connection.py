"""The socket of an open stream, in four verbs: write, pending, close, on_close. Nothing else here knows which server accepted it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from tornado.iostream import IOStream, StreamBufferFullError, StreamClosedError

WRITE_BUFFER_BYTES = 256 * 1024  # what a slow reader can hold; without a bound one took 188 MB in 2 s
SEND_BUFFER_BYTES = 128 * 1024  # left alone, the kernel takes 2.5 MB more for a slow reader over loopback, where the proxy is
USER_TIMEOUT_MS = (
    25_000  # a client behind a cut network is given up after this; the kernel's own limit is over 15 minutes
)
KEEPALIVE_S = 20  # finds a dead peer on a stream that carries nothing
LINGER_S = 5.0  # for the last event to go out before the socket is closed


class BufferFull(Exception):
    """The reader is too slow: WRITE_BUFFER_BYTES are waiting for it."""


class Connection(Protocol):
    """What a Subscriber needs of a connection. All of it is called on the loop."""

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        """Writes one whole frame. None if the kernel took it, else a future that ends when it has. Raises BufferFull."""

    @property
    def pending(self) -> bool:
        """Whether something is written that the kernel has not taken yet."""

    def close(self, last: bytes = b"") -> None:
        """Closes the connection, after `last` has gone out or LINGER_S have passed."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Calls back once when the connection is closed, whoever closed it."""


class StreamConnection:
    """A detached IOStream. A frame goes to the socket directly; only what the kernel does not take goes through the IOStream's buffer."""

    __slots__ = ("_send", "_stream")

    def __init__(self, stream: IOStream) -> None:
        self._stream = stream
        stream.max_write_buffer_size = WRITE_BUFFER_BYTES
        self._send = stream.socket.send
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        _notice_dead_peers(stream.socket)

    def write(self, frame: bytes) -> asyncio.Future[None] | None:
        stream = self._stream
        if stream.closed():
            return None
        if not stream.writing():
            try:
                sent = self._send(frame)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                stream.close((type(error), error, error.__traceback__))
                return None
            if sent == len(frame):
                return None
            frame = frame[sent:]
        try:
            return stream.write(frame)
        except StreamBufferFullError:
            raise BufferFull from None
        except StreamClosedError:
            return None

    @property
    def pending(self) -> bool:
        return self._stream.writing()

    def close(self, last: bytes = b"") -> None:
        stream = self._stream
        stream.max_write_buffer_size = WRITE_BUFFER_BYTES + len(last)
        unsent = self.write(last) if last else None
        if unsent is None and not stream.writing():
            stream.close()
            return
        linger = asyncio.get_running_loop().call_later(LINGER_S, stream.close)

        def flushed(_: object) -> None:
            linger.cancel()
            stream.close()

        if unsent is not None:
            unsent.add_done_callback(flushed)

    def on_close(self, callback: Callable[[], None]) -> None:
        if self._stream.closed():
            callback()  # an IOStream calls back only for what happens after
        else:
            self._stream.set_close_callback(callback)


def _notice_dead_peers(sock: socket.socket) -> None:
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

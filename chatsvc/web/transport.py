"""SocketTransport: a connected socket on the loop, which other code can take over."""

import asyncio
import fcntl
import logging
import socket
import termios
from collections import deque

log = logging.getLogger(__name__)

READ_BYTES = 64 * 1024  # per read, before the loop serves other connections
UNSENT_FROM_HALF = 2  # new requests are refused from half of the budget on


class UnsentBudget:
    """The response bytes that clients have not taken, of all connections together."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used = 0

    @property
    def is_scarce(self) -> bool:
        """Whether half is used. The rest is for responses to requests in progress."""
        return self.used * UNSENT_FROM_HALF >= self.max_bytes

    def take(self, count: int) -> bool:
        """Reserve `count` bytes. Return False if they exceed the budget."""
        if self.used + count > self.max_bytes:
            return False
        self.used += count
        return True

    def give_back(self, count: int) -> None:
        self.used -= count


class SocketTransport(asyncio.Transport):
    """Reads and writes a socket for a protocol.

    Unlike the loop's own transports it writes at once, counts unsent bytes in a shared budget, can
    check for unread data and can give up its socket (`detach`). It calls `pause_writing` when the
    kernel does not take everything, and `resume_writing` when it has.
    """

    __slots__ = (
        "_budget",
        "_fd",
        "_is_closing",
        "_is_reading",
        "_loop",
        "_protocol",
        "_shuts_down",
        "_socket",
        "_unsent",
        "sent",
        "unsent_bytes",
    )

    def __init__(
        self, sock: socket.socket, protocol: asyncio.Protocol, budget: UnsentBudget
    ) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._protocol: asyncio.Protocol | None = protocol
        self._budget = budget
        self._loop = asyncio.get_running_loop()
        # What is left of each piece, and how long it was: it is kept until its last byte is sent.
        self._unsent: deque[tuple[memoryview, int]] | None = None
        self.unsent_bytes = 0
        self._is_reading = True
        self._is_closing = False
        self._shuts_down = False
        self.sent = 0  # bytes that the kernel took
        self._loop.add_reader(self._fd, self._read)

    # ---- reading ----

    def is_reading(self) -> bool:
        return self._is_reading

    def pause_reading(self) -> None:
        if self._is_reading and not self._is_closing:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._read)

    def has_unread(self) -> bool:
        """Whether the kernel has bytes that were not read yet."""
        if self._fd < 0:
            return False
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:  # nothing has arrived, or the connection is broken
            return False

    def _read(self) -> None:
        protocol = self._protocol
        assert protocol is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        try:
            if data:
                protocol.data_received(data)
            elif not protocol.eof_received():
                self._end(None)
        except Exception as error:
            log.exception("a connection failed")
            self._end(error)

    # ---- writing ----

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def taken(self) -> int:
        """Return the bytes that the client's side has acknowledged, or that were sent."""
        if self._fd < 0:
            return self.sent
        try:
            queued = fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return self.sent
        return self.sent - int.from_bytes(queued, "little")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._fd < 0 or not data:
            return
        count = 0 if self._unsent else self._send(data)
        if 0 <= count < len(data):
            self._keep(memoryview(data)[count:], len(data))

    def write_eof(self) -> None:
        """Close the sending side. The client may still send."""
        self._shuts_down = True
        if self._fd >= 0 and not self._unsent:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._end(error)

    def _keep(self, rest: memoryview, size: int) -> None:
        if not self._budget.take(size):
            log.info("response cut off: clients leave %d bytes unread", self._budget.used)
            self.abort()
            return
        self.unsent_bytes += len(rest)
        if self._unsent is not None:
            self._unsent.append((rest, size))
            return
        self._unsent = deque([(rest, size)])
        self._loop.add_writer(self._fd, self._write_more)
        if self._protocol is not None:
            self._protocol.pause_writing()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Return how many bytes the kernel took, or -1 if the connection is gone."""
        try:
            count = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._end(error)
            return -1
        self.sent += count
        return count

    def _write_more(self) -> None:
        assert self._unsent is not None
        rest, size = self._unsent[0]
        count = self._send(rest)
        if count <= 0:
            return
        self.unsent_bytes -= count
        if count < len(rest):
            self._unsent[0] = rest[count:], size
            return
        self._unsent.popleft()
        self._budget.give_back(size)
        if not self._unsent:
            self._all_sent()

    def _all_sent(self) -> None:
        self._unsent = None
        self._loop.remove_writer(self._fd)
        if self._shuts_down:
            self.write_eof()
        if self._is_closing:
            self._end(None)
        elif self._protocol is not None:
            self._protocol.resume_writing()

    # ---- the end ----

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """Close when everything is sent."""
        if self._is_closing:
            return
        if self._unsent:
            self.pause_reading()
            self._is_closing = True
        else:
            self._end(None)

    def abort(self) -> None:
        """Close at once."""
        self._end(None)

    def detach(self) -> socket.socket | None:
        """Return the open socket and stop using it; return None if it is closed."""
        if self._is_closing:
            return None
        self.pause_reading()
        self._forget_unsent()
        self._fd = -1
        self._is_closing = True
        self._protocol = None
        return self._socket

    def _end(self, error: Exception | None) -> None:
        if self._fd < 0:
            return
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)
        self._forget_unsent()
        self._is_closing = True
        self._fd = -1
        self._socket.close()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self._loop.call_soon(protocol.connection_lost, error)

    def _forget_unsent(self) -> None:
        if self._unsent:
            self._loop.remove_writer(self._fd)
            self._budget.give_back(sum(size for _, size in self._unsent))
            self._unsent = None
            self.unsent_bytes = 0

"""The web server: accepts connections while there are descriptors for them, and closes none that a request has reached."""

import socket
from collections.abc import Iterable

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from chatsvc.web.sockets import Acceptor


class WebServer(HTTPServer):
    """Tornado's, with a beginning and an end of our own."""

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for one in sockets:
            self._sockets[one.fileno()] = one
            self._handlers[one.fileno()] = Acceptor(one, self._handle_connection)

    def end_keep_alive(self) -> None:
        """From now on each answer is the last one on its connection and says so: the client sends its next request elsewhere."""
        self.conn_params.no_keep_alive = True

    def close_idle(self, *, patient: bool) -> int:
        """Closes the connections that wait for a next request of which nothing has arrived. Returns how many others there are.

        Without patience also those whose client is slow: with its first request, with the rest of one, or to take an answer.
        """
        streams = [
            connection.stream for connection in self._connections if not connection.stream.closed()
        ]
        idle = [
            stream
            for stream in streams
            if (_waits_for_next if patient else _waits_for_client)(stream)
        ]
        for stream in idle:
            stream.close()
        return len(streams) - len(idle)


def _waits_for_next(stream: IOStream) -> bool:
    """Whether an answer has gone out whole, and Tornado reads a head (only that is read by a pattern) of which nothing is there."""
    is_answered = stream._total_write_index > 0 and not stream.writing()
    waits_for_head = stream._read_regex is not None and stream._read_buffer_size == 0
    return is_answered and waits_for_head and not _has_unread(stream.socket)


def _waits_for_client(stream: IOStream) -> bool:
    return (stream.reading() or stream.writing()) and not _has_unread(stream.socket)


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:  # nothing yet, or never again
        return False

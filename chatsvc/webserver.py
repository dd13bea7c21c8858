"""The web server: accepts connections while there are descriptors for them, and closes none that a request has reached."""

import socket
from collections.abc import Iterable

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from chatsvc.listening import Acceptor


class WebServer(HTTPServer):
    """Tornado's, with a beginning and an end of our own."""

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        for one in sockets:
            self._sockets[one.fileno()] = one
            self._handlers[one.fileno()] = Acceptor(one, self._handle_connection)

    def end_keep_alive(self) -> None:
        """From now on each answer is the last one on its connection and says so: the client sends its next request elsewhere."""
        self.conn_params.no_keep_alive = True

    def close_idle(self, *, but_new: bool = False) -> int:
        """Closes the connections that wait for a request of which nothing has arrived, or with `but_new` those of them that had one before.

        Returns how many others there are.
        """
        streams = [connection.stream for connection in self._connections if not connection.stream.closed()]
        idle = [stream for stream in streams if _is_idle(stream) and not (but_new and _is_new(stream))]
        for stream in idle:
            stream.close()
        return len(streams) - len(idle)


def _is_idle(stream: IOStream) -> bool:
    """Whether Tornado waits for a request's head (the only thing that it reads by a pattern) and nothing is there of it, nor left of an answer."""
    waits_for_head = stream._read_regex is not None and stream._read_buffer_size == 0
    return waits_for_head and not stream.writing() and not _has_unread(stream.socket)


def _is_new(stream: IOStream) -> bool:
    return stream._total_write_index == 0  # nothing was ever answered on it


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:  # nothing yet, or never again
        return False

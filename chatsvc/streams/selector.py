"""SocketSelector: the sockets of all streams behind one descriptor of the loop."""

import asyncio
import logging
import selectors
import socket
from typing import Protocol

log = logging.getLogger(__name__)


class Polled(Protocol):
    """What is told that its socket is ready."""

    def readable(self) -> None: ...

    def writable(self) -> None: ...


class SocketSelector:
    """Watches sockets in a selector of its own, which the loop watches as one. Made and used on the loop.

    A watch of the loop itself for each socket takes 0.5 KiB: 2.7 instead of 2.2 for an idle stream (`make bench`).
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._selector.fileno(), self._tell)

    def add(self, sock: socket.socket, polled: Polled) -> None:
        """From now on `polled` is told when the socket can be read."""
        self._selector.register(sock, selectors.EVENT_READ, polled)

    def await_writable(self, sock: socket.socket, polled: Polled, wanted: bool) -> None:
        """Whether it is also told when the socket can be written."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(sock, events, polled)

    def remove(self, sock: socket.socket) -> None:
        """Before the socket is closed."""
        self._selector.unregister(sock)

    def close(self) -> None:
        self._loop.remove_reader(self._selector.fileno())
        self._selector.close()

    def _tell(self) -> None:
        for key, events in self._selector.select(0):
            try:
                if events & selectors.EVENT_WRITE:
                    key.data.writable()
                if events & selectors.EVENT_READ:
                    key.data.readable()
            except (
                Exception
            ):  # those behind it are told too, now and in all turns in which it comes first
                log.exception("a stream's socket could not be served")

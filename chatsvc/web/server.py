"""WebServer: HTTP/1.1 for Tornado's Application.

It accepts while there are descriptors, and closes no connection that a request has reached.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tornado.httputil import HTTPServerConnectionDelegate

from chatsvc.web.connection import ClientConnection
from chatsvc.web.exchange import Peer
from chatsvc.web.limits import ServerLimits, SourceKey
from chatsvc.web.sockets import Acceptor
from chatsvc.web.transport import UnsentBudget

log = logging.getLogger(__name__)

CHECK_S = 1.0  # between two looks at all connections; a time limit may be exceeded by so much
CHECKS_PER_LIMIT = 4  # with limits of less than seconds, as in tests


class WebServer:
    """Accepts connections and runs the requests on them through `application`."""

    def __init__(
        self,
        application: HTTPServerConnectionDelegate,
        limits: ServerLimits | None = None,
        *,
        connections_per_source: int = 0,
        source_key: SourceKey = lambda address: address,
    ) -> None:
        """Without a limit for `connections_per_source` if it is 0, as for a key of None."""
        self.application = application
        self.limits = limits or ServerLimits()
        self.unsent = UnsentBudget(self.limits.unsent_max_bytes)
        self.keeps_alive = True
        self.is_accepting = False
        self.written: asyncio.Future[None]  # a future that is done, for all who need not wait
        self._per_source = connections_per_source
        self._source_key = source_key
        self._sources: Counter[str] = Counter()
        self._turned_away = 0  # connections, since the last line about them
        self._acceptors: list[tuple[socket.socket, Acceptor]] = []
        self._connections: set[ClientConnection] = set()
        self._check: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> tuple[ClientConnection, ...]:
        """The open connections that are not handed over."""
        return tuple(self._connections)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on listening sockets from now on."""
        loop = asyncio.get_running_loop()
        self.written = loop.create_future()
        self.written.set_result(None)
        self.is_accepting = True
        self._acceptors += [(one, Acceptor(one, self._accept)) for one in sockets]
        if self._check is None:
            self._check_time()

    def stop(self) -> None:
        """Accept no more connections."""
        self.is_accepting = False
        for listening, acceptor in self._acceptors:
            acceptor()
            listening.close()
        self._acceptors.clear()

    def end_keep_alive(self) -> None:
        """Let each response from now on be the last one on its connection, and say so in it."""
        self.keeps_alive = False

    def close_idle(self, *, patient: bool) -> int:
        """Close connections that wait for a next request. Return how many others there are.

        Without patience also those whose client is slow with a request, or to take a response.
        """
        return sum(not one.close_if_idle(patient=patient) for one in self.connections)

    def close_all(self) -> None:
        """Close all connections at once, whatever happens on them."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        for connection in self.connections:
            connection.abort()

    def connection_closed(self, connection: ClientConnection) -> None:
        """A connection is closed or handed over."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        if connection.source is not None:
            self._sources[connection.source] -= 1
            if not self._sources[connection.source]:
                del self._sources[connection.source]
        self.application.on_close(connection)

    def _accept(self, sock: socket.socket, address: Any) -> None:
        source = self._source_key(address[0]) if self._per_source else None
        if source is not None:
            if self._sources[source] >= self._per_source:
                self._turned_away += 1
                sock.close()
                return
            self._sources[source] += 1
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # it was reset already; reading will say so
            # the next part of a response does not wait for the ACK of the one before
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(ClientConnection(self, sock, Peer(address[0]), source))

    def _check_time(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self.connections:
            connection.check_time(now)
        if self._turned_away:
            log.warning(
                "%d connections were closed: one address may have %d. "
                "If it is a proxy, name it in CHATSVC_TRUSTED_PROXIES",
                self._turned_away,
                self._per_source,
            )
            self._turned_away = 0
        limits = self.limits
        shortest_s = min(limits.idle_s, limits.head_s, limits.body_s, limits.scarce_take_s)
        self._check = loop.call_later(min(CHECK_S, shortest_s / CHECKS_PER_LIMIT), self._check_time)

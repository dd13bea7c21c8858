"""WebServer: HTTP/1.1 for Tornado's Application.

It accepts connections while descriptors are free. It never closes a connection because of a lack of
resources after a request has arrived on it.
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

CHECK_S = 1.0  # between two checks of all connections: time limits may be exceeded by this much
CHECKS_PER_LIMIT = 4  # for shorter limits, as in tests


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
        """Serve `application`. `connections_per_source` 0, or a key of None, means no limit."""
        self.application = application
        self.limits = limits or ServerLimits()
        self.unsent = UnsentBudget(self.limits.unsent_max_bytes)
        self.keeps_alive = True
        self.is_accepting = False
        self.written: asyncio.Future[None]  # a finished future, for writes that need not wait
        self._per_source = connections_per_source
        self._source_key = source_key
        self._sources: Counter[str] = Counter()
        self._turned_away = 0  # connections refused since the last log line about them
        self._acceptors: list[tuple[socket.socket, Acceptor]] = []
        self._connections: set[ClientConnection] = set()
        self._check: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> tuple[ClientConnection, ...]:
        """The open connections, without detached ones."""
        return tuple(self._connections)

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on listening sockets from now on."""
        loop = asyncio.get_running_loop()
        self.written = loop.create_future()
        self.written.set_result(None)
        self.is_accepting = True
        self._acceptors += [(listening, Acceptor(listening, self._accept)) for listening in sockets]
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
        """Send `Connection: close` with every response from now on."""
        self.keeps_alive = False

    def close_idle(self, *, patient: bool) -> int:
        """Close connections that wait for a next request. Return how many others there are.

        If not `patient`, also close those that wait for a client to send or to read.
        """
        return sum(not open_.close_if_idle(patient=patient) for open_ in self.connections)

    def close_all(self) -> None:
        """Close all connections at once."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        for connection in self.connections:
            connection.abort()

    def connection_closed(self, connection: ClientConnection) -> None:
        """Forget a connection that was closed or detached."""
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
        with contextlib.suppress(OSError):  # the client has reset it; reading will fail
            # with Nagle's algorithm a second write would wait for the ACK of the first
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(ClientConnection(self, sock, Peer(address[0]), source))

    def _check_time(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self.connections:
            connection.check_time(now)
        if self._turned_away:
            log.warning(
                "closed %d connections: the maximum from one address is %d. "
                "If the address is a proxy, add it to CHATSVC_TRUSTED_PROXIES",
                self._turned_away,
                self._per_source,
            )
            self._turned_away = 0
        limits = self.limits
        shortest_s = min(limits.idle_s, limits.head_s, limits.body_s, limits.scarce_take_s)
        self._check = loop.call_later(min(CHECK_S, shortest_s / CHECKS_PER_LIMIT), self._check_time)

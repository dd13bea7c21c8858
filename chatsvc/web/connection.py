"""ClientConnection: one client's connection and its states."""

import asyncio
import enum
import http
import json
import logging
import socket
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from tornado.gen import convert_yielded
from tornado.httputil import HTTPInputError, HTTPMessageDelegate, format_timestamp

from chatsvc.web.body import Body, ChunkedBody, LengthBody
from chatsvc.web.exchange import Exchange, Peer
from chatsvc.web.head import END, Refused, RequestHead, check_start, parse_head
from chatsvc.web.transport import SocketTransport

if TYPE_CHECKING:
    from chatsvc.web.server import WebServer

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()  # for the first byte of a request
    READING_HEAD = enum.auto()
    READING_BODY = enum.auto()
    ANSWERING = enum.auto()  # for the handler's response, then for the client to take it
    LINGERING = enum.auto()  # for the client to close the connection after the last response
    CLOSED = enum.auto()  # or detached


class ClientConnection(asyncio.Protocol):
    """Reads requests and runs them through the application, one at a time."""

    __slots__ = (
        "_application",
        "_blocked",
        "_blocked_at",
        "_body",
        "_body_max_bytes",
        "_body_s",
        "_body_wanted",
        "_deadline",
        "_delegate",
        "_exchange",
        "_head",
        "_input",
        "_is_last",
        "_is_refused",
        "_limits",
        "_loop",
        "_seen",
        "_server",
        "_taken",
        "_taken_at",
        "_transport",
        "_written",
        "has_answered",
        "peer",
        "source",
        "state",
    )

    def __init__(
        self, server: "WebServer", sock: socket.socket, peer: Peer, source: str | None
    ) -> None:
        self.state = State.IDLE
        self.has_answered = False  # at least once
        self.peer = peer
        self.source = source
        self._server = server
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + self._limits.idle_s
        self._input = b""
        self._seen = 0  # bytes of _input already searched for the end of the head
        self._head: RequestHead | None = None
        self._body: Body | None = None
        self._body_max_bytes = 0
        self._body_s = 0.0
        self._delegate: HTTPMessageDelegate | None = None
        self._exchange: Exchange | None = None
        self._is_last = False  # whether the current response is the last
        self._is_refused = False
        self._blocked: asyncio.Future[Any] | None = None
        self._blocked_at = 0.0
        self._written: asyncio.Future[None] | None = None
        self._taken = 0
        self._taken_at = 0.0
        self._transport = SocketTransport(sock, self, server.unsent)

    # ---- for the server ----

    @property
    def unsent_bytes(self) -> int:
        """Response bytes that the kernel has not taken."""
        return self._transport.unsent_bytes

    @property
    def is_reading(self) -> bool:
        """Whether the client's bytes are read from the kernel."""
        return self._transport.is_reading()

    @property
    def may_be_kept_alive(self) -> bool:
        """Whether the connection can stay open after a response that begins now."""
        return self._is_request_read and self._server.keeps_alive

    def close_if_idle(self, *, patient: bool) -> bool:
        """Close the connection if it waits for a next request. Return whether it is closed.

        If not `patient`, also close it if it waits for the rest of a request, or for the client to
        read the response. Bytes that have arrived are never discarded.
        """
        if self.state is State.CLOSED:
            return True
        if self._blocked is not None or self._transport.has_unread():
            return False
        if self.state is State.IDLE and self.has_answered and not self._input:
            self._transport.close()
        elif not patient and (self.state is not State.ANSWERING or self.unsent_bytes):
            self._transport.abort()
        return self._transport.is_closing()

    def check_time(self, now: float) -> None:
        """End the connection if its client has been too slow. Called every second or so."""
        if self.unsent_bytes:
            self._check_taking(now)
        elif self._blocked is None and now >= self._deadline:
            self._check_sending(now)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # ---- for exchanges ----

    def write(self, data: bytes) -> "asyncio.Future[None]":
        """Send bytes of the response. The future ends when the kernel has taken all so far."""
        self._transport.write(data)
        if not self._transport.unsent_bytes:
            return self._server.written
        if self._written is None:
            self._written = self._loop.create_future()
        return self._written

    def response_finished(self, exchange: Exchange) -> None:
        """Take note that the handler has written the whole response."""
        if exchange is not self._exchange:
            return
        self.has_answered = True
        self._is_last = not exchange.is_kept_alive or not self._is_request_read
        if self.state is State.READING_BODY:  # the rest of the body is not needed
            self._loop.call_soon(_leave, None, self._delegate)
        self._exchange = self._delegate = None
        if self._blocked is None and not self.unsent_bytes:
            self._response_taken()

    def set_body_limits(
        self, *, max_bytes: int | None = None, timeout_s: float | None = None
    ) -> None:
        """Change the limits for the body of the request whose head is being handled."""
        if max_bytes is not None:
            self._body_max_bytes = max_bytes
        if timeout_s is not None:
            self._body_s = timeout_s

    def detach(self) -> socket.socket | None:
        """Stop serving the connection and return its socket, or None if it is closed."""
        sock = self._transport.detach()
        if sock is not None:
            self._forget()
            self._server.connection_closed(self)
        return sock

    # ---- for the transport ----

    def data_received(self, data: bytes) -> None:
        if self.state is State.LINGERING:
            return
        self._input = self._input + data if self._input else data
        if self._blocked is not None:
            self._transport.pause_reading()
        elif self.state is not State.ANSWERING:
            self._advance()
        elif len(self._input) > self._limits.head_max_bytes:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False  # browsers and proxies close their side only when they leave

    def pause_writing(self) -> None:
        self._taken, self._taken_at = -1, self._loop.time()

    def resume_writing(self) -> None:
        written, self._written = self._written, None
        if written is not None and not written.done():
            written.set_result(None)
        if self._exchange is None and self._blocked is None:
            self._response_taken()

    def connection_lost(self, exc: Exception | None) -> None:
        exchange, delegate, written = self._exchange, self._delegate, self._written
        is_reading = self._is_reading_request
        self._forget()
        if written is not None and not written.done():
            written.set_result(None)
        if is_reading:
            _leave(exchange, delegate)
        elif exchange is not None:
            exchange.connection_lost()
        self._server.connection_closed(self)

    # ---- requests ----

    @property
    def _is_reading_request(self) -> bool:
        return self.state in (State.READING_HEAD, State.READING_BODY)

    @property
    def _is_request_read(self) -> bool:
        return self._body is None or self._body.is_complete

    def _advance(self) -> None:
        """Process what has arrived, as far as possible."""
        if self._transport.is_closing():
            return
        try:
            while self._blocked is None and self._step():
                pass
        except Refused as refused:
            self._refuse(refused)
        except HTTPInputError:  # its text may quote the request, which is never logged
            self._refuse(Refused(400, "The request is malformed."))
        except Exception:
            log.exception("a request failed before its handler")
            self._transport.abort()

    def _step(self) -> bool:
        if self.state is State.READING_BODY:
            return self._read_body()
        if self.state is State.IDLE or self.state is State.READING_HEAD:
            return self._read_head()
        return False

    def _read_head(self) -> bool:
        data, limit = self._input, self._limits.head_max_bytes
        if self.state is State.IDLE:
            while data.startswith(b"\r\n"):  # some clients send one after a body
                data = data[2:]
        end = data.find(END, max(0, self._seen - len(END)), limit)
        if end >= 0:
            self._seen = 0
            self._input = data[end + len(END) :]
            self._begin(parse_head(data[: end + len(END)]))
            return self.state is State.READING_BODY
        self._input = data
        if data and data != b"\r":
            if self.state is State.IDLE:
                self.state = State.READING_HEAD
                self._deadline = self._loop.time() + self._limits.head_s
            check_start(data, self._seen)
            if len(data) > limit:
                raise Refused(431, f"The head is longer than {limit} bytes.")
            self._seen = len(data)
        return False

    def _begin(self, head: RequestHead) -> None:
        """Pass the head to the application."""
        if self._server.unsent.is_scarce:
            raise Refused(503, "Too many responses wait for their clients.")
        self._head = head
        self._body = ChunkedBody() if head.body_length is None else LengthBody(head.body_length)
        self._body_max_bytes, self._body_s = self._limits.body_max_bytes, self._limits.body_s
        self._body_wanted = False
        self._exchange = Exchange(self, head)
        self._delegate = self._server.application.start_request(self, self._exchange)
        self.state = State.READING_BODY
        self._deadline = self._loop.time() + self._body_s
        self._wait_for(self._delegate.headers_received(head.start_line, head.headers))

    def _read_body(self) -> bool:
        body, delegate = self._body, self._delegate
        assert body is not None
        if self._exchange is None or delegate is None:  # finished or detached before the body
            self._response_taken()
            return False
        if not self._body_wanted:
            self._want_body(body)
        if body.is_complete:
            self.state = State.ANSWERING
            self._body = None
            delegate.finish()
            return False
        if not self._input:
            return False
        content, self._input = body.take(self._input)
        self._check_size(body)
        if content:
            self._wait_for(delegate.data_received(content))
        return True

    def _want_body(self, body: Body) -> None:
        """Check the announced size, and send 100 Continue if the client waits for it."""
        self._body_wanted = True
        self._check_size(body)
        self._deadline = self._loop.time() + self._body_s
        head, self._head = self._head, None
        assert head is not None
        if head.expects_continue and not body.is_complete and not self._input:
            self._transport.write(CONTINUE)

    def _check_size(self, body: Body) -> None:
        if body.size > self._body_max_bytes:
            raise Refused(413, f"The body is longer than {self._body_max_bytes} bytes.")

    def _wait_for(self, awaitable: Awaitable[None] | None) -> None:
        """Pause until the application has processed what it was given."""
        if awaitable is None:
            return
        future = asyncio.ensure_future(convert_yielded(awaitable))
        if future.done():
            future.result()
            return
        self._blocked, self._blocked_at = future, self._loop.time()
        future.add_done_callback(self._unblock)

    def _unblock(self, future: "asyncio.Future[Any]") -> None:
        error = None if future.cancelled() else future.exception()
        if self._blocked is not future:
            return  # the connection has ended
        self._blocked = None
        self._deadline += self._loop.time() - self._blocked_at  # the application used this time
        if isinstance(error, HTTPInputError):
            self._refuse(Refused(400, "The request is malformed."))
        elif error is not None or future.cancelled():
            log.error("a request failed before its handler", exc_info=error)
            self._transport.abort()
        else:
            self._transport.resume_reading()
            self._advance()

    def _response_taken(self) -> None:
        """The whole response is sent: read the next request, or close."""
        if self._transport.is_closing() or self.unsent_bytes:
            return
        if self._is_last:
            self._close_gently()
            return
        self.state = State.IDLE
        self._body = None
        self._deadline = self._loop.time() + self._limits.idle_s
        self._transport.resume_reading()
        if self._input:
            self._loop.call_soon(self._advance)  # other connections first

    # ---- the end ----

    def _refuse(self, refused: Refused) -> None:
        """Respond to a request that is not processed, and end the connection."""
        log.info("request refused: %d %s", refused.status, refused.detail)
        exchange, delegate = self._exchange, self._delegate
        has_begun = exchange is not None and exchange.has_begun
        self._exchange = self._delegate = None
        self._is_last = self._is_refused = True
        self.state = State.ANSWERING  # nothing more is read
        if delegate is not None:
            _leave(exchange, delegate)
        if has_begun:
            self._transport.abort()  # a second response inside the first would be garbage
            return
        self._transport.write(_refusal(refused))
        self._response_taken()

    def _close_gently(self) -> None:
        """Close, or let the client read the response first if it is still sending.

        Closing a socket with unread bytes resets the connection, which may destroy the response.
        """
        is_sending = (
            self._is_refused
            or not self._is_request_read
            or self._input
            or self._transport.has_unread()
        )
        self.state = State.LINGERING
        self._input = b""
        if not is_sending:
            self._transport.close()
            return
        self._deadline = self._loop.time() + self._limits.linger_s
        self._transport.write_eof()
        self._transport.resume_reading()

    def _check_taking(self, now: float) -> None:
        """Close if the client reads its response too slowly."""
        limits, taken = self._limits, self._transport.taken()
        if self._taken < 0:  # a baseline: socket buffers take the first bytes at once
            self._taken = taken
            return
        window_s = limits.scarce_take_s if self._server.unsent.is_scarce else limits.take_s
        elapsed_s = now - self._taken_at
        if elapsed_s < window_s:
            return
        if taken - self._taken < limits.least_bytes_per_s * elapsed_s:
            log.info("response cut off: the client took too little in %.0f s", elapsed_s)
            self._transport.abort()
        self._taken, self._taken_at = taken, now

    def _check_sending(self, now: float) -> None:
        """Close or refuse if the client sends too slowly."""
        if self.state is State.READING_HEAD:
            self._refuse(Refused(408, "The head did not arrive in time."))
        elif self.state is State.READING_BODY and self._body is not None:
            extra_s = self._body.received / self._limits.least_bytes_per_s
            if now >= self._deadline + extra_s:
                self._refuse(Refused(408, "The body did not arrive in time."))
        elif self.state is not State.ANSWERING and not self._transport.has_unread():
            self._transport.abort()

    def _forget(self) -> None:
        """Drop all references, so that memory is freed without the garbage collector."""
        self.state = State.CLOSED
        self._exchange = self._delegate = self._head = self._body = None
        self._blocked = self._written = None
        self._input = b""


def _leave(exchange: Exchange | None, delegate: HTTPMessageDelegate | None) -> None:
    """Tell Tornado that no more of the request comes, as if the client had left."""
    if exchange is not None:
        exchange.forget_connection()
    if delegate is not None:
        try:
            delegate.on_connection_close()
        except Exception:
            log.exception("a handler failed when its connection closed")


def _refusal(refused: Refused) -> bytes:
    """Return a response with a problem of RFC 9457. It has no `type`: the status is enough."""
    title = http.HTTPStatus(refused.status).phrase
    body = json.dumps({"title": title, "status": refused.status, "detail": refused.detail}).encode()
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if refused.status == 503 else ""
    head = (
        f"HTTP/1.1 {refused.status} {title}\r\n"
        f"Date: {format_timestamp(time.time())}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{retry}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body

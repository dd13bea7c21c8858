"""Exchange: one request and its response, as Tornado's handlers see them."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, MutableMapping
from http.client import responses
from typing import TYPE_CHECKING, NamedTuple

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPOutputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from chatsvc.web.head import RequestHead, parse_length

if TYPE_CHECKING:
    from chatsvc.web.connection import ClientConnection

log = logging.getLogger(__name__)

JOINED_MAX_BYTES = 64 * 1024  # a larger body is sent after its head, without copying it


class Peer(NamedTuple):
    """What Tornado reads of a connection. `client_address` evaluates the headers of proxies."""

    remote_ip: str
    protocol: str = "http"


class Exchange(HTTPConnection):
    """The response to one request. What a handler writes after its connection ended is dropped."""

    def __init__(self, connection: "ClientConnection", head: RequestHead) -> None:
        self.context = connection.peer
        self.has_begun = False  # the response
        self.is_finished = False
        self.is_kept_alive = head.is_kept_alive
        self._connection: ClientConnection | None = connection
        self._head = head
        self._is_chunked = False
        self._content_left: int | None = None
        self._on_close: Callable[[], None] | None = None

    # ---- what handlers ask for ----

    @property
    def is_connected(self) -> bool:
        """Whether the client has not closed the connection."""
        return self._connection is not None

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` if the connection ends before the response is finished."""
        self._on_close = callback

    def set_max_body_size(self, max_bytes: int) -> None:
        """Change the size limit of this request's body. Possible while its head is processed."""
        if self._connection is not None:
            self._connection.set_body_limits(max_bytes=max_bytes)

    def set_body_timeout(self, timeout_s: float) -> None:
        """Change the time limit of this request's body. Possible while its head is processed."""
        if self._connection is not None:
            self._connection.set_body_limits(timeout_s=timeout_s)

    def detach(self) -> socket.socket | None:
        """Return the connection's non-blocking socket, to take it over; None if the client left."""
        connection, self._connection = self._connection, None
        self.is_finished = True
        self._on_close = None
        return None if connection is None else connection.detach()

    # ---- the response ----

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        assert isinstance(start_line, ResponseStartLine)
        self.has_begun = True
        self._frame(start_line.code, headers)
        head = _encode_head(start_line.code, start_line.reason, headers.get_all())
        return self._send(head, self._format(chunk) if chunk else b"")

    def respond(self, code: int, headers: dict[str, str], body: bytes) -> "asyncio.Future[None]":
        """Send a whole response. A body is left out where HTTP has none."""
        self.has_begun = True
        if code != 204 and code != 304:
            headers["Content-Length"] = str(len(body))
        self._frame(code, headers)
        head = _encode_head(code, responses[code], headers.items())
        sent = self._send(head, b"" if self._content_left == 0 else self._format(body))
        self.finish()
        return sent

    def abort(self) -> None:
        """Cut the response off: its handler has failed."""
        if self._connection is not None:
            self._connection.abort()

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        return self._send(b"", self._format(chunk))

    def finish(self) -> None:
        if self._content_left:
            self._fail(f"{self._content_left} bytes less than Content-Length")
        if self._is_chunked:
            self._send(b"0\r\n\r\n", b"")
        self.is_finished = True
        self._on_close = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.response_finished(self)

    def _frame(self, code: int, headers: MutableMapping[str, str]) -> None:
        """Decide how the response ends, and whether the connection serves another request."""
        method, _, version = self._head.start_line
        has_content = method != "HEAD" and code not in (204, 304) and code >= 200
        length = headers.get("Content-Length")
        self._is_chunked = has_content and length is None and version == "HTTP/1.1"
        if not has_content:
            self._content_left = 0
        elif length is not None:
            self._content_left = parse_length(length)
        if self._is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        if self._connection is not None and not self._connection.may_be_kept_alive:
            self.is_kept_alive = False
        if has_content and length is None and not self._is_chunked:
            self.is_kept_alive = False  # HTTP/1.0: the content ends with the connection
        if headers.get("Connection", "").lower() == "close":
            self.is_kept_alive = False
        if not self.is_kept_alive:
            headers["Connection"] = "close"
        elif version == "HTTP/1.0":
            headers["Connection"] = "Keep-Alive"

    def _format(self, chunk: bytes) -> bytes:
        if self._content_left is not None:
            self._content_left -= len(chunk)
            if self._content_left < 0:
                self._content_left = None
                self._fail("more data than Content-Length")
        if self._is_chunked and chunk:  # an empty chunk would end the body
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk

    def _fail(self, what: str) -> None:
        """Close the connection, so that the client does not accept a malformed response."""
        self.abort()
        raise HTTPOutputError(f"Tried to write {what}")

    def _send(self, head: bytes, body: bytes) -> "asyncio.Future[None]":
        if self._connection is None:
            closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            closed.set_exception(StreamClosedError())
            closed.exception()  # marks it as retrieved: asyncio logs nothing if nobody awaits it
            return closed
        if len(body) <= JOINED_MAX_BYTES:
            return self._connection.write(head + body)
        self._connection.write(head)
        return self._connection.write(body)

    def connection_lost(self) -> None:
        """Drop what is written from now on, and tell the handler: the connection has ended."""
        self._connection = None
        callback, self._on_close = self._on_close, None
        if callback is not None:
            try:
                callback()
            except Exception:
                log.exception("a handler failed when its connection closed")

    def forget_connection(self) -> None:
        """Drop what is written from now on, without telling the handler."""
        self._connection = None
        self._on_close = None


def _encode_head(code: int, reason: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {code} {reason}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a header holds a line break")
    return f"{text}\r\n".encode("latin-1")

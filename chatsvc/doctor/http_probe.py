"""Sends requests and records what the response contains and when it arrives.

Blocking; each step has a time limit.
"""

import http.client
import socket
import ssl
import time
from email.message import Message
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

RESPONSE_LIMIT_S = 5.0  # for each step; the widget polls if its stream is not open after 5 s
LINES_MAX = 20  # a stream has its first event on the fifth line, after a comment and `retry`


class Exchange:
    """A request and its response, open inside the `with` block.

    `lines` are the lines up to the first that contains `until`. `first_after_s` is the time from
    the request to the first line in seconds. `own_address` is this side of the connection.
    Raises OSError (TimeoutError if nothing arrives within RESPONSE_LIMIT_S) and
    http.client.HTTPException.
    """

    status: int
    headers: Message
    own_address: str

    def __init__(
        self, url: str, path: str, headers: dict[str, str], *, until: bytes = b"\n"
    ) -> None:
        self._url, self._path, self._sent, self._until = url, path, headers, until
        self.lines: list[bytes] = []
        self.first_after_s = 0.0

    def __enter__(self) -> Self:
        self._connection = _connection(self._url)
        try:
            self._ask()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._response.close()
        self._connection.close()

    def next_line(self, limit_s: float) -> bytes | None:
        """Return the next line that is not blank.

        Return b"" at the end of the response, None if no line arrives within `limit_s`.
        """
        self._socket.settimeout(limit_s)
        try:
            while (line := self._response.readline()) in (b"\n", b"\r\n"):
                pass
        except TimeoutError:
            return None
        return line

    def _ask(self) -> None:
        started = time.monotonic()
        self._connection.request("GET", self._path, headers=self._sent)
        self._socket: socket.socket = self._connection.sock
        self.own_address = self._socket.getsockname()[0]
        self._response = self._connection.getresponse()
        self.status, self.headers = self._response.status, self._response.headers
        while len(self.lines) < LINES_MAX and not (self.lines and self._until in self.lines[-1]):
            try:
                self.lines.append(self._response.readline())
            except TimeoutError:
                if not self.lines:
                    raise
                break
            self.first_after_s = self.first_after_s or time.monotonic() - started
            if not self.lines[-1] or self.status != http.client.OK:
                break


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=RESPONSE_LIMIT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=RESPONSE_LIMIT_S)


def reason(error: Exception) -> str:
    """Return why there was no response, in a few words."""
    if isinstance(error, TimeoutError):
        return f"no response within {RESPONSE_LIMIT_S:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is invalid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def remedy(error: Exception) -> str:
    """Return how to fix it."""
    if isinstance(error, socket.gaierror):
        return (
            "the name must resolve to this machine or its proxy: add it to DNS, "
            "or correct CHATSVC_PUBLIC_URL"
        )
    if isinstance(error, ssl.SSLError):
        return "give the proxy a certificate for this name, or correct CHATSVC_PUBLIC_URL"
    if isinstance(error, TimeoutError):
        return (
            "the cause may be a firewall, a frozen service, or https to a port without TLS: "
            "correct it, or CHATSVC_PUBLIC_URL"
        )
    return "start the service and its proxy, or correct CHATSVC_PUBLIC_URL"

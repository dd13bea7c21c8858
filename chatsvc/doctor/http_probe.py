"""The doctor's requests: what comes back, and when. Blocking, each step with a limit."""

import http.client
import socket
import ssl
import time
from email.message import Message
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ANSWER_LIMIT_S = 5.0  # for each step; who waits longer polls
LINES_MAX = 20  # comment, retry, state: a stream of ours has its first event on the fifth line


class Exchange:
    """One request and its answer, of which more may come, inside the block.

    `lines` are those up to the one that was waited for, `first_after_s` is when the first of them was there, in
    seconds after the request; `own_address` is what the other side of the connection sees.
    Raises OSError (TimeoutError if nothing comes within ANSWER_LIMIT_S), http.client.HTTPException.
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
        """The next line that is not blank; empty at the end of the answer, None if there is none within `limit_s`."""
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
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_LIMIT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=ANSWER_LIMIT_S)


def reason(error: Exception) -> str:
    """Why there was no answer, in a few words."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_LIMIT_S:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there: {error.reason}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def remedy(error: Exception) -> str:
    """What to do about it."""
    if isinstance(error, socket.gaierror):
        return "the name must lead to this machine or its proxy: add it to DNS, or correct CHATSVC_PUBLIC_URL"
    if isinstance(error, ssl.SSLError):
        return (
            "TLS is the proxy's: give it a certificate for this name, or correct CHATSVC_PUBLIC_URL"
        )
    if isinstance(error, TimeoutError):
        return "a firewall, a frozen service, or https where there is no TLS: correct it, or CHATSVC_PUBLIC_URL"
    return "start the service and what is in front of it, or correct CHATSVC_PUBLIC_URL"

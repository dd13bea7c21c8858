"""Listening sockets, opened by the service or by systemd, and how they accept connections."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Any

from tornado.netutil import bind_sockets

log = logging.getLogger(__name__)

BACKLOG = 4096  # with Tornado's 128, 10,000 clients that reconnect at once need 66 s and time out
ACCEPTS_AT_ONCE = 128  # before the loop does other work
ACCEPT_PAUSE_S = 1.0  # without a free descriptor; new connections wait in the kernel's queue
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START, after standard input, output and error


class ListenError(Exception):
    """The service cannot listen; the text says why and how to fix it."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of `host`. Raises ListenError."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(
            f"CHATSVC_HOST and CHATSVC_PORT: cannot listen on {host} port {port}: "
            f"{error.strerror or error}; {_advice(error)}"
        ) from error


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "choose another port, or stop the program that uses it"
    if error.errno == errno.EACCES:
        return "choose a port from 1024 to 65535, behind a proxy"
    return "CHATSVC_HOST must be an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all"


def inherited(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd passes to this process (man sd_listen_fds), if any.

    Removes their variables from `environ`. Raises ListenError.
    """
    meant_for, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "0")
    environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()):
        return []
    return [
        _take(descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
    ]


def _take(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(
            f"systemd passed descriptor {descriptor}, which is invalid: {error.strerror}"
        ) from None
    is_tcp = taken.family in (socket.AF_INET, socket.AF_INET6) and taken.type == socket.SOCK_STREAM
    if not is_tcp or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        taken.close()
        raise ListenError(
            f"systemd passed descriptor {descriptor}, which is not a listening TCP socket: "
            "the socket unit needs ListenStream= with an address and a port, and no Accept=yes"
        )
    taken.set_inheritable(False)  # else a child process could keep it open after this one ends
    taken.setblocking(False)
    return taken


class Acceptor:
    """Accepts connections on a listening socket for `on_connection`. Calling it ends that.

    It pauses while no descriptor is free. Tornado's own handler retries at once and logs a stack
    trace each time: 7 MB in 5 s.
    """

    def __init__(
        self, listening: socket.socket, on_connection: Callable[[socket.socket, Any], None]
    ) -> None:
        self._socket = listening
        self._on_connection = on_connection
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def __call__(self) -> None:
        """Stop accepting."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._pause_accepting(error)
                return
            self._on_connection(connection, address)

    def _pause_accepting(self, error: OSError) -> None:
        log.warning("accepting no connections for %.0f s: %s", ACCEPT_PAUSE_S, error.strerror)
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._listen)

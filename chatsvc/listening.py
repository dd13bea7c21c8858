"""The sockets that the service listens on: its own, or those that systemd holds for it."""

import errno
import os
import socket
from collections.abc import MutableMapping

from tornado.netutil import bind_sockets

BACKLOG = 4096  # with Tornado's 128, 10,000 clients that come back at once need 66 s and time out
FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START: what comes after standard input, output and error


class ListenError(Exception):
    """There is nothing to listen on; the text says why and what to do."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets of our own. From here on clients can connect. Raises ListenError."""
    try:
        return bind_sockets(port, host, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(
            f"CHATSVC_HOST and CHATSVC_PORT: cannot listen on {host} port {port}: {error.strerror or error}; {_advice(error)}"
        ) from error


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "choose another port, or stop what uses it"
    if error.errno == errno.EACCES:
        return "choose a port from 1024 on, behind a proxy"
    return "CHATSVC_HOST is an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"


def inherited(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd hands over (man sd_listen_fds), or none. Takes their mention out of `environ`. Raises ListenError."""
    meant_for, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "0")
    environ.pop("LISTEN_FDNAMES", None)
    if meant_for != str(os.getpid()):
        return []
    return [_take(descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))]


def _take(descriptor: int) -> socket.socket:
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(f"systemd handed over descriptor {descriptor}: {error.strerror}") from None
    is_tcp = taken.family in (socket.AF_INET, socket.AF_INET6) and taken.type == socket.SOCK_STREAM
    if not is_tcp or not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        taken.close()
        raise ListenError(
            f"systemd handed over descriptor {descriptor}, which is no listening TCP socket: "
            "the socket unit needs ListenStream= with an address and a port, and no Accept=yes"
        )
    taken.set_inheritable(False)  # a child that kept it would keep clients waiting after our end
    taken.setblocking(False)
    return taken

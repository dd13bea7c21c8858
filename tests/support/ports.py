"""Ports that a test must know before something listens on them, or on which nothing ever does."""

import socket


def reserve_port() -> int:
    """Return a port of 127.0.0.1 that the operating system gives to nobody else during this run.

    A socket stays bound to it and does not listen: connections are refused until a server that
    sets SO_REUSEADDR, as they all do, listens on it, and again after that server has ended.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


_reserved: list[socket.socket] = []

"""Many sockets behind one descriptor of the loop: none of them is in the others' way."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from chatsvc.streams.selector import SocketSelector
from tests.support.waiting import until

Pair = tuple[socket.socket, socket.socket]


class Reader:
    """Reads what comes; a broken one raises instead, each time."""

    def __init__(self, sock: socket.socket, *, broken: bool = False) -> None:
        self.socket, self.broken, self.received = sock, broken, b""

    def readable(self) -> None:
        if self.broken:
            raise RuntimeError("broken")
        self.received += self.socket.recv(100)

    def writable(self) -> None:
        raise AssertionError("nobody asked for this")


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Ours and the client's end of connections."""
    with ExitStack() as opened:
        found = [socket.socketpair() for _ in range(6)]
        for ours, theirs in found:
            opened.enter_context(ours)
            opened.enter_context(theirs)
            ours.setblocking(False)
        yield found


async def test_one_that_raises_keeps_nothing_from_the_others(
    pairs: list[Pair], expected_log: list[str]
) -> None:
    """Those that the kernel named after it were never told again."""
    expected_log.append("failed to serve the socket of a stream")
    readers = [Reader(ours, broken=n == 2) for n, (ours, _) in enumerate(pairs)]
    with closing(SocketSelector()) as selector:
        for reader in readers:
            selector.add(reader.socket, reader)
        for _, theirs in pairs:
            theirs.send(b"x")
        await until(lambda: all(reader.received or reader.broken for reader in readers))

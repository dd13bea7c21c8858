"""What every measurement is given: the cluster, the services on it, and how long to measure."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.postgres import Cluster
from bench.process import Used, used, uses_uvloop
from bench.servers import (
    Server,
    Service,
    prepare_chatsvc,
    prepare_node,
    prepare_reference,
    running,
)

USERS = 11_000  # more than the largest number of streams: each stream is another user's, those of a warm-up too
QUICK_SHARE = 0.1


@dataclass
class Harness:
    """Makes the databases when they are first asked for."""

    cluster: Cluster
    folder: Path
    quick: bool
    _services: dict[int, tuple[Service, Service]] = field(default_factory=dict)

    def count(self, full: int) -> int:
        """A number of streams or chats: a tenth of it in a quick run."""
        return int(full * QUICK_SHARE) if self.quick else full

    def rounds(self, full: int) -> int:
        return 1 if self.quick else full

    def services(self, chats: int = USERS) -> tuple[Service, Service]:
        """chatsvc and the reference, each with that many chats, the users `bench-0` … ."""
        if chats not in self._services:
            url = self.cluster.create(f"bench_chatsvc_{chats}")
            tested = prepare_chatsvc(url, self.folder / f"chatsvc-{chats}", chats)
            with running(tested, self.folder) as server:
                uvloop = uses_uvloop(server.pid)
            url = self.cluster.create(f"bench_reference_{chats}")
            self._services[chats] = (tested, prepare_reference(url, chats, uvloop=uvloop))
        return self._services[chats]

    @cached_property
    def node(self) -> Service:
        """The reference in Node.js, with USERS chats."""
        return prepare_node(self.cluster.create("bench_node"), USERS)

    @cached_property
    def postmaster_pid(self) -> int:
        return self.cluster.pid

    def used(self, server: Server) -> Used:
        """CPU time so far of a server, PostgreSQL and this process."""
        return used(server.pid, self.postmaster_pid)

    @contextmanager
    def three_servers(self) -> Iterator[list[Server]]:
        """All, newly started: chatsvc, the reference, the one in Node.js."""
        with self.servers() as two, running(self.node, self.folder) as node:
            yield [*two, node]

    @contextmanager
    def servers(self, chats: int = USERS) -> Iterator[list[Server]]:
        """Both, newly started: chatsvc, then the reference."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(running(service, self.folder))
                for service in self.services(chats)
            ]

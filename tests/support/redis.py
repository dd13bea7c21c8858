"""A Redis of the tests' own, on a private port: restarted, frozen, its connections cut. Or a cluster of them."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.support.ports import reserve_port
from tests.support.programs import path_of
from tests.support.waiting import wait

HOST = "127.0.0.1"
LIMIT_S = 20.0
SLOTS = 16_384


class RedisServer:
    """All methods block."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port, self.cluster_port = (
            reserve_port(),
            reserve_port(),
        )  # the second: without it the port + 10,000, which there may not be
        self.url = f"redis://{HOST}:{self.port}"
        self._folder = folder / f"redis-{self.port}"
        self._folder.mkdir()
        self._options = (
            "--port",
            str(self.port),
            "--bind",
            HOST,
            "--cluster-port",
            str(self.cluster_port),
            "--save",
            "",
            "--dir",
            str(self._folder),
            *options,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RedisServer":
        self._process = subprocess.Popen(
            [path_of("redis-server"), *self._options], stdout=subprocess.DEVNULL
        )
        wait(self._answers, "Redis answers")
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.command("PING"))
        return False

    def command(self, *words: Any) -> Any:
        with redis.Redis(port=self.port, socket_timeout=LIMIT_S) as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        """kill -9; nothing when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped as it is: connections stay open, nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Ends all connections but the one that asks for it."""
        for kind in ("normal", "pubsub"):
            self.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def listeners(self, channel_pattern: str) -> int:
        """How many channels of that name are subscribed to."""
        return len(self.command("PUBSUB", "CHANNELS", channel_pattern))


class RedisCluster:
    """Masters without replicas, each with its share of the slots."""

    def __init__(self, folder: Path, size: int = 2) -> None:
        self.nodes = [RedisServer(folder, "--cluster-enabled", "yes") for _ in range(size)]
        self.url = self.nodes[0].url

    def start(self) -> "RedisCluster":
        share = SLOTS // len(self.nodes)
        for n, node in enumerate(self.nodes):
            node.start()
            last = SLOTS - 1 if node is self.nodes[-1] else (n + 1) * share - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", n * share, last)
            node.command("CLUSTER", "MEET", HOST, self.nodes[0].port, self.nodes[0].cluster_port)
        wait(lambda: all(len(slots(node)) == len(self.nodes) for node in self.nodes))
        wait(lambda: all("cluster_state:ok" in _info(node) for node in self.nodes))
        return self

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def cut(self) -> None:
        for node in self.nodes:
            node.cut()


def slots(node: RedisServer) -> Sequence[Any]:
    """The ranges of slots as a node knows them."""
    found: Sequence[Any] = node.command("CLUSTER", "SLOTS")
    return found


def _info(node: RedisServer) -> str:
    return str(node.command("CLUSTER", "INFO"))

"""chatsvc as a process of its own: started, killed, stopped, frozen."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import IO

from tests.support.service import IDENTITY_SECRET, NO_LIMITS, SECRET_KEY
from tests.support.waiting import wait

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """`server.py` on a port of its own; the port stays the same when it is started again."""

    def __init__(self, data_dir: Path, database_url: str | None = None, **options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = data_dir / f"server-{self.port}.log"
        self.script = ROOT / "server.py"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith("CHATSVC_")
            },
            "CHATSVC_DATA_DIR": str(data_dir),
            "CHATSVC_PORT": str(self.port),
            "CHATSVC_IDENTITY_SECRETS": IDENTITY_SECRET.decode(),
            "CHATSVC_SECRET_KEY": SECRET_KEY.decode(),
            **{f"CHATSVC_{name.upper()}": str(value) for name, value in NO_LIMITS.items()},
            **({} if database_url is None else {"CHATSVC_DATABASE_URL": database_url}),
            **{f"CHATSVC_{name.upper()}": value for name, value in options.items()},
        }

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *, wait: bool = True) -> "ServerProcess":
        with self.log_path.open("ab") as log:
            self.process = self.spawn([sys.executable, str(self.script)], log)
        if wait:
            self.wait_ready()
        return self

    def spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )

    def wait_ready(self) -> None:
        """Returns when /readyz answers 200."""
        process = self.process
        assert process is not None
        wait(
            lambda: process.poll() is not None or self._is_ready(),
            lambda: f"the server is ready:\n{self.log}",
        )
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{self.log}"

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def wait_logged(self, text: str, *, after: int = 0) -> str:
        """The log after that many characters, as soon as it holds `text`."""
        wait(lambda: text in self.log[after:], lambda: f"{text!r} is in the log:\n{self.log}")
        return self.log[after:]

    def kill(self) -> None:
        """kill -9"""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def stop(self, limit_s: float = 20) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(limit_s)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Another command of server.py with the same configuration."""
        return subprocess.run(
            [sys.executable, str(ROOT / "server.py"), *arguments],
            env=self.environment,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def close(self) -> None:
        """Ends the process whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

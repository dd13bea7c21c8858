"""Server programs as processes of their own: started, killed, stopped, frozen, started again."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self
from uuid import uuid4

from tests.support.service import IDENTITY_SECRET, NO_LIMITS, SECRET_KEY
from tests.support.waiting import wait

ROOT = Path(__file__).parents[2]
START_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0  # the service takes up to 5 s to close its streams
KILL_LIMIT_S = 10.0
COMMAND_LIMIT_S = 60.0
ANSWER_LIMIT_S = 2.0
LISTENING = re.compile(r"listening on 127\.0\.0\.1 port ([0-9]+)")


def environment_with(prefix: str, **options: object) -> dict[str, str]:
    """This process's environment, with these variables of the prefix and no others."""
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(f"{prefix}_")
    }
    return others | {f"{prefix}_{name.upper()}": str(value) for name, value in options.items()}


class Program:
    """A server program that reads its port from `environment[port_option]`.

    It logs "listening on 127.0.0.1 port …" and answers /readyz. With port 0, the default, the
    first start chooses a port, which later starts keep.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        *,
        port_option: str,
        port: int = 0,
    ) -> None:
        self.command_line = list(command)
        self.environment = {port_option: str(port), **environment}
        self.log_path = log_path
        self.cwd = ROOT
        self.process: subprocess.Popen[bytes] | None = None
        self._port_option = port_option
        self._port = port

    @property
    def port(self) -> int:
        assert self._port, "the port is known when the program listens"
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, *, wait: bool = True) -> Self:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = self.spawn(self.command_line, log)
        if wait:
            self.wait_ready()
        return self

    def spawn(
        self, command: list[str], log: IO[bytes], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.cwd,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            pass_fds=pass_fds,
        )

    def wait_ready(self) -> None:
        """Return when /readyz answers 200."""
        process = self.process
        assert process is not None
        wait(
            lambda: process.poll() is not None or (self._is_listening() and self._is_ready()),
            lambda: f"the server is ready:\n{self.log}",
            START_LIMIT_S,
        )
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{self.log}"

    def _is_listening(self) -> bool:
        if not self._port and (found := LISTENING.search(self.log)):
            self._port = int(found[1])
            self.environment[self._port_option] = found[1]
        return self._port != 0

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=ANSWER_LIMIT_S):
                return True
        except OSError:
            return False

    def wait_logged(self, text: str, *, after: int = 0) -> str:
        """Return the log after that many characters, as soon as it holds `text`."""
        wait(lambda: text in self.log[after:], lambda: f"{text!r} is in the log:\n{self.log}")
        return self.log[after:]

    def kill(self) -> None:
        """kill -9"""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(KILL_LIMIT_S)

    def stop(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Send SIGTERM and return the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(limit_s)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run another command of the program with the same options."""
        return subprocess.run(
            [*self.command_line, *arguments],
            env=self.environment,
            cwd=self.cwd,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )

    def close(self) -> None:
        """End the process whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(KILL_LIMIT_S)


class ServerProcess(Program):
    """`server.py`, without rate limits."""

    def __init__(
        self, data_dir: Path, database_url: str | None = None, *, port: int = 0, **options: object
    ) -> None:
        given: dict[str, object] = {
            "identity_secrets": IDENTITY_SECRET.decode(),
            "secret_key": SECRET_KEY.decode(),
            **NO_LIMITS,
            **({} if database_url is None else {"database_url": database_url}),
            **options,
        }
        super().__init__(
            (sys.executable, str(ROOT / "server.py")),
            environment_with("CHATSVC", data_dir=data_dir, **given),
            data_dir / f"server-{uuid4().hex[:8]}.log",
            port_option="CHATSVC_PORT",
            port=port,
        )

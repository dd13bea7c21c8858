"""A command of server.py in the test's own process: a process of its own takes half a second each."""

import io
import sys
from typing import NamedTuple

import pytest

from chatsvc.cli import main
from chatsvc.ops import log_format


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    stdout: str
    stderr: str

    def refusal(self) -> str:
        """The one line by which it says why it did nothing."""
        assert self.status == 1 and self.stdout == "", self
        (line,) = self.stderr.splitlines()
        return line.removeprefix("chatsvc: ")


class Command:
    """`command("migrate", database_url="…")`; options come from `environment`, then from the call."""

    def __init__(
        self,
        environment: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self._environment, self._monkeypatch, self._capsys = environment, monkeypatch, capsys

    def __call__(self, *arguments: str, stdin: bytes | None = b"", **options: str) -> Done:
        with self._monkeypatch.context() as patch:
            for name, value in self._environment.items():
                patch.setenv(name, value)
            for name, value in options.items():
                patch.setenv(f"CHATSVC_{name.upper()}", value)
            patch.setattr(
                sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
            )
            patch.setattr(
                log_format, "configure", lambda how: None
            )  # it would take the log away from pytest
            try:
                status = main(list(arguments))
            except SystemExit as ended:  # argparse; a signal
                status = int(ended.code or 0)
        return Done(status, *self._capsys.readouterr())

"""Handle SIGTERM and SIGINT: the first stops the service, the second ends it at once."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Signals:
    """Handles the signals inside its block, on the main thread, between calls of C libraries.

    The first SIGTERM or SIGINT calls `stop`. Until the service sets another one, `stop` raises
    SystemExit(0), which undoes the start. The second signal ends the process with status 1:
    PostgreSQL recovers and clients resume.
    SIGHUP calls `hang_up`. A process that was started from a terminal ends on SIGHUP as usual.
    """

    def __init__(self) -> None:
        self.stop: Callable[[], Any] = leave
        self.hang_up: Callable[[], Any] = ignore
        self._stopping = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {
            number: signal.signal(number, self._received)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        if not sys.stderr.isatty():
            self._before[signal.SIGHUP] = signal.signal(
                signal.SIGHUP, lambda number, frame: self.hang_up()
            )
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            os._exit(1)
        self._stopping = True
        self.stop()


def leave() -> None:
    raise SystemExit(0)


def ignore() -> None:
    pass

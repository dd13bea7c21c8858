"""SIGTERM and SIGINT: the first one stops, the second ends at once. SIGHUP does nothing, and says so."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Signals:
    """Takes both signals while it is entered; for the main thread, which must not sit in a long call of a C library.

    The first signal calls `stop`, which at the start leaves by SystemExit(0): what was begun is undone on the way out.
    The second ends the process with status 1: PostgreSQL recovers, clients resume.
    SIGHUP calls `hang_up`; started from a terminal, the process ends with it, as any other.
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

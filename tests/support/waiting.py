"""Waiting for something that no event announces, with a limit."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

LIMIT_S = 20.0  # only a test that fails waits as long
POLL_S = 0.005


async def until(
    condition: Callable[[], Any], what: str = "a condition", limit_s: float = LIMIT_S
) -> None:
    """Returns when `condition()` is true, or its result when it is a coroutine function; fails after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        met = condition()
        if asyncio.iscoroutine(met):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        await asyncio.sleep(POLL_S)


def wait(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "a condition",
    limit_s: float = LIMIT_S,
) -> None:
    """The same for tests and helpers that block. `what` may be a function that says it when the limit is over."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, (
            f"not within {limit_s} s: {what() if callable(what) else what}"
        )
        time.sleep(POLL_S)

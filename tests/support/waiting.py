"""Waiting for something that no event announces."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, limit_s: float = 10) -> None:
    """Returns when `condition()` is true; fails after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 -- nothing sets an event when it becomes true
            await asyncio.sleep(0.005)

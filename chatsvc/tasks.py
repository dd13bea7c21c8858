"""Cancel asyncio tasks."""

import asyncio
from typing import Any

CANCEL_RETRY_S = 0.1


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks repeatedly until all of them have ended. Drop their results and errors.

    One cancellation is not enough: in Python 3.11 `asyncio.wait_for` swallows one that arrives in
    the same round of the loop as the result it waits for.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_RETRY_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # otherwise asyncio logs it as never retrieved

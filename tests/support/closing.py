"""Closing what belongs to a loop before the loop itself is closed."""

import asyncio
from collections.abc import Iterable

TURNS = 4  # asyncio makes a transport two after `accept`, and closes its socket one after `abort`


async def next_turns() -> None:
    """Let the loop finish what it began: accepted connections are known, aborted ones are closed."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def abort_all(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Close connections at once, unsent bytes or not; return when their sockets are closed."""
    ending = list(writers)
    for writer in ending:
        writer.transport.abort()
    await asyncio.gather(*(writer.wait_closed() for writer in ending), return_exceptions=True)
    await next_turns()

"""Checks the bus: sends an event through Redis and back, on a channel that no server reads.

Blocking.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack

from chatsvc.config.config import Config
from chatsvc.doctor.finding import Finding, fail, ok
from chatsvc.tasks import cancel

LIMIT_S = 5.0
ADVICE = (
    "start Redis, or correct CHATSVC_BUS_URL; "
    "without it, events of one server reach the clients of the others up to 5 s late"
)


def check(config: Config, limit_s: float = LIMIT_S) -> Iterator[Finding]:
    """Yield one finding, or none without CHATSVC_BUS_URL."""
    if config.bus_url is not None:
        yield asyncio.run(_finding(config.bus_url, limit_s))


async def _finding(url: str, limit_s: float) -> Finding:
    try:
        async with asyncio.timeout(limit_s):
            await _round_trip(url)
    except TimeoutError:
        return fail("bus", f"Redis did not deliver an event within {limit_s:.0f} s", ADVICE)
    except Exception as error:  # the Redis client and its errors are imported only where needed
        return fail("bus", str(error).strip().rstrip(".") or type(error).__name__, ADVICE)
    return ok("bus", "Redis delivers events")


async def _round_trip(url: str) -> None:
    from chatsvc.bus.redis_connection import ChannelReply, connect

    channel, arrived = f"chatsvc:doctor:{secrets.token_hex(8)}", asyncio.Event()

    def received(reply: ChannelReply) -> None:
        if reply.payload is None:
            connection.publish(channel, b"doctor")
        else:
            arrived.set()

    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connect(url, received))
        connection.subscribe(channel)
        tasks = [asyncio.create_task(connection.run()), asyncio.create_task(_wait(arrived))]
        stack.push_async_callback(cancel, *tasks)
        for task in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
            task.result()


async def _wait(arrived: asyncio.Event) -> None:
    await arrived.wait()

"""The doctor on the bus: an event there and back. Blocking; no server hears of it."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack

from chatsvc.config.config import Config
from chatsvc.doctor.finding import Finding, fail, ok

LIMIT_S = 5.0
WITHOUT = "start Redis, or correct CHATSVC_BUS_URL; without it what happens at one server is seen at the others up to 5 s later"


def check(config: Config) -> Iterator[Finding]:
    """Nothing where there is one server."""
    if config.bus_url is not None:
        yield asyncio.run(_finding(config.bus_url))


async def _finding(url: str) -> Finding:
    try:
        async with asyncio.timeout(LIMIT_S):
            await _there_and_back(url)
    except TimeoutError:
        return fail("bus", f"Redis did not bring an event back within {LIMIT_S:.0f} s", WITHOUT)
    except (
        Exception
    ) as error:  # the client of Redis is imported only where it is wanted, and its errors with it
        return fail("bus", str(error).strip().rstrip(".") or type(error).__name__, WITHOUT)
    return ok("bus", "Redis takes events and brings them")


async def _there_and_back(url: str) -> None:
    from chatsvc.bus.redis_nodes import Reply, connect

    channel, arrived = f"chatsvc:doctor:{secrets.token_hex(8)}", asyncio.Event()

    def received(reply: Reply) -> None:
        if reply.payload is None:
            nodes.publish(channel, b"there and back")
        else:
            arrived.set()

    async with AsyncExitStack() as stack:
        nodes = await connect(url, received, stack)
        nodes.subscribe(channel)
        tasks = [asyncio.create_task(nodes.run()), asyncio.create_task(_wait(arrived))]
        for task in tasks:
            stack.callback(task.cancel)
        for task in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
            task.result()


async def _wait(arrived: asyncio.Event) -> None:
    await arrived.wait()

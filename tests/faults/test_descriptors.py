"""More connections than file descriptors: the service waits for free ones, without spinning, and goes on when there are."""

import asyncio
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.faults.client import HOST, request
from tests.faults.storm import user_token
from tests.support.process import ROOT, ServerProcess
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

FREE = 20  # descriptors when the flood begins
CONNECTIONS = 60
WATCH_S = 1.5
BACK_LIMIT_S = 3.0  # ACCEPT_PAUSE_S, and a slow machine
LINE = "Too many open files"
# The protection taken away: Tornado's own way of accepting.
CARELESS = """
import sys
import chatsvc.web.server
from tornado.netutil import add_accept_handler

chatsvc.web.server.Acceptor = add_accept_handler

from chatsvc.cli import main

sys.exit(main(["serve"]))
"""


@pytest.fixture
def flood() -> Iterator[Callable[[int], ExitStack]]:
    """Opens CONNECTIONS to a port; the stack closes them."""
    with ExitStack() as opened:

        def connect(port: int) -> ExitStack:
            for _ in range(CONNECTIONS):
                opened.enter_context(socket.create_connection((HOST, port), 5))
            return opened

        yield connect


@pytest.mark.parametrize("careful", [True, False])
async def test_without_descriptors_it_waits_and_does_not_spin(
    careful: bool, server: ServerProcess, flood: Callable[[int], ExitStack]
) -> None:
    """It once asked for the next connection again and again: a third of a core, and 7 MB of traces in 5 s. Negative control: as it was."""
    if not careful:
        script = server.log_path.with_name("careless.py")
        script.write_text(CARELESS)
        server.command_line[1:] = [str(script)]
        server.environment["PYTHONPATH"] = str(ROOT)
    await asyncio.to_thread(server.start)
    process = psutil.Process(server.pid)
    limit = process.num_fds() + FREE
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))

    opened = flood(server.port)
    await until(lambda: LINE in server.log, "there is no descriptor left")
    lines, began = server.log.count(LINE), cpu_s(process)
    await asyncio.sleep(WATCH_S)
    lines, seconds = server.log.count(LINE) - lines, cpu_s(process) - began
    print(f"{lines} lines and {seconds:.2f} s of a core in {WATCH_S} s")
    if not careful:
        assert lines > 20, "what this test looks for"
        return
    assert lines <= WATCH_S + 1 and seconds < WATCH_S / 3
    assert "Traceback" not in server.log

    opened.close()
    reply = await request(
        server.port, "GET", "/support_chat", user_token("alice"), limit_s=BACK_LIMIT_S
    )
    assert reply.status == 200
    assert await asyncio.to_thread(server.stop) == 0


async def test_a_stream_needs_no_descriptor_of_its_own(server: ServerProcess) -> None:
    """At the limit 400 clients that came at once once got none of 100 streams for 31 s.

    Each stream took a second descriptor for a moment, and was refused without one.
    """
    await asyncio.to_thread(server.start)
    token = user_token("alice")
    assert (await request(server.port, "GET", "/support_chat", token)).status == 200
    reader, writer = await asyncio.open_connection(HOST, server.port)
    await say(writer, "GET", "/support_chat", token)
    await reader.readuntil(b"\r\n\r\n")  # the connection is accepted, and stays
    used = psutil.Process(server.pid).num_fds()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used, used))
    await say(writer, "GET", "/support_chat/stream", token)
    assert b"HTTP/1.1 200 OK" in await reader.readuntil(b'"type":"state"')
    writer.close()
    assert "Traceback" not in server.log


async def say(writer: asyncio.StreamWriter, method: str, path: str, token: str) -> None:
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    await writer.drain()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)

"""The disk below PostgreSQL is full while everybody writes. For root alone, who may mount a small one."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chatsvc.postgres.manager import EmbeddedPostgres
from tests.faults.client import request
from tests.faults.storm import Storm
from tests.support.process import ServerProcess
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(90)]

DISK_BYTES = 256 * 2**20  # a new cluster takes 41 MB
PIECE = bytes(64 * 1024)
REFUSED = 20  # requests, before there is space again


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of DISK_BYTES; the test is left out where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.gen_test(timeout=60)
async def test_a_full_disk_is_503_until_there_is_space_and_nothing_acknowledged_is_missing(
    small_disk: Path, tmp_path: Path
) -> None:
    server, beside, filler = (
        ServerProcess(tmp_path),
        EmbeddedPostgres(small_disk),
        small_disk / "filler",
    )
    server.environment["CHATSVC_DATA_DIR"] = str(small_disk)
    try:
        await asyncio.to_thread(server.start)
        url = await asyncio.to_thread(beside.start)
        async with Storm([server.port], url, chats=2) as storm:
            await storm.more(50)
            await asyncio.to_thread(fill, filler)
            await until(lambda: storm.outcomes[503] >= REFUSED, "writing is refused")
            assert (await request(server.port, "GET", "/healthz")).status == 200
            filler.unlink()
            await storm.more(100)
            print(storm.outcomes)
            assert {one for one in storm.outcomes if isinstance(one, int)} <= {200, 201, 503}
            await storm.finish()
        assert "No space left on device" in server.log and "Traceback" not in server.log
    finally:
        filler.unlink(missing_ok=True)
        server.close()
        await asyncio.to_thread(beside.stop)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(PIECE)

"""Telling systemd how it is (man sd_notify): READY, STOPPING, WATCHDOG. Without systemd nothing is told."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

PINGS_PER_INTERVAL = 4  # one that is missing does not end the service
LAG_MAX_S = 2.0  # a loop that is this late answers nobody in time


class Supervisor:
    """Whoever started us and wants to be told: `$NOTIFY_SOCKET`, `$WATCHDOG_USEC`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        us = str(os.getpid())
        self._watchdog_s = (
            int(environ.get("WATCHDOG_USEC", "0")) / 1e6
            if environ.get("WATCHDOG_PID", us) == us
            else 0
        )

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    async def watch(self) -> None:
        """Until it is cancelled: says that all is well as long as the loop is on time.

        A database that is away does not count: a restart would not bring it back.
        """
        loop, pause_s = asyncio.get_running_loop(), self._watchdog_s / PINGS_PER_INTERVAL
        while pause_s:
            before = loop.time()
            await asyncio.sleep(pause_s)
            lag_s = loop.time() - before - pause_s
            if lag_s <= LAG_MAX_S:
                self._tell("WATCHDOG=1")
            else:
                log.warning(
                    "the loop is %.1f s late: systemd's watchdog is not told that all is well",
                    lag_s,
                )

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.setblocking(False)
            try:
                door.sendto(state.encode(), self._address)
            except OSError as error:
                log.warning("systemd cannot be told %s: %s", state, error.strerror)

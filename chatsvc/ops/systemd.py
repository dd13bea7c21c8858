"""Notify systemd (man sd_notify): READY, STOPPING, WATCHDOG. Without systemd, do nothing."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

PINGS_PER_INTERVAL = 4  # a single missing ping does not end the service
LAG_MAX_S = 2.0  # a loop that is this late cannot respond in time


class Supervisor:
    """The service manager that `$NOTIFY_SOCKET` and `$WATCHDOG_USEC` name, if there is one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        own_pid = str(os.getpid())
        self._watchdog_s = (
            int(environ.get("WATCHDOG_USEC", "0")) / 1e6
            if environ.get("WATCHDOG_PID", own_pid) == own_pid
            else 0
        )

    def ready(self) -> None:
        self._notify("READY=1")

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    async def watch(self) -> None:
        """Ping the watchdog while the loop is on time, until this task is cancelled.

        An unavailable database does not matter here: a restart would not bring it back.
        """
        loop, pause_s = asyncio.get_running_loop(), self._watchdog_s / PINGS_PER_INTERVAL
        while pause_s:
            before = loop.time()
            await asyncio.sleep(pause_s)
            lag_s = loop.time() - before - pause_s
            if lag_s <= LAG_MAX_S:
                self._notify("WATCHDOG=1")
            else:
                log.warning(
                    "the loop is %.1f s late: this ping to systemd's watchdog is skipped",
                    lag_s,
                )

    def _notify(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
            notify_socket.setblocking(False)
            try:
                notify_socket.sendto(state.encode(), self._address)
            except OSError as error:
                log.warning("cannot notify systemd of %s: %s", state, error.strerror)

"""What a server process has used, from /proc: CPU time and resident memory of that process alone."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FULL = 0.9  # of a processor: the rest is the scheduler's


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far (user and system), with the scheduler's resolution of nanoseconds."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


class Used(NamedTuple):
    """CPU seconds: of the server, of PostgreSQL with all its processes, of this generator."""

    server: float
    postgres: float
    load: float

    def since(self, before: "Used") -> "Used":
        return Used(*(now - then for now, then in zip(self, before, strict=True)))

    def per(self, count: int) -> "Used":
        return Used(*(seconds / count for seconds in self))


def used(server_pid: int, postmaster_pid: int) -> Used:
    """CPU time so far."""
    return Used(cpu_seconds(server_pid), family_cpu_seconds(postmaster_pid), time.process_time())


def family_cpu_seconds(pid: int) -> float:
    """CPU time so far of a process and its children. Those that have ended are not in it."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    seconds = 0.0
    for one in family:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            seconds += cpu_seconds(one)
    return seconds


def limit(spent: Used, seconds: float) -> str:
    """Say what the work waited for, and how many processors each part kept busy."""
    server, postgres, load = (part / seconds for part in spent)
    processors = os.cpu_count() or 1
    if load > FULL:
        cause = "the load generator"
    elif server + postgres + load > processors * FULL:
        cause = f"the {processors} processors"
    elif server > FULL:
        cause = "the server's loop"
    else:
        cause = "waiting, not a processor"
    return f"{cause}: server {server:.1f}, PostgreSQL {postgres:.1f}, load {load:.1f}"


def resident_bytes(pid: int) -> int:
    """Resident set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Rss in smaps_rollup of {pid}")


def uses_uvloop(pid: int) -> bool:
    """Whether that process has uvloop's library loaded."""
    return "/uvloop/" in Path(f"/proc/{pid}/maps").read_text()

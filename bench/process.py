"""What a server process has used, from /proc: CPU time and resident memory of that process alone."""

from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far (user and system), with the scheduler's resolution of nanoseconds."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


def resident_bytes(pid: int) -> int:
    """Resident set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Rss in smaps_rollup of {pid}")


def uses_uvloop(pid: int) -> bool:
    """Whether that process has uvloop's library loaded."""
    return "/uvloop/" in Path(f"/proc/{pid}/maps").read_text()

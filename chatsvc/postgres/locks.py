"""Locks between processes, and polling for them."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

OWNER_ONLY = 0o600
POLL_S = 0.005  # PostgreSQL starts in 0.1 s
PROGRESS_S = 5  # between two log lines about the same wait


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Open `path` and return the descriptor; create the file with mode 0600 if it is missing.

    A file that root creates belongs to the folder's owner, so that a later server under that
    account can use it.
    """
    flags |= os.O_NOFOLLOW
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, OWNER_ONLY)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Release the lock, even if a forked child still has the descriptor, and close it."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def polls(limit_s: float, what: str) -> Iterator[None]:
    """Yield every few milliseconds until the limit, and log now and then what is awaited."""
    start = time.monotonic()
    logged = 0.0
    while (elapsed := time.monotonic() - start) < limit_s:
        yield
        if elapsed - logged >= PROGRESS_S:
            logged = elapsed
            log.info("waiting for %s, %.0f s so far", what, elapsed)
        time.sleep(POLL_S)

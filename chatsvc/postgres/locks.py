"""Locks between processes and waiting for them."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

OWNER_ONLY = 0o600
POLL_S = 0.005  # PostgreSQL starts in 0.1 s
PROGRESS_S = 5  # between two lines that say what is waited for


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """A descriptor of `path`, made with mode 0600 if there is none.

    What root makes belongs to the owner of the folder, so that a server under that account can use it later.
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
    """Release and close; the release counts even if a forked child still has a copy of the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def polls(limit_s: float, what: str) -> Iterator[None]:
    """Come back every few milliseconds until the limit; say now and then what is waited for."""
    start = time.monotonic()
    said = 0.0
    while (elapsed := time.monotonic() - start) < limit_s:
        yield
        if elapsed - said >= PROGRESS_S:
            said = elapsed
            log.info("waiting for %s, %.0f s so far", what, elapsed)
        time.sleep(POLL_S)

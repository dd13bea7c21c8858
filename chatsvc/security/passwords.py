"""Passwords: argon2id in separate threads, few at once, with bounded queues."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from chatsvc.errors import TooManyRequests

T = TypeVar("T")

# OWASP's first choice: 46 MiB, one pass, one lane; 81 ms on the reference machine (SECURITY.md).
_HASHER = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1, type=Type.ID)
MIN_CHARS = 10
MAX_CHARS = 1024  # bounds the work that a request can cause
MAX_AT_ONCE = 2  # each takes 46 MiB and a core
MAX_AT_ONCE_KNOWN = 1  # beside them, for devices that have logged in before
MAX_WAITING = 8  # a login waits about 0.4 s for these; with more a flood would block logins


class Passwords:
    """Hash and check passwords off the loop. A full queue raises TooManyRequests.

    Known devices (`is_known`) have a queue of their own, which a flood of others does not fill.
    """

    def __init__(self, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._queues = {False: _Queue(MAX_AT_ONCE), True: _Queue(MAX_AT_ONCE_KNOWN)}

    async def matches(
        self, password: str, password_hash: str | None, *, is_known: bool = False
    ) -> bool:
        """Return whether the password is correct. None, for no account, takes equally long."""
        return await self._queues[is_known].run(_verify, self._hasher, password, password_hash)

    async def hash(self, password: str) -> str:
        """Hash the new password of somebody who has proven the old one."""
        return await self._queues[True].run(hash_password, password)

    def close(self) -> None:
        for queue in self._queues.values():
            queue.close()


class _Queue:
    """Threads, and MAX_WAITING places for what waits for one of them."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threads + MAX_WAITING
        self._pending = 0

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._pending >= self._places:
            raise TooManyRequests("Too many logins at the moment. Retry shortly.", retry_after_s=1)
        future = self._threads.submit(work, *arguments)
        self._pending += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._finished))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finished(self) -> None:
        self._pending -= 1


def hash_password(password: str) -> str:
    """Hash a password in the normalization form NFC (NIST SP 800-63B). Blocks for about 80 ms."""
    return _HASHER.hash(unicodedata.normalize("NFC", password))


def needs_rehash(password_hash: str) -> bool:
    """Return whether the hash was made with other parameters than the present ones."""
    return _HASHER.check_needs_rehash(password_hash)


@cache
def _dummy_hash(hasher: PasswordHasher) -> str:
    return hasher.hash("no account has this password")


def _verify(hasher: PasswordHasher, password: str, password_hash: str | None) -> bool:
    """Check the password in NFC, and then as typed: older hashes are not normalized."""
    typed = password[:MAX_CHARS]
    return any(
        _matches(hasher, text, password_hash)
        for text in dict.fromkeys((unicodedata.normalize("NFC", typed), typed))
    )


def _matches(hasher: PasswordHasher, text: str, password_hash: str | None) -> bool:
    try:
        verified = hasher.verify(password_hash or _dummy_hash(hasher), text)
        return verified and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False

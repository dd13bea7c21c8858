"""Passwords: argon2id, in threads of its own, at most two at once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's first choice: 46 MiB, one pass, one lane; 81 ms on the machine this was designed on (SECURITY.md).
_HASHER = PasswordHasher(time_cost=1, memory_cost=46 * 1024, parallelism=1, type=Type.ID)
MIN_CHARS = 10
MAX_CHARS = 1024  # hashing a megabyte is work for the asking
MAX_AT_ONCE = 2  # each takes 46 MiB and a core


class Passwords:
    """Hashes and checks passwords off the loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="argon2")

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Takes equally long for an account that does not exist (`None`)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _verify, password, password_hash)

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, hash_password, password
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def hash_password(password: str) -> str:
    """Blocking; about 80 ms."""
    return _HASHER.hash(password)


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


@cache
def _dummy_hash() -> str:
    return _HASHER.hash("no account has this password")


def _verify(password: str, password_hash: str | None) -> bool:
    try:
        return (
            _HASHER.verify(password_hash or _dummy_hash(), password[:MAX_CHARS])
            and password_hash is not None
        )
    except (VerificationError, InvalidHashError):
        return False

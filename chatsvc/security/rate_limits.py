"""Rate limits: how often one key (a user, an address) may do something."""

import hashlib
import socket
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from chatsvc.config.config import Config

MAX_KEYS = 20_000  # about 4 MB: all users active in the last 20 s, at 1,000 messages a second
KEY_MAX = 128  # characters; a longer key, such as an invented account name, becomes its digest
FORGET_SHARE = 8  # evict one key in eight at a time, so that the sort pays for thousands of keys
ROUNDING_S = 1e-6  # a caller who waited as long as told must not be refused for a rounding error
IPV6_NET_BYTES = 8  # one customer has at least a /64: single addresses would count nothing
# A customer may also have a /56 or a /48. Each may do this many times what a /64 may.
WIDER_NETWORKS = ((56, 4), (48, 16))
IPV4_MAPPED = bytes(10) + b"\xff\xff"

BURST_USER = 10  # messages (docs/api.md section 8)
BURST_STAFF = 50  # replies pasted one after the other
BURST_ADDRESS = 100  # a school or an office behind one address
BURST_VISITORS = 30
LOGIN_PER_ADDRESS = (5, 20.0)  # tries per seconds (SECURITY.md)
LOGIN_PER_ACCOUNT = (20, 300.0)


class RateLimiter:
    """A token bucket per key: `burst` at once, `per_minute` in the long run. For one thread.

    In any time t a key gets at most burst + per_minute / 60 * t. per_minute = 0 means no limit.

    A bucket is one number, the time at which it will be full again. A full bucket needs no entry.
    At `max_keys` entries the full buckets are evicted, or else those that will be full soonest.
    A key that is a /64 network also counts for the /56 and the /48 around it.
    """

    def __init__(
        self,
        per_minute: float,
        burst: int,
        *,
        now: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        if per_minute < 0 or burst < 1 or max_keys < 1:
            raise ValueError(
                f"no such limit: {per_minute} per minute, burst {burst}, {max_keys} keys"
            )
        self._unlimited = per_minute == 0
        self._interval = 60 / per_minute if per_minute else 0.0
        self._burst = burst
        self._now = now
        self._max_keys = max_keys
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> float:
        """Count a try and return 0.0, or return the seconds to wait without counting it."""
        if self._unlimited:
            return 0.0
        if len(key) > KEY_MAX:
            key = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        now = self._now()
        keys = ((key, 1), *wider_keys(key))
        wait = max(self._wait(name, share, now) for name, share in keys)
        if wait > 0:
            return wait + ROUNDING_S
        for name, share in keys:
            self._count(name, self._interval / share, now)
        return 0.0

    def _wait(self, key: str, share: int, now: float) -> float:
        slack = (self._burst * share - 1) * self._interval / share + ROUNDING_S
        return self._full_at.get(key, now) - now - slack

    def _count(self, key: str, interval: float, now: float) -> None:
        full_at = self._full_at.get(key)
        if full_at is None and len(self._full_at) >= self._max_keys:
            self._forget(now)
        self._full_at[key] = max(full_at or now, now) + interval

    def __len__(self) -> int:
        return len(self._full_at)

    @property
    def keys(self) -> Collection[str]:
        """The keys whose buckets are not known to be full."""
        return self._full_at.keys()

    def _forget(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= self._max_keys:
            soonest = sorted(self._full_at, key=self._full_at.__getitem__)
            for key in soonest[: len(soonest) // FORGET_SHARE + 1]:
                del self._full_at[key]


def address_key(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network of an IPv6 address.

    An IPv4 address may be mapped into IPv6. Other text is returned unchanged.
    """
    if ":" not in address:
        return address
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(IPV4_MAPPED):
        return socket.inet_ntoa(packed[-4:])
    return (
        socket.inet_ntop(socket.AF_INET6, packed[:IPV6_NET_BYTES] + bytes(16 - IPV6_NET_BYTES))
        + "/64"
    )


def wider_keys(key: str) -> tuple[tuple[str, int], ...]:
    """Return the keys of the networks around a /64 of address_key, each with its share."""
    if not key.endswith("/64"):
        return ()
    try:
        packed = socket.inet_pton(socket.AF_INET6, key.removesuffix("/64"))
    except OSError:
        return ()
    return tuple(
        (f"{socket.inet_ntop(socket.AF_INET6, packed[: bits // 8].ljust(16, bytes(1)))}/{bits}", n)
        for bits, n in WIDER_NETWORKS
    )


class Rates(NamedTuple):
    """The bursts of messages and new visitors, the tries at a login per seconds, and the clock."""

    user: int = BURST_USER
    staff: int = BURST_STAFF
    address: int = BURST_ADDRESS
    visitors: int = BURST_VISITORS
    login_address: tuple[int, float] = LOGIN_PER_ADDRESS
    login_account: tuple[int, float] = LOGIN_PER_ACCOUNT
    now: Callable[[], float] = time.monotonic


DEFAULT_RATES = Rates()


class Limits(NamedTuple):
    """The rate limiters of messages and new visitors."""

    message_user: RateLimiter
    message_staff: RateLimiter
    message_address: RateLimiter
    visitor_address: RateLimiter

    @classmethod
    def from_config(cls, config: Config, rates: Rates = DEFAULT_RATES) -> "Limits":
        return cls(
            RateLimiter(config.message_rate_user, rates.user, now=rates.now),
            RateLimiter(config.message_rate_staff, rates.staff, now=rates.now),
            RateLimiter(config.message_rate_address, rates.address, now=rates.now),
            RateLimiter(config.visitor_rate_address, rates.visitors, now=rates.now),
        )


class LoginLimits(NamedTuple):
    """The rate limiters of tries to log in."""

    address: RateLimiter
    account: RateLimiter

    @classmethod
    def from_rates(cls, rates: Rates = DEFAULT_RATES) -> "LoginLimits":
        return cls(
            *(
                RateLimiter(tries * 60 / seconds, tries, now=rates.now)
                for tries, seconds in (rates.login_address, rates.login_account)
            )
        )

"""Rate limits: how often one key (a user, an address) may do something."""

import hashlib
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from chatsvc.config.config import Config

MAX_KEYS = (
    20_000  # about 4 MB; all users who wrote within the last 20 s, at 1,000 messages a second
)
KEY_MAX = (
    128  # characters; a longer one (an account name made up by an attacker) is kept as its digest
)
FORGET_SHARE = 8  # one in so many is forgotten at a time: the search for them is paid for by the next thousands
ROUNDING_S = (
    1e-6  # a caller who waited as long as he was told must not be refused for a float's last digit
)
IPV6_NET_BYTES = 8  # one customer has at least a /64: counting single addresses would count nothing
IPV4_MAPPED = bytes(10) + b"\xff\xff"

BURST_USER = 10  # messages (docs/api.md section 8)
BURST_STAFF = 50  # a morning's answers pasted one after the other
BURST_ADDRESS = 100  # a school or an office behind one address
BURST_VISITORS = 30


class RateLimiter:
    """A token bucket per key: `burst` at once, `per_minute` in the long run. For one thread.

    In any time t a key gets at most burst + per_minute / 60 * t. per_minute = 0 means no limit.

    A bucket is one number, the time at which it will be full again; a full bucket needs no entry. At
    `max_keys` entries the full buckets are forgotten, and if there are none, those that will be full soonest.
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
        self._slack = (burst - 1) * self._interval + ROUNDING_S
        self._now = now
        self._max_keys = max_keys
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> float:
        """0.0: allowed and counted. Else not counted, and allowed after that many seconds."""
        if self._unlimited:
            return 0.0
        if len(key) > KEY_MAX:
            key = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
        now = self._now()
        full_at = self._full_at.get(key)
        if full_at is None or full_at < now:
            if full_at is None and len(self._full_at) >= self._max_keys:
                self._forget(now)
            self._full_at[key] = now + self._interval
            return 0.0
        wait = full_at - now - self._slack
        if wait > 0:
            return wait + ROUNDING_S
        self._full_at[key] = full_at + self._interval
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)

    def _forget(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= self._max_keys:
            soonest = sorted(self._full_at, key=self._full_at.__getitem__)
            for key in soonest[: len(soonest) // FORGET_SHARE + 1]:
                del self._full_at[key]


def address_key(address: str) -> str:
    """What counts as one address: IPv4, mapped into IPv6 or not; the /64 of IPv6; else unchanged."""
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


class Limits(NamedTuple):
    """What is counted, and for whom."""

    message_user: RateLimiter
    message_staff: RateLimiter
    message_address: RateLimiter
    visitor_address: RateLimiter

    @classmethod
    def from_config(cls, config: Config) -> "Limits":
        return cls(
            RateLimiter(config.message_rate_user, BURST_USER),
            RateLimiter(config.message_rate_staff, BURST_STAFF),
            RateLimiter(config.message_rate_address, BURST_ADDRESS),
            RateLimiter(config.visitor_rate_address, BURST_VISITORS),
        )

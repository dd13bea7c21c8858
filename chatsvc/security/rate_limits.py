"""Rate limits: how often one key (a user, an address) may do something."""

import hashlib
import socket
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from chatsvc.config.config import Config

MAX_KEYS = 20_000  # about 4 MB; lasts 20 s at 1,000 messages a second, each from another user
KEY_MAX = 128  # characters; a longer key, such as an invented account name, becomes its digest
FORGET_SHARE = 8  # evict an eighth of the keys at a time, so that the sort is rare
ROUNDING_S = 1e-6  # a caller who waited as long as told must not be refused for a rounding error
IPV6_NET_BYTES = 8  # one customer has at least a /64, so limiting single addresses is useless
# A customer may also have a /56 or a /48. Each may use this many times the limit of a /64.
WIDER_NETWORKS = ((56, 4), (48, 16))
IPV4_MAPPED = bytes(10) + b"\xff\xff"

BURST_USER = 10  # messages (docs/api.md section 8)
BURST_STAFF = 50  # replies pasted one after the other
BURST_ADDRESS = 100  # a school or an office behind one address
BURST_VISITORS = 30
BURST_READS_USER = 300  # a chat of 1,000 usual messages, and a tab that is loaded again and again
BURST_READS_ADDRESS = 1500  # 200 open streams (STREAMS_PER_ADDRESS) that come back at once
READ_BYTES = 16 * 1024  # each 16 KiB of a response counts as another read; encoding takes 0.1 ms
LOGIN_PER_ADDRESS = (5, 20.0)  # tries per seconds (SECURITY.md)
LOGIN_PER_ACCOUNT_AND_ADDRESS = (10, 300.0)  # half of the next: one address cannot lock an account
LOGIN_PER_ACCOUNT = (20, 300.0)  # from the whole world, except known devices
DIGEST_CHARS = 32


class RateLimiter:
    """A token bucket per key: `burst` at once, `per_minute` in the long run. For one thread.

    In any time t a key gets at most burst + per_minute / 60 * t. per_minute = 0 means no limit.

    A bucket is one number, the time at which it will be full again. A full bucket needs no entry.
    At `max_keys` entries the full buckets are evicted, or else those that will be full soonest.
    A key that is a /64 network also counts for the /56 and the /48 around it, each with a larger
    share (see counted_keys).
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
        wait_s = self.wait_s(key)
        if not wait_s:
            self.charge(key, 1)
        return wait_s

    def wait_s(self, key: str) -> float:
        """Return the seconds to wait for the next try."""
        if self._unlimited:
            return 0.0
        now = self._now()
        wait = max(self._wait(name, share, now) for name, share in counted_keys(key))
        return wait + ROUNDING_S if wait > 0 else 0.0

    def charge(self, key: str, count: float) -> None:
        """Count something already allowed, even if this exceeds the limit."""
        if not self._unlimited:
            now = self._now()
            for name, share in counted_keys(key):
                self._count(name, count * self._interval / share, now)

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
        """The keys that have a bucket entry."""
        return self._full_at.keys()

    def _forget(self, now: float) -> None:
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= self._max_keys:
            soonest = sorted(self._full_at, key=self._full_at.__getitem__)
            for key in soonest[: len(soonest) // FORGET_SHARE + 1]:
                del self._full_at[key]


def counted_keys(key: str) -> tuple[tuple[str, int], ...]:
    """Return the keys under which a key counts, each with its share of the limit."""
    if len(key) > KEY_MAX:
        key = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return ((key, 1), *_wider_keys(key))


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


def _wider_keys(key: str) -> tuple[tuple[str, int], ...]:
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
    """The bursts, the login limits as (tries, seconds), and the clock."""

    user: int = BURST_USER
    staff: int = BURST_STAFF
    address: int = BURST_ADDRESS
    visitors: int = BURST_VISITORS
    reads_user: int = BURST_READS_USER
    reads_address: int = BURST_READS_ADDRESS
    login_address: tuple[int, float] = LOGIN_PER_ADDRESS
    login_account_address: tuple[int, float] = LOGIN_PER_ACCOUNT_AND_ADDRESS
    login_account: tuple[int, float] = LOGIN_PER_ACCOUNT
    now: Callable[[], float] = time.monotonic


DEFAULT_RATES = Rates()


class ReadLimits(NamedTuple):
    """The rate limiters of what a user, and an address, read: by requests and by bytes."""

    user: RateLimiter
    address: RateLimiter

    def take(self, user_id: str, address: str) -> float:
        """Count a read and return 0.0, or return the seconds to wait without counting it."""
        wait_s = max(self.user.wait_s(user_id), self.address.wait_s(address))
        if not wait_s:
            self._charge(user_id, address, 1)
        return wait_s

    def charge(self, user_id: str, address: str, size: int) -> float:
        """Count the bytes of a response. Return the seconds to wait before sending more."""
        self._charge(user_id, address, size / READ_BYTES)
        return max(self.user.wait_s(user_id), self.address.wait_s(address))

    def _charge(self, user_id: str, address: str, count: float) -> None:
        self.user.charge(user_id, count)
        self.address.charge(address, count)


class Limits(NamedTuple):
    """The rate limiters of messages, new visitors and reads."""

    message_user: RateLimiter
    message_staff: RateLimiter
    message_address: RateLimiter
    visitor_address: RateLimiter
    reads: ReadLimits

    @classmethod
    def from_config(cls, config: Config, rates: Rates = DEFAULT_RATES) -> "Limits":
        return cls(
            RateLimiter(config.message_rate_user, rates.user, now=rates.now),
            RateLimiter(config.message_rate_staff, rates.staff, now=rates.now),
            RateLimiter(config.message_rate_address, rates.address, now=rates.now),
            RateLimiter(config.visitor_rate_address, rates.visitors, now=rates.now),
            ReadLimits(
                RateLimiter(config.read_rate_user, rates.reads_user, now=rates.now),
                RateLimiter(config.read_rate_address, rates.reads_address, now=rates.now),
            ),
        )


class LoginLimits(NamedTuple):
    """The rate limiters of tries to log in."""

    address: RateLimiter
    account_address: RateLimiter
    account: RateLimiter

    @classmethod
    def from_rates(cls, rates: Rates = DEFAULT_RATES) -> "LoginLimits":
        return cls(
            *(
                RateLimiter(tries * 60 / seconds, tries, now=rates.now)
                for tries, seconds in (
                    rates.login_address,
                    rates.login_account_address,
                    rates.login_account,
                )
            )
        )

    def take(self, account: str, address: str, device: str | None) -> float:
        """Count a try and return 0.0, or return the seconds to wait.

        A known `device` is limited by itself, not by its address or among all who try the account,
        so that others cannot lock it out. In the limit of account and address, an address counts
        as its widest network.
        """
        source = address if device is None else f"device {device}"
        account = hashlib.sha256(account.encode(errors="surrogatepass")).hexdigest()[:DIGEST_CHARS]
        network, _ = counted_keys(source)[-1]
        counted = [(self.address, source), (self.account_address, f"{account} {network}")]
        if device is None:
            counted.append((self.account, account))
        for limiter, key in counted:
            if wait_s := limiter.take(key):
                return wait_s
        return 0.0

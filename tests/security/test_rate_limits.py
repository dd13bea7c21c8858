"""Rate limits: the promise of the token bucket, whatever the rhythm."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsvc.security.rate_limits import KEY_MAX, RateLimiter, address_key
from tests.support.clock import Clock

RATES = st.one_of(st.sampled_from([1, 4, 15, 30, 300, 600]), st.floats(0.01, 10_000))
BURSTS = st.one_of(st.just(1), st.integers(1, 5), st.integers(1, 40))
PAUSES_S = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 300)), max_size=80)
KEYS = st.sampled_from("ab")


@given(
    RATES,
    BURSTS,
    st.lists(st.tuples(KEYS, st.one_of(st.just(0.0), st.floats(0, 90))), max_size=120),
)
def test_never_more_than_burst_plus_rate_times_t(
    rate: float, burst: int, tries: list[tuple[str, float]]
) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, burst, now=clock)
    allowed: dict[str, list[float]] = {}
    for key, pause in tries:
        clock.time += pause
        if limiter.take(key) == 0.0:
            allowed.setdefault(key, []).append(clock.time)
    for times in allowed.values():
        for first, start in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= burst + rate / 60 * (end - start + 1e-5) + 1e-9


@given(RATES, BURSTS, PAUSES_S)
def test_refused_until_exactly_the_time_that_was_said(
    rate: float, burst: int, pauses: list[float]
) -> None:
    """Also: never refused for longer than one message takes to be earned, so never for ever."""
    clock = Clock()
    limiter = RateLimiter(rate, burst, now=clock)
    for pause in pauses:
        clock.time += pause
        wait = limiter.take("a")
        if wait:
            assert 0 < wait <= 60 / rate + 1e-5
            said = clock.time + wait
            clock.time = said - wait / 2
            assert limiter.take("a") > 0 or wait < 1e-5
            clock.time = said
            assert limiter.take("a") == 0.0


@given(RATES, BURSTS, st.floats(0, 1))
def test_whole_burst_after_silence(rate: float, burst: int, more: float) -> None:
    clock = Clock()
    limiter = RateLimiter(rate, burst, now=clock)
    for _ in range(2):
        assert [limiter.take("a") for _ in range(burst)] == [0.0] * burst
        assert limiter.take("a") > 0
        clock.time += burst * 60 / rate + more + 1e-5


@pytest.mark.parametrize(
    ("per_minute", "burst", "wait"),
    [(30, 10, 2), (300, 60, 0.2), (1, 30, 60), (15, 5, 4), (4, 20, 15)],
)
def test_figures_of_the_service(per_minute: int, burst: int, wait: float) -> None:
    limiter = RateLimiter(per_minute, burst, now=Clock())
    assert [limiter.take("a") for _ in range(burst)] == [0.0] * burst
    assert limiter.take("a") == pytest.approx(wait, abs=1e-5)
    assert limiter.take("a") == pytest.approx(wait, abs=1e-5), "a refused try must not be counted"
    assert limiter.take("b") == 0.0


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 3)), max_size=200), st.integers(1, 20))
def test_bounded_whatever_comes(tries: list[tuple[int, float]], max_keys: int) -> None:
    clock = Clock()
    limiter = RateLimiter(30, 2, now=clock, max_keys=max_keys)
    for key, pause in tries:
        clock.time += pause
        limiter.take(str(key))
        assert len(limiter) <= max_keys


def test_full_table_forgets_full_buckets_first() -> None:
    clock = Clock()
    limiter = RateLimiter(60, 5, now=clock, max_keys=10)
    for number in range(9):
        limiter.take(f"quiet {number}")
    clock.time += 2
    for _ in range(5):
        limiter.take("busy")
    assert limiter.take("new") == 0.0
    assert len(limiter) == 2
    assert limiter.take("busy") > 0


def test_full_table_of_busy_keys_forgets_those_that_would_be_full_soonest() -> None:
    limiter = RateLimiter(60, 5, now=Clock(), max_keys=10)
    for _ in range(5):
        limiter.take("busiest")
    for number in range(200):
        limiter.take(f"address {number}")
    assert limiter.take("busiest") > 0


def test_long_keys_are_kept_short_and_apart() -> None:
    limiter = RateLimiter(1, 1, now=Clock())
    long = "x" * 60_000 + "\ud800"
    assert limiter.take(long) == 0.0
    assert limiter.take(long) > 0
    assert limiter.take(long + "y") == 0.0
    assert max(map(len, limiter.keys)) <= KEY_MAX


def test_what_is_charged_afterwards_is_waited_for() -> None:
    """What a response costs is known when it is made. It is not refused then, but counts."""
    clock = Clock()
    limiter = RateLimiter(60, 5, now=clock)
    assert limiter.wait_s("a") == 0.0 and len(limiter) == 0
    limiter.charge("a", 7.5)
    assert limiter.take("a") == pytest.approx(3.5, abs=1e-5)
    assert limiter.take("b") == 0.0
    clock.time += 3.5 + 1e-5
    assert limiter.take("a") == 0.0 and limiter.take("a") > 0


@given(st.lists(KEYS, max_size=50))
def test_no_limit(keys: list[str]) -> None:
    limiter = RateLimiter(0, 1)
    assert [limiter.take(key) for key in keys] == [0.0] * len(keys)
    assert len(limiter) == 0


@pytest.mark.parametrize(("per_minute", "burst", "max_keys"), [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_limits_that_make_no_sense(per_minute: int, burst: int, max_keys: int) -> None:
    with pytest.raises(ValueError, match="no such limit"):
        RateLimiter(per_minute, burst, max_keys=max_keys)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_address_key(address: str, key: str) -> None:
    assert address_key(address) == key


@pytest.mark.parametrize(("bits", "share", "step"), [(56, 4, 1 << 64), (48, 16, 1 << 72)])
def test_a_wider_network_has_a_share_of_its_own(bits: int, share: int, step: int) -> None:
    """A customer with a /56 changed networks instead of addresses: 256 times the limit."""
    limiter = RateLimiter(60, 5, now=Clock())
    first = int(ip_address("2001:db8:7:4200::1"))
    allowed = sum(
        limiter.take(address_key(str(ip_address(first + n * step)))) == 0.0 for n in range(100)
    )
    assert allowed == 5 * share, bits
    assert limiter.take(address_key("2001:db8:8::1")) == 0.0, "another /48"
    assert limiter.take(address_key("203.0.113.5")) == 0.0

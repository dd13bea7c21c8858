"""Logging in: guessing, finding out who has an account, and being sent elsewhere afterwards."""

import asyncio
import threading
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from chatsvc.pages.presentation import safe_next
from chatsvc.security.passwords import MAX_AT_ONCE, MAX_CHARS, Passwords, hash_password
from chatsvc.store import people
from tests.conftest import ServiceFactory
from tests.faults.client import running
from tests.security.conftest import with_options
from tests.support.service import PASSWORD, Response, Service, make_config, read_cookies
from tests.support.waiting import until

STAFF = "staff@example.com"
A_WHILE_S = 3600.0  # after which all tries to log in are earned again
HOLD_LIMIT_S = 20.0


class Browser:
    """Has fetched the login page and sends its form, from whatever address a proxy says."""

    def __init__(self, service: Service, cookies: dict[str, str]) -> None:
        self.service, self.cookies = service, cookies

    @classmethod
    async def open(cls, service: Service) -> "Browser":
        return cls(service, read_cookies(await service.get("/login")))

    async def login(
        self,
        email: str = STAFF,
        password: str = "wrong wrong wrong",
        address: str = "",
        **form: str,
    ) -> Response:
        fields = {"email": email, "password": password, "_xsrf": self.cookies["_xsrf"], **form}
        headers = {"X-Forwarded-For": address} if address else {}
        return await self.service.request(
            "POST", "/login", form=fields, cookies=self.cookies, headers=headers
        )


class NotingHasher(PasswordHasher):
    """Notes against which hashes passwords were to be verified, and takes none of the 80 ms."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=46 * 1024, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified.append(str(hash))
        if password != PASSWORD:
            raise VerifyMismatchError
        return True


@pytest.fixture
def hasher() -> NotingHasher:
    return NotingHasher()


@pytest.fixture
def verified(hasher: NotingHasher) -> list[str]:
    """The hashes against which passwords were checked."""
    return hasher.verified


@pytest.fixture
def service(make_service: ServiceFactory, hasher: NotingHasher) -> Service:
    return make_service(passwords=Passwords(hasher))


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, make_service: ServiceFactory, hasher: NotingHasher
) -> Service:
    return make_service(**request.param, passwords=Passwords(hasher))


# ---- guessing ----


async def test_the_sixth_try_from_one_address_waits(service: Service, verified: list[str]) -> None:
    browser = await Browser.open(service)
    answers = [await browser.login(f"nobody{n}@example.com") for n in range(7)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 4  # 5 per 20 s
    assert all(answer.headers["WWW-Authenticate"] for answer in answers[:5])
    assert len(verified) == 5, "a refused try must cost nothing"
    assert "chatsvc" not in read_cookies(answers[5])
    right = await browser.login(STAFF, PASSWORD)
    assert right.status == 429


@with_options(trusted_proxies=("127.0.0.1",))
async def test_another_address_is_not_kept_waiting_but_the_same_network_is(
    configured: Service, verified: list[str]
) -> None:
    """IPv6 customers have a whole /64 to guess from."""
    browser = await Browser.open(configured)
    for first, rest in (
        ("2001:db8::1", [f"2001:db8::{n:x}" for n in range(2, 8)]),
        ("198.51.100.7", ["::ffff:198.51.100.7"] * 6),
    ):
        statuses = [(await browser.login(address=address)).status for address in (first, *rest)]
        assert statuses == [401] * 5 + [429] * 2
    assert (await browser.login(address="2001:db8:0:1::1")).status == 401
    assert (await browser.login(address="203.0.113.9")).status == 401


@with_options(trusted_proxies=())
async def test_a_forwarded_address_from_nobody_we_trust_buys_no_tries(
    configured: Service, verified: list[str]
) -> None:
    browser = await Browser.open(configured)
    statuses = [(await browser.login(address=f"198.51.100.{n}")).status for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2


@with_options(trusted_proxies=("127.0.0.1",))
async def test_one_account_has_20_tries_in_5_minutes_from_the_whole_world(
    configured: Service, verified: list[str]
) -> None:
    """Known or not, in whatever spelling; the owner waits too, and other accounts do not."""
    service = configured
    await service.create_staff()
    await service.create_staff("other@example.com")
    browser = await Browser.open(service)
    for email in (STAFF, "nobody@example.com"):
        spellings = (email, email.upper(), f" {email} ", email.title())
        statuses = [
            (await browser.login(spellings[n % 4], address=f"198.51.{len(email)}.{n}")).status
            for n in range(22)
        ]
        assert statuses == [401] * 20 + [429] * 2, email
    last = await browser.login(STAFF, PASSWORD, address="203.0.113.1")
    assert last.status == 429 and 1 <= int(last.headers["Retry-After"]) <= 16
    assert (await browser.login("other@example.com", PASSWORD, address="203.0.113.2")).status == 303


@with_options(trusted_proxies=("127.0.0.1",))
async def test_one_network_cannot_keep_an_account_out(
    configured: Service, verified: list[str]
) -> None:
    """One bucket per account for the whole world: 20 tries from one address, and its owner waits.

    A network uses half of that bucket at most, also if it spreads its tries over a /48.
    """
    await configured.create_staff()
    browser = await Browser.open(configured)
    for address in ("198.51.100.7", "2001:db8:7:{:x}::1"):
        statuses = []
        for n in range(40):
            configured.rates_clock.advance(4)  # the address alone may try as often
            statuses.append((await browser.login(address=address.format(n * 16))).status)
        assert statuses.count(401) == 10 + 40 * 4 // 30, address
        assert (await browser.login(STAFF, PASSWORD, address="203.0.113.1")).status == 303
        configured.rates_clock.advance(A_WHILE_S)


@with_options(trusted_proxies=("127.0.0.1",))
async def test_a_browser_that_has_logged_in_before_is_not_kept_out(
    configured: Service, verified: list[str]
) -> None:
    """Neither by tries from the whole world, nor by those of its own address."""
    service = configured
    await service.create_staff()
    await service.create_staff("other@example.com")
    home, stranger = await Browser.open(service), await Browser.open(service)
    first = await home.login(STAFF, PASSWORD, address="198.51.100.1")
    home.cookies |= read_cookies(first)
    statuses = [(await stranger.login(address=f"203.0.113.{n % 30}")).status for n in range(60)]
    assert statuses.count(401) == 19 and statuses[-1] == 429
    for _ in range(5):
        await stranger.login("nobody@example.com", address="198.51.100.1")
    assert (await stranger.login(STAFF, PASSWORD, address="198.51.100.9")).status == 429
    home.cookies.pop("chatsvc")
    assert (await home.login(STAFF, PASSWORD, address="198.51.100.1")).status == 303
    guesses = [(await home.login(address=f"192.0.2.{n}")).status for n in range(6)]
    assert guesses == [401] * 4 + [429] * 2, "it may not guess more often than others"
    for n, forged in enumerate((home.cookies["chatsvc_device"][:-1], "x", "x.y", ".", "%e9")):
        stranger.cookies["chatsvc_device"] = forged
        answer = await stranger.login(STAFF, PASSWORD, address=f"198.51.100.{n + 10}")
        assert answer.status == 429, forged
    home.cookies["chatsvc_device"] = read_cookies(first)["chatsvc_device"]
    for n in range(30):
        await stranger.login("other@example.com", address=f"203.0.113.{n}")
    other = await home.login("other@example.com", PASSWORD, address="192.0.2.99")
    assert other.status == 429, "it is known to the account that has logged in there"


async def test_the_mark_of_a_known_browser_is_out_of_reach_and_no_session(service: Service) -> None:
    await service.create_staff()
    answer = await (await Browser.open(service)).login(STAFF, PASSWORD)
    (header,) = (
        one for one in answer.headers.get_list("Set-Cookie") if one.startswith("chatsvc_device=")
    )
    assert "; HttpOnly" in header and "; SameSite=Lax" in header and "Max-Age" in header
    mark = read_cookies(answer)["chatsvc_device"]
    for cookies in ({"chatsvc_device": mark}, {"chatsvc": mark}):
        assert (await service.get("/dashboard", cookies=cookies)).status == 302


# ---- who has an account ----


async def test_a_login_under_way_with_the_old_password_ends_when_that_is_changed(
    database_url: str, tmp_path: Path
) -> None:
    """Checking takes 80 ms: a session opened after them would outlive the end of all others."""

    class Slow(Passwords):
        async def matches(
            self, password: str, password_hash: str | None, *, is_known: bool = False
        ) -> bool:
            is_correct = await super().matches(password, password_hash)
            await one.app.db.write(
                people.save_staff, "", STAFF, None, hash_password("another horse battery")
            )
            return is_correct

    one = Service(make_config(tmp_path), database_url, passwords=Slow())
    async with running(one):
        await one.create_staff()
        answer = await (await Browser.open(one)).login(STAFF, PASSWORD)
        assert answer.status == 401 and "chatsvc" not in read_cookies(answer)


async def test_known_and_unknown_accounts_are_treated_alike(
    service: Service, verified: list[str]
) -> None:
    """The same work (one verification of a hash), the same answer. Measured by what is done: times jitter."""
    await service.create_staff()
    browser = await Browser.open(service)
    pages = []
    for email in (STAFF, "nobody@example.com"):
        del verified[:]
        answer = await browser.login(email)
        assert len(verified) == 1
        pages.append(
            (answer.status, answer.text.replace(email, "EMAIL").replace(_xsrf_of(answer), "XSRF"))
        )
    assert pages[0] == pages[1] and pages[0][0] == 401


def _xsrf_of(answer: Response) -> str:
    return answer.text.partition('name="_xsrf" value="')[2].partition('"')[0]


async def test_the_hash_for_unknown_accounts_costs_what_the_others_cost(
    hasher: NotingHasher,
) -> None:
    passwords = Passwords(hasher)
    assert not await passwords.matches("x" * 10, None)
    passwords.close()
    parameters = [
        password_hash.split("$")[:4]
        for password_hash in (*hasher.verified, hash_password("x" * 10))
    ]
    assert parameters == [["", "argon2id", "v=19", "m=47104,t=1,p=1"]] * 2


async def test_users_and_visitors_have_no_password(service: Service, verified: list[str]) -> None:
    await service.get("/support_chat", service.user_token("alice", email="alice@example.com"))
    await service.visitor_token(email="visitor@example.com")
    browser = await Browser.open(service)
    for email in (
        "alice@example.com",
        "visitor@example.com",
        "",
        "%",
        "_" * 17,
        "' OR kind='staff' --",
    ):
        service.rates_clock.advance(A_WHILE_S)
        assert (await browser.login(email, PASSWORD)).status == 401, email


# ---- passwords ----


async def test_passwords_are_stored_as_argon2id(service: Service) -> None:
    await service.create_staff()
    record = await service.app.db.read(people.password_of, STAFF)
    assert record is not None and record.password_hash.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert PASSWORD not in record.password_hash
    salt, digest = record.password_hash.split("$")[4:]
    assert len(salt) >= 22 and len(digest) >= 43
    assert hash_password(PASSWORD) != record.password_hash


class HeldHasher(PasswordHasher):
    """Verifies nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released, self._lock = threading.Event(), threading.Lock()
        self.running = self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.released.wait(HOLD_LIMIT_S)
        with self._lock:
            self.running -= 1
        return True


async def test_hashing_is_off_the_loop_and_at_most_two_at_once(service: Service) -> None:
    """Each takes 46 MiB and a core; the loop answers meanwhile."""
    hasher = HeldHasher()
    passwords = Passwords(hasher)
    tries = asyncio.gather(*(passwords.matches("x" * 10, "a hash") for _ in range(5)))
    await until(lambda: hasher.running == MAX_AT_ONCE == 2)
    assert (await service.get("/healthz")).status == 200
    hasher.released.set()
    assert await tries == [True] * 5 and hasher.most == 2
    passwords.close()


async def test_the_rest_of_an_endless_password_is_not_hashed() -> None:
    passwords = Passwords()
    password_hash = hash_password("x" * MAX_CHARS)
    assert await passwords.matches("x" * 1_000_000, password_hash)
    passwords.close()


# ---- and then? ----

OUTSIDE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "///evil.example",
    "http:/evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "",
    " ",
    " /dashboard",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\x00/evil.example",
    "\x01/x",
    "/x\x7f",
    "/dashboard\r\nSet-Cookie: a=b",
    "?next=//evil.example",
    "#",
    ".",
    "@evil.example",
    "/\x0b/evil.example",
)
INSIDE = (
    "/",
    "/dashboard",
    "/dashboard/chats/0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000?before=5",
    "/dashboard?archived=true",
    "/x//y",
    "/%2fevil.example",
    "/é",
    "/a\u2028b",
    "/@evil.example",
    "/.evil.example",
    "/https://evil.example",
)


@pytest.mark.parametrize("target", OUTSIDE)
def test_no_way_out(target: str) -> None:
    assert safe_next(target) == "/dashboard"


@pytest.mark.parametrize("target", INSIDE)
def test_ways_inside_are_kept(target: str) -> None:
    assert safe_next(target) == target


async def test_the_login_leads_nowhere_else(service: Service, verified: list[str]) -> None:
    await service.create_staff()
    for target in (
        *(one for one in OUTSIDE if "\0" not in one),
        "/dashboard?archived=true",
    ):  # Tornado makes a NUL a space
        service.rates_clock.advance(A_WHILE_S)
        page = await service.get(f"/login?next={quote(target)}")
        browser = Browser(service, read_cookies(page))
        answer = await browser.login(STAFF, PASSWORD, next=target)
        expected = target if target == "/dashboard?archived=true" else "/dashboard"
        assert (answer.status, answer.headers["Location"]) == (303, expected), target
        assert "a=b" not in "".join(answer.headers.get_list("Set-Cookie"))


async def test_who_is_not_logged_in_is_sent_to_the_login_and_back(service: Service) -> None:
    for path in (
        "/dashboard?archived=true",
        "/dashboard/chats/0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000",
        "/dashboard?x=%0d%0aSet-Cookie:%20a=b",
    ):
        answer = await service.get(path)
        assert (
            answer.status == 302
            and answer.headers["Location"] == f"/login?next={quote(path, safe='')}"
        )
        page = await service.get(answer.headers["Location"])
        assert f'name="next" value="{path.replace("&", "&amp;")}"' in page.text or "%0d" in path

"""Staff sessions: a new one at each login, over for good when it ends, however it ends; and its streams with it."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from chatsvc.handlers.cookies import cookie_names
from chatsvc.security import tokens
from chatsvc.security.passwords import hash_password
from chatsvc.services.identity import STAFF_CACHED_S
from chatsvc.store import people
from chatsvc.streams.registry import Rhythm
from tests.conftest import ServiceFactory
from tests.security.actors import open_session
from tests.security.conftest import with_options
from tests.support.process import ServerProcess
from tests.support.service import PASSWORD, Response, Service, read_cookies
from tests.support.waiting import wait

STAFF = "staff@example.com"
NOTIFICATIONS = "/admin/notifications/stream"


async def is_in(service: Service, cookies: dict[str, str]) -> bool:
    return (await service.get("/admin/chats", cookies=cookies)).status == 200


def session_header(answer: Response, name: str = "chatsvc") -> str:
    return next(
        header for header in answer.headers.get_list("Set-Cookie") if header.startswith(f"{name}=")
    )


async def submit_login(service: Service, cookies: dict[str, str]) -> Response:
    page = await service.get("/login", cookies=cookies)
    cookies = {**cookies, **read_cookies(page)}
    xsrf = cookies[cookie_names(service.app.config.public_url).xsrf]
    form = {"email": STAFF, "password": PASSWORD, "_xsrf": xsrf}
    return await service.request("POST", "/login", form=form, cookies=cookies)


async def forget(service: Service) -> None:
    """What is remembered of proofs for a few seconds, as if they had passed."""
    service.app.identity.forget_access(None)


async def test_every_login_makes_a_session_of_its_own(service: Service) -> None:
    """Fixation: a cookie that was planted before is never taken over."""
    await service.create_staff()
    planted = tokens.new_secret()
    first = read_cookies(await submit_login(service, {"chatsvc": planted}))
    second = read_cookies(await submit_login(service, {"chatsvc": first["chatsvc"]}))
    assert len({planted, first["chatsvc"], second["chatsvc"]}) == 3
    assert not await is_in(service, {"chatsvc": planted})
    assert await is_in(service, second)
    assert len(second["chatsvc"]) >= 43


async def test_a_failed_login_makes_none(service: Service) -> None:
    await service.create_staff()
    cookies = read_cookies(await service.get("/login"))
    form = {"email": STAFF, "password": "wrong wrong wrong", "_xsrf": cookies["_xsrf"]}
    answer = await service.request("POST", "/login", form=form, cookies=cookies)
    assert answer.status == 401 and "chatsvc" not in read_cookies(answer)


async def test_only_the_hash_of_a_session_is_stored(service: Service) -> None:
    staff_token, session = await service.staff_token(), await open_session(service)
    rows = await service.app.db.read(
        lambda db: db.execute_sql(
            "SELECT token_hash FROM staff_sessions UNION SELECT token_hash FROM staff_tokens"
        )
    )
    stored = {row[0] for row in rows}
    assert stored == {tokens.hash_token(session), tokens.hash_token(staff_token)}
    for value in stored:
        assert not await is_in(service, {"chatsvc": value})


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(service: Service) -> None:
    await service.create_staff()
    header = session_header(await submit_login(service, {}))
    assert "; HttpOnly" in header and "; SameSite=Lax" in header and "; Path=/" in header
    assert "Domain" not in header and "Secure" not in header and "expires" not in header.lower()
    xsrf = session_header(await service.get("/login"), "_xsrf")
    assert "; HttpOnly" in xsrf and "; SameSite=Lax" in xsrf


@with_options(public_url="https://chat.example.com")
async def test_behind_https_cookies_never_leave_it(configured: Service) -> None:
    await configured.create_staff()
    answer = await submit_login(configured, {})
    header = session_header(answer, "__Host-chatsvc")
    assert (
        all(f"; {part}" in header for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Secure"))
        and "Domain" not in header
    )
    assert "; Secure" in session_header(await configured.get("/login"), "__Host-_xsrf")
    cookies = {**read_cookies(answer), **read_cookies(await configured.get("/login"))}
    assert await is_in(configured, cookies)
    assert not await is_in(
        configured, {"chatsvc": cookies["__Host-chatsvc"]}
    )  # a sub-domain could have set that one
    out = await configured.request(
        "POST", "/logout", cookies=cookies, headers={"X-XSRFToken": cookies["__Host-_xsrf"]}
    )
    cleared = session_header(out, "__Host-chatsvc")
    assert "; Secure" in cleared and "; Path=/" in cleared, (
        "a browser ignores a __Host- cookie without them"
    )


@pytest.fixture
def two_ports(make_service: ServiceFactory) -> list[Service]:
    return [make_service(public_url=f"http://desk.example:{port}") for port in (8888, 9999)]


async def test_two_installations_on_one_host_do_not_log_each_other_out(
    two_ports: list[Service],
) -> None:
    """A browser sends a cookie to all ports of its host: each login once replaced the other's."""
    ours, theirs = two_ports
    await ours.create_staff()  # the two share a database
    browser: dict[str, str] = {}
    for service in (ours, theirs):
        browser |= read_cookies(await service.get("/login", cookies=browser))
        browser |= read_cookies(await submit_login(service, browser))
    assert await is_in(ours, browser) and await is_in(theirs, browser)
    left = await theirs.request(
        "POST", "/logout", cookies=browser, headers={"X-XSRFToken": browser["_xsrf-9999"]}
    )
    assert left.status == 303
    browser |= read_cookies(left)
    assert await is_in(ours, browser) and not await is_in(theirs, browser)


@with_options(public_url="https://chat.example.com:8443")
async def test_sessions_of_an_earlier_version_stay_but_need_its_prefix(configured: Service) -> None:
    """Their cookie had no port in its name. A form sent with it needs the token too."""
    await configured.create_staff()
    session = await open_session(configured)
    assert await is_in(configured, {"__Host-chatsvc": session})
    assert not await is_in(configured, {"chatsvc": session})
    answer = await configured.post("/admin/chats/x/archive", cookies={"__Host-chatsvc": session})
    assert answer.status == 403


async def test_logging_out_ends_the_session_and_its_streams_at_once(service: Service) -> None:
    """The streams once went on for 15 s: on a shared machine the next one could read along."""
    await service.create_staff()
    cookies, elsewhere = await service.login(), await service.login()
    mine = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={cookies['chatsvc']}")
    other = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={elsewhere['chatsvc']}")
    assert (await mine.next()).type == (await other.next()).type == "state"
    answer = await service.request(
        "POST", "/logout", cookies=cookies, headers={"X-XSRFToken": cookies["_xsrf"]}
    )
    assert answer.status == 303 and read_cookies(answer)["chatsvc"] == ""
    assert (await mine.next("close")).data == {"reason": "revoked", "reconnect": False}
    assert not await is_in(service, cookies)
    assert await is_in(service, elsewhere)
    assert len(service.app.streams) == 1
    other.close()


@with_options(rhythm=Rhythm(revalidate_s=0.1))
async def test_a_new_password_ends_all_sessions_and_their_streams(configured: Service) -> None:
    """As create-admin does it, in another process: noticed within seconds."""
    service = configured
    await service.create_staff()
    await service.create_staff("other@example.com")
    cookies, other = (
        {"chatsvc": await open_session(service)},
        {"chatsvc": await open_session(service, email="other@example.com")},
    )
    stream = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={cookies['chatsvc']}")
    await stream.next()
    assert await is_in(service, cookies)
    await service.app.db.write(
        people.save_staff, str(uuid4()), STAFF.upper(), None, hash_password("another password")
    )
    assert (await stream.next("close")).data == {"reason": "revoked", "reconnect": False}
    await forget(service)
    assert not await is_in(service, cookies)
    assert await is_in(service, other)


def test_ended_elsewhere_means_noticed_within_seconds() -> None:
    assert STAFF_CACHED_S <= 5 and Rhythm().revalidate_s <= 15


@pytest.mark.parametrize(
    ("column", "age", "lives"),
    [
        ("last_seen_at", "11 hours 59 minutes", True),
        ("last_seen_at", "12 hours 1 minute", False),
        ("created_at", "6 days 23 hours", True),
        ("created_at", "7 days 1 minute", False),
    ],
)
async def test_sessions_end_after_12_idle_hours_and_after_7_days(
    service: Service, column: str, age: str, lives: bool
) -> None:
    await service.create_staff()
    cookies = {"chatsvc": await open_session(service)}
    await service.app.db.write(
        lambda db: db.execute_sql(
            f"UPDATE staff_sessions SET {column} = clock_timestamp() - %s::interval",  # noqa: S608
            age,
        )
    )
    assert await is_in(service, cookies) is lives
    rows = await service.app.db.read(
        lambda db: db.execute_sql(
            "SELECT clock_timestamp() - last_seen_at < interval '1 minute' FROM staff_sessions"
        )
    )
    if lives:
        assert rows == [(True,)], "a session that is used is no longer idle"


async def test_an_expired_session_is_removed_at_the_next_login(service: Service) -> None:
    await service.create_staff()
    await open_session(service)
    await service.app.db.write(
        lambda db: db.execute_sql(
            "UPDATE staff_sessions SET created_at = clock_timestamp() - interval '8 days'"
        )
    )
    await open_session(service)
    rows: list[Any] = await service.app.db.read(
        lambda db: db.execute_sql("SELECT count(*) FROM staff_sessions")
    )
    assert rows == [(1,)]


@with_options(rhythm=Rhythm(ping_ticks=1))
async def test_a_stream_ends_with_the_token_that_opened_it(configured: Service) -> None:
    token = configured.user_token(ttl_s=2)
    stream = await configured.stream(token)
    assert (await stream.next("close", timeout=10)).data == {"reason": "expired", "reconnect": True}
    await stream.closed()


@pytest.mark.slow
def test_create_admin_again_locks_the_old_sessions_out(
    server: ServerProcess, tmp_path: Path
) -> None:
    """The command as it is used, beside the running server."""
    server.start()
    assert server.command("create-admin", STAFF, "--password-stdin", stdin=PASSWORD).returncode == 0

    def ask(
        method: str, path: str, body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def login(password: str) -> tuple[int, str]:
        cookie = (ask("GET", "/login").getheader("Set-Cookie") or "").partition(";")[0]
        form = urlencode(
            {"email": STAFF, "password": password, "_xsrf": cookie.partition("=")[2].strip('"')}
        )
        answer = ask(
            "POST", "/login", form, Cookie=cookie, Content_Type="application/x-www-form-urlencoded"
        )
        return answer.status, (answer.getheader("Set-Cookie") or "").partition(";")[0]

    status, session = login(PASSWORD)
    assert status == 303 and ask("GET", "/admin/chats", Cookie=session).status == 200
    token = server.command("staff-token", STAFF).stdout
    assert (
        token.count("\n") == 1
        and ask("GET", "/admin/chats", Authorization=f"Bearer {token.strip()}").status == 200
    )
    assert (
        server.command(
            "create-admin", STAFF, "--password-stdin", stdin="another password"
        ).returncode
        == 0
    )
    wait(
        lambda: ask("GET", "/admin/chats", Cookie=session).status == 401, "the old session is over"
    )
    assert (login(PASSWORD)[0], login("another password")[0]) == (401, 303)
    for secret in (PASSWORD, "another password", token.strip(), session.partition("=")[2], STAFF):
        assert secret not in server.log

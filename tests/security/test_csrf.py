"""A request that a cookie authorises comes from our own pages or not at all; one with a bearer token needs no more."""

from typing import Any

import pytest

from chatsvc.handlers.page import PageHandler
from chatsvc.handlers.unsubscribe import UnsubscribeHandler
from tests.conftest import ServiceFactory
from tests.security.actors import MANY_LOGINS, XSRF, Actors, cookie, gather_actors, open_session
from tests.security.conftest import with_options
from tests.security.test_matrix import TABLE, all_routes
from tests.support.service import PASSWORD, Service, read_cookies

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
BY_COOKIE = [
    (pattern, method)
    for pattern, handler, method in all_routes()
    if method in CHANGING
    and (handler.audience == "staff" or issubclass(handler, PageHandler))
    and handler
    is not UnsubscribeHandler  # opened by the token in its address; test_unsubscribe.py posts from everywhere
]
PUBLIC_URL = "https://chat.example.com"
HOST_PAGE = "https://www.example.com"
# What a browser says of a request that another site made it send; Origin is missing or null where that site hides it.
FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example.com"},
    {"Sec-Fetch-Site": "same-site", "Origin": "null"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HOST_PAGE},
    {"Sec-Fetch-Site": "unheard-of", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://chat.example.com"},
    {"Origin": "https://chat.example.com.evil.example"},
    {"Origin": "https://chat.example.com:8443"},
    {"Origin": "https://CHAT.example.com"},
    {"Origin": "file://"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": PUBLIC_URL},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": PUBLIC_URL},
]


@pytest.fixture
def actors(make_service: ServiceFactory, io_loop: Any) -> Actors:
    """Behind https, with a host page whose origin is allowed for the widget."""
    service = make_service(allowed_origins=(HOST_PAGE,), public_url=PUBLIC_URL, rates=MANY_LOGINS)
    found: Actors = io_loop.run_sync(lambda: gather_actors(service))
    session = found.headers["session"]
    session["Cookie"] = session["Cookie"].replace("chatsvc=", "__Host-chatsvc=")
    return found


async def unchanged(actors: Actors) -> list[Any]:
    """What an attack would change."""
    rows = await actors.service.app.db.read(
        lambda session: session.execute_sql(
            "SELECT (SELECT count(*) FROM support_messages), (SELECT count(*) FROM staff_sessions), "
            "(SELECT array_agg(archived_at) FROM support_chats), (SELECT array_agg(admin_viewed_at) FROM support_chats), "
            "(SELECT count(*) FROM staff_tokens), (SELECT array_agg(u) FROM (SELECT name, language, password_hash FROM users) u)"
        )
    )
    return list(rows)


def test_the_routes_are_those_that_a_cookie_opens() -> None:
    assert len(BY_COOKIE) == 15 and ("/login", "POST") in BY_COOKIE


async def test_another_site_gets_403_though_the_cookies_travel(actors: Actors) -> None:
    """With the right XSRF token even, as a page on a sibling domain can plant one; nothing is changed."""
    for pattern, method in BY_COOKIE:
        row = TABLE[pattern, method]
        before = await unchanged(actors)
        for headers in FOREIGN:
            answer = await actors.request(
                "session",
                method,
                row.path.format(chat=actors.chat_id),
                headers=headers,
                **row.options,
            )
            assert answer.status == 403, headers
        assert await unchanged(actors) == before


async def test_without_the_token_beside_the_cookie_it_is_403(actors: Actors) -> None:
    for pattern, method in BY_COOKIE:
        row, session = TABLE[pattern, method], actors.headers["session"]["Cookie"]
        wrong = XSRF.replace("00000000|", "00000001|", 1)
        before = await unchanged(actors)
        for cookies, token in (
            (session, None),
            (session, XSRF),
            (f"{session}; __Host-_xsrf={XSRF}", None),
            (f"{session}; __Host-_xsrf={XSRF}", ""),
            (f"{session}; __Host-_xsrf={XSRF}", wrong),
            (f"{session}; __Host-_xsrf={XSRF}", "2|x|y|z"),
            (f"{session}; __Host-_xsrf=", ""),
            (f"{session}; __Host-_xsrf={XSRF}", "0" * 31),
            (f"{session}; __Host-_xsrf={XSRF}", "\xff"),
        ):
            headers = {"Cookie": cookies, **({} if token is None else {"X-XSRFToken": token})}
            answer = await actors.service.request(
                method, row.path.format(chat=actors.chat_id), headers=headers, **row.options
            )
            assert answer.status == 403, (cookies, token)
        assert await unchanged(actors) == before


async def test_our_own_pages_are_let_in(actors: Actors) -> None:
    for pattern, method in BY_COOKIE:
        row = TABLE[pattern, method]
        for headers in OWN:
            fresh = cookie(await open_session(actors.service))["Cookie"].replace(
                "chatsvc=", "__Host-chatsvc="
            )
            actors.headers["session"]["Cookie"] = fresh
            answer = await actors.request(
                "session",
                method,
                row.path.format(chat=actors.chat_id),
                headers=headers,
                **row.options,
            )
            assert answer.status == row.ok, (pattern, headers)


async def test_the_same_host_in_host_and_origin_is_our_own_without_fetch_metadata(
    service: Service,
) -> None:
    """An old browser over plain http, at an address that is not PUBLIC_URL: Origin and Host agree."""
    await service.create_staff()
    cookies = await service.login()
    headers = {"X-XSRFToken": cookies["_xsrf"], "Origin": service.url}
    assert (
        await service.request("POST", "/logout", cookies=cookies, headers=headers)
    ).status == 303


async def test_a_bearer_token_needs_no_other(actors: Actors) -> None:
    for (pattern, method), row in TABLE.items():
        if method not in CHANGING or not pattern.startswith("/admin"):
            continue
        answer = await actors.service.request(
            method,
            row.path.format(chat=actors.chat_id),
            headers=actors.headers["staff token"],
            **row.options,
        )
        assert answer.status == row.ok, pattern


async def test_a_bogus_bearer_token_does_not_replace_the_xsrf_token(actors: Actors) -> None:
    """A form cannot send one; but if it could, the cookie beside it would count for nothing."""
    for value in ("Bearer x", "Bearer ", "", "Basic x"):
        headers = {**actors.headers["session"], "Authorization": value}
        answer = await actors.service.request(
            "POST", f"/admin/chats/{actors.chat_id}/archive", headers=headers
        )
        assert answer.status == 401, value


@with_options(allowed_origins=(HOST_PAGE,), public_url=PUBLIC_URL)
async def test_nobody_can_log_a_browser_in_from_elsewhere(configured: Service) -> None:
    """Login CSRF: with right credentials (the attacker's own), from the page that embeds the widget too."""
    service = configured
    await service.create_staff()
    xsrf = read_cookies(await service.get("/login"))["__Host-_xsrf"]
    form = {"email": "staff@example.com", "password": PASSWORD}
    for headers in FOREIGN:
        answer = await service.request(
            "POST",
            "/login",
            form={**form, "_xsrf": xsrf},
            cookies={"__Host-_xsrf": xsrf},
            headers=headers,
        )
        assert answer.status == 403 and "__Host-chatsvc" not in read_cookies(answer), headers
    for cookies, token in (({}, xsrf), ({"_xsrf": xsrf}, xsrf), ({"__Host-_xsrf": xsrf}, "")):
        answer = await service.request(
            "POST", "/login", form={**form, "_xsrf": token}, cookies=cookies
        )
        assert answer.status == 403 and "__Host-chatsvc" not in read_cookies(answer)


async def test_user_endpoints_take_writes_from_allowed_origins_only(actors: Actors) -> None:
    """They need no cookie, so nothing could be stolen; an origin that is not allowed is refused all the same."""
    for path, method, body in (
        ("/visitors", "POST", {}),
        ("/support_chat/messages", "POST", {"content": "x"}),
        ("/support_chat/mark_read", "PATCH", {}),
        ("/visitors/me", "PATCH", {}),
    ):
        who = "visitor" if path == "/visitors/me" else "owner"
        for headers in FOREIGN:
            answer = await actors.service.request(
                method, path, headers={**actors.headers[who], **headers}, body=body
            )
            assert (answer.status == 403) == (headers.get("Origin") != HOST_PAGE), (path, headers)

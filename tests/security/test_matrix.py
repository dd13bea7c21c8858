"""Who may do what: every route × every method × everybody. A route that is not in the table fails the test."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chatsvc.app import ROUTES
from chatsvc.handlers.base import METHODS, BaseHandler, CorsMixin
from chatsvc.handlers.endpoint import Endpoint
from chatsvc.handlers.page import PageHandler
from tests.conftest import ServiceFactory
from tests.security.actors import (
    MANY_LOGINS,
    SECRET_TEXT,
    XSRF,
    Actors,
    cookie,
    gather_actors,
    open_session,
)
from tests.support.service import PASSWORD, Service

UUID = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
EVERYBODY = (
    "nobody",
    "owner",
    "other",
    "visitor",
    "session",
    "staff token",
    "expired",
    "revoked session",
    "revoked token",
    "garbage",
    "garbage session",
    "user token as cookie",
    "staff token as cookie",
    "session as bearer",
)

OK = 0  # stands for the row's own status
Statuses = dict[str, int]
REFUSED: Statuses = dict.fromkeys(EVERYBODY, 401)
PUBLIC: Statuses = dict.fromkeys(EVERYBODY, OK)
USER: Statuses = {**REFUSED, "owner": OK, "other": OK, "visitor": OK, "staff token": 403}
VISITOR: Statuses = {**USER, "owner": 403, "other": 403}
STAFF: Statuses = {
    **REFUSED,
    "session": OK,
    "staff token": OK,
    "owner": 403,
    "other": 403,
    "visitor": 403,
}
PAGE: Statuses = {**dict.fromkeys(EVERYBODY, 302), "session": OK}  # a page knows the cookie alone
FORM: Statuses = {**REFUSED, "session": OK}
METRICS: Statuses = {  # the test is on this machine: without a token everybody is welcome
    **dict.fromkeys(EVERYBODY, OK),
    "owner": 403,
    "other": 403,
    "visitor": 403,
    "expired": 401,
    "revoked token": 401,
    "garbage": 401,
    "session as bearer": 401,
}


class Row(NamedTuple):
    expected: Statuses
    ok: int
    path: str
    options: dict[str, Any] = {}  # noqa: RUF012 -- never changed


MESSAGE = {"body": {"content": "hello"}}
WRONG_PASSWORD = {"old_password": "wrong wrong wrong", "new_password": "a new password"}
ACCOUNT = "/dashboard/account"
CHAT, PAGES = "/admin/chats/{chat}", "/dashboard/chats/{chat}"
_ID, _UUID = "([^/]+)", r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_PAGES = f"/dashboard/chats/{_UUID}"

TABLE: dict[tuple[str, str], Row] = {
    ("/visitors", "POST"): Row(PUBLIC, 201, "/visitors", {"body": {}}),
    ("/visitors/me", "PATCH"): Row(VISITOR, 200, "/visitors/me", {"body": {}}),
    ("/support_chat", "GET"): Row(USER, 200, "/support_chat"),
    ("/support_chat/messages", "GET"): Row(USER, 200, "/support_chat/messages"),
    ("/support_chat/messages", "POST"): Row(USER, 201, "/support_chat/messages", MESSAGE),
    ("/support_chat/mark_read", "PATCH"): Row(USER, 200, "/support_chat/mark_read"),
    ("/support_chat/stream", "GET"): Row(USER, 200, "/support_chat/stream"),
    ("/admin/chats", "GET"): Row(STAFF, 200, "/admin/chats"),
    (f"/admin/chats/{_ID}", "GET"): Row(STAFF, 200, CHAT),
    (f"/admin/chats/{_ID}/messages", "GET"): Row(STAFF, 200, f"{CHAT}/messages"),
    (f"/admin/chats/{_ID}/messages", "POST"): Row(STAFF, 201, f"{CHAT}/messages", MESSAGE),
    (f"/admin/chats/{_ID}/mark_viewed", "POST"): Row(STAFF, 200, f"{CHAT}/mark_viewed"),
    (f"/admin/chats/{_ID}/archive", "POST"): Row(STAFF, 200, f"{CHAT}/archive"),
    (f"/admin/chats/{_ID}/unarchive", "POST"): Row(STAFF, 200, f"{CHAT}/unarchive"),
    (f"/admin/chats/{_ID}/stream", "GET"): Row(STAFF, 200, f"{CHAT}/stream"),
    ("/admin/notifications/stream", "GET"): Row(
        STAFF, 200, "/admin/notifications/stream?chat_id={chat}"
    ),
    ("/", "GET"): Row(PUBLIC, 302, "/"),
    ("/login", "GET"): Row(PUBLIC, 200, "/login"),
    ("/login", "POST"): Row(
        PUBLIC, 401, "/login", {"form": {"email": "x@example.com", "password": "wrong"}}
    ),
    ("/logout", "POST"): Row(FORM, 303, "/logout"),
    ("/dashboard", "GET"): Row(PAGE, 200, "/dashboard"),
    ("/dashboard/cards", "GET"): Row(PAGE, 200, "/dashboard/cards"),
    ("/dashboard/tabs", "GET"): Row(PAGE, 200, "/dashboard/tabs"),
    ("/dashboard/search", "GET"): Row(PAGE, 200, "/dashboard/search?q=alice"),
    (ACCOUNT, "GET"): Row(PAGE, 200, ACCOUNT),
    (f"{ACCOUNT}/name", "POST"): Row(FORM, 303, f"{ACCOUNT}/name", {"form": {"name": "Sam"}}),
    (f"{ACCOUNT}/language", "POST"): Row(
        FORM, 303, f"{ACCOUNT}/language", {"form": {"language": ""}}
    ),
    (f"{ACCOUNT}/password", "POST"): Row(
        FORM, 422, f"{ACCOUNT}/password", {"form": WRONG_PASSWORD}
    ),
    (f"{ACCOUNT}/sessions/{_UUID}/end", "POST"): Row(FORM, 303, f"{ACCOUNT}/sessions/{UUID}/end"),
    (f"{ACCOUNT}/tokens", "POST"): Row(
        FORM, 201, f"{ACCOUNT}/tokens", {"form": {"token_name": "x", "token_password": PASSWORD}}
    ),
    (f"{ACCOUNT}/tokens/{_UUID}/revoke", "POST"): Row(FORM, 303, f"{ACCOUNT}/tokens/{UUID}/revoke"),
    (_PAGES, "GET"): Row(PAGE, 200, PAGES),
    (_PAGES, "POST"): Row(FORM, 303, PAGES, {"form": {"content": "a reply"}}),
    (f"{_PAGES}/messages", "GET"): Row(PAGE, 200, f"{PAGES}/messages"),
    (f"{_PAGES}/(archive|unarchive)", "POST"): Row(FORM, 303, f"{PAGES}/archive"),
    (f"{_PAGES}/e-mail/(send|cancel)", "POST"): Row(FORM, 303, f"{PAGES}/e-mail/cancel"),
    ("/demo", "GET"): Row(PUBLIC, 404, "/demo"),
    ("/demo/token", "GET"): Row(PUBLIC, 404, "/demo/token"),
    ("/notices/unsubscribe", "GET"): Row(PUBLIC, 404, "/notices/unsubscribe"),
    ("/notices/unsubscribe", "POST"): Row(PUBLIC, 404, "/notices/unsubscribe"),
    (r"/widget\.js", "GET"): Row(PUBLIC, 200, "/widget.js"),
    (r"/static/v/([0-9a-z]{1,64})/([A-Za-z0-9_./-]{1,200})", "GET"): Row(
        PUBLIC, 200, "/static/v/x/style.css"
    ),
    ("/healthz", "GET"): Row(PUBLIC, 200, "/healthz"),
    ("/readyz", "GET"): Row(PUBLIC, 200, "/readyz"),
    ("/metrics", "GET"): Row(METRICS, 200, "/metrics"),
    ("/openapi.json", "GET"): Row(PUBLIC, 200, "/openapi.json"),
}
TABLE |= {(pattern, "HEAD"): row for (pattern, method), row in TABLE.items() if method == "GET"}


def all_routes() -> Iterator[tuple[str, type[BaseHandler], str]]:
    """Pattern, handler and method of everything that the application answers."""
    for pattern, handler, *_ in ROUTES:
        for method in handler.allowed_methods():
            yield pattern, handler, method


def test_every_route_is_in_the_table_and_every_row_is_a_route() -> None:
    """A preflight (OPTIONS) is the same everywhere and has tests of its own."""
    routes = {(pattern, method) for pattern, _, method in all_routes() if method != "OPTIONS"}
    assert routes == set(TABLE)


def test_rows_lead_to_their_routes() -> None:
    for (pattern, _), row in TABLE.items():
        path = row.path.format(chat=UUID).partition("?")[0]
        assert re.fullmatch(pattern, path) and not any(
            re.fullmatch(other, path)
            for other, *_ in ROUTES[: [route[0] for route in ROUTES].index(pattern)]
        )


@pytest.fixture
def actors(make_service: ServiceFactory, io_loop: Any) -> Actors:
    service = make_service(rates=MANY_LOGINS)
    found: Actors = io_loop.run_sync(lambda: gather_actors(service))
    return found


async def test_everybody_gets_what_the_table_says(actors: Actors) -> None:
    wrong = []
    for (pattern, method), row in TABLE.items():
        for who, expected in row.expected.items():
            if pattern == "/logout":
                actors.headers["session"].update(cookie(await open_session(actors.service)))
            status = await ask(actors, who, method, row)
            if status != (expected or row.ok):
                wrong.append(f"{method} {pattern} by {who}: {status}, not {expected or row.ok}")
    assert not wrong, "\n".join(wrong)


async def ask(actors: Actors, who: str, method: str, row: Row) -> int:
    """The status; and whatever it is, nobody but its owner and staff sees the owner's words."""
    path = row.path.format(chat=actors.chat_id)
    if "stream" in path and method == "GET":
        stream = await actors.service.stream(None, path, **actors.headers[who])
        stream.close()
        return stream.status
    answer = await actors.request(who, method, path, **row.options)
    if who not in ("owner", "session", "staff token"):
        assert SECRET_TEXT not in answer.text, f"{method} {path} by {who}"
    if (row.expected[who] or row.ok) == 401 and answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer", f"{method} {path} by {who}"
    return answer.status


async def test_a_user_sees_only_what_is_his(actors: Actors) -> None:
    """The owner's chat is found by who he is: what another sends goes to another chat, what he reads comes from it."""
    for who in ("other", "visitor"):
        mine = (await actors.request(who, "GET", "/support_chat")).json
        assert mine["id"] != actors.chat_id and mine["messages"] == []
        await actors.request(who, "POST", "/support_chat/messages", body={"content": "mine"})
        for query in ("after=0", "before=100", "since=2000-01-01T00:00:00Z"):
            page = (
                await actors.request(
                    who, "GET", f"/support_chat/messages?{query}&chat_id={actors.chat_id}"
                )
            ).json
            assert [message["content"] for message in page["messages"]] == ["mine"]
    owner = (await actors.request("owner", "GET", "/support_chat")).json
    assert [message["content"] for message in owner["messages"]] == [SECRET_TEXT]


async def test_what_is_not_there_and_what_is_not_ones_own_are_the_same(actors: Actors) -> None:
    """A user who tries ids on staff's paths learns nothing from the answers, and no id form tells staff more than another."""
    for row in (row for (pattern, _), row in TABLE.items() if "/admin/chats/" in pattern):
        method = next(method for (_, method), other in TABLE.items() if other is row)
        for who, status in (
            ("owner", 403),
            ("other", 403),
            ("visitor", 403),
            ("nobody", 401),
            ("staff token", 404),
        ):
            known = actors.chat_id if status != 404 else "no-uuid"
            answers = [
                await actors.request(who, method, row.path.format(chat=chat), **row.options)
                for chat in (known, UUID)
            ]
            assert [answer.status for answer in answers] == [status, status], (
                f"{method} {row.path} by {who}"
            )
            bodies = [{**answer.json, "request_id": ""} for answer in answers]
            assert bodies[0] == bodies[1], f"{method} {row.path} by {who}"


async def test_methods_that_a_route_does_not_know_are_405_with_allow(service: Service) -> None:
    for pattern in {pattern for pattern, *_ in ROUTES}:
        handler = next(handler for other, handler, *_ in ROUTES if other == pattern)
        row = next(row for (other, _), row in TABLE.items() if other == pattern)
        for method in (*METHODS, "TRACE", "PROPFIND", "get", "FOO"):
            if method in handler.allowed_methods():
                continue
            head = {"X-XSRFToken": XSRF, "Cookie": f"_xsrf={XSRF}"}
            answer = await service.request(method, row.path.format(chat=UUID), headers=head)
            assert answer.status == 405, f"{method} {pattern}"
            assert answer.headers["Allow"] == ", ".join(handler.allowed_methods()), (
                f"{method} {pattern}"
            )


def test_a_handler_without_an_audience_is_refused_to_everybody() -> None:
    assert BaseHandler.audience == PageHandler.audience == "nobody"
    for pattern, handler, *_ in ROUTES:
        assert issubclass(handler, BaseHandler), pattern
        assert handler.audience in ("public", "user", "staff"), (
            f"{pattern} does not say who may call it"
        )
        assert handler.prepare is BaseHandler.prepare, f"{pattern} has a door of its own"


def test_a_route_has_one_form() -> None:
    """The API runs as Endpoints and pages as RequestHandlers: two forms of a route could differ."""
    patterns = [pattern for pattern, *_ in ROUTES]
    assert len(patterns) == len(set(patterns))
    for pattern, handler, method in all_routes():
        verb = getattr(handler, method.lower())
        if hasattr(verb, "operation"):
            assert issubclass(handler, Endpoint), pattern
        if issubclass(handler, Endpoint):
            assert handler.run is Endpoint.run and not issubclass(handler, PageHandler), pattern


@pytest.mark.parametrize("base", [BaseHandler, PageHandler, CorsMixin, Endpoint])
async def test_a_forgotten_audience_lets_nobody_in(actors: Actors, base: type[BaseHandler]) -> None:
    """Also pages, which once took any session whatever their audience said."""

    class Forgetful(base):  # type: ignore[misc, valid-type]
        def get(self) -> None:
            self.finish("let in")

    actors.service.app.web.add_handlers(".*", [("/forgetful", Forgetful)])
    for who in EVERYBODY:
        answer = await actors.request(who, "GET", "/forgetful")
        assert answer.status in (401, 403) and "let in" not in answer.text, who


async def test_the_more_specific_proof_counts_and_none_falls_back_to_the_other(
    actors: Actors,
) -> None:
    """A bad token is not made good by a cookie that travels with it, and a user's token hides the session beside it."""
    session = actors.headers["session"]
    for who, status in (("garbage", 401), ("expired", 401), ("owner", 403), ("staff token", 200)):
        answer = await actors.service.request(
            "GET", "/admin/chats", headers={**session, **actors.headers[who]}
        )
        assert answer.status == status, who
    for header in ("", "Bearer", "Bearer ", "Basic c3RhZmY6eA==", "Token x", "bearer\tx"):
        answer = await actors.service.request(
            "GET", "/admin/chats", headers={**session, "Authorization": header}
        )
        assert answer.status == 401, header


async def test_a_token_in_the_url_or_the_body_is_nothing(actors: Actors) -> None:
    token = actors.headers["owner"]["Authorization"].removeprefix("Bearer ")
    staff = actors.headers["staff token"]["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "authorization", "bearer", "jwt"):
        assert (await actors.service.get(f"/support_chat?{name}={token}")).status == 401
        assert (await actors.service.get(f"/admin/chats?{name}={staff}")).status == 401
        assert (
            await actors.service.request("POST", "/support_chat/messages", form={name: token})
        ).status == 401
        stream = await actors.service.stream(None, f"/support_chat/stream?{name}={token}")
        assert stream.status == 401
        stream.close()


async def test_the_scheme_is_bearer_in_any_case(service: Service) -> None:
    for scheme in ("bearer", "BEARER", "Bearer"):
        answer = await service.get(
            "/support_chat", headers={"Authorization": f"{scheme} {service.user_token()}"}
        )
        assert answer.status == 200

"""What an answer tells about the inside: nothing. What it tells a browser: how to treat it."""

import re
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from chatsvc.errors import Unavailable
from chatsvc.handlers.base import BaseHandler, CorsMixin
from chatsvc.handlers.endpoint import Endpoint
from chatsvc.handlers.page import PageHandler
from tests.security.conftest import with_options
from tests.security.test_bodies import check_problem
from tests.security.test_matrix import TABLE, UUID
from tests.security.test_tokens import OTHER_SECRET, claims, sign
from tests.support.postgres import execute, with_database
from tests.support.service import Response, Service

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
INSIDE = re.compile(
    r"Traceback|psycopg|peewee|tornado|python|postgres|SELECT |INSERT |UPDATE |relation |/chatsvc/|\.py\b|line \d|site-packages",
    re.IGNORECASE,
)
REQUEST_ID = re.compile(r"[0-9a-f]{16}")
SECRET = "s3cret of /etc/passwd SELECT 1"


def check_tells_nothing(answer: Response) -> None:
    lines = "\n".join(f"{name}: {value}" for name, value in answer.headers.get_all())
    assert "Server" not in answer.headers and "X-Powered-By" not in answer.headers
    assert not INSIDE.search(lines), lines
    assert not INSIDE.search(answer.text) and SECRET not in answer.text, answer.text
    assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])


# ---- headers ----


async def test_every_answer_is_silent_about_the_server_and_typed_for_good(service: Service) -> None:
    staff = await service.staff_token()
    for (pattern, method), row in TABLE.items():
        if "stream" in pattern:
            continue
        for token in (None, staff, service.user_token()):
            answer = await service.request(method, row.path.format(chat=UUID), token=token)
            assert "Server" not in answer.headers, pattern
            assert answer.headers["X-Content-Type-Options"] == "nosniff", pattern
            assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"]), pattern
            if "static" not in pattern and "widget" not in pattern:
                assert answer.headers["Cache-Control"] == "no-store", pattern
    stream = await service.stream(service.user_token())
    assert "server" not in stream.headers and stream.headers["x-content-type-options"] == "nosniff"
    assert REQUEST_ID.fullmatch(stream.headers["x-request-id"])
    stream.close()


async def pages(service: Service) -> list[Response]:
    """Each kind of page: before and behind the login, errors, redirects, fragments."""
    await service.create_staff()
    chat = await service.chat_id(service.user_token())
    cookies = await service.login()
    html = {"Accept": "text/html"}
    paths = (
        "/login",
        "/",
        "/dashboard",
        "/dashboard/cards",
        "/dashboard/tabs",
        f"/dashboard/chats/{chat}",
        f"/dashboard/chats/{chat}/messages",
        f"/dashboard/chats/{UUID}",
        f"/dashboard/chats/{chat}?before=x",
        "/demo",
        "/nope",
        "/dashboard/search?q=a",
        "/dashboard/account",
    )
    found = [await service.get(path, cookies=cookies, headers=html) for path in paths]
    found += [
        await service.get("/dashboard"),
        await service.request("POST", "/login"),
        await service.request("PUT", "/login"),
    ]
    return found


async def test_pages_carry_the_whole_policy(service: Service) -> None:
    for answer in await pages(service):
        assert answer.headers["Content-Security-Policy"] == CSP
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Strict-Transport-Security" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_pages_keep_to_their_own_policy(service: Service) -> None:
    """No inline script, style or handler: the policy would stop them, and a browser would report it."""
    for answer in await pages(service):
        assert not re.search(
            r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:|https?://(?!localhost)",
            answer.text,
        ), answer.text


@with_options(public_url="https://chat.example.com")
async def test_behind_https_browsers_are_told_to_stay_there(configured: Service) -> None:
    answer = await configured.get("/login")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@with_options(demo=True)
async def test_the_demo_page_has_the_policy_too(configured: Service) -> None:
    for who in ("alex", "kim", "visitor", "<script>alert(1)</script>", '"><img src=x>'):
        answer = await configured.get(f"/demo?as={quote(who)}")
        assert answer.status == 200 and answer.headers["Content-Security-Policy"] == CSP
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text


# ---- errors of ours ----


class Broken(BaseHandler):
    audience = "public"

    def get(self) -> None:
        raise RuntimeError(SECRET)


class BrokenLate(CorsMixin):
    audience = "public"

    def get(self) -> None:
        self.set_header("X-Inside", SECRET)
        self.write(SECRET)
        raise psycopg2.ProgrammingError(SECRET)


class BrokenPage(PageHandler):
    audience = "public"

    def get(self) -> None:
        self.page("no such template.html", secret=SECRET)


class BrokenPrepare(BaseHandler):
    audience = "public"

    async def prepare(self) -> None:
        raise KeyError(SECRET)

    def get(self) -> None:
        pass


class BrokenEndpoint(CorsMixin, Endpoint):
    audience = "public"

    def get(self) -> None:
        self.set_header("X-Inside", SECRET)
        raise psycopg2.ProgrammingError(SECRET)


@pytest.mark.parametrize("handler", [Broken, BrokenLate, BrokenPage, BrokenPrepare, BrokenEndpoint])
async def test_an_exception_is_a_500_that_shares_its_number_with_the_log(
    service: Service,
    handler: type[BaseHandler],
    expected_log: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected_log.append("failed")
    service.app.web.add_handlers(".*", [("/broken", handler)])
    answer = await service.get("/broken")
    assert answer.status == 500 and "X-Inside" not in answer.headers
    check_tells_nothing(answer)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert answer.headers["X-Request-Id"] in record.getMessage() and record.exc_info
    if handler is BrokenPage:
        assert (
            answer.headers["X-Request-Id"] in answer.text
            and answer.headers["Content-Security-Policy"] == CSP
        )
    else:
        assert check_problem(answer, 500)["detail"].startswith("An unexpected error occurred.")


async def test_a_broken_table_is_a_500_without_a_word_of_sql(
    service: Service, expected_log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    expected_log.append("failed")
    alice, staff = service.user_token(), await service.staff_token()
    chat, cookies = await service.chat_id(alice), await service.login()
    await service.app.db.write(
        lambda session: session.execute_sql("ALTER TABLE support_messages RENAME TO gone")
    )
    answers = [
        await service.get("/support_chat", alice),
        await service.post("/support_chat/messages", alice, {"content": "x"}),
        await service.get(f"/admin/chats/{chat}", staff),
        await service.get(f"/dashboard/chats/{chat}", cookies=cookies),
        await service.get("/dashboard", cookies=cookies),
    ]
    assert [answer.status for answer in answers] == [500] * 5
    for answer in answers:
        check_tells_nothing(answer)
        assert any(
            answer.headers["X-Request-Id"] in record.getMessage()
            for record in caplog.records
            if record.exc_info
        )


async def test_without_a_database_everything_is_503_with_retry_after(
    service: Service, expected_log: list[str]
) -> None:
    """And stays up: /healthz says so, /readyz says why."""
    expected_log += ["the database", "failed"]
    alice, staff = service.user_token(), await service.staff_token()
    chat, cookies = await service.chat_id(alice), await service.login()
    admin = with_database(service.database_url, "postgres")
    ((name,),) = execute(service.database_url, "SELECT current_database()")
    execute(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    execute(
        admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name
    )
    try:
        answers = [
            await service.get("/support_chat", alice),
            await service.get("/support_chat", service.user_token("new")),
            await service.post("/support_chat/messages", alice, {"content": "x"}),
            await service.post("/visitors", body={}),
            await service.get(f"/admin/chats/{chat}", staff),
            await service.get("/admin/chats", "cs_unknown"),
            await service.get("/dashboard", cookies=cookies),
            await service.get("/dashboard", cookies={"chatsvc": "unknown"}),
        ]
        for answer in answers:
            assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
            check_tells_nothing(answer)
        for answer in answers[:6]:
            check_problem(answer, 503)
        assert (await service.get("/healthz")).status == 200
        ready = await service.get("/readyz")
        assert ready.status == 503 and not INSIDE.search(ready.text)
    finally:
        execute(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert (await service.get("/support_chat", alice)).status == 200


async def test_every_status_of_the_contract_can_be_had_and_is_a_problem(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, staff = service.user_token(), await service.staff_token()
    await service.send(alice, "first", "c1")
    had: dict[int, Response] = {}
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/support_chat/messages?limit=x", {"token": alice}),
        ("GET", "/support_chat", {}),
        ("GET", "/admin/chats", {"token": alice}),
        ("GET", f"/admin/chats/{UUID}", {"token": staff}),
        ("DELETE", "/support_chat", {"token": alice}),
        (
            "POST",
            "/support_chat/messages",
            {"token": alice, "body": {"content": "other", "client_id": "c1"}},
        ),
        ("POST", "/support_chat/messages", {"token": alice, "raw": b" " * 70_000}),
        ("POST", "/support_chat/messages", {"token": alice, "raw": b"{}"}),
        ("POST", "/support_chat/messages", {"token": alice, "body": {"content": ""}}),
    ]
    for method, path, options in tries:
        answer = await service.request(method, path, **options)
        had[answer.status] = answer
    limits = service.app.web.settings["services"].limits
    monkeypatch.setattr(type(limits.message_user), "take", lambda *_: 1.5)
    had[429] = await service.post("/support_chat/messages", alice, {"content": "x"})

    async def frozen(*_: object, **__: object) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(service.app.db, "read", frozen)
    had[503] = await service.get("/support_chat/messages", alice)
    assert set(had) == {400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503}
    for status, answer in had.items():
        check_problem(answer, status)
        check_tells_nothing(answer)
    assert (
        had[401].headers["WWW-Authenticate"] == "Bearer"
        and had[405].headers["Allow"] == "GET, HEAD, OPTIONS"
    )
    assert had[429].headers["Retry-After"] == "2" and had[503].headers["Retry-After"] == "1"


async def test_a_refused_token_is_told_nothing_but_expired(service: Service) -> None:
    """One body for whatever was wrong with it, another for a token that was right once."""
    wrong = [
        "x",
        "a.b.c",
        "cs_x",
        "cv_x",
        "cv_a.b.c",
        sign(claims(aud="x")),
        sign(claims(), secret=OTHER_SECRET),
        sign(claims(), header={"alg": "none"}),
        sign(claims(exp="x")),
        sign(claims(sub="")),
        sign(claims(exp=10**12)),
        "x" * 5000,
        sign(claims(exp=float("inf"))),
    ]
    bodies = [(await service.get("/support_chat", token)).json for token in wrong]
    bodies.append((await service.get("/support_chat")).json)
    assert len({str({**body, "request_id": ""}) for body in bodies}) == 1 and bodies[0][
        "type"
    ].endswith(":unauthorized")
    expired = await service.get("/support_chat", service.user_token(ttl_s=-100))
    assert expired.status == 401 and expired.json["type"].endswith(":expired")

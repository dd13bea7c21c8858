"""Ids, paths, methods and heads of requests: strange ones are 404, 405 or 400, never a 5xx and never something else's answer."""

import asyncio
import json
from urllib.parse import quote

import pytest

from chatsvc.web.limits import ServerLimits
from tests.conftest import ServiceFactory
from tests.security.raw import exchange, head, status
from tests.security.test_bodies import check_problem
from tests.security.test_matrix import TABLE, UUID, all_routes
from tests.support.service import Service


def other_forms(chat: str) -> list[str]:
    """What some parsers take for the same id, and what none takes for one."""
    digits = chat.replace("-", "")
    arabic = "".join(
        chr(0x660 + int(character)) if character.isdigit() else character for character in chat
    )
    return [
        chat.upper(),
        digits,
        "{" + chat + "}",
        f"urn:uuid:{chat}",
        f" {chat}",
        f"{chat} ",
        f"{chat}\n",
        f"{chat}\r\n",
        f"{chat}\0",
        f"\ufeff{chat}",
        arabic,
        chat.replace("-", "\u2010"),
        chat.replace("-", "_"),
        chat[:-1],
        chat + "0",
        str(int(digits, 16)),
        f"0x{digits}",
        chat.replace("0", "\uff10"),
        f"{chat}.json",
        f"{chat};x=1",
        f"{chat},{chat}",
        f"'{chat}'",
        f"{chat}%00",
        "9" * 5000,
        "-1",
        "0",
        "1e9",
        "null",
        "None",
        "..",
        ".",
        "*",
        "%",
        "' OR 1=1 --",
        "<script>",
        "${7*7}",
        "\r\nSet-Cookie: a=b",
        "é" * 100,
        "[object Object]",
    ]


async def test_only_the_canonical_form_of_an_id_is_an_id(service: Service) -> None:
    """All others are 404, the same 404 as for an id that is not there."""
    staff, chat = await service.staff_token(), await service.chat_id(service.user_token())
    for form in other_forms(chat):
        for end in ("", "/messages"):
            answer = await service.get(f"/admin/chats/{quote(form, safe='')}{end}", staff)
            assert check_problem(answer, 404)["detail"] in (
                "there is no such chat",
                "Not found",
            ), form
            assert "Set-Cookie" not in answer.headers
    for raw in ("%ff", "%c0%ae", "%ed%a0%80", f"{chat}%ff", "%"):
        check_problem(await service.get(f"/admin/chats/{raw}", staff), 404)
    stream = await service.stream(staff, f"/admin/notifications/stream?chat_id={chat.upper()}")
    assert stream.status == 404
    stream.close()


async def test_strange_ids_change_nothing_either(service: Service) -> None:
    staff, chat = await service.staff_token(), await service.chat_id(service.user_token())
    for (pattern, method), row in TABLE.items():
        if method == "POST" and pattern.startswith("/admin"):
            for form in (*other_forms(chat)[:12], "9" * 5000):
                path = row.path.replace("{chat}", quote(form, safe=""))
                check_problem(await service.request(method, path, token=staff, **row.options), 404)
    assert (await service.get(f"/admin/chats/{chat}", staff)).json["messages"] == []


async def test_strange_ids_of_pages_are_no_pages(service: Service) -> None:
    await service.create_staff()
    cookies, chat = await service.login(), await service.chat_id(service.user_token())
    for form in other_forms(chat):
        answer = await service.get(f"/dashboard/chats/{quote(form, safe='')}", cookies=cookies)
        assert answer.status == 404, form
    assert (await service.get(f"/dashboard/chats/{UUID}", cookies=cookies)).status == 404
    html = await service.get("/dashboard/chats/x", cookies=cookies, headers={"Accept": "text/html"})
    assert html.status == 404 and html.headers["Content-Type"].startswith("text/html")


QUERIES: list[tuple[str, list[str]]] = [
    (
        "limit",
        [
            "0",
            "201",
            "-1",
            "1.0",
            "1e1",
            "x",
            "",
            " 1x",
            "9" * 5000,
            "\u0661",
            "0x1",
            "+1 1",
            "%ff",
            "1_0",
        ],
    ),
    ("after", ["-1", "x", "", "1.0", "01", "9" * 5000, "\u0661", "%ff", "1;2"]),
    ("before", ["-1", "x", "", "1e3", "9" * 17, "%ff"]),
    (
        "since",
        [
            "x",
            "",
            "2026-01-29",
            "2026-01-29T10:30:00",
            "0001-01-01T00:00:00%2B23:59",
            "9999-12-31T23:59:59-23:59",
            "2026-13-01T00:00:00Z",
            "1769682600",
            "%ff",
            "now",
            "infinity",
            "-infinity",
            "2026-01-29T10:30:00Z' --",
        ],
    ),
]


async def test_query_parameters_of_the_wrong_form_are_400_and_named(service: Service) -> None:
    alice, staff = service.user_token(), await service.staff_token()
    chat = await service.chat_id(alice)
    for name, values in QUERIES:
        for value in values:
            for path, token in (
                ("/support_chat/messages", alice),
                (f"/admin/chats/{chat}/messages", staff),
            ):
                answer = await service.get(
                    f"{path}?{name}={value if '%' in value else quote(value)}", token
                )
                assert name in check_problem(answer, 400)["detail"], (name, value)
    for query in (
        "limit=0",
        "limit=201",
        "archived=1",
        "archived=",
        "archived=TRUE",
        "cursor=x",
        "cursor=",
        "cursor=%ff",
        "cursor=" + "A" * 5000,
    ):
        check_problem(await service.get(f"/admin/chats?{query}", staff), 400)
    for query in (
        "after=1&before=2",
        "after=1&since=2026-01-29T10:30:00Z",
        "after=0&before=1&since=x",
    ):
        check_problem(await service.get(f"/support_chat/messages?{query}", alice), 400)


async def test_large_seqs_are_beyond_the_newest_and_no_error(service: Service) -> None:
    alice = service.user_token()
    await service.send(alice, "x")
    for seq in (2, 2**31 - 1, 2**31, 2**53 - 1, 9_999_999_999_999_999):
        page = await service.get(f"/support_chat/messages?after={seq}", alice)
        assert (page.status, page.json["messages"]) == (200, [])
        assert (
            len((await service.get(f"/support_chat/messages?before={seq}", alice)).json["messages"])
            == 1
        )
        if seq < 2**53:
            answer = await service.request(
                "PATCH", "/support_chat/mark_read", token=alice, body={"up_to": seq}
            )
            assert answer.status == 200


TRAVERSAL = (
    "../chats.py",
    "..%2fchats.py",
    "%2e%2e/chats.py",
    "....//chats.py",
    "..%5cchats.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "widget/../../chats.py",
    "widget/%2e%2e/%2e%2e/chats.py",
    "style.css%00.js",
    "style.css/",
    "./style.css",
    "widget",
    "",
    "style.css%0d%0aX:%20y",
    "STYLE.CSS",
    "..",
    "...",
    "%c0%ae%c0%ae/chats.py",
    "style.css?/../../chats.py%23",
    "x" * 201,
)


async def test_static_paths_lead_to_static_files_and_nowhere_else(service: Service) -> None:
    for path in TRAVERSAL:
        for version in ("x", service.app.web.settings["services"].assets.version, "..", "%2e%2e"):
            raw = await exchange(service.url, head("GET", f"/static/v/{version}/{path}"))
            is_file = path.startswith("style.css?") and not version.startswith((".", "%"))
            assert status(raw) == (200 if is_file else 404), (version, path)
            assert b"\nimport " not in raw and b"root:" not in raw


async def test_strange_request_lines_get_one_plain_answer(
    service: Service, expected_log: list[str]
) -> None:
    for line in (
        "GET http://evil.example/healthz HTTP/1.1",
        "GET //evil.example/ HTTP/1.1",
        "GET /\\evil.example HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /%0d%0aX-Injected:%20y HTTP/1.1",
        "GET /é HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET  /healthz HTTP/1.1",
        "GET /healthz",
        "GET /healthz HTTP/9.9",
        "GET /healthz HTTP/1.x",
        " GET /healthz HTTP/1.1",
        "\x00\x01\x02",
        "OPTIONS * HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "get /healthz HTTP/1.1",
        "G\xcbT /healthz HTTP/1.1",
        "GET /healthz\t HTTP/1.1",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "GET /" + "a/" * 4000 + " HTTP/1.1",
        "GET /healthz?" + "&" * 8000 + " HTTP/1.1",
        "GET /healthz?" + "a=1&" * 3500 + " HTTP/1.1",
    ):
        answer = await exchange(
            service.url, f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        assert status(answer) in (0, 200, 302, 400, 404, 405), (line[:60], answer[:200])
        assert (
            answer.count(b"HTTP/1.1 ") <= 1
            and b"X-Injected" not in answer.partition(b"\r\n\r\n")[0]
        )


STRANGE: list[tuple[str, ...]] = [
    ("Host: a", "Host: b"),
    ("Host: a b",),
    ("Host: <script>",),
    ("Host: a\x0bb",),
    ("Host:",),
    (),
    ("Host: a", "X: a\x00b"),
    ("Host: a", "X: a\x01b"),
    ("Host: a", " folded: x"),
    ("Host: a", "no colon"),
    ("Host: a", ": no name"),
    ("Host: a", "X Y: z"),
    ("Host: a", "X\x00: z"),
    ("Host: a,b",),
    ("Host: a", "X : z"),
    ("Host: a", 'Cookie: \x80\xff; =; ;;; a="\\777'),
    ("Host: a", 'Cookie: chatsvc="\\012"'),
    ("Host: a", "Expect: x"),
    ("Host: a", "Range: bytes=0-1,2-"),
    ("Host: a", "Accept-Encoding: gzip;q=x"),
    ("Host: a", "If-None-Match: \x80"),
    ("Host: a", "Upgrade: h2c"),
]


async def test_strange_headers_are_refused_or_ignored(service: Service) -> None:
    for lines in STRANGE:
        for path in ("/widget.js", "/dashboard", "/support_chat"):
            data = "\r\n".join(
                [f"GET {path} HTTP/1.1", *lines, "Connection: close", "", ""]
            ).encode("latin-1")
            assert status(await exchange(service.url, data)) in (0, 200, 302, 400, 401)


async def test_a_head_over_32_kib_is_refused(service: Service) -> None:
    """A site with many cookies once had its requests dropped without status or log line."""
    small, large = "X: " + "a" * 31_000, "X: " + "a" * 33_000
    assert status(await exchange(service.url, head("GET", "/healthz", small))) == 200
    for lines in (
        (large,),
        tuple(f"X{n}: {'a' * 100}" for n in range(400)),
        ("Cookie: chatsvc=" + "a" * 33_000,),
    ):
        assert status(await exchange(service.url, head("GET", "/healthz", *lines))) == 431
    assert status(await exchange(service.url, head("GET", "/healthz?" + "a" * 33_000))) == 431
    endless = b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 1_000_000
    assert status(await exchange(service.url, endless)) == 431


@pytest.fixture
def impatient(make_service: ServiceFactory) -> Service:
    """The same limits, in tenths of seconds."""
    return make_service(server_limits=ServerLimits(idle_s=0.3, head_s=0.3, body_s=0.3))


HALF: list[bytes] = [
    b"",
    b"GET /healthz HTTP/1.1\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a",
    b"POST /visitors HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    b"POST /visitors HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /visitors HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
]


async def test_who_is_too_slow_is_hung_up_on(impatient: Service) -> None:
    """Slowloris: `exchange` ends only when the server closes, however long the client would go on."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.gather(*(exchange(impatient.url, data) for data in HALF))
    assert loop.time() - started < 5


async def test_dripping_byte_by_byte_does_not_buy_time(impatient: Service) -> None:
    parts = impatient.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(parts[0], int(parts[1]))
    writer.write(b"GET /healthz HTTP/1.1\r\nX: ")

    async def drip() -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(5):
            assert status(await reader.read()) == 408
    except ConnectionError:
        pass
    finally:
        dripping.cancel()
        writer.close()


async def test_limits_are_those_of_the_design(service: Service) -> None:
    limits = service.app.server.limits
    assert (limits.idle_s, limits.head_s, limits.body_s) == (30.0, 30.0, 15.0)
    assert (limits.head_max_bytes, limits.body_max_bytes) == (32 * 1024, 256 * 1024)


async def test_unknown_paths_are_404_for_every_method(service: Service) -> None:
    for path in (
        "/nope",
        "/support_chat/",
        "/support_chat/nope",
        "/admin",
        "/admin/",
        "/admin/chats/",
        "/.env",
        "/.git/config",
        "/wp-login.php",
        "/static",
        "/static/",
    ):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            answer = await service.request(
                method, path, raw=b"{}" if method in ("POST", "PUT", "PATCH") else None
            )
            assert answer.status == 404, (method, path)
            if method != "HEAD":
                check_problem(answer, 404)
    page = await service.get("/nope?<script>alert(1)</script>", headers={"Accept": "text/html,*/*"})
    assert page.status == 404 and "<script>alert" not in page.text


async def test_head_is_get_without_a_body_and_shows_nobody_anything(service: Service) -> None:
    """HEAD was 405 on pages, where monitoring and link checkers use it (passbolt_api#507)."""
    staff, cookies, alice = await service.staff_token(), await service.login(), service.user_token()
    chat = await service.chat_id(alice)
    await service.send(alice, "unread")
    for pattern, _, method in all_routes():
        if method != "HEAD":
            continue
        path = TABLE[pattern, "GET"].path.format(chat=chat)
        token = {"/support": alice, "/admin/": staff}.get(path[:8])
        answer = await service.request("HEAD", path, token=token, cookies=cookies)
        assert answer.body == b"", path
        assert (await service.get(f"/admin/chats/{chat}", staff)).json["admin_viewed_at"] is None
        if "stream" in path:
            assert answer.headers["Content-Type"].startswith("text/event-stream"), path
        elif not path.startswith("/dashboard/chats"):  # GET would mark the messages
            full = await service.get(path, token, cookies=cookies)
            assert answer.status == full.status, path
    assert not len(service.app.streams)


async def test_a_slash_at_the_end_of_a_page_leads_to_the_page_and_nowhere_else(
    service: Service,
) -> None:
    for path, target in (
        ("/dashboard/", "/dashboard"),
        ("/login/?next=/dashboard", "/login?next=/dashboard"),
        (f"/dashboard/chats/{UUID}/", f"/dashboard/chats/{UUID}"),
    ):
        for method in ("GET", "HEAD"):
            answer = await service.request(method, path)
            assert (answer.status, answer.headers["Location"]) == (308, target), path
    for path in (
        "//evil.example/",
        "//evil.example/dashboard/",
        "/dashboard//",
        "/\\evil.example/",
        "/support_chat/",
    ):
        answer = await service.get(path)
        assert answer.status in (400, 404) and "Location" not in answer.headers, path
    assert (await service.request("POST", "/login/", raw=b"")).status == 404


async def test_an_error_repeats_nothing_that_could_run(service: Service) -> None:
    """What a client gave is quoted in details as JSON; a page explains in its own words."""
    staff = await service.staff_token()
    answer = await service.get("/admin/chats?archived=<script>alert(1)</script>", staff)
    assert (
        answer.headers["Content-Type"] == "application/problem+json"
        and answer.headers["X-Content-Type-Options"] == "nosniff"
    )
    assert "<script>" in json.loads(answer.body)["detail"]
    cookies = await service.login()
    chat = await service.chat_id(service.user_token())
    page = await service.get(
        f"/dashboard/chats/{chat}?before=<script>alert(1)</script>", cookies=cookies
    )
    assert page.status == 400 and "alert(1)" not in page.text

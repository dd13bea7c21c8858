"""Pages on the allowed origins may call the user-facing endpoints, without cookies; no other page, and nothing else."""

from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.security.conftest import with_options
from tests.security.test_matrix import TABLE, all_routes
from tests.support.service import Response, Service

ALLOWED = ("https://www.example.com", "http://shop.example.org:8080")
EVIL = (
    "https://evil.example",
    "null",
    "",
    "*",
    "http://www.example.com",
    "https://example.com",
    "https://a.www.example.com",
    "https://www.example.com:444",
    "https://www.example.com:443",
    "https://www.example.com.evil.example",
    "https://evilwww.example.com",
    "https://www.example.com/",
    "https://WWW.example.com",
    "https://www.example.com, https://evil.example",
    "https://www.example.com https://evil.example",
    "https://user@www.example.com",
    "http://shop.example.org",
    "http://shop.example.org:80801",
    "https://shop.example.org:8080",
    "https://www.example\xb7com",
)
CORS_ROUTES = sorted({pattern for pattern, _, method in all_routes() if method == "OPTIONS"})
FOR_USERS = [
    "/support_chat",
    "/support_chat/mark_read",
    "/support_chat/messages",
    "/support_chat/stream",
    "/visitors",
    "/visitors/me",
]


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    return make_service(allowed_origins=ALLOWED)


def allowed_origin(answer: Response) -> str | None:
    """The origin that may read this answer; the rest of what must hold of every answer beside it."""
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers.get("Vary", "")
    found: str | None = answer.headers.get("Access-Control-Allow-Origin")
    return found


def test_only_user_facing_endpoints_answer_preflights() -> None:
    assert CORS_ROUTES == FOR_USERS


def requests(service: Service) -> list[tuple[str, str, dict[str, Any], int]]:
    """Answers and errors of every kind."""
    alice = service.user_token()
    return [
        ("GET", "/support_chat", {"token": alice}, 200),
        ("GET", "/support_chat/messages?after=x", {"token": alice}, 400),
        ("GET", "/support_chat/messages", {}, 401),
        ("PATCH", "/support_chat/mark_read", {"token": alice, "body": []}, 400),
        ("PATCH", "/support_chat/mark_read", {"token": alice, "raw": b"x"}, 415),
        ("PATCH", "/support_chat/mark_read", {"token": alice, "body": {"x": 1}}, 422),
        ("POST", "/support_chat/messages", {"token": alice, "raw": b"x" * 66_000}, 413),
        ("DELETE", "/support_chat", {"token": alice}, 405),
        ("PATCH", "/visitors/me", {"token": alice, "body": {}}, 403),
        ("POST", "/visitors", {"body": {}}, 201),
    ]


async def test_an_allowed_origin_may_read_answers_and_errors(service: Service) -> None:
    for origin in ALLOWED:
        for method, path, options, status in requests(service):
            answer = await service.request(method, path, headers={"Origin": origin}, **options)
            assert (answer.status, allowed_origin(answer)) == (status, origin), f"{method} {path}"
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


async def test_no_other_origin_may_read_anything(service: Service) -> None:
    for origin in EVIL:
        for method, path, options, status in requests(service):
            answer = await service.request(method, path, headers={"Origin": origin}, **options)
            assert allowed_origin(answer) is None and answer.status in (status, 403), (
                f"{method} {path} {origin}"
            )
    for method, path, options, _ in requests(service):
        assert allowed_origin(await service.request(method, path, **options)) is None, (
            f"{method} {path}"
        )


async def test_the_preflight_permits_what_the_widget_needs_and_is_cacheable(
    service: Service,
) -> None:
    for path in FOR_USERS:
        head = {"Origin": ALLOWED[0], "Access-Control-Request-Method": "POST"}
        answer = await service.request("OPTIONS", path, headers=head)
        assert (answer.status, answer.body, allowed_origin(answer)) == (204, b"", ALLOWED[0])
        methods = {method for pattern, method in TABLE if pattern == path} | {"OPTIONS"}
        assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) == methods
        assert (
            answer.headers["Access-Control-Allow-Headers"]
            == "Authorization, Content-Type, Last-Event-ID"
        )
        assert int(answer.headers["Access-Control-Max-Age"]) >= 600
        assert "no-store" not in answer.headers.get("Cache-Control", "")


async def test_the_preflight_permits_nothing_to_others(service: Service) -> None:
    for origin in EVIL:
        head = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = await service.request("OPTIONS", "/support_chat/messages", headers=head)
        assert allowed_origin(answer) is None
        assert not [name for name in answer.headers if name.startswith("Access-Control-Allow")], (
            origin
        )


async def test_streams_carry_the_same_headers(service: Service) -> None:
    for origin in (*ALLOWED, "https://evil.example", "null"):
        stream = await service.stream(service.user_token(), Origin=origin)
        allowed = origin if origin in ALLOWED else None
        assert stream.headers.get("access-control-allow-origin") == allowed
        assert (
            stream.headers["vary"] == "Origin"
            and "access-control-allow-credentials" not in stream.headers
        )
        stream.close()


async def test_staff_paths_and_pages_are_for_no_other_origin(service: Service) -> None:
    """An origin that embeds the widget has no business there; only public files are everybody's."""
    staff = await service.staff_token()
    for pattern, method in TABLE:
        path = TABLE[pattern, method].path.format(chat="0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
        if pattern in FOR_USERS or "stream" in path:
            continue
        answer = await service.request(method, path, token=staff, headers={"Origin": ALLOWED[0]})
        allowed = [name for name in answer.headers if name.startswith("Access-Control")]
        public = path.startswith(("/static", "/widget.js"))
        assert allowed == (["Access-Control-Allow-Origin"] if public else []), f"{method} {path}"
        assert answer.headers.get("Access-Control-Allow-Origin", "*") == "*"
    stream = await service.stream(staff, "/admin/notifications/stream", Origin=ALLOWED[0])
    assert not [name for name in stream.headers if name.startswith("access-control")]
    stream.close()


@with_options()
async def test_without_allowed_origins_no_page_elsewhere_may_read(configured: Service) -> None:
    for origin in (*ALLOWED, "null", configured.url):
        answer = await configured.get(
            "/support_chat", configured.user_token(), headers={"Origin": origin}
        )
        assert answer.status == 200 and allowed_origin(answer) is None


async def test_headers_that_the_host_page_adds_pass_the_preflight(service: Service) -> None:
    """Monitoring adds `traceparent` and `baggage` to every fetch; the chat was refused for ever."""
    for path in FOR_USERS:
        head = {
            "Origin": ALLOWED[0],
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, traceparent,baggage , x-b3-sampled",
        }
        answer = await service.request("OPTIONS", path, headers=head)
        names = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "traceparent", "baggage", "x-b3-sampled"} <= set(names)
        assert len(set(names)) == len(names)
        assert "Access-Control-Request-Headers" in answer.headers["Vary"]
        stranger = await service.request("OPTIONS", path, headers={**head, "Origin": EVIL[0]})
        assert "Access-Control-Allow-Headers" not in stranger.headers


@pytest.mark.parametrize("asked", ['*, a b, <x>, \xe9, a:b, "', ",".join(["x"] * 3000)])
async def test_only_names_of_headers_are_repeated(service: Service, asked: str) -> None:
    head = {
        "Origin": ALLOWED[0],
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    answer = await service.request("OPTIONS", "/support_chat", headers=head)
    assert answer.status == 204
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert not set(allowed) & set('*<> :"\xe9') - {" "} and len(allowed) < 1000

"""Bodies: whatever is sent to whatever route takes one, the answer is a 4xx that says what was wrong, never a 5xx."""

import gzip
import json
from typing import Any

import msgspec
import pytest

from chatsvc.handlers.base import BODY_MAX_BYTES
from chatsvc.handlers.openapi import Operation
from chatsvc.web.limits import ServerLimits
from tests.security.raw import exchange, head, status
from tests.security.test_matrix import TABLE, all_routes
from tests.support.service import Response, Service

JSON = {"Content-Type": "application/json"}
WITH_BODY: dict[tuple[str, str], Operation] = {
    (pattern, method): operation
    for pattern, handler, method in all_routes()
    if (operation := getattr(getattr(handler, method.lower()), "operation", None))
    and operation.body
}
NOT_JSON: list[bytes] = [
    b"{",
    b"}",
    b"x",
    b"{}x",
    b"{} {}",
    b"{'a':1}",
    b"{a:1}",
    b'{"a":1,}',
    b"\x00",
    b"{}\x00",
    b"\xff",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    "{}".encode("utf-32"),
    b'{"a":"\x01"}',
    b'{"a":"\n"}',
    b'{"\\ud800":1}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00\\ud800"}',
    b'{"a":"\\x41"}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":01}',
    b'{"a":+1}',
    b'{"a":1e}',
    b"/**/{}",
    b"{}//",
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b"nul",
    b"<a/>",
    b"a=1&b=2",
]
NO_OBJECT: list[bytes] = [
    b"[]",
    b"[{}]",
    b"null",
    b"true",
    b"1",
    b"-1e400",
    b"9" * 5000,
    b'""',
    b'"{}"',
    b"[[[[]]]]",
    b"[" * 30_000 + b"]" * 30_000,
]
UNKNOWN = (
    "sender_type",
    "seq",
    "is_admin",
    "chat_id",
    "id",
    "user_id",
    "created_at",
    "read_at",
    "kind",
    "archived",
    "sender_id",
    "__proto__",
    "constructor",
    "token",
    "request_id",
    "CONTENT",
    "",
    " ",
    "é",
    "x" * 1000,
    "a\nb",
)
ANY_VALUE: list[Any] = ["x", True, 1, None, {"a": []}]
OTHER_TYPES = (
    "",
    "text/plain",
    "text/json",
    "application/jsonp",
    "application/json-patch+json",
    "application/xml",
    "json",
    "*/*",
    "application/*",
    "text/plain; application/json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/html;charset=application/json",
)


def check_problem(answer: Response, *statuses: int) -> Any:
    """A 4xx as docs/api.md section 6 wants it; returns its JSON."""
    assert answer.status in statuses, (answer.status, answer.text[:300])
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == answer.status and problem["type"].startswith("urn:chatsvc:problem:")
    assert (
        problem["title"]
        and problem["detail"]
        and problem["request_id"] == answer.headers["X-Request-Id"]
    )
    if answer.status == 422:
        assert problem["errors"] and all(error["detail"] for error in problem["errors"])
    return problem


class Doors:
    """Sends a body to a route as somebody who may use it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tokens: dict[str, str] = {}
        self.chat = ""

    async def open(self) -> "Doors":
        self.tokens = {
            "/admin": await self.service.staff_token(),
            "/visitors": await self.service.visitor_token(),
            "/support_chat": self.service.user_token(),
        }
        self.chat = await self.service.chat_id(self.tokens["/support_chat"])
        return self

    async def send(
        self, route: tuple[str, str], raw: bytes, headers: dict[str, str] | None = None
    ) -> Response:
        pattern, method = route
        token = next(token for start, token in self.tokens.items() if pattern.startswith(start))
        path = TABLE[route].path.format(chat=self.chat)
        return await self.service.request(
            method, path, token=token, raw=raw, headers=JSON if headers is None else headers
        )

    async def seq(self) -> int:
        """How many messages were stored."""
        return int(
            (await self.service.get("/support_chat", self.tokens["/support_chat"])).json["last_seq"]
        )


def test_the_routes_with_a_body() -> None:
    assert len(WITH_BODY) == 8


async def test_what_is_no_json_object_is_400(service: Service) -> None:
    doors = await Doors(service).open()
    for route in WITH_BODY:
        for raw in NOT_JSON:
            # an object that begins with a field nobody knows is refused for that, before what follows is looked at
            check_problem(await doors.send(route, raw), 400, 422)
        for raw in (b"{", b"\xff", b"\x00", b"[" * 60_000):
            check_problem(await doors.send(route, raw), 400)
        for raw in NO_OBJECT:
            problem = check_problem(await doors.send(route, raw), 400)
            assert "object" in problem["detail"] or "JSON" in problem["detail"]
        assert await doors.seq() == 0


async def test_a_field_that_is_not_in_the_contract_is_422_and_named(service: Service) -> None:
    """Mass assignment: also beside a body that would be right."""
    doors = await Doors(service).open()
    for route in WITH_BODY:
        good = TABLE[route].options.get("body", {})
        type_ = WITH_BODY[route].body
        assert type_ is not None
        known = {field.encode_name for field in msgspec.structs.fields(type_)}
        for name in UNKNOWN:
            if name in known:
                continue
            for value in ANY_VALUE:
                problem = check_problem(
                    await doors.send(route, json.dumps({**good, name: value}).encode()), 422
                )
                assert problem["errors"][0]["field"] == name[:64]
        assert await doors.seq() == 0


async def test_a_body_that_is_not_application_json_is_415(service: Service) -> None:
    doors = await Doors(service).open()
    for route in WITH_BODY:
        raw = json.dumps(TABLE[route].options.get("body", {})).encode()
        for content_type in OTHER_TYPES:
            check_problem(await doors.send(route, raw, {"Content-Type": content_type}), 415)
        for content_type in (
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "multipart/form-data; boundary=",
        ):
            check_problem(await doors.send(route, raw, {"Content-Type": content_type}), 400, 415)
        check_problem(await doors.send(route, raw, {}), 415)
        for content_type in (
            "application/json",
            "APPLICATION/JSON",
            "application/json; charset=utf-8",
            "application/json;x=y",
        ):
            assert (await doors.send(route, raw, {"Content-Type": content_type})).status in (
                200,
                201,
            )


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "gzip, identity", "x" * 500])
async def test_a_compressed_body_is_415(service: Service, encoding: str) -> None:
    """A client that compressed its requests was told that its JSON was not valid."""
    raw = gzip.compress(b'{"content": "x"}')
    headers = {**JSON, "Content-Encoding": encoding}
    doors = await Doors(service).open()
    for route in WITH_BODY:
        problem = check_problem(await doors.send(route, raw, headers), 415)
        assert "compressed" in problem["detail"] and len(problem["detail"]) < 200
    assert await doors.seq() == 0
    headers["Content-Encoding"] = "identity"
    answer = await doors.send(("/support_chat/messages", "POST"), b'{"content": "x"}', headers)
    assert answer.status == 201


async def test_64_kib_are_taken_and_one_byte_more_is_413(service: Service) -> None:
    doors = await Doors(service).open()
    for route in WITH_BODY:
        good = json.dumps(TABLE[route].options.get("body", {})).encode()
        assert (await doors.send(route, good.ljust(BODY_MAX_BYTES))).status in (200, 201)
        problem = check_problem(await doors.send(route, good.ljust(BODY_MAX_BYTES + 1)), 413)
        assert "65,536" in problem["detail"] and "65,537" in problem["detail"]
        check_problem(await doors.send(route, b" " * 1_000_000), 413)


FIELDS: dict[tuple[str, str], list[Any]] = {
    ("messages", "content"): [
        None,
        7,
        True,
        [],
        {},
        1.5,
        "",
        " ",
        "\t\n\r",
        "\u3000\u2003",
        "x" * 10_001,
        "a\0b",
        "\0",
    ],
    ("messages", "client_id"): ["", "x" * 65, 7, True, [], "a\0b", 9 * 10**400],
    ("mark_read", "up_to"): [-1, 1.5, "1", True, [], {}, 2**53, 10**300, -(10**300), "\u0661"],
    ("mark_viewed", "up_to"): [-1, 1.5, "1", 2**53],
    ("visitors", "name"): ["x" * 256, 7, "a\0b", "a\nb", "a\x9bb", []],
    ("visitors", "email"): [
        "x",
        "@",
        "a@",
        "@b",
        "a@b",
        "a b@c.example",
        "a@x.example, b@y.example",
        "a@x.example\nBcc: b@y.example",
        "<a@x.example>",
        "a@x..example",
        "Ada <a@x.example>",
        "a@x.example;b@y.example",
        "a\0@x.example",
        "a" * 65 + "@x.example",
        "a@" + "x" * 250 + ".example",
        "a@-.example!",
        7,
        [],
        '"a"@x.example',
        "a@[127.0.0.1]",
    ],
}


async def test_each_field_is_held_to_its_form_and_named_when_it_has_another(
    service: Service,
) -> None:
    doors = await Doors(service).open()
    wrong = []
    for (end, field), values in FIELDS.items():
        for route in (
            one
            for one in WITH_BODY
            if one[0].endswith(end) or (end == "visitors" and end in one[0])
        ):
            for value in values:
                body = {**TABLE[route].options.get("body", {}), field: value}
                answer = await doors.send(route, json.dumps(body).encode())
                if (
                    answer.status != 422
                    or check_problem(answer, 422)["errors"][0]["field"] != field
                ):
                    wrong.append(
                        f"{route} {field}={value!r:.40}: {answer.status} {answer.text[:200]}"
                    )
    assert not wrong, "\n".join(wrong)
    assert await doors.seq() == 0


async def test_a_missing_field_is_named(service: Service) -> None:
    doors = await Doors(service).open()
    for route in (route for route in WITH_BODY if route[0].endswith("messages")):
        assert check_problem(await doors.send(route, b"{}"), 422)["errors"][0]["field"] == "content"
        assert (
            check_problem(await doors.send(route, b'{"client_id":"x"}'), 422)["errors"][0]["field"]
            == "content"
        )
        check_problem(await doors.send(route, b""), 400)


async def test_what_people_really_write_is_taken_as_it_is(service: Service) -> None:
    doors = await Doors(service).open()
    route = ("/support_chat/messages", "POST")
    for content in (
        "x" * 10_000,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 2000,
        "\u202eabc\u202c",
        "a\u2028b",
        "é\u0301",
        "\x01\x1b[2J",
        "{{7*7}}",
    ):
        answer = await doors.send(
            route, json.dumps({"content": content}, ensure_ascii=False).encode()
        )
        assert answer.status == 201 and answer.json["content"] == content
    escaped = await doors.send(route, json.dumps({"content": "\U0001f600\u202eé"}).encode())
    assert escaped.json["content"] == "\U0001f600\u202eé"


async def test_lengths_hold_behind_the_form_too(service: Service) -> None:
    """They did not: the dashboard's form took 20,000 characters, and a client_id that broke the index (500)."""
    await service.create_staff()
    alice = service.user_token()
    chat, cookies = await service.chat_id(alice), await service.login()
    for fields in (
        {"content": "x" * 10_001},
        {"content": "ok", "client_id": "x" * 65},
        {"content": " "},
        {"content": ""},
        {},
    ):
        form = {**fields, "_xsrf": cookies["_xsrf"]}
        answer = await service.request(
            "POST", f"/dashboard/chats/{chat}", form=form, cookies=cookies
        )
        assert answer.status == 422 and 'role="alert">' in answer.text, fields
    assert (await service.get("/support_chat", alice)).json["last_seq"] == 0


# ---- bodies as no client sends them ----


def post(*lines: str) -> bytes:
    return head("POST", "/visitors", "Content-Type: application/json", *lines)


async def test_chunks_without_an_announced_length_are_bounded_too(service: Service) -> None:
    chunked = post("Transfer-Encoding: chunked")
    for size, statuses in (
        (10, (201,)),
        (BODY_MAX_BYTES, (201,)),
        (BODY_MAX_BYTES + 1, (413,)),
        (ServerLimits().body_max_bytes + 1, (413,)),
    ):
        body = b"{}".ljust(size)
        chunks = b"".join(
            b"%x\r\n%s\r\n" % (len(part), part)
            for part in (body[n : n + 9000] for n in range(0, size, 9000))
        )
        answer = await exchange(service.url, chunked + chunks + b"0\r\n\r\n")
        assert status(answer) in statuses, size
    endless = await exchange(service.url, chunked + b"ffffffff\r\n" + b" " * 600_000)
    assert status(endless) == 413


AMBIGUOUS: list[tuple[str, ...]] = [
    ("Content-Length: -1",),
    ("Content-Length: x",),
    ("Content-Length: 2, 3",),
    ("Content-Length: 2", "Content-Length: 3"),
    ("Content-Length: +2",),
    ("Content-Length: 0x2",),
    ("Content-Length: 2.0",),
    ("Content-Length: \xb2",),
    ("Content-Length: 2", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: gzip, chunked",),
    ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    ("Content-Length: " + "9" * 30,),
    ("Content-Length: 1_0",),
]


async def test_lengths_that_two_servers_could_read_differently_are_refused(
    service: Service,
) -> None:
    """Request smuggling: one answer at most, a 4xx, and the connection ends; what follows is not taken for a request."""
    smuggled = b"{}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lines in AMBIGUOUS:
        keep_alive = post(*lines).replace(b"Connection: close\r\n", b"")
        answer = await exchange(service.url, keep_alive + smuggled.ljust(70_100))
        assert (
            status(answer) in (0, 400, 411, 413, 501)
            and answer.count(b"HTTP/1.1 ") <= 1
            and b"ok\n" not in answer
        )


async def test_chunks_with_bad_frames_are_refused(service: Service) -> None:
    chunked = post("Transfer-Encoding: chunked")
    for frames in (
        b"x\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n",
        b"2\r\n{}xx0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"f" * 100,
    ):
        assert status(await exchange(service.url, chunked + frames + b"\r\n" * 40)) in (0, 400), (
            frames
        )

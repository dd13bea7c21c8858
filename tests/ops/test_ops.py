"""For those who run it: /healthz, /readyz, /metrics, /openapi.json and the log."""

import asyncio
import json
import logging
import re
import socket
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from prometheus_client.parser import text_string_to_metric_families
from schemathesis.specs.openapi.definitions import OPENAPI_31

from chatsvc.ops import summary
from chatsvc.ops.log_format import JsonFormatter, TextFormatter
from chatsvc.security import tokens
from tests.support.postgres import execute
from tests.support.process import ServerProcess
from tests.support.service import IDENTITY_SECRET, Service
from tests.support.waiting import until

CONTRACT = {  # docs/api.md sections 3 and 4
    "POST /visitors",
    "PATCH /visitors/me",
    "GET /support_chat",
    "GET /support_chat/messages",
    "POST /support_chat/messages",
    "PATCH /support_chat/mark_read",
    "GET /support_chat/stream",
    "GET /admin/chats",
    "GET /admin/chats/{chat_id}",
    "GET /admin/chats/{chat_id}/messages",
    "POST /admin/chats/{chat_id}/messages",
    "POST /admin/chats/{chat_id}/mark_viewed",
    "POST /admin/chats/{chat_id}/archive",
    "POST /admin/chats/{chat_id}/unarchive",
    "GET /admin/chats/{chat_id}/stream",
    "GET /admin/notifications/stream",
}


@pytest.fixture
def frugal(make_service: Callable[..., Service]) -> Service:
    """One stream per user."""
    return make_service(streams_per_user=1)


# ---- alive, ready ----


async def test_a_service_that_runs_is_alive_and_ready(service: Service) -> None:
    for path, text in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        answer = await service.get(path)
        assert (answer.status, answer.text) == (200, text)
        assert (
            answer.headers["Content-Type"].startswith("text/plain")
            and answer.headers["Cache-Control"] == "no-store"
        )
        assert "Server" not in answer.headers
        assert (await service.request("HEAD", path)).status == 200


async def test_without_its_database_it_is_alive_but_not_ready(
    service: Service, expected_log: list[str]
) -> None:
    expected_log.append("the database failed")
    name = urlsplit(service.database_url).path.removeprefix("/")
    elsewhere = service.database_url.replace(name, "postgres")
    assert (await service.get("/readyz")).status == 200
    execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    execute(
        elsewhere, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name
    )
    answer = await service.get("/readyz")
    assert (answer.status, answer.text) == (503, "the database does not respond\n")
    assert (await service.get("/healthz")).status == 200
    execute(elsewhere, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert (await service.get("/readyz")).status == 200


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM schema_migrations",
        "INSERT INTO schema_migrations (name, applied) VALUES ('9999_future', now())",
    ],
)
async def test_with_another_schema_it_is_not_ready(service: Service, change: str) -> None:
    execute(service.database_url, change)
    answer = await service.get("/readyz")
    assert (answer.status, answer.text) == (
        503,
        "the schema is not current: run the command `migrate`\n",
    )


async def test_while_it_drains_it_is_not_ready(service: Service) -> None:
    """A load balancer asks over a connection that it has; new ones are refused by then."""
    alice = await service.stream(service.user_token())
    await alice.next("state")
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(service.url).port)
    assert await ask(reader, writer, "/readyz") == (200, b"ready\n")
    stopping = asyncio.create_task(service.app.stop())
    await alice.closed()
    assert await ask(reader, writer, "/readyz") == (503, b"the service is stopping\n")
    writer.close()
    await stopping


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
) -> tuple[int, bytes]:
    """A GET on a connection that stays open."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        return int(head.split(" ")[1]), await reader.readexactly(int(length[1]))


# ---- metrics ----


async def metrics(service: Service) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = await service.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith(
        "text/plain; version="
    )
    families = text_string_to_metric_families(answer.text)
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


async def test_metrics_count_what_happened(service: Service) -> None:
    alice, staff = service.user_token(), await service.staff_token()
    stream = await service.stream(alice)
    await stream.next("state")
    before = await metrics(service)
    await service.send(alice, "one")
    await service.send(staff, "two", chat_id=await service.chat_id(alice))
    await stream.messages_up_to(2)
    after = await metrics(service)

    def value(name: str, **labels: str) -> float:
        return after[name, tuple(sorted(labels.items()))]

    def rise(name: str, **labels: str) -> float:
        return value(name, **labels) - before.get((name, tuple(sorted(labels.items()))), 0)

    assert (
        value("chatsvc_messages_total", sender="user")
        == value("chatsvc_messages_total", sender="admin")
        == 1
    )
    posted = [
        key for key in after if key[0] == "chatsvc_requests_total" and ("status", "201") in key[1]
    ]
    assert sum(after[key] for key in posted) == 2 and all(
        ("method", "POST") in key[1] for key in posted
    )
    assert rise("chatsvc_request_seconds_count") >= 3 and value("chatsvc_request_seconds_sum") > 0
    commits = rise(
        "chatsvc_commit_batch_size_count"
    )  # of the two messages, and when the staff token was used
    assert 2 <= commits <= rise("chatsvc_commit_batch_size_sum") <= 3
    assert (
        rise("chatsvc_commit_seconds_count") == commits and rise("chatsvc_commit_seconds_sum") > 0
    )
    assert value("chatsvc_open_streams") == 1
    assert value("chatsvc_database_queue") == 0
    assert value("chatsvc_loop_lag_seconds") >= 0
    stream.close()


async def test_metrics_name_the_reason_why_a_stream_ended(frugal: Service) -> None:
    first, second = [await frugal.stream(frugal.user_token()) for _ in range(2)]
    await first.closed()
    found = await metrics(frugal)
    assert found["chatsvc_streams_closed_total", (("reason", "superseded"),)] == 1
    assert found["chatsvc_open_streams", ()] == 1
    second.close()


async def test_metrics_show_a_queue_and_a_loop_that_is_late(service: Service) -> None:
    await until(lambda: service.app.db.in_flight == 0)  # the start has asked what is due
    waiting = asyncio.create_task(
        service.app.db.read(lambda session: session.execute_sql("SELECT pg_sleep(0.3)"))
    )
    await asyncio.sleep(0)
    assert (await metrics(service))["chatsvc_database_queue", ()] == 1
    await waiting
    loop = asyncio.get_running_loop()
    late = loop.time() + 0.6  # longer than the interval in which it looks
    while loop.time() < late:
        pass
    async with asyncio.timeout(5):
        while (await metrics(service))["chatsvc_loop_lag_seconds", ()] < 0.05:
            pass


async def test_metrics_are_for_this_machine_and_for_staff(service: Service) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    assert (await service.get("/metrics", headers=forwarded)).status == 403
    assert (await service.get("/metrics", headers={"Forwarded": "for=203.0.113.7"})).status == 403
    assert (
        await service.get("/metrics", await service.staff_token(), headers=forwarded)
    ).status == 200
    assert (await service.get("/metrics", service.user_token())).status == 403
    assert (await service.get("/metrics", "cs_nonsense")).status == 401


# ---- openapi.json ----


async def test_the_description_is_valid_and_complete(service: Service) -> None:
    answer = await service.get("/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    document = answer.json
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(document)
    described = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    assert described == CONTRACT
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        )


async def test_every_reference_in_the_description_leads_somewhere(service: Service) -> None:
    document = (await service.get("/openapi.json")).json
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert references and references <= set(document["components"]["schemas"])
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == len(CONTRACT)
    for one in operations:
        names = [parameter["name"] for parameter in one["parameters"]]
        assert len(set(names)) == len(names)
        assert "503" in one["responses"] and all(
            answer["description"] for answer in one["responses"].values()
        )
        assert one.get("security") == [{"bearer": []}] or one["operationId"] == "post_visitors"


# ---- log ----


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_the_log_holds_requests_but_neither_queries_nor_tokens(
    server: ServerProcess, log_format: str
) -> None:
    server.environment["CHATSVC_LOG_FORMAT"] = log_format
    server.environment["CHATSVC_LOG_REQUESTS"] = "all"
    server.start()
    token = tokens.sign_identity(
        IDENTITY_SECRET, sub="alice", email="alice@example.com", name="Alice", ttl_s=60
    )
    request_id = raw(
        server,
        f"GET /support_chat/messages?after=0&q=PRIVATE HTTP/1.1\r\nAuthorization: Bearer {token}\r\n",
    )
    raw(server, "GET /support_chat?token=PRIVATE HTTP/1.1\r\nAuthorization: Bearer PRIVATE\r\n")
    raw(
        server, "GET /healthz HTTP/1.1\r\nAuthorization: Bearer PRIVATE\x01PRIVATE\r\n"
    )  # refused by the HTTP parser
    assert server.stop() == 0
    lines = server.log.splitlines()
    parse = from_json if log_format == "json" else from_text
    entries = [parse(line) for line in lines]
    access = [message for name, message in entries if name == "chatsvc.access"]
    assert any(
        re.fullmatch(rf"200 GET /support_chat/messages \d+\.\d ms {request_id}", line)
        for line in access
    )
    assert any(line.startswith("401 GET /support_chat ") for line in access)
    assert ("chatsvc.serve", "stopped") in entries
    for private in ("PRIVATE", token, "alice", "127.0.0.1:"):
        assert private not in server.log


async def test_a_stream_is_in_the_log_when_it_opens_and_when_it_ends(
    frugal: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """With the request that opened it, the reason and how long it was open; never whose it is."""
    first, second = [await frugal.stream(frugal.user_token()) for _ in range(2)]
    await first.closed()
    second.close()
    request_ids = [stream.headers["x-request-id"] for stream in (first, second)]
    await until(lambda: sum("stream closed" in line for line in caplog.messages) == 2)
    lines = [line for line in caplog.messages if line.startswith("stream ")]
    assert sorted(lines) == sorted(
        [f"stream opened: /support_chat/stream {request_id}" for request_id in request_ids]
        + [
            f"stream closed: superseded after 0 s {request_ids[0]}",
            f"stream closed: gone after 0 s {request_ids[1]}",
        ]
    )


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, make_service: Callable[..., Service]) -> Service:
    """A minute of which is over soon."""
    monkeypatch.setattr(summary, "INTERVAL_S", 0.05)
    return make_service()


async def test_a_line_a_minute_says_how_much_happened(
    hasty: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything is in one of the lines, and in no second one."""
    alice = hasty.user_token()
    stream = await hasty.stream(alice)
    for n in range(3):
        await hasty.send(alice, f"message {n}")
    stream.close()

    def columns() -> list[tuple[int, ...]]:
        lines = [line for line in caplog.messages if line.startswith("in the last minute: ")]
        return list(
            zip(*([int(n) for n in re.findall(r"\d+", line)] for line in lines), strict=True)
        )

    await until(lambda: columns() and (sum(columns()[2]), sum(columns()[5])) == (3, 1))
    requests, failed, messages, commits, opened, closed, _, _ = map(sum, columns())
    assert (requests, failed, messages, opened, closed) == (3, 0, 3, 1, 1) and 1 <= commits <= 6
    assert columns()[6][-1] == 0, "the last line knows of no open stream"


def raw(server: ServerProcess, head: str) -> str:
    """One request as it is; returns the answer's X-Request-Id, if there is one."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(f"{head}Host: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65_536), b"")).decode("latin-1")
    found = re.search(r"x-request-id: (\S+)", answer, re.IGNORECASE)
    return found[1] if found else ""


def from_json(line: str) -> tuple[str, str]:
    entry = json.loads(line)
    assert entry.keys() == {"time", "level", "logger", "message"}
    assert datetime.fromisoformat(entry["time"]).utcoffset() == timedelta(0)
    return entry["logger"], entry["message"]


def from_text(line: str) -> tuple[str, str]:
    match = re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) ([\w.]+): (.*)", line
    )
    assert match is not None, line
    return match[2], match[3]


@pytest.mark.parametrize(
    "text",
    [
        "a\n<3>fake",
        "a\r\nb",
        "\x1b[31mred",
        "a\u2028b",
        "a\nTraceback (most recent call last):\n<3>fake",
        "NUL\0",
    ],
)
@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_what_comes_from_outside_stays_in_its_line(formatter: logging.Formatter, text: str) -> None:
    """A message that itself held a line `Traceback` was once let through in several lines."""
    line = formatter.format(logging.LogRecord("x", logging.INFO, "", 1, "said %s", (text,), None))
    assert len(line.splitlines()) == 1 and line.isprintable()


def test_a_trace_stays_below_its_line() -> None:
    try:
        raise ValueError("bad\n<3>fake")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "it failed", (), sys.exc_info())
    first, *rest = TextFormatter().format(record).split("\n")
    assert first.endswith(" ERROR x: it failed")
    assert (
        rest
        and all(line.startswith("    ") for line in rest)
        and "ValueError: bad" in "".join(rest)
    )
    entry = json.loads(JsonFormatter().format(record))
    assert entry["message"] == "it failed" and "ValueError: bad\n<3>fake" in entry["trace"]

"""The doctor on the way from a browser: the service itself, and proxies with bad habits in front of it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from chatsvc.config.config import Config
from chatsvc.doctor import http_probe, stream
from chatsvc.doctor.finding import Finding
from chatsvc.doctor.report import findings
from chatsvc.security import tokens
from chatsvc.streams import registry
from chatsvc.streams.registry import Rhythm
from tests.conftest import ServiceFactory
from tests.support.front import ELSEWHERE, NAME, Habit, front
from tests.support.ports import reserve_port
from tests.support.postgres import execute
from tests.support.service import Service, make_config

IMPATIENT_S = 0.5
PING_S = 1
Through = Callable[[Habit], Awaitable[dict[str, Finding]]]


@pytest.fixture(autouse=True)
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the doctor, who waits for one."""
    monkeypatch.setattr(registry, "PING_INTERVAL_S", PING_S)
    monkeypatch.setattr(stream, "HEARTBEAT_GRACE_S", 1.5)


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    return make_service(rhythm=Rhythm(ping_ticks=PING_S))


def found(config: Config) -> dict[str, Finding]:
    """All findings by what they are about."""
    return {finding.about: finding for finding in findings(config)}


async def test_a_service_in_order_passes_and_nothing_is_left_behind(
    service: Service, tmp_path: Path
) -> None:
    config = make_config(tmp_path, database_url=service.database_url, public_url=service.url)
    seen = await asyncio.to_thread(found, config)
    assert [finding for finding in seen.values() if finding.level == "FAIL"] == []
    assert seen["stream"].found.startswith("first byte after ")
    assert {
        seen[about].level
        for about in ("schema", "reachable", "stream", "heartbeat", "client address")
    } == {"ok"}
    assert seen["client address"].found == "127.0.0.1"
    assert execute(service.database_url, "SELECT count(*) FROM users") == [(0,)]


async def test_what_a_killed_doctor_left_is_removed_by_the_next(
    service: Service, tmp_path: Path
) -> None:
    made = "INSERT INTO users (id, kind, name, password_hash, created_at) VALUES (%s, 'staff', %s, '!', now() - %s::interval)"
    for name, age in (("old", "1 hour"), ("of a doctor that runs now", "1 minute")):
        execute(service.database_url, made, str(uuid4()), name, age)
    await service.create_staff()
    config = make_config(tmp_path, database_url=service.database_url, public_url=service.url)
    await asyncio.to_thread(found, config)
    names = execute(service.database_url, "SELECT name FROM users")
    assert sorted(names) == [("Sam",), ("of a doctor that runs now",)]


@pytest.fixture
def through(service: Service, tmp_path: Path) -> Through:
    """What the doctor finds when it comes through a proxy with this habit."""

    async def look(habit: Habit) -> dict[str, Finding]:
        with front(service.url, habit) as url:
            config = make_config(tmp_path, database_url=service.database_url, public_url=url)
            seen = await asyncio.to_thread(found, config)
        assert execute(service.database_url, "SELECT count(*) FROM users") == [(0,)]
        return {
            about: seen[about]
            for about in ("reachable", "stream", "heartbeat", "client address")
            if about in seen
        }

    return look


async def test_a_proxy_that_passes_streams_on_is_in_order(through: Through) -> None:
    seen = await through("passes on")
    assert len(seen) == 4 and {finding.level for finding in seen.values()} == {"ok"}


@pytest.mark.parametrize(
    ("habit", "about", "level", "words", "advice"),
    [
        (
            "cuts silence",
            "heartbeat",
            "FAIL",
            f"{NAME} closes a stream that is silent for ",
            "`proxy_read_timeout 1h;`",
        ),
        ("holds pings back", "heartbeat", "FAIL", "nothing arrives for ", "`proxy_buffering off;`"),
        (
            "comes from elsewhere",
            "client address",
            "warn",
            f"sees {ELSEWHERE} instead of this client, 127.0.0.1",
            f"`proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`, and set CHATSVC_TRUSTED_PROXIES={ELSEWHERE}",
        ),
    ],
)
async def test_what_shows_itself_on_an_open_stream_is_named(
    through: Through, habit: Habit, about: str, level: str, words: str, advice: str
) -> None:
    seen = await through(habit)
    assert seen["stream"].level == "ok"
    assert (
        seen[about].level == level and words in seen[about].found and advice in seen[about].advice
    )


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("holds all back", "nothing arrives within"),
        ("holds the body back", "nothing arrives within"),
        ("compresses", f"{NAME} compresses it (gzip)"),
        ("caches", f"{NAME} sends Cache-Control: max-age=60 instead of no-store"),
        ("drops credentials", f"{NAME} responds 401"),
    ],
)
async def test_what_a_proxy_does_to_a_stream_is_named(
    through: Through, monkeypatch: pytest.MonkeyPatch, habit: Habit, words: str
) -> None:
    monkeypatch.setattr(http_probe, "RESPONSE_LIMIT_S", IMPATIENT_S)
    seen = await through(habit)
    assert seen["reachable"].level == "ok"
    assert (
        seen["stream"].level == "FAIL"
        and words in seen["stream"].found
        and "proxy" in seen["stream"].advice
    )


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("says bad gateway", f"{NAME} responds 502: it does not reach this service"),
        ("redirects", f"{NAME} redirects to https://chat.example.com/healthz"),
        ("is something else", f"{NAME} responds 200 and is not this service"),
    ],
)
async def test_what_is_not_the_service_is_named(through: Through, habit: Habit, words: str) -> None:
    seen = await through(habit)
    assert seen["reachable"].level == "FAIL" and words in seen["reachable"].found
    assert seen["stream"].level == "warn"


async def test_a_first_byte_that_comes_late_fails(
    through: Through, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PROMPT_S", 0.0)
    seen = await through("passes on")
    assert (
        seen["stream"].level == "FAIL" and "nginx `proxy_buffering off;`" in seen["stream"].advice
    )


@pytest.mark.parametrize(
    ("public_url", "words", "advice"),
    [
        ("http://chat.invalid", "http://chat.invalid: ", "DNS"),
        ("https://127.0.0.1:{port}", "no TLS: ", "correct CHATSVC_PUBLIC_URL"),
        ("https://127.0.0.1:{silent}", "no response within", "https to a port without TLS"),
        ("http://127.0.0.1:{free}", "Connection refused", "start the service"),
    ],
)
async def test_an_address_that_leads_nowhere_is_named(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    public_url: str,
    words: str,
    advice: str,
) -> None:
    monkeypatch.setattr(http_probe, "RESPONSE_LIMIT_S", IMPATIENT_S)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = {"port": service.url.rpartition(":")[2], "silent": silent.getsockname()[1]}
        url = public_url.format(**ports, free=reserve_port())
        finding = await asyncio.to_thread(stream.reach, make_config(tmp_path, public_url=url))
    assert finding.level == "FAIL" and words in finding.found and advice in finding.advice


async def test_a_service_on_another_database_does_not_know_the_token(
    service: Service, tmp_path: Path
) -> None:
    config = make_config(tmp_path, public_url=service.url)
    token = tokens.new_secret(tokens.STAFF_PREFIX)
    (finding,) = await asyncio.to_thread(lambda: list(stream.stream(config, token)))
    assert finding.level == "FAIL" and "must use this database" in finding.advice

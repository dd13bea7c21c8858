"""Checks streams as a browser gets them: opens one through PUBLIC_URL."""

import http.client
import ipaddress
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from uuid_utils import uuid7

from chatsvc.config.config import Config
from chatsvc.database.connection import Transaction
from chatsvc.database.models import StaffToken, User
from chatsvc.doctor import http_probe
from chatsvc.doctor.finding import Finding, fail, ok, warn
from chatsvc.doctor.http_probe import Exchange, reason, remedy
from chatsvc.security import tokens
from chatsvc.store.people import delete_from
from chatsvc.streams import registry

PROMPT_S = 1.0  # the service sends the first bytes at once; a later arrival means buffering
HEARTBEAT_GRACE_S = 3.0  # beyond the interval, for a busy service
NAME = "chatsvc doctor"
NO_PASSWORD = "!"  # noqa: S105 - not a hash, so no password matches
LEFT_OVER = (
    "kind = 'staff' AND password_hash = '!' "
    "AND created_at < clock_timestamp() - interval '10 minutes'"
)
DISABLE_BUFFERING = (
    "let the proxy forward streams without buffering: in nginx `proxy_buffering off;` and "
    "no `proxy_ignore_headers X-Accel-Buffering`, in Caddy `flush_interval -1`"
)
RAISE_TIMEOUT = (
    "let the proxy keep a connection that is silent for a minute: in nginx `proxy_read_timeout 1h;`"
)
FORWARD_ADDRESS = (
    "let the proxy forward the client's address, "
    "in nginx `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`, "
    "and set CHATSVC_TRUSTED_PROXIES={}"
)


def check(config: Config, tx: Transaction) -> Iterator[Finding]:
    reached = reach(config)
    yield reached
    if reached.level != "ok":
        yield warn("stream", "not tried", "PUBLIC_URL must be reachable first")
        return
    with temporary_token(tx) as token:
        yield from stream(config, token)


def reach(config: Config) -> Finding:
    """Check whether this service responds at PUBLIC_URL."""
    url = config.public_url
    try:
        with Exchange(url, "/healthz", {}) as exchange:
            return _reached(config, exchange)
    except (OSError, http.client.HTTPException) as error:
        return fail("reachable", f"{url}: {reason(error)}", remedy(error))


def _reached(config: Config, exchange: Exchange) -> Finding:
    about, url, who = "reachable", config.public_url, _who(exchange)
    if (exchange.status, exchange.lines[:1]) == (200, [b"ok\n"]):
        return ok(about, f"{url} responds after {exchange.first_after_s * 1000:.0f} ms")
    if exchange.status in (502, 503, 504):
        found = f"{url}: {who} responds {exchange.status}: it does not reach this service"
        advice = f"start it, and let the proxy forward requests to {config.host} port {config.port}"
        return fail(about, found, advice)
    if 300 <= exchange.status < 400:
        place = exchange.headers.get("Location", "elsewhere")
        return fail(
            about,
            f"{url}: {who} redirects to {place}",
            "set CHATSVC_PUBLIC_URL to the final address",
        )
    found = f"{url}: {who} responds {exchange.status} and is not this service"
    return fail(about, found, "correct CHATSVC_PUBLIC_URL, or let the proxy forward all paths")


def stream(config: Config, token: str) -> Iterator[Finding]:
    """Check the stream's headers, its first bytes, the client's address and the heartbeat."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "text/event-stream",
        "Accept-Encoding": "gzip",
    }
    try:
        with Exchange(
            config.public_url, "/admin/notifications/stream", headers, until=b'"type":"state"'
        ) as exchange:
            opened = _refused(exchange) or _altered(exchange) or _opened(exchange)
            yield opened
            if opened.level == "ok":
                yield client_address(exchange)
                yield _heartbeat(exchange)
    except TimeoutError:
        limit_s = http_probe.RESPONSE_LIMIT_S
        found = (
            f"nothing arrives within {limit_s:.0f} s, but other requests get responses: "
            "the proxy buffers it"
        )
        yield fail("stream", found, DISABLE_BUFFERING)
    except (OSError, http.client.HTTPException) as error:
        yield fail("stream", f"the connection failed: {reason(error)}", "see the proxy's log")


@contextmanager
def temporary_token(tx: Transaction) -> Iterator[str]:
    """Create a staff account for the duration of the block and yield a token for it.

    So the streams and limits of other accounts are not affected. If the process is killed, the
    account remains until the next run of the doctor. It has no password, and nobody has its token.
    """
    user_id, token = str(uuid7()), tokens.new_secret(tokens.STAFF_PREFIX)
    tx.begin()
    tx.execute_sql(f"DELETE FROM users WHERE {LEFT_OVER}")  # noqa: S608 - a constant
    User.insert(id=user_id, kind="staff", name=NAME, password_hash=NO_PASSWORD).execute(tx.database)
    StaffToken.insert(id=str(uuid7()), user=user_id, token_hash=tokens.hash_token(token)).execute(
        tx.database
    )
    tx.commit()
    try:
        yield token
    finally:
        delete_from(User).where(User.id == user_id).execute(tx.database)


def _refused(exchange: Exchange) -> Finding | None:
    if exchange.status == http.client.OK:
        return None
    found = f"{_who(exchange)} responds {exchange.status}"
    if exchange.status == http.client.UNAUTHORIZED:
        advice = (
            "let the proxy forward the Authorization header; the service must use this database"
        )
    elif exchange.status == http.client.TOO_MANY_REQUESTS:
        advice = (
            "this address has as many streams open as STREAMS_PER_ADDRESS allows; "
            "is TRUSTED_PROXIES set?"
        )
    else:
        advice = "see the request in the log; the proxy must forward all paths"
    return fail("stream", found, advice)


def _altered(exchange: Exchange) -> Finding | None:
    """Return a finding if the proxy changed a header. X-Accel-Buffering is one for nginx alone."""
    encoding = exchange.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        return fail(
            "stream",
            f"{_who(exchange)} compresses it ({encoding}), which delays events",
            "let the proxy not compress text/event-stream",
        )
    for name, wanted in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")):
        value = exchange.headers.get(name, "")
        if wanted not in value:
            found = f"{_who(exchange)} sends {name}: {value or 'nothing'} instead of {wanted}"
            return fail("stream", found, f"let the proxy not change {name}")
    return None


def _opened(exchange: Exchange) -> Finding:
    """Check that the first bytes and the first event arrive without delay."""
    if not any(b'"type":"state"' in line for line in exchange.lines):
        return fail("stream", "it opens, but its first event does not arrive", DISABLE_BUFFERING)
    if exchange.first_after_s > PROMPT_S:
        found = f"the first byte takes {exchange.first_after_s:.1f} s: the proxy buffers it"
        return fail("stream", found, DISABLE_BUFFERING)
    delay_ms = exchange.first_after_s * 1000
    return ok("stream", f"first byte after {delay_ms:.0f} ms, headers unchanged, no buffering")


def _heartbeat(exchange: Exchange) -> Finding:
    about, began = "heartbeat", time.monotonic()
    limit_s = registry.PING_INTERVAL_S + HEARTBEAT_GRACE_S
    line = exchange.next_line(limit_s)
    after_s = time.monotonic() - began
    if line is None:
        return fail(
            about,
            f"nothing arrives for {limit_s:.0f} s, but a ping was due: the proxy buffers it",
            DISABLE_BUFFERING,
        )
    if not line:
        return fail(
            about,
            f"{_who(exchange)} closes a stream that is silent for {after_s:.0f} s",
            RAISE_TIMEOUT,
        )
    return ok(about, f"a ping after {after_s:.1f} s")


def client_address(exchange: Exchange) -> Finding:
    """Compare this address with the one in the first line of the stream, which the service sees.

    They differ if the proxy does not forward the client's address.
    """
    about, own = "client address", exchange.own_address
    match = re.search(rb"for (\S+)", exchange.lines[0])
    seen = match[1].decode() if match else "unknown"
    if seen == own:
        return ok(about, seen)
    if match and ipaddress.ip_address(seen).is_global:
        return ok(about, f"{seen}; {own} inside this network")
    found = (
        f"the service sees {seen} instead of this client, {own}: "
        "all users share one address and its limits"
    )
    return warn(about, found, FORWARD_ADDRESS.format(seen))


def _who(exchange: Exchange) -> str:
    """Name the server that responded. chatsvc sends no name, so a name is another server's."""
    return exchange.headers.get("Server") or exchange.headers.get("Via") or "the server there"

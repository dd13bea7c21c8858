"""The doctor on the way from a browser: opens a stream through PUBLIC_URL and looks at what arrives, and when."""

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

PROMPT_S = 1.0  # the first bytes are sent at once: later they were held back
HEARTBEAT_GRACE_S = 3.0  # beyond the interval, for a busy service
NAME = "chatsvc doctor"
NO_PASSWORD = "!"  # noqa: S105 - no hash looks like this, so no password fits
LEFT_OVER = "kind = 'staff' AND password_hash = '!' AND created_at < clock_timestamp() - interval '10 minutes'"
UNBUFFERED = (
    "let the proxy pass streams on at once: in nginx `proxy_buffering off;` and "
    "no `proxy_ignore_headers X-Accel-Buffering`, in Caddy `flush_interval -1`"
)
PATIENT = "let the proxy bear a minute of silence: in nginx `proxy_read_timeout 1h;`"
FORWARDED = (
    "let the proxy say whom it asks for, in nginx `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`, "
    "and set CHATSVC_TRUSTED_PROXIES={}"
)


def check(config: Config, tx: Transaction) -> Iterator[Finding]:
    reached = reach(config)
    yield reached
    if reached.level != "ok":
        yield warn("stream", "not tried", "it needs a PUBLIC_URL that can be reached")
        return
    with temporary_token(tx) as token:
        yield from stream(config, token)


def reach(config: Config) -> Finding:
    """Whether it is this service that answers at PUBLIC_URL."""
    url = config.public_url
    try:
        with Exchange(url, "/healthz", {}) as answer:
            return _reached(config, answer)
    except (OSError, http.client.HTTPException) as error:
        return fail("reachable", f"{url}: {reason(error)}", remedy(error))


def _reached(config: Config, answer: Exchange) -> Finding:
    about, url, who = "reachable", config.public_url, _who(answer)
    if (answer.status, answer.lines[:1]) == (200, [b"ok\n"]):
        return ok(about, f"{url} answers after {answer.first_after_s * 1000:.0f} ms")
    if answer.status in (502, 503, 504):
        advice = f"start it, and let the proxy pass requests to {config.host} port {config.port}"
        return fail(
            about, f"{url}: {who} answers {answer.status}: it does not reach this service", advice
        )
    if 300 <= answer.status < 400:
        place = answer.headers.get("Location", "elsewhere")
        return fail(
            about,
            f"{url}: {who} redirects to {place}",
            "set CHATSVC_PUBLIC_URL to the final address",
        )
    found = f"{url}: {who} answers {answer.status}, and is not this service"
    return fail(about, found, "correct CHATSVC_PUBLIC_URL, or what the proxy passes on (all paths)")


def stream(config: Config, token: str) -> Iterator[Finding]:
    """Headers unchanged, first bytes at once, then the state; after some silence a ping. Says whom the service sees."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "text/event-stream",
        "Accept-Encoding": "gzip",
    }
    try:
        with Exchange(
            config.public_url, "/admin/notifications/stream", headers, until=b'"type":"state"'
        ) as answer:
            opened = _refused(answer) or _changed(answer) or _late(answer)
            yield opened
            if opened.level == "ok":
                yield client_address(answer)
                yield _heartbeat(answer)
    except TimeoutError:
        limit_s = http_probe.ANSWER_LIMIT_S
        found = f"nothing arrives within {limit_s:.0f} s, though other requests are answered: it is held back"
        yield fail("stream", found, UNBUFFERED)
    except (OSError, http.client.HTTPException) as error:
        yield fail("stream", f"the connection is cut: {reason(error)}", "the proxy's log says why")


@contextmanager
def temporary_token(tx: Transaction) -> Iterator[str]:
    """The token of a staff account that exists inside the block only. Nobody else's streams or limits are touched.

    If the process is killed inside, the account stays, without a password and with a token that nobody knows, until the
    doctor is run again.
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


def _refused(answer: Exchange) -> Finding | None:
    if answer.status == http.client.OK:
        return None
    found = f"{_who(answer)} answers {answer.status}"
    if answer.status == http.client.UNAUTHORIZED:
        advice = "let the proxy pass the Authorization header on; and the service there must use this database"
    elif answer.status == http.client.TOO_MANY_REQUESTS:
        advice = "this address has as many streams open as STREAMS_PER_ADDRESS allows; is TRUSTED_PROXIES set?"
    else:
        advice = "the log has the request; the proxy must pass on all paths"
    return fail("stream", found, advice)


def _changed(answer: Exchange) -> Finding | None:
    """A proxy may take X-Accel-Buffering out (nginx does, always), but change nothing else."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        advice = "leave text/event-stream out of what the proxy compresses"
        return fail(
            "stream", f"{_who(answer)} compresses it ({encoding}), which holds events back", advice
        )
    for name, wanted in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")):
        value = answer.headers.get(name, "")
        if wanted not in value:
            found = f"{_who(answer)} sends {name}: {value or 'nothing'} where the service sends {wanted}"
            return fail("stream", found, f"let the proxy leave {name} as it is")
    return None


def _late(answer: Exchange) -> Finding:
    """Whether X-Accel-Buffering was obeyed, or nothing buffers: the first bytes are there at once, the state too."""
    if not any(b'"type":"state"' in line for line in answer.lines):
        return fail("stream", "it begins, but its first event does not arrive", UNBUFFERED)
    if answer.first_after_s > PROMPT_S:
        return fail(
            "stream",
            f"the first byte takes {answer.first_after_s:.1f} s: it is held back",
            UNBUFFERED,
        )
    found = f"first byte after {answer.first_after_s * 1000:.0f} ms, headers as sent, then its state: nothing buffers"
    return ok("stream", found)


def _heartbeat(answer: Exchange) -> Finding:
    about, began = "heartbeat", time.monotonic()
    limit_s = registry.PING_INTERVAL_S + HEARTBEAT_GRACE_S
    line = answer.next_line(limit_s)
    after_s = time.monotonic() - began
    if line is None:
        return fail(
            about,
            f"nothing arrives for {limit_s:.0f} s, where a ping was due: it is held back",
            UNBUFFERED,
        )
    if not line:
        return fail(
            about, f"{_who(answer)} cuts a stream that is silent for {after_s:.0f} s", PATIENT
        )
    return ok(about, f"a sign of life after {after_s:.1f} s")


def client_address(answer: Exchange) -> Finding:
    """The first line of a stream for staff says whom the service sees. Behind a proxy that says nothing it is the proxy."""
    about, own = "client address", answer.own_address
    match = re.search(rb"for (\S+)", answer.lines[0])
    seen = match[1].decode() if match else "nobody"
    if seen == own:
        return ok(about, f"{seen}, as it is")
    if match and ipaddress.ip_address(seen).is_global:
        return ok(about, f"{seen}; {own} inside this network")
    found = f"the service takes this client, {own}, for {seen}: all users share one address and its limits"
    return warn(about, found, FORWARDED.format(seen))


def _who(answer: Exchange) -> str:
    """The service says no name of its own, so a name is a proxy's or another server's."""
    return answer.headers.get("Server") or answer.headers.get("Via") or "what is there"

"""The doctor on the way from a browser: opens a stream through PUBLIC_URL and looks at what arrives, and when."""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import NamedTuple
from urllib.parse import urlsplit

from uuid_utils import uuid7

from chatsvc import tokens
from chatsvc.config import Config
from chatsvc.doctor_finding import Finding, fail, ok, warn
from chatsvc.models import StaffToken, User
from chatsvc.session import Session
from chatsvc.store.accounts import delete_from

ANSWER_LIMIT_S = 5.0  # for each step; who waits longer polls
PROMPT_S = 1.0  # the first bytes are sent at once: later they were held back
LINES_MAX = 20  # comment, retry, state: a stream of ours has its first event on the fifth line
NAME = "chatsvc doctor"
NO_PASSWORD = "!"  # noqa: S105 - no hash looks like this, so no password fits
LEFT_OVER = "kind = 'staff' AND password_hash = '!' AND created_at < clock_timestamp() - interval '10 minutes'"
UNBUFFERED = (
    "let the proxy pass streams on at once: in nginx `proxy_buffering off;` and "
    "no `proxy_ignore_headers X-Accel-Buffering`"
)


class Answer(NamedTuple):
    """What came back, and how many seconds after the request its first line was there."""

    status: int
    headers: Message
    lines: list[bytes]
    first_after_s: float


def check(config: Config, session: Session) -> Iterator[Finding]:
    reached = reach(config)
    yield reached
    if reached.level != "ok":
        yield warn("stream", "not tried", "it needs a PUBLIC_URL that can be reached")
        return
    with temporary_token(session) as token:
        yield stream(config, token)


def reach(config: Config) -> Finding:
    """Whether it is this service that answers at PUBLIC_URL."""
    about, url = "reachable", config.public_url
    try:
        answer = _get(url, "/healthz", {})
    except (OSError, http.client.HTTPException) as error:
        return fail(about, f"{url}: {_reason(error)}", _remedy(error))
    if (answer.status, answer.lines[:1]) == (200, [b"ok\n"]):
        return ok(about, f"{url} answers after {answer.first_after_s * 1000:.0f} ms")
    who = _who(answer)
    if answer.status in (502, 503, 504):
        advice = f"start it, and let the proxy pass requests to {config.host} port {config.port}"
        return fail(about, f"{url}: {who} answers {answer.status}: it does not reach this service", advice)
    if 300 <= answer.status < 400:
        place = answer.headers.get("Location", "elsewhere")
        return fail(about, f"{url}: {who} redirects to {place}", "set CHATSVC_PUBLIC_URL to the final address")
    found = f"{url}: {who} answers {answer.status}, and is not this service"
    return fail(about, found, "correct CHATSVC_PUBLIC_URL, or what the proxy passes on (all paths)")


def stream(config: Config, token: str) -> Finding:
    """Headers unchanged, first bytes at once, then the state."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    try:
        answer = _get(config.public_url, "/admin/notifications/stream", headers, until=b'"type":"state"')
    except TimeoutError:
        found = f"nothing arrives within {ANSWER_LIMIT_S:.0f} s, though other requests are answered: it is held back"
        return fail("stream", found, UNBUFFERED)
    except (OSError, http.client.HTTPException) as error:
        return fail("stream", f"the connection is cut: {_reason(error)}", "the proxy's log says why")
    return _refused(answer) or _changed(answer) or _late(answer)


@contextmanager
def temporary_token(session: Session) -> Iterator[str]:
    """The token of a staff account that exists inside the block only. Nobody else's streams or limits are touched.

    If the process is killed inside, the account stays, without a password and with a token that nobody knows, until the
    doctor is run again.
    """
    user_id, token = str(uuid7()), tokens.new_secret(tokens.STAFF_PREFIX)
    session.begin()
    session.execute_sql(f"DELETE FROM users WHERE {LEFT_OVER}")  # noqa: S608 - a constant
    User.insert(id=user_id, kind="staff", name=NAME, password_hash=NO_PASSWORD).execute(session.database)
    StaffToken.insert(id=str(uuid7()), user=user_id, token_hash=tokens.hash_token(token)).execute(session.database)
    session.commit()
    try:
        yield token
    finally:
        delete_from(User).where(User.id == user_id).execute(session.database)


def _get(url: str, path: str, headers: dict[str, str], *, until: bytes = b"\n") -> Answer:
    """Asks, and reads lines until one holds `until`. Raises TimeoutError if nothing comes for ANSWER_LIMIT_S."""
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    started = time.monotonic()
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        lines: list[bytes] = []
        first_after_s = 0.0
        while len(lines) < LINES_MAX and not (lines and until in lines[-1]):
            try:
                lines.append(response.readline())
            except TimeoutError:
                if not lines:
                    raise
                break
            first_after_s = first_after_s or time.monotonic() - started
            if not lines[-1] or response.status != http.client.OK:
                break
        return Answer(response.status, response.headers, lines, first_after_s)
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=ANSWER_LIMIT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=ANSWER_LIMIT_S)


def _refused(answer: Answer) -> Finding | None:
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


def _changed(answer: Answer) -> Finding | None:
    """A proxy may take X-Accel-Buffering out (nginx does when it obeys), but change nothing else."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        advice = "leave text/event-stream out of what the proxy compresses"
        return fail("stream", f"{_who(answer)} compresses it ({encoding}), which holds events back", advice)
    for name, wanted in (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")):
        value = answer.headers.get(name, "")
        if wanted not in value:
            found = f"{_who(answer)} sends {name}: {value or 'nothing'} where the service sends {wanted}"
            return fail("stream", found, f"let the proxy leave {name} as it is")
    return None


def _late(answer: Answer) -> Finding:
    if not any(b'"type":"state"' in line for line in answer.lines):
        return fail("stream", "it begins, but its first event does not arrive", UNBUFFERED)
    if answer.first_after_s > PROMPT_S:
        return fail("stream", f"the first byte takes {answer.first_after_s:.1f} s: it is held back", UNBUFFERED)
    return ok("stream", f"first byte after {answer.first_after_s * 1000:.0f} ms, headers as sent, then its state")


def _who(answer: Answer) -> str:
    """The service says no name of its own, so a name is a proxy's or another server's."""
    return answer.headers.get("Server") or answer.headers.get("Via") or "what is there"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_LIMIT_S:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS there: {error.reason}"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _remedy(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the name must lead to this machine or its proxy: add it to DNS, or correct CHATSVC_PUBLIC_URL"
    if isinstance(error, ssl.SSLError):
        return "TLS is the proxy's: give it a certificate for this name, or correct CHATSVC_PUBLIC_URL"
    if isinstance(error, TimeoutError):
        return "a firewall, a frozen service, or https where there is no TLS: correct it, or CHATSVC_PUBLIC_URL"
    return "start the service and what is in front of it, or correct CHATSVC_PUBLIC_URL"

"""Tokens: sign and verify those of host applications, visitors, staff and unsubscribe links.

Pure functions, without a database.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import jwt

from chatsvc.errors import NotFound, TokenExpired, Unauthorized
from chatsvc.text.email_address import address_digest

ALGORITHM = "HS256"
AUDIENCE = "chatsvc"
MAX_TOKEN_BYTES = 4096
MAX_LIFETIME = timedelta(hours=24)
LEEWAY = timedelta(seconds=30)  # for the clocks of two machines
VISITOR_LIFETIME = timedelta(days=400)  # the longest that browsers keep a cookie
VISITOR_PREFIX = "cv_"  # shows the kind of a token before it is decoded
STAFF_PREFIX = "cs_"
UUID_BYTES = 16
MAC_BYTES = 16  # 128 bits cannot be guessed over the network; short links break less often


class Claims(NamedTuple):
    """The claims of an identity token: what a host application says about its user."""

    sub: str
    email: str | None
    name: str | None
    issued_at: datetime
    expires_at: datetime


def decode_identity(token: str, identity_secrets: tuple[bytes, ...]) -> Claims:
    """Verify an identity token with each of the secrets.

    Raises TokenExpired if it is valid except for its age, otherwise Unauthorized.
    """
    payload = _decode(token, identity_secrets, AUDIENCE)
    sub, email, name = payload["sub"], payload.get("email"), payload.get("name")
    issued_at, expires_at = _moment(payload["iat"]), _moment(payload["exp"])
    texts_fit = isinstance(sub, str) and 1 <= len(sub) <= 255 and _is_text(sub)
    optional_fit = all(
        value is None or (isinstance(value, str) and _is_text(value)) for value in (email, name)
    )
    if not (texts_fit and optional_fit and timedelta(0) < expires_at - issued_at <= MAX_LIFETIME):
        raise Unauthorized
    return Claims(sub, email or None, (name or None) and name[:255], issued_at, expires_at)


def sign_identity(
    secret: bytes, *, sub: str, email: str | None, name: str | None, ttl_s: int
) -> str:
    """Sign a token like a host application."""
    now = datetime.now(UTC)
    claims = {
        "sub": sub,
        "email": email,
        "name": name,
        "iat": now,
        "exp": now + timedelta(seconds=ttl_s),
        "aud": AUDIENCE,
    }
    return jwt.encode(
        {key: value for key, value in claims.items() if value is not None}, secret, ALGORITHM
    )


def sign_visitor(secret_key: bytes, user_id: str) -> str:
    now = datetime.now(UTC)
    claims = {"sub": user_id, "iat": now, "exp": now + VISITOR_LIFETIME, "aud": "visitor"}
    return VISITOR_PREFIX + jwt.encode(claims, purpose_key(secret_key, "visitor-token"), ALGORITHM)


def decode_visitor(token: str, secret_key: bytes) -> tuple[str, datetime]:
    """Return the visitor's id and the token's expiry time. Raises Unauthorized, TokenExpired."""
    key = purpose_key(secret_key, "visitor-token")
    payload = _decode(token.removeprefix(VISITOR_PREFIX), (key,), "visitor")
    return str(payload["sub"]), _moment(payload["exp"])


class Unsubscription(NamedTuple):
    """Whose e-mails a link ends: those to a user, and if a visitor entered it, to an address."""

    user_id: str
    digest: str | None  # of the address; None in e-mails of earlier versions


def sign_unsubscribe(secret_key: bytes, user_id: str, email: str | None = None) -> str:
    """Return a token that stops this user's e-mails to this address, and resumes them.

    It never expires: somebody may keep an old e-mail.
    """
    subject = UUID(user_id).bytes
    if email is not None:
        subject += bytes.fromhex(address_digest(email))
    return _encode(subject + _unsubscribe_mac(secret_key, subject))


def read_unsubscribe(token: str, secret_key: bytes) -> Unsubscription:
    """Raises NotFound for a token that sign_unsubscribe did not make."""
    try:
        signed = urlsafe_b64decode(token.encode("ascii") + b"==")
    except ValueError:
        raise NotFound from None
    subject, mac = signed[:-MAC_BYTES], signed[-MAC_BYTES:]
    genuine = hmac.compare_digest(mac, _unsubscribe_mac(secret_key, subject))
    if not genuine or _encode(signed) != token:
        raise NotFound
    user_id, digest = subject[:UUID_BYTES], subject[UUID_BYTES:]
    return Unsubscription(str(UUID(bytes=user_id)), digest.hex() or None)


def _encode(signed: bytes) -> str:
    return urlsafe_b64encode(signed).rstrip(b"=").decode()


def _unsubscribe_mac(secret_key: bytes, subject: bytes) -> bytes:
    return hmac.digest(purpose_key(secret_key, "unsubscribe"), subject, "sha256")[:MAC_BYTES]


def sign_device(secret_key: bytes, account: str) -> str:
    """Return a cookie for a browser that has logged in to an account: a new id with its MAC."""
    device = secrets.token_urlsafe(UUID_BYTES)
    return f"{device}.{_device_mac(secret_key, account, device)}"


def read_device(cookie: str, secret_key: bytes, account: str) -> str | None:
    """Return the id of a device that has logged in to this account before, or None."""
    device, _, mac = cookie.partition(".")
    expected = _device_mac(secret_key, account, device)
    return device if hmac.compare_digest(mac.encode(), expected.encode()) else None


def _device_mac(secret_key: bytes, account: str, device: str) -> str:
    signed = f"{device} {account}".encode(errors="surrogatepass")
    return hmac.digest(purpose_key(secret_key, "login-device"), signed, "sha256").hex()


def new_secret(prefix: str = "") -> str:
    """Return a random token of 256 bits."""
    return prefix + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the hash that is stored of a random token. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def purpose_key(secret_key: bytes, purpose: str) -> bytes:
    """Derive a key for one purpose. A signature made with it is invalid for other purposes."""
    return hmac.digest(secret_key, f"chatsvc {purpose}".encode(), "sha256")


def demo_secret(secret_key: bytes) -> bytes:
    """Return the secret that signs identity tokens in demo mode, without a host application."""
    return purpose_key(secret_key, "demo-identity").hex().encode()


def _decode(token: str, keys: tuple[bytes, ...], audience: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized
    expired = False
    for key in keys:
        try:
            return dict(
                jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=audience,
                    leeway=LEEWAY,
                    options={
                        "require": ["exp", "iat", "sub", "aud"],
                        "strict_aud": True,
                        "verify_iat": True,
                    },
                )
            )
        except jwt.ExpiredSignatureError:
            expired = True
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            continue
    raise TokenExpired if expired else Unauthorized


def _moment(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorized
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unauthorized from None


def _is_text(value: str) -> bool:
    """Whether PostgreSQL can store it: no NUL, no lone surrogate."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False

"""Tokens: what an attacker may try with a JWT, and what a host application may get wrong."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chatsvc.errors import NotFound, TokenExpired, Unauthorized
from chatsvc.security import tokens
from chatsvc.text.email_address import address_digest
from tests.support.service import IDENTITY_SECRET, SECRET_KEY

OTHER_SECRET = b"another secret, as long as the first one is"
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
ABSENT = object()
DAY_S = 24 * 3600
USER_ID = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"


def encode(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def sign(
    payload: object,
    *,
    header: object = HEADER,
    secret: bytes = IDENTITY_SECRET,
    digest: str = "sha256",
) -> str:
    """A JWT made by hand: libraries refuse to make most of what is tried here."""
    body = f"{encode(header)}.{encode(payload)}"
    return f"{body}.{encode(hmac.digest(secret, body.encode(), digest))}"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {"sub": "alice", "iat": now, "exp": now + 3600, "aud": "chatsvc"}
    return {name: value for name, value in {**base, **changes}.items() if value is not ABSENT}


def ago(seconds: float) -> float:
    return time.time() - seconds


NO_TIMES: tuple[Any, ...] = (
    "",
    "soon",
    "9999999999",
    True,
    [9999999999],
    {},
    float("nan"),
    float("inf"),
    float("-inf"),
    10**400,
    -1,
    1e300,
)
REFUSED_CLAIMS: dict[str, dict[str, Any]] = {
    **{f"no {name}": {name: ABSENT} for name in ("sub", "iat", "exp", "aud")},
    **{f"{name} null": {name: None} for name in ("sub", "iat", "exp", "aud")},
    **{f"{name} is {value!r:.40}": {name: value} for name in ("exp", "iat") for value in NO_TIMES},
    "exp as text": {"exp": str(int(time.time()) + 60)},
    "exp in 10 years": {"exp": time.time() + 10 * 365 * DAY_S},
    "a lifetime of a second over a day": {
        "exp": int(time.time()) + DAY_S + 1,
        "iat": int(time.time()),
    },
    "exp before iat": {"iat": int(time.time()) + 20, "exp": int(time.time()) + 10},
    "exp is iat": {"iat": int(time.time()) + 20, "exp": int(time.time()) + 20},
    "iat in the future": {"iat": time.time() + 3600, "exp": time.time() + 7200},
    "nbf in the future": {"nbf": time.time() + 1800},
    "wrong aud": {"aud": "somebody else"},
    "aud in a list": {"aud": ["chatsvc"]},
    "aud among others": {"aud": ["chatsvc", "other"]},
    "aud empty": {"aud": ""},
    "aud of visitors": {"aud": "visitor"},
    "aud in capitals": {"aud": "CHATSVC"},
    "sub empty": {"sub": ""},
    "sub of 256": {"sub": "x" * 256},
    **{f"sub is {value!r}": {"sub": value} for value in (7, True, ["alice"], {"id": "alice"})},
    **{f"{name} with NUL": {name: "a\0b"} for name in ("sub", "email", "name")},
    **{f"{name} with a lone surrogate": {name: "a\ud800b"} for name in ("sub", "email", "name")},
    **{
        f"{name} is {value!r}": {name: value}
        for name in ("email", "name")
        for value in (7, True, ["x"], {"x": 1})
    },
}


@pytest.mark.parametrize("changes", REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS.keys())
def test_claims_that_are_refused(changes: dict[str, Any]) -> None:
    """Rightly signed, and refused without a word about why."""
    with pytest.raises(Unauthorized) as refusal:
        tokens.decode_identity(sign(claims(**changes)), (IDENTITY_SECRET,))
    assert type(refusal.value) in (Unauthorized, TokenExpired)
    assert refusal.value.detail in (
        "Missing or invalid credentials",
        "The token has expired",
    )


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "nOnE"},
        {"alg": ""},
        {},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": {"HS256": 1}},
        {"alg": "RS256"},
        {"alg": "ES256"},
        {"alg": "HS384"},
        {"alg": "HS512"},
        {"alg": "hs256"},
        [],
        "HS256",
        None,
        7,
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "crit": ["exp"]},
        b"\xff",
        b"[" * 2000,
        b'{"alg":"none","alg":"HS255"}',
    ],
)
def test_the_algorithm_is_not_the_tokens_to_choose(header: object) -> None:
    for token in (
        sign(claims(), header=header),
        sign(claims(), header=header).rpartition(".")[0] + ".",
    ):
        with pytest.raises(Unauthorized) as refusal:
            tokens.decode_identity(token, (IDENTITY_SECRET,))
        assert type(refusal.value) is Unauthorized


def test_a_longer_hash_with_the_same_secret_is_another_algorithm() -> None:
    for name, digest in (("HS384", "sha384"), ("HS512", "sha512")):
        with pytest.raises(Unauthorized):
            tokens.decode_identity(
                sign(claims(), header={"alg": name}, digest=digest), (IDENTITY_SECRET,)
            )


@pytest.mark.parametrize(
    "payload",
    [
        [],
        "x",
        None,
        7,
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 2000,
        b'{"sub":' * 300 + b"1" + b"}" * 300,
        b'{"exp":' + b"9" * 3000,
    ],
)
def test_payloads_that_are_no_claims(payload: object) -> None:
    with pytest.raises(Unauthorized):
        tokens.decode_identity(sign(payload), (IDENTITY_SECRET,))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "x",
        "a.b.c",
        "é.é.é",
        "\udcff",
        " ",
        "null",
        "cs_x",
        "cv_x",
        "a" * 5000,
        "." * 4000,
        "e30.e30.e30",
    ],
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.decode_identity(token, (IDENTITY_SECRET,))


def test_a_large_token_is_refused_before_anything_of_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = sign(claims()), sign(claims(padding="x" * 3500))
    assert len(large) > tokens.MAX_TOKEN_BYTES > len(sign(claims(padding="x" * 2500)))
    assert (
        tokens.decode_identity(sign(claims(padding="x" * 2500)), (IDENTITY_SECRET,)).sub == "alice"
    )
    monkeypatch.setattr("jwt.decode", lambda *_, **__: pytest.fail("it was decoded"))
    for token in (large, small + "A" * 1_000_000, "." * 1_000_000):
        with pytest.raises(Unauthorized):
            tokens.decode_identity(token, (IDENTITY_SECRET,))


def test_a_token_may_have_4_kib() -> None:
    lengths = set()
    for padding in range(2870, 2940):
        token = sign(claims(padding="x" * padding))
        lengths.add(len(token))
        if len(token) <= 4096:
            assert tokens.decode_identity(token, (IDENTITY_SECRET,)).sub == "alice"
        else:
            with pytest.raises(Unauthorized):
                tokens.decode_identity(token, (IDENTITY_SECRET,))
    assert any(4094 <= length <= 4096 for length in lengths) and any(
        4097 <= length <= 4099 for length in lengths
    )


def test_a_changed_token_is_refused_wherever_it_was_changed() -> None:
    token = sign(claims(email="a@example.com"))
    for place in range(
        0, len(token) - 1, 3
    ):  # the last character carries bits that decode to nothing
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(Unauthorized):
            tokens.decode_identity(changed, (IDENTITY_SECRET,))


def test_secrets_rotate() -> None:
    """Old and new are both good while both are set; the one that was taken away is not, and without any nothing is."""
    old, new = sign(claims()), sign(claims(), secret=OTHER_SECRET)
    for both in ((IDENTITY_SECRET, OTHER_SECRET), (OTHER_SECRET, IDENTITY_SECRET)):
        assert (
            tokens.decode_identity(old, both).sub
            == tokens.decode_identity(new, both).sub
            == "alice"
        )
    for token, secrets in (
        (old, (OTHER_SECRET,)),
        (new, (IDENTITY_SECRET,)),
        (old, ()),
        (sign(claims(), secret=b""), ()),
    ):
        with pytest.raises(Unauthorized):
            tokens.decode_identity(token, secrets)


def test_expired_is_said_of_what_was_once_good_and_of_nothing_else() -> None:
    expired = claims(iat=ago(3600), exp=ago(60))
    with pytest.raises(TokenExpired):
        tokens.decode_identity(sign(expired), (OTHER_SECRET, IDENTITY_SECRET))
    with pytest.raises(Unauthorized) as refusal:
        tokens.decode_identity(sign(expired, secret=OTHER_SECRET), (IDENTITY_SECRET,))
    assert type(refusal.value) is Unauthorized


def test_clocks_may_differ_by_half_a_minute() -> None:
    assert timedelta(seconds=30) == tokens.LEEWAY
    for changes in ({"exp": ago(20), "iat": ago(100)}, {"iat": ago(-20)}):
        assert tokens.decode_identity(sign(claims(**changes)), (IDENTITY_SECRET,)).sub == "alice"
    for changes in ({"exp": ago(40), "iat": ago(100)}, {"iat": ago(-40)}):
        with pytest.raises(Unauthorized):
            tokens.decode_identity(sign(claims(**changes)), (IDENTITY_SECRET,))


def test_what_is_good_is_taken_over() -> None:
    now = int(time.time())
    found = tokens.decode_identity(
        sign(claims(email="a@b.example", name="Ada", exp=now + DAY_S)), (IDENTITY_SECRET,)
    )
    assert (found.sub, found.email, found.name) == ("alice", "a@b.example", "Ada")
    assert found.issued_at.timestamp() == now and found.expires_at - found.issued_at == timedelta(
        days=1
    )
    for sub in ("x", "x" * 255, "é" * 255, "\U0001f600", "a b", "<script>", "' OR 1=1 --"):
        assert tokens.decode_identity(sign(claims(sub=sub)), (IDENTITY_SECRET,)).sub == sub
    for empty in ({"email": "", "name": ""}, {"email": None, "name": None}, {}):
        found = tokens.decode_identity(sign(claims(**empty)), (IDENTITY_SECRET,))
        assert (found.email, found.name) == (None, None)


def test_our_own_tokens_are_what_hosts_sign() -> None:
    token = tokens.sign_identity(
        IDENTITY_SECRET, sub="alice", email="a@b.example", name=None, ttl_s=60
    )
    found = tokens.decode_identity(token, (IDENTITY_SECRET,))
    assert found.sub == "alice" and found.expires_at - found.issued_at == timedelta(seconds=60)


# ---- visitors ----


def test_a_visitor_token_is_good_for_this_installation_and_400_days() -> None:
    token = tokens.sign_visitor(SECRET_KEY, "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
    user_id, expires_at = tokens.decode_visitor(token, SECRET_KEY)
    assert token.startswith("cv_") and user_id.startswith("0190aaaa")
    assert abs(expires_at.timestamp() - time.time() - 400 * DAY_S) < 5
    with pytest.raises(Unauthorized):
        tokens.decode_visitor(token, SECRET_KEY[::-1])


def test_a_token_for_one_purpose_is_worth_nothing_for_another() -> None:
    """Also where somebody uses one secret for both, and however the prefix is dressed."""
    visitor, host = tokens.sign_visitor(SECRET_KEY, "0190"), sign(claims())
    key = tokens.purpose_key(SECRET_KEY, "visitor-token")
    attempts: list[tuple[str, bytes]] = [
        ("cv_" + host, SECRET_KEY),
        ("cv_" + host, IDENTITY_SECRET),
        (host, SECRET_KEY),
        ("cv_" + sign(claims(), secret=key), SECRET_KEY),
        ("cv_" + sign(claims(aud="visitor"), secret=SECRET_KEY), SECRET_KEY),
        ("cv_cv_" + visitor, SECRET_KEY),
        (
            "cv_"
            + sign(claims(aud="visitor"), secret=tokens.purpose_key(SECRET_KEY, "unsubscribe")),
            SECRET_KEY,
        ),
    ]
    for token, secret in attempts:
        with pytest.raises(Unauthorized):
            tokens.decode_visitor(token, secret)
    for secrets in ((SECRET_KEY,), (key,), (IDENTITY_SECRET,)):
        for token in (visitor, visitor.removeprefix("cv_")):
            with pytest.raises(Unauthorized):
                tokens.decode_identity(token, secrets)


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {
        tokens.purpose_key(SECRET_KEY, purpose)
        for purpose in ("visitor-token", "unsubscribe", "demo-identity", "")
    }
    assert len(keys) == 4 and SECRET_KEY not in keys and all(len(key) == 32 for key in keys)
    assert len(tokens.demo_secret(SECRET_KEY)) >= 32 and tokens.demo_secret(SECRET_KEY) not in keys


def test_random_tokens_are_long_different_and_stored_as_a_hash() -> None:
    made = {tokens.new_secret("cs_") for _ in range(1000)}
    assert len(made) == 1000 and all(len(token) >= 43 + 3 for token in made)
    token = made.pop()
    assert tokens.hash_token(token) == hashlib.sha256(token.encode()).hexdigest()


# ---- unsubscribing ----


def test_a_link_for_unsubscribing_is_good_for_its_user_alone() -> None:
    token = tokens.sign_unsubscribe(SECRET_KEY, USER_ID)
    assert tokens.read_unsubscribe(token, SECRET_KEY) == (USER_ID, None)
    with_address = tokens.sign_unsubscribe(SECRET_KEY, USER_ID, "Eve@example.com")
    link = tokens.read_unsubscribe(with_address, SECRET_KEY)
    assert link == (USER_ID, address_digest("eve@example.com"))
    assert len(with_address) < 70
    assert len(token) < 50, "short links survive e-mail programs"
    other_purpose = encode(
        UUID(USER_ID).bytes + hmac.digest(SECRET_KEY, UUID(USER_ID).bytes, "sha256")[:16]
    )
    visitor = tokens.sign_visitor(SECRET_KEY, USER_ID)
    for wrong in (
        "",
        "x",
        "é",
        token[:-1],
        token + "A",
        token + "=",
        token + "\n",
        f" {token}",
        token[:-1] + "~",
        "A" * len(token),
        token.swapcase(),
        "B" + token[1:],
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        other_purpose,
        visitor,
        visitor.removeprefix("cv_"),
        tokens.sign_unsubscribe(b"another secret key, of more than 32 bytes", USER_ID),
        encode(b"\0" * 32),
        encode(b"\0" * 15),
        "A" * 100_000,
    ):
        with pytest.raises(NotFound):
            tokens.read_unsubscribe(wrong, SECRET_KEY)

"""Who is asking: whose word about a user counts, what is remembered of a proof and for how long."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from argon2 import PasswordHasher

from chatsvc.errors import DomainError, Forbidden, TokenExpired, TooManyRequests, Unauthorized
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.security import tokens
from chatsvc.security.passwords import Passwords, hash_password, needs_rehash
from chatsvc.services.identity import (
    CACHED_MAX,
    STAFF_CACHED_S,
    USER_CACHED_S,
    IdentityService,
)
from chatsvc.store import people
from chatsvc.wire import NewVisitor, VisitorChange
from tests.support.service import IDENTITY_SECRET, PASSWORD, SECRET_KEY, Service
from tests.support.waiting import until
from tests.support.writer import HeldWriter

OTHER_SECRET = b"another secret, as long as the first one is"


class Clock:
    """Starts now, because tokens are checked against the real one; moves when told."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Identities:
    """IdentityServices on one database, as after a restart or with other options."""

    def __init__(self, service: Service) -> None:
        self.db = service.app.db
        self.clock = Clock()

    def make(
        self,
        *,
        secret_key: bytes = SECRET_KEY,
        identity_secrets: tuple[bytes, ...] = (IDENTITY_SECRET,),
        visitors: bool = True,
    ) -> IdentityService:
        return IdentityService(
            self.db,
            secret_key=secret_key,
            identity_secrets=identity_secrets,
            visitors=visitors,
            now=self.clock,
        )

    async def count(self, table: str) -> int:
        rows = await self.db.read(
            lambda session: session.execute_sql(f"SELECT count(*) FROM {table}")  # noqa: S608
        )
        return int(rows[0][0])


@pytest.fixture
def identities(service: Service) -> Identities:
    return Identities(service)


def token(
    sub: str = "alice", *, age_s: float = 0, secret: bytes = IDENTITY_SECRET, **claims: Any
) -> str:
    now = int(time.time() - age_s)
    return jwt.encode(
        {"sub": sub, "iat": now, "exp": now + 7200, "aud": "chatsvc", **claims}, secret, "HS256"
    )


async def refusal(work: Any) -> type[DomainError]:
    with pytest.raises(DomainError) as caught:
        await work
    return type(caught.value)


# ---- what tokens say about a user ----


async def test_a_newer_token_changes_name_and_email_and_an_older_one_does_not_set_them_back(
    identities: Identities,
) -> None:
    new = token(email="new@example.com", name="New")
    old = token(age_s=60, email="old@example.com", name="Old")
    for identity in (identities.make(), identities.make()):  # the second remembers nothing
        assert (await identity.authenticate_bearer(new)).email == "new@example.com"
        caller = await identity.authenticate_bearer(old)
        assert (caller.email, caller.name) == ("new@example.com", "New")
    assert await identities.count("users") == 1


async def test_a_token_that_only_confirms_what_is_known_is_the_newest_all_the_same(
    identities: Identities,
) -> None:
    """It was not: a token that changed nothing left its time unnoted, and one issued before it could then change the e-mail."""
    await identities.make().authenticate_bearer(token(age_s=300, email="a@example.com"))
    await identities.make().authenticate_bearer(token(email="a@example.com"))
    caller = await identities.make().authenticate_bearer(
        token(age_s=100, email="stale@example.com")
    )
    assert caller.email == "a@example.com"


async def test_a_claim_that_is_absent_or_no_address_changes_nothing(identities: Identities) -> None:
    identity = identities.make()
    await identity.authenticate_bearer(token(age_s=60, email="a@example.com", name="Ada"))
    no_news: list[dict[str, Any]] = [
        {},
        {"email": "", "name": ""},
        {"email": "a@x, b@y"},
        {"email": "x\r\nBcc: y@z"},
    ]
    for age, claims in enumerate(no_news):
        caller = await identity.authenticate_bearer(token(age_s=10 - age, **claims))
        assert (caller.email, caller.name) == ("a@example.com", "Ada"), claims
    caller = await identity.authenticate_bearer(token(name="A\r\nB\tC" + "x" * 300))
    assert caller.name == "A  B C" + "x" * 249


async def test_staff_are_told_of_a_new_name_and_not_of_a_known_one(
    identities: Identities, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.chat_id(token(age_s=60, name="Ada"))
    published: list[Event] = []
    monkeypatch.setattr(service.app.bus, "publish", published.append)
    await identities.make().authenticate_bearer(token(age_s=30, name="Ada"))
    assert published == []
    await identities.make().authenticate_bearer(token(name="Ada Lovelace"))
    assert [event.topic for event in published] == [STAFF_TOPIC]


async def test_the_same_token_again_writes_nothing(
    identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = token(email="a@example.com")
    await identities.make().authenticate_bearer(mine)
    for write in ("write", "write_many"):
        monkeypatch.setattr(
            identities.db, write, lambda *_, **__: pytest.fail("a known user was written")
        )
    assert (await identities.make().authenticate_bearer(mine)).email == "a@example.com"


async def test_many_new_users_at_once_are_stored_together(identities: Identities) -> None:
    """One of them comes with three tokens. Those are one user, with the newest claims."""
    identity, held = identities.make(), await HeldWriter(identities.db).begin()
    signed = [token(f"user {n}", name=f"User {n}") for n in range(20)]
    signed += [token("twice", age_s=age, name=f"{age} s old") for age in (30, 10, 20)]
    work = [asyncio.create_task(identity.authenticate_bearer(one)) for one in signed]
    await until(lambda: identities.db.queued_writes == len(signed))
    await held.release()
    callers = await asyncio.gather(*work)
    assert [caller.name for caller in callers[:20]] == [f"User {n}" for n in range(20)]
    assert {(caller.name) for caller in callers[20:]} == {"10 s old"}
    assert len({caller.user_id for caller in callers}) == await identities.count("users") == 21


# ---- kinds of callers ----


async def test_an_identity_token_never_gives_staff_rights(
    identities: Identities, service: Service
) -> None:
    await service.create_staff()
    record = await identities.db.read(people.password_of, "staff@example.com")
    assert record is not None
    for sub in ("staff@example.com", record.user_id, "staff", "admin"):
        claims: dict[str, Any] = {
            "email": "staff@example.com",
            "kind": "staff",
            "is_admin": True,
            "role": "admin",
            "sub": sub,
        }
        caller = await identities.make().authenticate_bearer(token(**claims))
        assert (
            caller.kind == "host" and caller.user_id != record.user_id and caller.access_id is None
        )


async def test_host_and_visitor_with_the_same_id_are_two_people(identities: Identities) -> None:
    identity = identities.make()
    visitor_token, user_id = await identity.create_visitor(NewVisitor())
    visitor, host = (
        await identity.authenticate_bearer(visitor_token),
        await identity.authenticate_bearer(token(user_id)),
    )
    assert (visitor.kind, host.kind) == (
        "visitor",
        "host",
    ) and visitor.user_id == user_id != host.user_id
    forged = tokens.sign_visitor(SECRET_KEY, host.user_id)
    assert (
        await refusal(identity.authenticate_bearer(forged)) is Unauthorized
    )  # rightly signed, but of somebody who is no visitor
    assert (
        await refusal(identity.authenticate_bearer(tokens.sign_visitor(SECRET_KEY, str(uuid4()))))
        is Unauthorized
    )


async def test_visitors_of_another_installation_are_strangers(identities: Identities) -> None:
    visitor_token, _ = await identities.make().create_visitor(NewVisitor())
    assert (
        await refusal(
            identities.make(secret_key=SECRET_KEY[::-1]).authenticate_bearer(visitor_token)
        )
        is Unauthorized
    )


async def test_where_visitors_are_off_their_tokens_are_refused_and_none_is_made(
    identities: Identities,
) -> None:
    visitor_token, _ = await identities.make().create_visitor(NewVisitor())
    closed = identities.make(visitors=False)
    for _ in range(2):  # remembered or not
        assert await refusal(closed.authenticate_bearer(visitor_token)) is Forbidden
    assert await refusal(closed.create_visitor(NewVisitor())) is Forbidden
    assert (await closed.authenticate_bearer(token())).kind == "host"


async def test_only_visitors_say_themselves_who_they_are(identities: Identities) -> None:
    identity = identities.make()
    host = await identity.authenticate_bearer(token(email="a@example.com"))
    assert (
        await refusal(identity.change_visitor(host, VisitorChange(email="b@example.com")))
        is Forbidden
    )


async def test_secrets_rotate_without_a_gap(identities: Identities) -> None:
    old, new = token(), token(secret=OTHER_SECRET)
    both = identities.make(identity_secrets=(OTHER_SECRET, IDENTITY_SECRET))
    assert (await both.authenticate_bearer(old)).user_id == (
        await both.authenticate_bearer(new)
    ).user_id
    after = identities.make(identity_secrets=(OTHER_SECRET,))
    assert (await after.authenticate_bearer(new)).kind == "host"
    assert await refusal(after.authenticate_bearer(old)) is Unauthorized
    assert (
        await refusal(identities.make(identity_secrets=()).authenticate_bearer(new)) is Unauthorized
    )


# ---- what is remembered ----


async def test_what_is_remembered_of_one_door_opens_no_other(
    identities: Identities, service: Service
) -> None:
    """It did: any user's token, once used, passed as the session cookie for the dashboard, as it was remembered by its text alone."""
    identity = identities.make()
    staff_token = await service.staff_token()
    session = await identity.login("staff@example.com", PASSWORD, "address")
    visitor_token, _ = await identity.create_visitor(NewVisitor())
    for bearer in (token(), visitor_token, staff_token):
        await identity.authenticate_bearer(bearer)
        assert await refusal(identity.authenticate_cookie(bearer)) is Unauthorized
    assert (await identity.authenticate_cookie(session)).kind == "staff"
    assert await refusal(identity.authenticate_bearer(session)) is Unauthorized


async def test_an_expired_token_is_refused_though_it_is_remembered(identities: Identities) -> None:
    identity, mine = identities.make(), token()
    await identity.authenticate_bearer(mine)
    identities.clock.ahead = 7200 + tokens.LEEWAY.total_seconds() + 1
    assert await refusal(identity.authenticate_bearer(mine)) is TokenExpired


async def test_a_staff_token_that_was_revoked_elsewhere_is_noticed_within_seconds(
    identities: Identities, service: Service
) -> None:
    identity, staff_token = identities.make(), await service.staff_token()
    assert (
        await identity.authenticate_bearer(staff_token)
    ).kind == "staff" and STAFF_CACHED_S <= 10
    await identities.db.write(people.revoke_staff_tokens, "staff@example.com")
    identities.clock.ahead = STAFF_CACHED_S + 0.1
    assert await refusal(identity.authenticate_bearer(staff_token)) is Unauthorized


async def test_a_users_row_is_looked_at_again_after_an_hour(identities: Identities) -> None:
    identity = identities.make()
    mine, _ = await identity.create_visitor(NewVisitor(name="Ada"))
    await identity.authenticate_bearer(mine)
    await identities.db.write(
        lambda session: session.execute_sql("UPDATE users SET name = 'Changed'")
    )
    assert (await identity.authenticate_bearer(mine)).name == "Ada"
    identities.clock.ahead = USER_CACHED_S + 1
    assert (await identity.authenticate_bearer(mine)).name == "Changed"


async def test_what_is_remembered_is_bounded(
    identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CACHED_MAX <= 10_000
    monkeypatch.setattr("chatsvc.services.identity.CACHED_MAX", 3)
    identity = identities.make()
    for n in range(10):
        await identity.authenticate_bearer(token(f"user {n}"))
    assert identity.cached_count == 3
    for n in range(10):
        assert await refusal(identity.authenticate_bearer(f"garbage {n}")) is Unauthorized
    assert identity.cached_count == 3


# ---- passwords ----


async def test_logging_in_with_a_hash_of_old_parameters_renews_it(
    identities: Identities, service: Service
) -> None:
    weak = PasswordHasher(time_cost=2, memory_cost=8192, parallelism=1).hash(PASSWORD)
    assert needs_rehash(weak)
    await identities.db.write(people.save_staff, str(uuid4()), "old@example.com", None, weak)
    session = await identities.make().login("old@example.com", PASSWORD, "address")
    record = await identities.db.read(people.password_of, "old@example.com")
    assert (
        record is not None
        and record.password_hash != weak
        and not needs_rehash(record.password_hash)
    )
    assert (await identities.make().authenticate_cookie(session)).email == "old@example.com"
    assert (await identities.make().login("OLD@example.com ", PASSWORD, "address")) != session


async def test_a_wrong_password_does_not_renew_it(identities: Identities) -> None:
    identity = identities.make()
    await identities.db.write(
        people.save_staff, str(uuid4()), "a@example.com", None, hash_password(PASSWORD)
    )
    before = await identities.db.read(people.password_of, "a@example.com")
    for password in ("", PASSWORD + " ", before.password_hash if before else ""):
        assert (
            await refusal(identity.login("a@example.com", password, f"address {password}"))
            is Unauthorized
        )
    assert await identities.db.read(people.password_of, "a@example.com") == before


async def test_tries_are_counted_by_account_however_it_is_spelt(
    identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From many addresses at once; what does not change the account does not change the count."""

    async def wrong(*_: object, **__: object) -> bool:
        return False

    identity = identities.make()
    monkeypatch.setattr(Passwords, "matches", wrong)
    spellings = (
        "a@example.com",
        "A@EXAMPLE.COM",
        " a@example.com",
        "a@example.com\0",
        "\0a@example.com",
        "a@exa\0mple.com",
    )
    outcomes = [
        await refusal(identity.login(spellings[n % len(spellings)], "x" * 10, f"address {n}"))
        for n in range(24)
    ]
    assert outcomes == [Unauthorized] * 20 + [TooManyRequests] * 4

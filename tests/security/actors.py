"""Everybody who may knock at a door: each way of proving (or not proving) who one is, as the headers it sends."""

from typing import Any, NamedTuple
from uuid import uuid4

from chatsvc.handlers.cookies import cookie_names
from chatsvc.security import tokens
from chatsvc.security.rate_limits import Rates
from chatsvc.store import people
from tests.support.postgres import execute
from tests.support.service import IDENTITY_SECRET, Response, Service

XSRF = "2|00000000|00000000000000000000000000000000|1700000000"
SECRET_TEXT = "what alice alone may read"
EXPIRED_S = -120  # well behind the leeway
STAFF = "staff@example.com"
MANY_LOGINS = Rates(
    login_address=(1000, 1.0), login_account_address=(1000, 1.0), login_account=(1000, 1.0)
)


class Actors(NamedTuple):
    """`headers`: name → the headers by which it proves itself; `chat_id` is the chat of `owner`, with one message."""

    service: Service
    headers: dict[str, dict[str, str]]
    chat_id: str

    async def request(self, who: str, method: str, path: str, **options: Any) -> Response:
        """As a browser sends it from our pages: with the XSRF token, for every actor."""
        head = {"X-XSRFToken": XSRF, **self.headers[who], **options.pop("headers", {})}
        xsrf = f"{cookie_names(self.service.app.config.public_url).xsrf}={XSRF}"
        head["Cookie"] = "; ".join(filter(None, [head.get("Cookie"), xsrf]))
        return await self.service.request(method, path, headers=head, **options)


async def gather_actors(service: Service) -> Actors:
    """An owner with a chat, another user, a visitor, staff by cookie and by token, and those whose proof is void."""
    owner = service.user_token("alice")
    await service.send(owner, SECRET_TEXT)
    staff_token = await service.staff_token(STAFF)
    headers = {
        "nobody": {},
        "owner": bearer(owner),
        "other": bearer(service.user_token("bob")),
        "visitor": bearer(await service.visitor_token()),
        "session": cookie(await open_session(service)),
        "staff token": bearer(staff_token),
        "expired": bearer(service.user_token("alice", ttl_s=EXPIRED_S)),
        "revoked session": cookie(await open_session(service, revoked=True)),
        "revoked token": bearer(await revoked_token(service)),
        "garbage": bearer("garbage"),
        "garbage session": cookie("garbage"),
        "user token as cookie": cookie(owner),
        "staff token as cookie": cookie(staff_token),
        "session as bearer": bearer(await open_session(service)),
    }
    return Actors(service, headers, await service.chat_id(owner))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"chatsvc={token}"}


async def open_session(service: Service, *, revoked: bool = False, email: str = STAFF) -> str:
    """A session as the login opens it, without the 80 ms of a password."""
    record = await service.app.db.read(people.password_of, email)
    assert record is not None
    token, session_id = tokens.new_secret(), str(uuid4())
    await service.app.db.write(people.create_session, session_id, record, tokens.hash_token(token))
    if revoked:
        await service.app.db.write(people.delete_session, session_id)
    return token


async def revoked_token(service: Service) -> str:
    token, token_id = tokens.new_secret(tokens.STAFF_PREFIX), str(uuid4())
    await service.app.db.write(people.create_staff_token, token_id, STAFF, tokens.hash_token(token))
    execute(
        service.database_url, "UPDATE staff_tokens SET revoked_at = now() WHERE id = %s", token_id
    )
    return token


def other_secret(sub: str = "alice") -> str:
    """A token that somebody signed with a secret of his own."""
    return tokens.sign_identity(IDENTITY_SECRET[::-1], sub=sub, email=None, name=None, ttl_s=60)

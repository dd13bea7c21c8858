"""IdentityService: who is asking. Identity tokens, visitors, staff sessions and tokens, passwords."""

import hashlib
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import msgspec
from uuid_utils import uuid7

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import Forbidden, TokenExpired, TooManyRequests, Unauthorized
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.security import tokens
from chatsvc.security.passwords import Passwords, needs_rehash
from chatsvc.security.rate_limits import RateLimiter
from chatsvc.store import people
from chatsvc.store.chats import list_item
from chatsvc.store.people import Account, EmailChoice, Kind, PasswordRecord, StaffAccess
from chatsvc.text.names import clean_email, clean_name, tidy_claims
from chatsvc.wire import (
    NewVisitor,
    StaffChatUpdatedEvent,
    SupportChatListItem,
    VisitorChange,
    VisitorProfile,
)

log = logging.getLogger(__name__)

REMEMBERED_MAX = 10_000  # verified tokens kept with their users, about 1 KiB each
STAFF_REMEMBERED_S = 5.0  # a session ended by another process (create-admin with a new password) is noticed this soon
USER_REMEMBERED_S = 3600.0  # a user's row is looked at again after this long, whoever changed it
LOGIN_PER_ADDRESS = (5, 20.0)  # tries per seconds (SECURITY.md)
LOGIN_PER_ACCOUNT = (20, 300.0)


class Caller(msgspec.Struct):
    """Who is asking, verified. `access_id` is the staff session or token; `expires_at` (seconds since 1970) ends the proof."""

    user_id: str
    kind: Kind
    email: str | None
    name: str | None
    language: (
        str | None
    )  # of a user as the browser asked last, of staff as chosen on the account page
    chat_id: str | None
    access_id: str | None
    expires_at: float | None

    @classmethod
    def of(
        cls, account: Account, expires_at: datetime | None, access_id: str | None = None
    ) -> "Caller":
        expires = None if expires_at is None else expires_at.timestamp()
        return cls(
            account.id,
            account.kind,
            account.email,
            account.name,
            account.language,
            account.chat_id,
            access_id,
            expires,
        )


class IdentityService:
    """Turns proofs into callers. `on_access_ended` is told of a session that was ended here. `now` gives seconds since 1970, as tokens do."""

    def __init__(
        self,
        db: Database,
        publish: Callable[[Event], None],
        *,
        secret_key: bytes,
        identity_secrets: tuple[bytes, ...],
        visitors: bool,
        on_access_ended: Callable[[str], None] = lambda access_id: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._publish = publish
        self._secret_key = secret_key
        self._identity_secrets = identity_secrets
        self._visitors = visitors
        self._on_access_ended = on_access_ended
        self._now = now
        self._passwords = Passwords()
        self._remembered: dict[bytes, tuple[float, Caller]] = {}  # by proof, oldest first
        self._tries_of_address = _limiter(*LOGIN_PER_ADDRESS)
        self._tries_at_account = _limiter(*LOGIN_PER_ACCOUNT)

    # ---- proofs ----

    async def identify(self, token: str, *, remember: bool = True) -> Caller:
        """Whose bearer token this is, of whatever kind. Raises Unauthorized (TokenExpired), Forbidden for a visitor where they are off."""
        proof = _proof("bearer", token)
        caller = self._recall(proof)
        if caller is None:
            caller = await self._verify(token)
            if remember:
                self._remember(
                    proof,
                    caller,
                    STAFF_REMEMBERED_S if caller.kind == "staff" else USER_REMEMBERED_S,
                )
        if caller.kind == "visitor" and not self._visitors:
            raise Forbidden("visitors are switched off here: an identity token is needed")
        return caller

    async def session(self, cookie: str) -> Caller:
        """Who is logged in with this cookie. Raises Unauthorized."""
        proof = _proof("session", cookie)
        caller = self._recall(proof)
        if caller is None:
            access = await self._db.read(people.session_access, tokens.hash_token(cookie))
            if access is None:
                raise Unauthorized
            caller = Caller.of(access.account, access.expires_at, access.access_id)
            if access.is_stale:
                await self._db.write(people.touch_session, access.access_id)
            self._remember(proof, caller, STAFF_REMEMBERED_S)
        return caller

    async def _verify(self, token: str) -> Caller:
        if token.startswith(tokens.STAFF_PREFIX):
            access: StaffAccess | None = await self._db.read(
                people.token_access, tokens.hash_token(token)
            )
            if access is None:
                raise Unauthorized
            if access.is_stale:
                await self._db.write(people.touch_token, access.access_id)
            return Caller.of(access.account, None, access.access_id)
        if token.startswith(tokens.VISITOR_PREFIX):
            return await self._visitor(token)
        claims = tokens.decode_identity(token, self._identity_secrets)
        return Caller.of(await self._host_account(claims), claims.expires_at)

    async def _visitor(self, token: str) -> Caller:
        user_id, expires_at = tokens.decode_visitor(token, self._secret_key)
        account: Account | None = await self._db.read(people.account_of, user_id, "visitor")
        if account is None:
            raise Unauthorized
        return Caller.of(account, expires_at)

    async def _host_account(self, claims: tokens.Claims) -> Account:
        email, name = tidy_claims(claims.email, claims.name)
        known: Account | None = await self._db.read(people.host_account, claims.sub)
        if known and (email or known.email) == known.email and (name or known.name) == known.name:
            if known.claims_issued_at is None or known.claims_issued_at < claims.issued_at:
                await self._db.write(people.note_claims, known.id, claims.issued_at)
            return known
        account, _ = await self._db.write(
            _save_host,
            str(uuid7()),
            claims.sub,
            email,
            name,
            claims.issued_at,
            then=self._profile_changed,
        )
        return account

    # ---- visitors ----

    async def create_visitor(
        self, wanted: NewVisitor, language: str | None = None
    ) -> tuple[str, str]:
        """A token for a new visitor, and the visitor's user id. Raises Forbidden where visitors are off."""
        if not self._visitors:
            raise Forbidden("visitors are switched off here: an identity token is needed")
        user_id, name, email = str(uuid7()), clean_name(wanted.name), clean_email(wanted.email)
        await self._db.write(people.create_visitor, user_id, name, email, language)
        return tokens.sign_visitor(self._secret_key, user_id), user_id

    async def change_visitor(self, caller: Caller, change: VisitorChange) -> VisitorProfile:
        """Sets what the visitor says about himself. Raises Forbidden for a user of a host application."""
        if caller.kind != "visitor":
            raise Forbidden("name and e-mail of this user come from the identity token")
        changes = {}
        if change.name is not msgspec.UNSET:
            changes["name"] = clean_name(change.name)
        if change.email is not msgspec.UNSET:
            changes["email"] = clean_email(change.email)
        account, _ = await self._db.write(
            _change_visitor, caller.user_id, changes, then=self._profile_changed
        )
        return VisitorProfile(account.id, account.name, account.email)

    # ---- what e-mails need to know of a user ----

    async def note_language(self, caller: Caller, language: str | None) -> None:
        """The language that the user's browser asks for now; writes it down if it is another than before."""
        if language is not None and language != caller.language:
            await self._db.write(people.set_language, caller.user_id, language)
            caller.language = language

    async def email_choice(self, token: str) -> EmailChoice:
        """What the user to whom a link for unsubscribing belongs has chosen. Raises NotFound."""
        return await self._db.read(
            people.email_choice, tokens.read_unsubscribe(token, self._secret_key)
        )

    async def choose_email(self, token: str, *, opted_out: bool) -> EmailChoice:
        """Ends the e-mails to this user, or has them sent again. Raises NotFound."""
        user_id = tokens.read_unsubscribe(token, self._secret_key)
        return await self._db.write(people.choose_email, user_id, opted_out)

    # ---- staff ----

    async def login(
        self, email: str, password: str, address: str, user_agent: str | None = None
    ) -> str:
        """The token for the session cookie of a new session. Raises Unauthorized, TooManyRequests."""
        record = await self.check_password(email, password, address)
        if needs_rehash(record.password_hash):
            renewed = await self._passwords.hash(password)
            await self._db.write(
                people.replace_password_hash, record.user_id, record.password_hash, renewed
            )
            record = record._replace(password_hash=renewed)
        token = tokens.new_secret()
        session = (str(uuid7()), record, tokens.hash_token(token), user_agent)
        if not await self._db.write(people.create_session, *session):
            raise Unauthorized("the password was changed meanwhile")
        return token

    async def check_password(self, email: str, password: str, address: str) -> PasswordRecord:
        """Whose password this is. Counts the try, for the address and for the account. Raises Unauthorized, TooManyRequests."""
        email = email.replace("\0", "").strip()
        for limiter, key in (
            (self._tries_of_address, address),
            (self._tries_at_account, email.lower()),
        ):
            if wait_s := limiter.take(key):
                raise TooManyRequests(
                    "too many tries to log in: wait a little", retry_after_s=wait_s
                )
        record: PasswordRecord | None = await self._db.read(people.password_of, email)
        if (
            not await self._passwords.matches(password, record and record.password_hash)
            or record is None
        ):
            raise Unauthorized("e-mail or password is wrong")
        return record

    async def hash_password(self, password: str) -> str:
        return await self._passwords.hash(password)

    async def logout(self, caller: Caller) -> None:
        """Ends the session by which the caller came, and its streams."""
        if caller.access_id is not None:
            await self._db.write(people.delete_session, caller.access_id)
            self._on_access_ended(caller.access_id)
        self.forget_user(caller.user_id)

    async def valid_access_ids(self, access_ids: list[str]) -> set[str]:
        """Which of these sessions and staff tokens still give access."""
        return await self._db.read(people.valid_access_ids, access_ids)

    def sign_identity_token(
        self, *, sub: str, email: str | None, name: str | None, ttl_s: int = 3600
    ) -> str:
        """For the demo page: a token as a host application would sign it."""
        return tokens.sign_identity(
            self._identity_secrets[0], sub=sub, email=email, name=name, ttl_s=ttl_s
        )

    def close(self) -> None:
        self._passwords.close()

    # ---- what is remembered ----

    def forget_user(self, user_id: str) -> None:
        """Drops what is remembered of a user's tokens."""
        for proof in [
            proof for proof, (_, caller) in self._remembered.items() if caller.user_id == user_id
        ]:
            del self._remembered[proof]

    def forget_access(self, access_id: str | None) -> None:
        """Drops what is remembered of a staff session or token that was ended, by whichever process. None: of all of them."""
        for proof, (_, caller) in list(self._remembered.items()):
            if caller.access_id is not None and access_id in (None, caller.access_id):
                del self._remembered[proof]

    def _remember(self, proof: bytes, caller: Caller, for_s: float) -> None:
        until = self._now() + for_s
        self._remembered[proof] = (
            until if caller.expires_at is None else min(until, caller.expires_at),
            caller,
        )
        if len(self._remembered) > REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]

    def _recall(self, proof: bytes) -> Caller | None:
        known = self._remembered.get(proof)
        if known is None:
            return None
        until, caller = known
        now = self._now()
        if now < until:
            return caller
        del self._remembered[proof]
        if (
            caller.expires_at is not None
            and now >= caller.expires_at + tokens.LEEWAY.total_seconds()
        ):
            raise TokenExpired
        return None

    def _profile_changed(self, result: tuple[Account, SupportChatListItem | None]) -> None:
        account, item = result
        self.forget_user(account.id)
        if item is not None:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(item)))


def _proof(door: Literal["bearer", "session"], secret: str) -> bytes:
    """A secret and the door it came through, as a digest: what proves a user behind one must not pass for a session behind the other."""
    return hashlib.sha256(f"{door} {secret}".encode(errors="surrogatepass")).digest()


def _limiter(tries: int, seconds: float) -> RateLimiter:
    return RateLimiter(tries * 60 / seconds, tries)


def _save_host(tx: Transaction, *args: Any) -> tuple[Account, SupportChatListItem | None]:
    return _with_item(tx, people.save_host_account(tx, *args))


def _change_visitor(
    tx: Transaction, user_id: str, changes: dict[str, str | None]
) -> tuple[Account, SupportChatListItem | None]:
    return _with_item(tx, people.change_visitor(tx, user_id, changes))


def _with_item(tx: Transaction, account: Account) -> tuple[Account, SupportChatListItem | None]:
    return account, None if account.chat_id is None else list_item(tx, account.chat_id)

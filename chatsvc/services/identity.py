"""IdentityService: who the caller is. Identity tokens, visitors, staff sessions and tokens."""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from uuid_utils import uuid7

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import Forbidden, TokenExpired, TooManyRequests, Unauthorized
from chatsvc.events import STAFF_TOPIC, AccessEnded, UserChanged
from chatsvc.security import tokens
from chatsvc.security.passwords import Passwords, needs_rehash
from chatsvc.security.rate_limits import LoginLimits
from chatsvc.store import people
from chatsvc.store.chats import list_items
from chatsvc.store.people import (
    Account,
    EmailChoice,
    HostClaims,
    Kind,
    PasswordRecord,
    StaffAccess,
)
from chatsvc.text.names import clean_email, clean_name, tidy_claims
from chatsvc.wire import (
    NewVisitor,
    StaffChatUpdatedEvent,
    VisitorChange,
    VisitorProfile,
)

log = logging.getLogger(__name__)

CACHED_MAX = 10_000  # verified credentials with their callers, about 1 KiB each
STAFF_CACHED_S = 5.0  # a session that another process ended (create-admin) is noticed within this
USER_CACHED_S = 3600.0  # a user's row may be changed by another process
VISITORS_OFF = "visitors are disabled; an identity token is required"


class Caller(msgspec.Struct):
    """Who is asking, verified.

    `access_id` is the id of the staff session or token. The credentials expire at `expires_at`, in
    seconds since 1970.
    """

    user_id: str
    kind: Kind
    email: str | None
    name: str | None
    language: str | None  # users: last sent by the browser; staff: chosen on the account page
    chat_id: str | None
    access_id: str | None
    expires_at: float | None

    @classmethod
    def from_account(
        cls, account: Account, expires_at: datetime | None, access_id: str | None = None
    ) -> "Caller":
        return cls(
            account.id,
            account.kind,
            account.email,
            account.name,
            account.language,
            account.chat_id,
            access_id,
            None if expires_at is None else expires_at.timestamp(),
        )

    @classmethod
    def from_access(cls, access: StaffAccess) -> "Caller":
        return cls.from_account(access.account, access.expires_at, access.access_id)


class IdentityService:
    """Turns credentials into callers. `now` returns seconds since 1970, as in tokens."""

    def __init__(
        self,
        db: Database,
        *,
        secret_key: bytes,
        identity_secrets: tuple[bytes, ...],
        visitors: bool,
        passwords: Passwords | None = None,
        login_limits: LoginLimits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._secret_key = secret_key
        self._identity_secrets = identity_secrets
        self._visitors = visitors
        self._now = now
        self._passwords = passwords or Passwords()
        self._cache: dict[bytes, tuple[float, Caller]] = {}  # until when; oldest first
        self._keys_of: dict[
            str, tuple[bytes, ...]
        ] = {}  # by user: a new user must not cost a search
        self._login_limits = login_limits or LoginLimits.from_rates()

    # ---- credentials ----

    async def authenticate_bearer(self, token: str, *, remember: bool = True) -> Caller:
        """Return whose bearer token this is, of any kind.

        Raises Unauthorized (TokenExpired if that is why), or Forbidden for a visitor where they
        are disabled.
        """
        key = _cache_key("bearer", token)
        caller = self._cached(key)
        if caller is None:
            caller = await self._verify(token)
            if remember:
                self._remember(
                    key, caller, STAFF_CACHED_S if caller.kind == "staff" else USER_CACHED_S
                )
        if caller.kind == "visitor" and not self._visitors:
            raise Forbidden(VISITORS_OFF)
        return caller

    async def authenticate_cookie(self, cookie: str) -> Caller:
        """Return who is logged in with this cookie. Raises Unauthorized."""
        key = _cache_key("cookie", cookie)
        caller = self._cached(key)
        if caller is None:
            access = await self._db.read(people.session_access, tokens.hash_token(cookie))
            if access is None:
                raise Unauthorized
            if access.is_stale:
                await self._db.write(people.touch_session, access.access_id)
            caller = Caller.from_access(access)
            self._remember(key, caller, STAFF_CACHED_S)
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
            return Caller.from_access(access)
        if token.startswith(tokens.VISITOR_PREFIX):
            return await self._visitor(token)
        claims = tokens.decode_identity(token, self._identity_secrets)
        return Caller.from_account(await self._host_account(claims), claims.expires_at)

    async def _visitor(self, token: str) -> Caller:
        user_id, expires_at = tokens.decode_visitor(token, self._secret_key)
        account: Account | None = await self._db.read_many(people.visitor_accounts, user_id)
        if account is None:
            raise Unauthorized
        return Caller.from_account(account, expires_at)

    async def _host_account(self, claims: tokens.Claims) -> Account:
        email, name = tidy_claims(claims.email, claims.name)
        known: Account | None = await self._db.read_many(people.host_accounts, claims.sub)
        if known and (email or known.email) == known.email and (name or known.name) == known.name:
            if known.claims_issued_at is None or known.claims_issued_at < claims.issued_at:
                await self._db.write_many(people.note_claims, (known.id, claims.issued_at))
            return known
        new = HostClaims(str(uuid7()), claims.sub, email, name, claims.issued_at)
        return await self._db.write_many(_save_host_accounts, new)

    # ---- visitors ----

    async def create_visitor(
        self, wanted: NewVisitor, language: str | None = None
    ) -> tuple[str, str]:
        """Return a token for a new visitor, and their user id. Raises Forbidden where disabled."""
        if not self._visitors:
            raise Forbidden(VISITORS_OFF)
        user_id, name, email = str(uuid7()), clean_name(wanted.name), clean_email(wanted.email)
        await self._db.write(people.create_visitor, user_id, name, email, language)
        return tokens.sign_visitor(self._secret_key, user_id), user_id

    async def change_visitor(self, caller: Caller, change: VisitorChange) -> VisitorProfile:
        """Set a visitor's name and e-mail address.

        Raises Forbidden for users of a host application.
        """
        if caller.kind != "visitor":
            raise Forbidden("the name and e-mail of this user are set by the identity token")
        changes = {}
        if change.name is not msgspec.UNSET:
            changes["name"] = clean_name(change.name)
        if change.email is not msgspec.UNSET:
            changes["email"] = clean_email(change.email)
        account = await self._db.write(_change_visitor, caller.user_id, changes)
        return VisitorProfile(account.id, account.name, account.email)

    # ---- what e-mails need to know of a user ----

    async def note_language(self, caller: Caller, language: str | None) -> None:
        """Store the language that the user's browser asks for, if it changed."""
        if language is not None and language != caller.language:
            await self._db.write_many(people.set_languages, (caller.user_id, language))
            caller.language = language

    async def email_choice(self, token: str) -> EmailChoice:
        """Return what the user of an unsubscribe link has chosen. Raises NotFound."""
        return await self._db.read(
            people.email_choice, *tokens.read_unsubscribe(token, self._secret_key)
        )

    async def choose_email(self, token: str, *, opted_out: bool) -> EmailChoice:
        """Stop the e-mails to the user of an unsubscribe link, or resume them. Raises NotFound."""
        link = tokens.read_unsubscribe(token, self._secret_key)
        return await self._db.write(people.choose_email, *link, opted_out)

    # ---- staff ----

    async def login(
        self,
        email: str,
        password: str,
        address: str,
        user_agent: str | None = None,
        device: str | None = None,
    ) -> str:
        """Return the cookie's token of a new session. Raises Unauthorized, TooManyRequests.

        `device` is the id of a browser that has logged in to this account before.
        """
        record = await self.check_password(email, password, address, device)
        if needs_rehash(record.password_hash):
            renewed = await self._passwords.hash(password)
            await self._db.write(
                people.replace_password_hash, record.user_id, record.password_hash, renewed
            )
            record = record._replace(password_hash=renewed)
        token = tokens.new_secret()
        session = (str(uuid7()), record, tokens.hash_token(token), user_agent)
        if not await self._db.write(people.create_session, *session):
            raise Unauthorized("the password was changed during the login")
        return token

    async def check_password(
        self, email: str, password: str, address: str, device: str | None = None
    ) -> PasswordRecord:
        """Return whose password this is, and count the try for its source and the account.

        Raises Unauthorized, TooManyRequests.
        """
        email = _clean_login(email)
        if wait_s := self._login_limits.take(email.lower(), address, device):
            raise TooManyRequests("too many login attempts", retry_after_s=wait_s)
        record: PasswordRecord | None = await self._db.read(people.password_of, email)
        is_usable = record is not None and record.password_hash != people.DISABLED
        is_correct = await self._passwords.matches(
            password,
            record.password_hash if record and is_usable else None,
            is_known=device is not None,
        )
        if not is_correct or record is None:
            raise Unauthorized("e-mail or password is wrong")
        return record

    def device_cookie(self, email: str) -> str:
        """Return a cookie by which `device` knows a browser that has logged in to this account."""
        return tokens.sign_device(self._secret_key, _clean_login(email).lower())

    def device(self, cookie: str | None, email: str) -> str | None:
        """Return the id of a browser that has logged in to this account, or None."""
        return tokens.read_device(cookie or "", self._secret_key, _clean_login(email).lower())

    async def hash_password(self, password: str) -> str:
        return await self._passwords.hash(password)

    async def logout(self, caller: Caller) -> None:
        """End the caller's session and its streams."""
        if caller.access_id is not None:
            await self._db.write(_end_session, caller.access_id)

    async def valid_access_ids(self, access_ids: list[str]) -> set[str]:
        """Return which of these staff sessions and tokens still grant access."""
        return await self._db.read(people.valid_access_ids, access_ids)

    def sign_identity_token(
        self, *, sub: str, email: str | None, name: str | None, ttl_s: int = 3600
    ) -> str:
        """Return a token as a host application would sign it, for the demo page."""
        return tokens.sign_identity(
            self._identity_secrets[0], sub=sub, email=email, name=name, ttl_s=ttl_s
        )

    def close(self) -> None:
        self._passwords.close()

    # ---- cache ----

    @property
    def cached_count(self) -> int:
        """How many credentials are cached."""
        return len(self._cache)

    def forget_user(self, user_id: str) -> None:
        """Drop a user's cached credentials."""
        for key in self._keys_of.pop(user_id, ()):
            del self._cache[key]

    def forget_access(self, access_id: str | None) -> None:
        """Drop the cached credentials of a staff session or token; of all of them if None."""
        for key, (_, caller) in list(self._cache.items()):
            if caller.access_id is not None and access_id in (None, caller.access_id):
                self._forget(key)

    def _remember(self, key: bytes, caller: Caller, for_s: float) -> None:
        until = self._now() + for_s
        if caller.expires_at is not None:
            until = min(until, caller.expires_at)
        if key not in self._cache:
            self._keys_of[caller.user_id] = (*self._keys_of.get(caller.user_id, ()), key)
        self._cache[key] = (until, caller)
        if len(self._cache) > CACHED_MAX:
            self._forget(next(iter(self._cache)))

    def _forget(self, key: bytes) -> None:
        _, caller = self._cache.pop(key)
        keys = tuple(one for one in self._keys_of.pop(caller.user_id) if one != key)
        if keys:
            self._keys_of[caller.user_id] = keys

    def _cached(self, key: bytes) -> Caller | None:
        if key not in self._cache:
            return None
        until, caller = self._cache[key]
        now = self._now()
        if now < until:
            return caller
        self._forget(key)
        if (
            caller.expires_at is not None
            and now >= caller.expires_at + tokens.LEEWAY.total_seconds()
        ):
            raise TokenExpired
        return None


def _clean_login(email: str) -> str:
    return email.replace("\0", "").strip()


def _cache_key(scheme: Literal["bearer", "cookie"], secret: str) -> bytes:
    """A digest of a secret and how it was sent: a user's token must not pass for a cookie."""
    return hashlib.sha256(f"{scheme} {secret}".encode(errors="surrogatepass")).digest()


# ---- on the writer thread ----


def _save_host_accounts(tx: Transaction, rows: Sequence[HostClaims]) -> Sequence[Account]:
    accounts = people.save_host_accounts(tx, rows)
    _emit_changed(tx, accounts)
    return accounts


def _change_visitor(tx: Transaction, user_id: str, changes: dict[str, str | None]) -> Account:
    account = people.change_visitor(tx, user_id, changes)
    _emit_changed(tx, [account])
    return account


def _emit_changed(tx: Transaction, accounts: Sequence[Account]) -> None:
    for account in accounts:
        tx.signal(UserChanged(account.id))
    for item in list_items(tx, [account.chat_id for account in accounts if account.chat_id]):
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(item))


def _end_session(tx: Transaction, session_id: str) -> None:
    people.delete_session(tx, session_id)
    tx.signal(AccessEnded(session_id))

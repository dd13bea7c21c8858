"""AccountService: what staff see and change of their own account."""

from collections.abc import Sequence
from typing import NamedTuple

from uuid_utils import uuid7

from chatsvc.database.connection import Connection, Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import Unauthorized, Unprocessable
from chatsvc.events import AccessEnded, UserChanged
from chatsvc.security import tokens
from chatsvc.security.passwords import MAX_CHARS, MIN_CHARS
from chatsvc.services.identity import Caller, IdentityService
from chatsvc.store import staff_account
from chatsvc.store.chats import ChatCounts, count_chats
from chatsvc.store.people import PasswordRecord
from chatsvc.store.staff_account import NewSession, StaffAccount
from chatsvc.text.names import NAME_MAX_CHARS, clean_name


class AccountView(NamedTuple):
    account: StaffAccount
    counts: ChatCounts


class Browser(NamedTuple):
    """The browser of a logged-in staff member."""

    address: str
    user_agent: str
    device_cookie: str | None


class AccountService:
    """A staff member's own account. Methods raise Unprocessable for a field that is not valid."""

    def __init__(self, db: Database, identity: IdentityService, languages: list[str]) -> None:
        self._db = db
        self._identity = identity
        self._languages = languages

    async def page(self, caller: Caller) -> AccountView:
        return await self._db.read(_page, caller.user_id)

    async def set_name(self, caller: Caller, name: str) -> None:
        await self._db.write(_set_name, caller.user_id, _short_name("name", name))

    async def set_language(self, caller: Caller, language: str) -> None:
        """Set the language of the dashboard. "": the browser's."""
        if language and language not in self._languages:
            raise Unprocessable.field(
                "language", f"must be one of {', '.join(self._languages)}", "unknown_language"
            )
        await self._db.write(_set_language, caller.user_id, language or None)

    async def set_password(self, caller: Caller, old: str, new: str, browser: Browser) -> str:
        """End all sessions, tokens and their streams, and return the token of a new session.

        Raises TooManyRequests as a login does.
        """
        if not MIN_CHARS <= len(new) <= MAX_CHARS:
            detail = f"must have {MIN_CHARS} to {MAX_CHARS} characters, not {len(new)}"
            is_short = len(new) < MIN_CHARS
            reason, limit = ("too_short", MIN_CHARS) if is_short else ("too_long", MAX_CHARS)
            raise Unprocessable.field("new_password", detail, reason, limit)
        record = await self._check_password("old_password", caller, old, browser)
        token = tokens.new_secret()
        session = NewSession(str(uuid7()), tokens.hash_token(token), browser.user_agent)
        new_hash = await self._identity.hash_password(new)
        change = (caller.user_id, record.password_hash, new_hash, session)
        if not await self._db.write(_set_password, *change):
            raise Unprocessable.field(
                "old_password", "was changed by another request", "wrong_password"
            )
        return token

    async def end_session(self, caller: Caller, session_id: str) -> None:
        """End one of the caller's own sessions, if it exists, and its streams."""
        await self._db.write(_end_session, caller.user_id, session_id)

    async def create_token(self, caller: Caller, name: str, password: str, browser: Browser) -> str:
        """Return a new staff token. It cannot be read again later.

        It outlives the session, so it takes the password. Raises TooManyRequests as a login does.
        """
        short_name = _short_name("token_name", name)
        await self._check_password("token_password", caller, password, browser)
        token = tokens.new_secret(tokens.STAFF_PREFIX)
        row = (str(uuid7()), caller.user_id, short_name, tokens.hash_token(token))
        await self._db.write(staff_account.create_token, *row)
        return token

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        """Revoke one of the caller's own tokens, if it exists, and end its streams."""
        await self._db.write(_revoke_token, caller.user_id, token_id)

    async def _check_password(
        self, field: str, caller: Caller, password: str, browser: Browser
    ) -> PasswordRecord:
        """Count tries by the browser, so that nobody else can keep its user from trying."""
        email = caller.email or ""
        device = self._identity.device(browser.device_cookie, email) or caller.access_id
        try:
            return await self._identity.check_password(email, password, browser.address, device)
        except Unauthorized:
            raise Unprocessable.field(field, "is wrong", "wrong_password") from None


def _short_name(field: str, name: str) -> str | None:
    if len(name) > NAME_MAX_CHARS:
        detail = f"is {len(name)} characters long; the maximum is {NAME_MAX_CHARS}"
        raise Unprocessable.field(field, detail, "too_long", NAME_MAX_CHARS)
    try:
        return clean_name(name)
    except Unprocessable as error:
        raise Unprocessable.field(field, error.errors[0].detail, error.errors[0].reason) from None


# ---- on a reader thread ----


def _page(connection: Connection, user_id: str) -> AccountView:
    return AccountView(staff_account.staff_account(connection, user_id), count_chats(connection))


# ---- on the writer thread ----


def _set_name(tx: Transaction, user_id: str, name: str | None) -> None:
    staff_account.set_name(tx, user_id, name)
    tx.signal(UserChanged(user_id))


def _set_language(tx: Transaction, user_id: str, language: str | None) -> None:
    staff_account.set_language(tx, user_id, language)
    tx.signal(UserChanged(user_id))


def _set_password(
    tx: Transaction, user_id: str, old_hash: str, new_hash: str, new: NewSession
) -> bool:
    ended = staff_account.set_password(tx, user_id, old_hash, new_hash, new)
    if ended is None:
        return False
    # Nothing left to end: another session may have ended all, or this is a repetition of a write
    # that was committed. So it is unknown which sessions ended.
    access_ids: Sequence[str | None] = ended or [None]
    for access_id in access_ids:
        tx.signal(AccessEnded(access_id))
    return True


def _end_session(tx: Transaction, user_id: str, session_id: str) -> None:
    is_ended = staff_account.end_session(tx, user_id, session_id)
    tx.signal(AccessEnded(session_id if is_ended else None))


def _revoke_token(tx: Transaction, user_id: str, token_id: str) -> None:
    is_revoked = staff_account.revoke_token(tx, user_id, token_id)
    tx.signal(AccessEnded(token_id if is_revoked else None))

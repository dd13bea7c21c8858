"""AccountService: what staff see and change of their own account."""

from collections.abc import Callable

from uuid_utils import uuid7

from chatsvc.database.threads import Database
from chatsvc.errors import Unauthorized, Unprocessable
from chatsvc.security import tokens
from chatsvc.security.passwords import MAX_CHARS, MIN_CHARS
from chatsvc.services.identity import Caller, IdentityService
from chatsvc.store import staff_account
from chatsvc.store.staff_account import NewSession, StaffAccount
from chatsvc.text.names import NAME_MAX_CHARS, clean_name

# Instead of an id: it is looked up which sessions and tokens still hold. A write that runs again (db.py) finds nothing left to end.
ANY = ""


class AccountService:
    """`on_access_ended` is told of each session and token that was ended, or ANY. All methods raise Unprocessable for a field that cannot be."""

    def __init__(
        self,
        db: Database,
        identity: IdentityService,
        languages: list[str],
        on_access_ended: Callable[[str], None],
    ) -> None:
        self._db = db
        self._identity = identity
        self._languages = languages
        self._on_access_ended = on_access_ended

    async def account(self, caller: Caller) -> StaffAccount:
        return await self._db.read(staff_account.staff_account, caller.user_id)

    async def set_name(self, caller: Caller, name: str) -> None:
        await self._db.write(staff_account.set_name, caller.user_id, _short_name("name", name))
        self._identity.forget_user(caller.user_id)

    async def set_language(self, caller: Caller, language: str) -> None:
        """ "" for whatever the browser asks for."""
        if language and language not in self._languages:
            raise Unprocessable.field(
                "language", f"is one of {', '.join(self._languages)}", "unknown_language"
            )
        await self._db.write(staff_account.set_language, caller.user_id, language or None)
        self._identity.forget_user(caller.user_id)

    async def set_password(
        self, caller: Caller, old: str, new: str, address: str, user_agent: str
    ) -> str:
        """Ends all sessions and their streams; returns the token of a new session. Raises TooManyRequests as a login does."""
        if not MIN_CHARS <= len(new) <= MAX_CHARS:
            short = len(new) < MIN_CHARS
            detail = f"has {len(new)} characters; {MIN_CHARS} to {MAX_CHARS} would be right"
            reason, limit = ("too_short", MIN_CHARS) if short else ("too_long", MAX_CHARS)
            raise Unprocessable.field("new_password", detail, reason, limit)
        try:
            record = await self._identity.check_password(caller.email or "", old, address)
        except Unauthorized:
            raise Unprocessable.field("old_password", "is wrong", "wrong_password") from None
        token = tokens.new_secret()
        session = NewSession(str(uuid7()), tokens.hash_token(token), user_agent)
        new_hash = await self._identity.hash_password(new)
        change = (caller.user_id, record.password_hash, new_hash, session)
        if await self._db.write(staff_account.set_password, *change, then=self._ended) is None:
            raise Unprocessable.field("old_password", "was changed meanwhile", "wrong_password")
        return token

    async def end_session(self, caller: Caller, session_id: str) -> None:
        """Ends one of the caller's own sessions and its streams; there being none changes nothing."""
        ended = await self._db.write(staff_account.end_session, caller.user_id, session_id)
        self._on_access_ended(session_id if ended else ANY)

    async def create_token(self, caller: Caller, name: str) -> str:
        """A new staff token, which nobody can look up later."""
        token = tokens.new_secret(tokens.STAFF_PREFIX)
        row = (
            str(uuid7()),
            caller.user_id,
            _short_name("token_name", name),
            tokens.hash_token(token),
        )
        await self._db.write(staff_account.create_token, *row)
        return token

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        """Ends one of the caller's own tokens and its streams; there being none changes nothing."""
        revoked = await self._db.write(staff_account.revoke_token, caller.user_id, token_id)
        self._on_access_ended(token_id if revoked else ANY)

    def _ended(self, access_ids: list[str] | None) -> None:
        if access_ids is None:
            return  # nothing was changed
        for access_id in access_ids or [ANY]:
            self._on_access_ended(access_id)


def _short_name(field: str, name: str) -> str | None:
    if len(name) > NAME_MAX_CHARS:
        detail = f"has {len(name)} characters; at most {NAME_MAX_CHARS} would be right"
        raise Unprocessable.field(field, detail, "too_long", NAME_MAX_CHARS)
    try:
        return clean_name(name)
    except Unprocessable as error:
        raise Unprocessable.field(field, error.errors[0].detail, error.errors[0].reason) from None

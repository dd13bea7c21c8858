"""A staff member's own account. Every condition names the owner."""

from typing import NamedTuple

from msgspec import Struct

from chatsvc.database.connection import Connection, Transaction
from chatsvc.database.models import StaffSession, StaffToken, User
from chatsvc.store.people import NOW, delete_from, is_expired, revoke_tokens
from chatsvc.wire import Time, format_optional_time, format_time


class OpenSession(Struct, frozen=True):
    """A login that has not expired. `last_seen_at` is up to some minutes old (store/people.py)."""

    id: str
    user_agent: str | None
    created_at: Time
    last_seen_at: Time


class ActiveToken(Struct, frozen=True):
    """A token that was not revoked. `last_used_at` is up to some minutes old; None: never used."""

    id: str
    name: str | None
    created_at: Time
    last_used_at: Time | None


class StaffAccount(Struct, frozen=True):
    email: str
    name: str | None
    language: str | None
    sessions: list[OpenSession]
    tokens: list[ActiveToken]


class NewSession(NamedTuple):
    id: str
    token_hash: str
    user_agent: str | None


def staff_account(connection: Connection, user_id: str) -> StaffAccount:
    """Return the account with its sessions and tokens, the last used ones first."""
    query = User.select(User.email, User.name, User.language).where(User.id == user_id)
    [(email, name, language)] = list(query.tuples().execute(connection.database))
    return StaffAccount(
        email, name, language, _sessions(connection, user_id), _tokens(connection, user_id)
    )


def _sessions(connection: Connection, user_id: str) -> list[OpenSession]:
    query = (
        StaffSession.select(
            StaffSession.id,
            StaffSession.user_agent,
            StaffSession.created_at,
            StaffSession.last_seen_at,
        )
        .where((StaffSession.user == user_id) & ~is_expired())
        .order_by(StaffSession.last_seen_at.desc(), StaffSession.id)
    )
    return [
        OpenSession(str(row_id), user_agent, format_time(created_at), format_time(last_seen_at))
        for row_id, user_agent, created_at, last_seen_at in query.tuples().execute(
            connection.database
        )
    ]


def _tokens(connection: Connection, user_id: str) -> list[ActiveToken]:
    query = (
        StaffToken.select(
            StaffToken.id, StaffToken.name, StaffToken.created_at, StaffToken.last_used_at
        )
        .where((StaffToken.user == user_id) & StaffToken.revoked_at.is_null())
        .order_by(
            StaffToken.last_used_at.desc(nulls="LAST"), StaffToken.created_at.desc(), StaffToken.id
        )
    )
    return [
        ActiveToken(str(row_id), name, format_time(created_at), format_optional_time(last_used_at))
        for row_id, name, created_at, last_used_at in query.tuples().execute(connection.database)
    ]


def set_name(tx: Transaction, user_id: str, name: str | None) -> None:
    User.update(name=name, updated_at=NOW).where(User.id == user_id).execute(tx.database)


def set_language(tx: Transaction, user_id: str, language: str | None) -> None:
    """Set the language. None: the browser's."""
    User.update(language=language, updated_at=NOW).where(User.id == user_id).execute(tx.database)


def set_password(
    tx: Transaction, user_id: str, old_hash: str, new_hash: str, new: NewSession
) -> list[str] | None:
    """Set the password, end all sessions and tokens, and start a new session.

    Return the ids of those that ended.

    Returns None and changes nothing if the password no longer has the hash `old_hash`, and an empty
    list if this change was stored before.
    """
    if list(
        StaffSession.select(StaffSession.id)
        .where(StaffSession.id == new.id)
        .tuples()
        .execute(tx.database)
    ):
        return []
    unchanged = (User.id == user_id) & (User.password_hash == old_hash)
    change = User.update(password_hash=new_hash, updated_at=NOW).where(unchanged)
    if not change.execute(tx.database):
        return None
    ended = delete_from(StaffSession).where(StaffSession.user == user_id).returning(StaffSession.id)
    ids = [str(row[0]) for row in ended.tuples().execute(tx.database)]
    ids += revoke_tokens(tx, user_id)
    StaffSession.insert(
        id=new.id, user=user_id, token_hash=new.token_hash, user_agent=new.user_agent
    ).execute(tx.database)
    return ids


def end_session(tx: Transaction, user_id: str, session_id: str) -> bool:
    """Return whether this user had such a session."""
    owned = (StaffSession.id == session_id) & (StaffSession.user == user_id)
    return bool(delete_from(StaffSession).where(owned).execute(tx.database))


def create_token(
    tx: Transaction, token_id: str, user_id: str, name: str | None, token_hash: str
) -> None:
    StaffToken.insert(
        id=token_id, user=user_id, name=name, token_hash=token_hash
    ).on_conflict_ignore().execute(tx.database)


def revoke_token(tx: Transaction, user_id: str, token_id: str) -> bool:
    """Return whether this user had such a token that was not revoked before."""
    owned = (
        (StaffToken.id == token_id) & (StaffToken.user == user_id) & StaffToken.revoked_at.is_null()
    )
    return bool(StaffToken.update(revoked_at=NOW).where(owned).execute(tx.database))

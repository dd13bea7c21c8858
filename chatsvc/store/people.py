"""People and their credentials: users of host applications, visitors, staff."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from peewee import fn

from chatsvc.database.connection import Connection, Statement, Transaction
from chatsvc.database.models import EmailAddress, StaffSession, StaffToken, User
from chatsvc.errors import NotFound

Kind = Literal["host", "visitor", "staff"]

SESSION_IDLE = timedelta(hours=12)  # SECURITY.md
SESSION_ABSOLUTE = timedelta(days=7)
TOUCH_AFTER = timedelta(minutes=5)  # last_seen_at is written at most this often

NOW = fn.clock_timestamp()
DISABLED = "*"  # in place of a password's hash; no password has it, as in /etc/shadow


# The owner of an address opts out for every visitor who enters that address.
_OPT_OUT = Statement(
    "address_opt_out",
    ("text", "uuid"),
    """
    INSERT INTO email_addresses (digest, opted_out_at)
    SELECT $1, clock_timestamp() FROM users WHERE id = $2 AND kind = 'visitor'
    ON CONFLICT (digest) DO UPDATE
    SET opted_out_at = coalesce(email_addresses.opted_out_at, excluded.opted_out_at)
    """,
)
_OPT_IN = Statement(
    "address_opt_in",
    ("text", "uuid"),
    """
    UPDATE email_addresses SET opted_out_at = NULL
    WHERE digest = $1 AND EXISTS (SELECT FROM users WHERE id = $2 AND kind = 'visitor')
    """,
)


class Account(NamedTuple):
    """A user's row and the id of the user's chat, if there is one."""

    id: str
    kind: Kind
    email: str | None
    name: str | None
    language: str | None
    chat_id: str | None
    claims_issued_at: datetime | None


class StaffAccess(NamedTuple):
    """A staff member and the session or token of their request."""

    account: Account
    access_id: str
    expires_at: datetime | None  # at the latest; an idle session ends earlier
    is_stale: bool = False  # its last use was stored more than TOUCH_AFTER ago


class EmailChoice(NamedTuple):
    """Whether a user has unsubscribed, and the language of the page that says so."""

    opted_out: bool
    language: str | None


class PasswordRecord(NamedTuple):
    user_id: str
    password_hash: str


class HostClaims(NamedTuple):
    """What an identity token says of a user. `user_id` is the id of the row if it is a new one."""

    user_id: str
    external_id: str
    email: str | None
    name: str | None
    issued_at: datetime


# `_to_account` reads them.
_ACCOUNT = """
    u.id, u.kind, u.email, u.name, u.language,
    (SELECT c.id FROM support_chats c WHERE c.user_id = u.id), u.claims_issued_at
"""
_HOST_ACCOUNTS = Statement(
    "host_accounts",
    ("text[]",),
    f"SELECT u.external_id, {_ACCOUNT} FROM users u WHERE u.external_id = ANY ($1)",
)
_VISITOR_ACCOUNTS = Statement(
    "visitor_accounts",
    ("uuid[]",),
    f"SELECT u.id, {_ACCOUNT} FROM users u WHERE u.id = ANY ($1) AND u.kind = 'visitor'",
)
# In the order of external ids: two processes cannot wait for each other's rows.
_SAVE_HOST_ACCOUNTS = Statement(
    "save_host_accounts",
    ("uuid[]", "text[]", "text[]", "text[]", "timestamptz[]"),
    """
    INSERT INTO users (id, kind, external_id, email, name, claims_issued_at)
    SELECT i.id, 'host', i.external_id, i.email, i.name, i.issued_at
    FROM unnest($1, $2, $3, $4, $5) AS i (id, external_id, email, name, issued_at)
    ORDER BY i.external_id
    ON CONFLICT (external_id) DO UPDATE SET
        email = coalesce(excluded.email, users.email), name = coalesce(excluded.name, users.name),
        claims_issued_at = excluded.claims_issued_at, updated_at = clock_timestamp()
    WHERE users.claims_issued_at IS NULL OR users.claims_issued_at <= excluded.claims_issued_at
    """,
)
_NOTE_CLAIMS = Statement(
    "note_claims",
    ("uuid[]", "timestamptz[]"),
    """
    UPDATE users u SET claims_issued_at = ($2)[array_position($1, u.id)] WHERE u.id = ANY ($1)
        AND (u.claims_issued_at IS NULL OR u.claims_issued_at < ($2)[array_position($1, u.id)])
    """,
)
_SET_LANGUAGES = Statement(
    "set_languages",
    ("uuid[]", "text[]"),
    "UPDATE users u SET language = ($2)[array_position($1, u.id)] WHERE u.id = ANY ($1)",
)


def _to_account(row: Sequence[Any]) -> Account:
    user_id, kind, email, name, language, chat_id, issued_at = row
    return Account(str(user_id), kind, email, name, language, chat_id and str(chat_id), issued_at)


def host_accounts(connection: Connection, external_ids: Sequence[str]) -> list[Account | None]:
    """Return the users with these ids in the host application."""
    return _accounts(connection, _HOST_ACCOUNTS, external_ids)


def visitor_accounts(connection: Connection, user_ids: Sequence[str]) -> list[Account | None]:
    return _accounts(connection, _VISITOR_ACCOUNTS, user_ids)


def _accounts(
    connection: Connection, statement: Statement, keys: Sequence[str]
) -> list[Account | None]:
    found = {key: _to_account(row) for key, *row in connection.execute(statement, list(set(keys)))}
    return [found.get(key) for key in keys]


def save_host_accounts(tx: Transaction, rows: Sequence[HostClaims]) -> list[Account]:
    """Create the users, or store the claims of tokens that are not older than the newest one seen.

    An absent claim changes nothing.
    """
    waiting = list(rows)
    while waiting:  # one statement cannot change a row twice
        first: dict[str, HostClaims] = {}
        waiting = [row for row in waiting if first.setdefault(row.external_id, row) is not row]
        tx.execute(_SAVE_HOST_ACCOUNTS, *map(list, zip(*first.values(), strict=True)))
    accounts = host_accounts(tx, [row.external_id for row in rows])
    return [account for account in accounts if account is not None]


def note_claims(tx: Transaction, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Store when the users' newest tokens were issued: older ones change nothing any more."""
    newest: dict[str, datetime] = {}
    for user_id, issued_at in rows:
        newest[user_id] = max(issued_at, newest.get(user_id, issued_at))
    tx.execute(_NOTE_CLAIMS, list(newest), list(newest.values()))
    return [None] * len(rows)


def create_visitor(
    tx: Transaction, user_id: str, name: str | None, email: str | None, language: str | None
) -> None:
    query = User.insert(id=user_id, kind="visitor", name=name, email=email, language=language)
    query.on_conflict_ignore().execute(tx.database)


def change_visitor(tx: Transaction, user_id: str, changes: dict[str, str | None]) -> Account:
    """Set the given fields. Raises NotFound if there is no such visitor."""
    if changes:
        is_visitor = (User.id == user_id) & (User.kind == "visitor")
        User.update(**changes, updated_at=NOW).where(is_visitor).execute(tx.database)
    (account,) = visitor_accounts(tx, [user_id])
    if account is None:
        raise NotFound("there is no such visitor")
    return account


def set_languages(tx: Transaction, rows: Sequence[tuple[str, str]]) -> list[None]:
    """Set users' languages; of one user the last one counts."""
    last = dict(rows)
    tx.execute(_SET_LANGUAGES, list(last), list(last.values()))
    return [None] * len(rows)


def email_choice(connection: Connection, user_id: str, digest: str | None) -> EmailChoice:
    """Return the choice of a user, or of the address with this digest if a visitor entered it.

    Raises NotFound if there is no such user.
    """
    is_address_out = fn.EXISTS(
        EmailAddress.select(EmailAddress.digest).where(
            (EmailAddress.digest == digest) & EmailAddress.opted_out_at.is_null(False)
        )
    )
    opted_out = User.email_opted_out_at.is_null(False) | ((User.kind == "visitor") & is_address_out)
    query = User.select(opted_out, User.language).where(User.id == user_id)
    for is_out, language in query.tuples().execute(connection.database):
        return EmailChoice(is_out, language)
    raise NotFound


def choose_email(tx: Transaction, user_id: str, digest: str | None, opted_out: bool) -> EmailChoice:
    """Store the choice; a repetition keeps the first time.

    Raises NotFound if there is no such user.
    """
    since = fn.coalesce(User.email_opted_out_at, NOW) if opted_out else None
    User.update(email_opted_out_at=since).where(User.id == user_id).execute(tx.database)
    if digest is not None:
        tx.execute(_OPT_OUT if opted_out else _OPT_IN, digest, user_id)
    return email_choice(tx, user_id, digest)


def _staff_email(email: str) -> Any:
    return (User.kind == "staff") & (fn.lower(User.email) == email.lower())


def save_staff(
    tx: Transaction, user_id: str, email: str, name: str | None, password_hash: str
) -> bool:
    """Create a staff account, or set its password and name and end its sessions and tokens.

    Returns whether it was created.
    """
    rows = list(
        User.select(User.id).where(_staff_email(email)).for_update().tuples().execute(tx.database)
    )
    if not rows:
        User.insert(
            id=user_id, kind="staff", email=email, name=name, password_hash=password_hash
        ).execute(tx.database)
        return True
    changes: dict[str, Any] = {"password_hash": password_hash, "updated_at": NOW, "email": email}
    if name is not None:
        changes["name"] = name
    User.update(**changes).where(User.id == rows[0][0]).execute(tx.database)
    _end_access(tx, rows[0][0])
    return False


def disable_staff(tx: Transaction, email: str) -> None:
    """End an account's sessions and tokens, and leave no password. Raises NotFound without one.

    save_staff sets one again.
    """
    user_id = _staff_id(tx, email)
    User.update(password_hash=DISABLED, updated_at=NOW).where(User.id == user_id).execute(
        tx.database
    )
    _end_access(tx, user_id)


def _end_access(tx: Transaction, user_id: str) -> None:
    delete_from(StaffSession).where(StaffSession.user == user_id).execute(tx.database)
    revoke_tokens(tx, user_id)


def password_of(connection: Connection, email: str) -> PasswordRecord | None:
    rows = list(
        User.select(User.id, User.password_hash)
        .where(_staff_email(email))
        .tuples()
        .execute(connection.database)
    )
    return PasswordRecord(str(rows[0][0]), rows[0][1]) if rows else None


def replace_password_hash(tx: Transaction, user_id: str, old_hash: str, new_hash: str) -> None:
    """Store a hash of the same password with newer parameters. Sessions stay."""
    unchanged = (User.id == user_id) & (User.password_hash == old_hash)
    User.update(password_hash=new_hash).where(unchanged).execute(tx.database)


def any_staff(connection: Connection) -> bool:
    """Return whether there is a staff account that is not disabled."""
    return bool(
        list(
            User.select(User.id)
            .where((User.kind == "staff") & (User.password_hash != DISABLED))
            .limit(1)
            .tuples()
            .execute(connection.database)
        )
    )


def create_session(
    tx: Transaction,
    session_id: str,
    verified: PasswordRecord,
    token_hash: str,
    user_agent: str | None = None,
) -> bool:
    """Store a login and delete expired ones. Returns False if the password has changed since."""
    delete_from(StaffSession).where(is_expired()).execute(tx.database)
    unchanged = (User.id == verified.user_id) & (User.password_hash == verified.password_hash)
    # Locked, so that a concurrent change of the password ends this session too.
    if not list(User.select(User.id).where(unchanged).for_update().tuples().execute(tx.database)):
        return False
    new = StaffSession.insert(
        id=session_id, user=verified.user_id, token_hash=token_hash, user_agent=user_agent
    )
    new.on_conflict_ignore().execute(tx.database)
    return True


def delete_session(tx: Transaction, session_id: str) -> None:
    delete_from(StaffSession).where(StaffSession.id == session_id).execute(tx.database)


def session_access(connection: Connection, token_hash: str) -> StaffAccess | None:
    """Return who is logged in with this cookie, unless the session has expired."""
    query = _access_query(StaffSession).where(
        (StaffSession.token_hash == token_hash) & ~is_expired()
    )
    rows = list(query.tuples().execute(connection.database))
    if not rows:
        return None
    *user, session_id, created_at, last_seen_at = rows[0]
    account = _to_account((*user, None, None))
    return StaffAccess(
        account, str(session_id), created_at + SESSION_ABSOLUTE, _is_stale(last_seen_at)
    )


def touch_session(tx: Transaction, session_id: str) -> None:
    """Store that the session is in use."""
    StaffSession.update(last_seen_at=NOW).where(StaffSession.id == session_id).execute(tx.database)


def create_staff_token(tx: Transaction, token_id: str, email: str, token_hash: str) -> None:
    """Raises NotFound if there is no such staff account."""
    user_id = _staff_id(tx, email)
    StaffToken.insert(
        id=token_id, user=user_id, token_hash=token_hash
    ).on_conflict_ignore().execute(tx.database)


def token_access(connection: Connection, token_hash: str) -> StaffAccess | None:
    """Return whose staff token this is, unless it was revoked."""
    valid = (StaffToken.token_hash == token_hash) & StaffToken.revoked_at.is_null()
    rows = list(_access_query(StaffToken).where(valid).tuples().execute(connection.database))
    if not rows:
        return None
    *user, token_id, _, last_used_at = rows[0]
    return StaffAccess(
        _to_account((*user, None, None)), str(token_id), None, _is_stale(last_used_at)
    )


def touch_token(tx: Transaction, token_id: str) -> None:
    """Store that the token is in use."""
    StaffToken.update(last_used_at=NOW).where(StaffToken.id == token_id).execute(tx.database)


def revoke_staff_tokens(tx: Transaction, email: str) -> int:
    """Revoke all staff tokens of an account and return how many. Raises NotFound without one."""
    return len(revoke_tokens(tx, _staff_id(tx, email)))


def revoke_tokens(tx: Transaction, user_id: str) -> list[str]:
    """Revoke all staff tokens of a staff member and return their ids."""
    valid = (StaffToken.user == user_id) & StaffToken.revoked_at.is_null()
    revoked = StaffToken.update(revoked_at=NOW).where(valid).returning(StaffToken.id)
    return [str(row[0]) for row in revoked.tuples().execute(tx.database)]


def _staff_id(connection: Connection, email: str) -> str:
    record = password_of(connection, email)
    if record is None:
        raise NotFound(f"there is no staff account {email!r}: create it with create-admin")
    return record.user_id


def valid_access_ids(connection: Connection, access_ids: list[str]) -> set[str]:
    """Return which of these session and token ids still grant access."""
    sessions = StaffSession.select(StaffSession.id).where(
        StaffSession.id.in_(access_ids) & ~is_expired()
    )
    tokens = StaffToken.select(StaffToken.id).where(
        StaffToken.id.in_(access_ids) & StaffToken.revoked_at.is_null()
    )
    return {
        str(row[0])
        for query in (sessions, tokens)
        for row in query.tuples().execute(connection.database)
    }


def _is_stale(last_seen_at: datetime | None) -> bool:
    return last_seen_at is None or datetime.now(UTC) - last_seen_at > TOUCH_AFTER


def delete_from(model: Any) -> Any:
    """Return a DELETE. mypy reads Peewee's type stubs differently in different orders of files."""
    return model.delete()


def _access_query(model: type[StaffSession] | type[StaffToken]) -> Any:
    last_seen = StaffSession.last_seen_at if model is StaffSession else StaffToken.last_used_at
    return model.select(
        User.id,
        User.kind,
        User.email,
        User.name,
        User.language,
        model.id,
        model.created_at,
        last_seen,
    ).join(User, on=((model.user == User.id) & (User.kind == "staff")))


def is_expired() -> Any:
    """Return the condition of a session that has expired but whose row still exists."""
    idle = StaffSession.last_seen_at < NOW - SESSION_IDLE
    return idle | (StaffSession.created_at < NOW - SESSION_ABSOLUTE)

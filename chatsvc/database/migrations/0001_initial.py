"""The first schema. Plain SQL: a migration must not change when the models do."""

from typing import Any

SCHEMA = """
CREATE TABLE users (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('host', 'visitor', 'staff')),
    external_id text,
    email text,
    name text,
    password_hash text,
    claims_issued_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((kind = 'host') = (external_id IS NOT NULL)),
    CHECK ((kind = 'staff') = (password_hash IS NOT NULL))
);
CREATE UNIQUE INDEX users_external_id ON users (external_id);
CREATE UNIQUE INDEX users_staff_email ON users (lower(email)) WHERE kind = 'staff';

CREATE TABLE staff_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX staff_sessions_user ON staff_sessions (user_id);

CREATE TABLE staff_tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);
CREATE INDEX staff_tokens_user ON staff_tokens (user_id);

CREATE TABLE support_chats (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE REFERENCES users,
    last_seq integer NOT NULL DEFAULT 0,
    read_up_to integer NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    last_user_message_at timestamptz,
    admin_viewed_at timestamptz,
    archived_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- The two lists, latest first, chats without messages last. Two partial indexes rather than one that starts with
-- archived_at: "archived" is a range of that column, and a range cannot be followed by an order.
CREATE INDEX support_chats_active ON support_chats
    (coalesce(last_message_at, '-infinity') DESC, id DESC) WHERE archived_at IS NULL;
CREATE INDEX support_chats_archived ON support_chats
    (coalesce(last_message_at, '-infinity') DESC, id DESC) WHERE archived_at IS NOT NULL;
CREATE INDEX support_chats_unread ON support_chats (id)
    WHERE archived_at IS NULL AND last_user_message_at > coalesce(admin_viewed_at, '-infinity');

CREATE TABLE support_messages (
    id uuid PRIMARY KEY,
    chat_id uuid NOT NULL REFERENCES support_chats,
    seq integer NOT NULL CHECK (seq > 0),
    client_id text,
    content text NOT NULL,
    sender_type text NOT NULL CHECK (sender_type IN ('user', 'admin')),
    sender_id uuid NOT NULL REFERENCES users,
    read_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (chat_id, seq),
    UNIQUE (chat_id, client_id)
);
CREATE INDEX support_messages_created ON support_messages (chat_id, created_at);
CREATE INDEX support_messages_sender ON support_messages (sender_id);
CREATE INDEX support_messages_unread ON support_messages (chat_id, seq) WHERE sender_type = 'admin' AND read_at IS NULL;

CREATE TABLE support_notices (
    id uuid PRIMARY KEY,
    chat_id uuid NOT NULL REFERENCES support_chats,
    first_seq integer NOT NULL,
    due_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'claimed', 'sent', 'cancelled', 'failed')),
    claimed_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz,
    message_id text,
    up_to_seq integer,
    sent_at timestamptz,
    reason text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX support_notices_chat ON support_notices (chat_id);
CREATE UNIQUE INDEX support_notices_pending ON support_notices (chat_id) WHERE state = 'pending';
CREATE INDEX support_notices_due ON support_notices (due_at) WHERE state IN ('pending', 'claimed');
"""


def up(migrator: Any, db: Any) -> None:
    db.execute_sql(SCHEMA)

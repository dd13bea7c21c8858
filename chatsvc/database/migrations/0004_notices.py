"""Indexes on notices: which one is due next, and that a chat has one e-mail at a time."""

from typing import Any

SCHEMA = """
DROP INDEX support_notices_due;
CREATE INDEX support_notices_wake ON support_notices
    ((CASE WHEN state = 'claimed' THEN claimed_until ELSE coalesce(next_try_at, due_at) END))
    WHERE state IN ('pending', 'claimed');
CREATE UNIQUE INDEX support_notices_claimed ON support_notices (chat_id) WHERE state = 'claimed';
"""


def up(migrator: Any, db: Any) -> None:
    db.execute_sql(SCHEMA)

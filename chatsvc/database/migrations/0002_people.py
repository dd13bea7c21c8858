"""Language of people, and whether e-mails may be sent to them and can be delivered."""

from typing import Any

SCHEMA = """
ALTER TABLE users
    ADD COLUMN language text,
    ADD COLUMN email_opted_out_at timestamptz,
    ADD COLUMN email_refused text;
"""


def up(migrator: Any, db: Any) -> None:
    db.execute_sql(SCHEMA)

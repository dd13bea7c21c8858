"""What e-mails and the staff's pages need to know of people: their language, and whether an e-mail may and can reach them."""

from typing import Any

SCHEMA = """
ALTER TABLE users
    ADD COLUMN language text,
    ADD COLUMN email_opted_out_at timestamptz,
    ADD COLUMN email_refused text;
"""


def up(migrator: Any, db: Any) -> None:
    db.execute_sql(SCHEMA)

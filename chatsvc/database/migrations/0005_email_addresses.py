"""Addresses that get no e-mails to visitors: any visitor may enter the address of somebody else."""

from typing import Any

# text/email_address.py computes the same digest.
SCHEMA = """
CREATE TABLE email_addresses (
    digest text PRIMARY KEY,
    opted_out_at timestamptz,
    refused_at timestamptz
);
INSERT INTO email_addresses (digest, opted_out_at, refused_at)
SELECT left(encode(sha256(convert_to(lower(email), 'UTF8')), 'hex'), 32), min(email_opted_out_at),
       CASE WHEN bool_or(email = email_refused) THEN clock_timestamp() END
FROM users
WHERE kind = 'visitor' AND email IS NOT NULL
      AND (email_opted_out_at IS NOT NULL OR email = email_refused)
GROUP BY 1;
"""


def up(migrator: Any, db: Any) -> None:
    db.execute_sql(SCHEMA)

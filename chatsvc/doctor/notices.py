"""Checks notices: e-mails that are overdue, are being retried, or have failed."""

from collections.abc import Iterator

from chatsvc.database.connection import Connection
from chatsvc.doctor.finding import Finding, ok, warn

OVERDUE_MIN = 10  # the sweep runs every minute, and an hour's e-mails are sent in less time
FAILED_DAYS = 7  # staff have seen older ones

WAITING = """
SELECT count(*) FILTER (WHERE coalesce(next_try_at, due_at) < now() - %s * interval '1 minute'),
    coalesce(extract(epoch FROM now() - min(due_at)) / 60, 0)::float8,
    count(*) FILTER (WHERE attempts > 0),
    (array_agg(reason ORDER BY due_at) FILTER (WHERE reason IS NOT NULL))[1]
FROM support_notices WHERE state IN ('pending', 'claimed')
"""
FAILED = """
SELECT count(*), (array_agg(reason ORDER BY due_at DESC))[1]
FROM support_notices WHERE state = 'failed' AND due_at > now() - %s * interval '1 day'
"""


def check(connection: Connection) -> Iterator[Finding]:
    yield waiting(connection)
    yield failed(connection)


def waiting(connection: Connection) -> Finding:
    about = "mail backlog"
    [(overdue, oldest_min, retrying, reason)] = connection.execute_sql(WAITING, OVERDUE_MIN)
    because = f": {reason}" if reason else ""
    if overdue:
        found = f"{overdue} overdue, the oldest was due {oldest_min:.0f} minutes ago{because}"
        return warn(about, found, "is the service running? See SMTP above, and its log")
    if retrying:
        return warn(
            about,
            f"{retrying} will be retried{because}",
            "see SMTP above; retries end after a day",
        )
    return ok(about, "nothing is overdue")


def failed(connection: Connection) -> Finding:
    about = "mail failures"
    [(count, reason)] = connection.execute_sql(FAILED, FAILED_DAYS)
    if not count:
        return ok(about, f"none in {FAILED_DAYS} days")
    return warn(
        about,
        f"{count} in {FAILED_DAYS} days, the latest: {reason or 'no reason given'}",
        "the address does not exist, or your mail server may not send to it; "
        "the dashboard shows the chats",
    )

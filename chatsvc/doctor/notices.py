"""The doctor on notices: e-mails that should be away, that are tried again, that failed for good."""

from collections.abc import Iterator

from chatsvc.database.connection import Connection
from chatsvc.doctor.finding import Finding, ok, warn

OVERDUE_MIN = 10  # the sweep finds what is due every minute; an hour's worth is sent within these
FAILED_DAYS = 7  # older ones have been seen or do not matter

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
    [(overdue, oldest_min, again, reason)] = connection.execute_sql(WAITING, OVERDUE_MIN)
    because = f": {reason}" if reason else ""
    if overdue:
        found = f"{overdue} overdue, the oldest was due {oldest_min:.0f} minutes ago{because}"
        return warn(about, found, "is the service running? See SMTP above, and its log")
    if again:
        return warn(
            about,
            f"{again} are tried again{because}",
            "see SMTP above; they are given up after a day",
        )
    return ok(about, "nothing is overdue")


def failed(connection: Connection) -> Finding:
    about = "mail failures"
    [(count, reason)] = connection.execute_sql(FAILED, FAILED_DAYS)
    if not count:
        return ok(about, f"none in {FAILED_DAYS} days")
    advice = "the address does not exist, or your mail server may not send to it; the dashboard shows which chats"
    return warn(
        about, f"{count} in {FAILED_DAYS} days, the latest: {reason or 'no reason given'}", advice
    )

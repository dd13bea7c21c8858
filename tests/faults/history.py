"""What senders and followers saw, what is stored, and where the two disagree: the invariants I1 to I4."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import psycopg2


class Stored(NamedTuple):
    """A row of support_messages."""

    chat_id: str
    seq: int
    id: str
    content: str
    created_at: datetime


class Message(NamedTuple):
    """A message as a client got it: as the answer to its POST, or as an event of a stream."""

    chat_id: str
    seq: int
    id: str
    content: str


class Seen:
    """Everything one client was sent, over all its connections, in order. It began at `cursor`.

    `chat_id` is None for the stream of all staff, which has no cursor and promises only what is committed.
    """

    def __init__(self, name: str, chat_id: str | None, cursor: int = 0) -> None:
        self.name, self.chat_id, self.cursor = name, chat_id, cursor
        self.messages: list[Message] = []
        self.resets = 0

    @property
    def newest(self) -> int:
        return self.messages[-1].seq if self.messages else self.cursor


class History:
    """What happened, as the clients know it. Contents are unique, so that a double shows whatever its client_id."""

    def __init__(self) -> None:
        self.attempted: set[tuple[str, str]] = (
            set()
        )  # chat and content, before the first byte was sent
        self.acknowledged: list[Message] = []
        self.seen: list[Seen] = []


class Database(NamedTuple):
    """What is stored: messages by chat in the order of seq, and the counter of each chat."""

    messages: dict[str, list[Stored]]
    last_seqs: dict[str, int]


def read_database(url: str) -> Database:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id::text, last_seq FROM support_chats")
        last_seqs = dict(cursor.fetchall())
        cursor.execute(
            "SELECT chat_id::text, seq, id::text, content, created_at FROM support_messages ORDER BY 1, 2, 3"
        )
        messages: dict[str, list[Stored]] = defaultdict(list)
        for row in cursor.fetchall():
            messages[row[0]].append(Stored(*row))
    return Database(messages, last_seqs)


def violations(history: History, database: Database) -> list[str]:
    """Each broken promise in one line, named by its invariant; none of them: an empty list."""
    return [
        *_acknowledged_is_stored_once(history, database),
        *_numbering_has_no_holes(database),
        *(line for seen in history.seen for line in _delivered_is_stored(seen, database)),
        *(
            line
            for seen in history.seen
            if seen.chat_id
            for line in _list_is_exact(seen, database.messages[seen.chat_id])
        ),
    ]


def _acknowledged_is_stored_once(history: History, database: Database) -> Iterable[str]:
    rows = [row for chat in database.messages.values() for row in chat]
    by_id = {row.id: row for row in rows}
    for message in history.acknowledged:
        row = by_id.get(message.id)
        if row is None:
            yield f"I1 acknowledged and not stored: {message}"
        elif row[:4] != message:
            yield f"I1 acknowledged as {message}, stored as {row}"
    for (chat_id, content), times in Counter((row.chat_id, row.content) for row in rows).items():
        if times > 1:
            yield f"I1 stored {times} times: {content!r} in {chat_id}"
        if (chat_id, content) not in history.attempted:
            yield f"I1 stored and never sent: {content!r} in {chat_id}"
    for message_id, times in Counter(message.id for message in history.acknowledged).items():
        if times > 1:
            yield f"I1 {times} sends were acknowledged with one message: {message_id}"


def _numbering_has_no_holes(database: Database) -> Iterable[str]:
    for chat_id, last_seq in database.last_seqs.items():
        rows = database.messages[chat_id]
        if [row.seq for row in rows] != list(range(1, len(rows) + 1)):
            yield f"I2 seq is not 1..{len(rows)} in {chat_id}: {[row.seq for row in rows]}"
        if last_seq != len(rows):
            yield f"I2 last_seq of {chat_id} is {last_seq}, stored are {len(rows)}"
        if any(later.created_at <= earlier.created_at for earlier, later in pairwise(rows)):
            yield f"I2 created_at does not rise strictly in {chat_id}"


def _delivered_is_stored(seen: Seen, database: Database) -> Iterable[str]:
    for message in seen.messages:
        if seen.chat_id not in (None, message.chat_id):
            yield f"I4 {seen.name} got a message of another chat: {message}"
        elif message not in [
            row[:4] for row in database.messages[message.chat_id] if row.id == message.id
        ]:
            yield f"I4 {seen.name} got what is not stored: {message}"


def _list_is_exact(seen: Seen, rows: Sequence[Stored]) -> Iterable[str]:
    wanted = [row.seq for row in rows if row.seq > seen.cursor]
    got = [message.seq for message in seen.messages]
    if seen.resets:
        yield f"I3 {seen.name} was told {seen.resets} times to forget its cursor"
    if missing := sorted(set(wanted) - set(got)):
        yield f"I3 {seen.name} misses {len(missing)} messages: {missing[:10]}"
    if doubles := [seq for seq, times in Counter(got).items() if times > 1]:
        yield f"I3 {seen.name} got {len(doubles)} messages more than once: {doubles[:10]}"
    if got != sorted(got):
        yield f"I3 {seen.name} got messages out of order"

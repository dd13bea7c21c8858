"""The checker itself: what it accepts, and that it finds each kind of broken promise."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.history import Database, History, Message, Seen, Stored, violations

START = datetime(2026, 1, 29, tzinfo=UTC)


def row(seq: int, content: str = "", chat_id: str = "chat") -> Stored:
    text = content or f"text {seq}"
    return Stored(chat_id, seq, f"{chat_id}-{seq}", text, START + timedelta(seconds=seq))


def message(seq: int, chat_id: str = "chat") -> Message:
    return Message(chat_id, seq, f"{chat_id}-{seq}", f"text {seq}")


def story(
    seqs: list[int], acknowledged: list[int], delivered: list[int]
) -> tuple[History, Database]:
    """A chat with the messages `seqs`, one follower from the start."""
    history, seen = History(), Seen("alice", "chat")
    history.attempted = {("chat", f"text {seq}") for seq in range(1, 10)}
    history.acknowledged = [message(seq) for seq in acknowledged]
    seen.messages = [message(seq) for seq in delivered]
    history.seen = [seen]
    return history, Database({"chat": [row(seq) for seq in seqs]}, {"chat": len(seqs)})


def test_what_is_as_promised_is_accepted() -> None:
    """Message 3 was stored although nobody was told: that may be."""
    assert violations(*story([1, 2, 3], [1, 2], [1, 2, 3])) == []


def test_a_follower_is_asked_only_for_what_came_after_its_cursor() -> None:
    history, database = story([1, 2, 3], [], [3])
    history.seen[0].cursor = 2
    assert violations(history, database) == []


@pytest.mark.parametrize(
    ("seqs", "acknowledged", "delivered", "found"),
    [
        ([1, 2], [1, 2, 3], [1, 2], "I1 acknowledged and not stored"),
        ([1, 2], [1, 1], [1, 2], "I1 2 sends were acknowledged with one message"),
        ([1, 3], [], [1, 3], "I2 seq is not 1..2"),
        ([1, 2, 3], [], [1, 3], "I3 alice misses 1 messages: [2]"),
        ([1, 2, 3], [], [1, 2], "I3 alice misses 1 messages: [3]"),
        ([1, 2, 3], [], [1, 2, 2, 3], "I3 alice got 1 messages more than once"),
        ([1, 2, 3], [], [2, 1, 3], "I3 alice got messages out of order"),
        ([1, 2], [], [1, 2, 3], "I4 alice got what is not stored"),
    ],
)
def test_a_broken_promise_is_found(
    seqs: list[int], acknowledged: list[int], delivered: list[int], found: str
) -> None:
    assert any(line.startswith(found) for line in violations(*story(seqs, acknowledged, delivered)))


def another_seq(history: History, database: Database) -> None:
    history.acknowledged.append(message(1)._replace(seq=2))


def stored_twice(history: History, database: Database) -> None:
    database.messages["chat"].append(row(3, "text 1"))
    database.last_seqs["chat"] = 3


def never_sent(history: History, database: Database) -> None:
    history.attempted.discard(("chat", "text 2"))


def a_wrong_counter(history: History, database: Database) -> None:
    database.last_seqs["chat"] = 3


def a_clock_that_stands(history: History, database: Database) -> None:
    first, second = database.messages["chat"]
    database.messages["chat"] = [first, second._replace(created_at=first.created_at)]


def another_chat(history: History, database: Database) -> None:
    database.messages["other"] = [row(1, "text 9", "other")]
    history.seen[0].messages.append(message(1, "other"))


def a_reset(history: History, database: Database) -> None:
    history.seen[0].resets = 1


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (another_seq, "I1 acknowledged as"),
        (stored_twice, "I1 stored 2 times"),
        (never_sent, "I1 stored and never sent"),
        (a_wrong_counter, "I2 last_seq of chat is 3"),
        (a_clock_that_stands, "I2 created_at does not rise"),
        (another_chat, "I4 alice got a message of another chat"),
        (a_reset, "I3 alice was told 1 times to forget its cursor"),
    ],
)
def test_a_spoiled_story_is_found(spoil: Callable[[History, Database], None], found: str) -> None:
    history, database = story([1, 2], [1, 2], [1, 2])
    spoil(history, database)
    assert any(line.startswith(found) for line in violations(history, database))

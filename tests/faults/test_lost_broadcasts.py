"""What a bus may do to events: lose them, change their order. And what must never reach it: what is not committed."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chatsvc.app
from chatsvc.app import App
from chatsvc.bus.local import LocalBus
from chatsvc.database.connection import Transaction
from chatsvc.events import Emission, Event
from chatsvc.streams.subscriber import Subscriber
from tests.faults.client import Follower, port_of, request, running
from tests.faults.history import History, Seen, read_database, violations
from tests.faults.storm import Storm
from tests.support.postgres import execute
from tests.support.service import Service, make_config
from tests.support.waiting import until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]

LOSS = 0.2


class BadBus(LocalBus):
    """Loses one event in five, and holds one in five back until after the next of its topic."""

    is_bad = True

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, Event] = {}

    def publish(self, event: Event) -> None:
        lot = random.random() if self.is_bad else 1.0
        if lot < LOSS:
            return
        if lot < 2 * LOSS and event.topic not in self._held:
            self._held[event.topic] = event
            return
        super().publish(event)
        if event.topic in self._held:
            super().publish(self._held.pop(event.topic))


def offer_anything(self: Subscriber, event: Event) -> None:
    """A subscriber without the rule that it writes `cursor + 1` only."""
    self.write(event.frame)


@pytest.mark.parametrize("rule", [True, False])
async def test_a_bus_that_loses_and_reorders_costs_the_streams_nothing(
    rule: bool, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: subscribers that write whatever they are offered."""
    monkeypatch.setattr(chatsvc.app, "LocalBus", BadBus)
    monkeypatch.setattr(BadBus, "is_bad", True)
    if not rule:
        monkeypatch.setattr(Subscriber, "offer", offer_anything)
    bad = Service(make_config(tmp_path), database_url)
    async with running(bad), Storm([port_of(bad)], database_url, chats=2, senders=1) as storm:
        await storm.more(200)
        await storm.pause()
        monkeypatch.setattr(BadBus, "is_bad", False)
        await asyncio.gather(
            *(sender.send() for sender in storm.senders)
        )  # reaches the subscribers that missed the last event
        if rule:
            await storm.finish()
        else:
            found = violations(
                storm.history, await asyncio.to_thread(read_database, storm.database_url)
            )
            assert any("misses" in line for line in found) and any(
                "out of order" in line for line in found
            )


@pytest.mark.parametrize("when", ["after commit", "before commit"])
async def test_nothing_that_is_rolled_back_is_published(
    when: str, service: Service, monkeypatch: pytest.MonkeyPatch, expected_log: list[str]
) -> None:
    """COMMIT itself fails, which no statement before it can know. Negative control: publishing before it."""
    expected_log.append("the database failed")
    await asyncio.to_thread(execute, service.database_url, REFUSE_AT_COMMIT)
    token, history = service.user_token(), History()
    chat_id, port = await service.chat_id(token), port_of(service)
    if when == "before commit":
        publish_early(service.app, monkeypatch)
    follower = Follower([port], "/support_chat/stream", token, Seen("alice", chat_id))
    history.seen.append(follower.seen)
    following = asyncio.create_task(follower.run())
    await until(lambda: follower.is_open and len(service.app.streams) == 1, "the stream is open")
    for content, status in (("poison", 503), ("fine", 201)):
        history.attempted.add((chat_id, content))
        reply = await request(port, "POST", "/support_chat/messages", token, {"content": content})
        assert reply.status == status, reply
    await until(lambda: follower.seen.messages, "something came")
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    found = violations(history, await asyncio.to_thread(read_database, service.database_url))
    if when == "after commit":
        assert not found
    else:
        assert any(line.startswith("I4 alice got what is not stored") for line in found)


# 57P03: "cannot connect now", which counts as the database's fault
REFUSE_AT_COMMIT = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused at COMMIT' USING ERRCODE = '57P03'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON support_messages DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.content = 'poison') EXECUTE FUNCTION refuse();
"""


def publish_early(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each write publish before COMMIT."""
    loop, write_many = asyncio.get_running_loop(), app.db.write_many

    async def early(fn: Callable[..., Any], row: Any) -> Any:
        def run(tx: Transaction, rows: Any) -> Any:
            result = fn(tx, rows)
            for emitted in tx.take_emitted():
                if isinstance(emitted, Emission):
                    loop.call_soon_threadsafe(app.bus.publish, Event.encode(*emitted))
            return result

        return await write_many(run, row)

    monkeypatch.setattr(app.db, "write_many", early)

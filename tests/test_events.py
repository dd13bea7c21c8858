"""For every action: an old snapshot and its events make the fresh snapshot, as a client would put them together."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from chatsvc.events import STAFF_TOPIC, Event, chat_topic
from tests.support.service import Service
from tests.support.sse import StreamClient
from tests.support.waiting import until
from tests.support.writer import HeldWriter

State = dict[str, Any]
MARKER = b'data: {"type":"marker"}\n\n'


def apply_to_chat(chat: State, event: State) -> None:
    """What the widget does with an event: `chat` is a SupportChat with `read_up_to` and `viewed_up_to`."""
    if event["type"] == "new_message":
        message = event["message"]
        assert message["seq"] == chat["last_seq"] + 1
        chat["messages"].append(message)
        chat["last_seq"] = message["seq"]
        chat["unread_count"] += message["sender_type"] == "admin"
    elif event["type"] == "messages_read":
        chat["read_up_to"] = event["read_up_to"]
        for message in chat["messages"]:
            if (
                message["sender_type"] == "admin"
                and message["seq"] <= event["read_up_to"]
                and not message["read_at"]
            ):
                message["read_at"] = event["read_at"]
                chat["unread_count"] -= 1
    elif event["type"] == "admin_viewed":
        chat["viewed_up_to"] = event["up_to"]
    elif event["type"] == "chat_updated":
        chat["archived"] = event["archived"]
    else:
        raise AssertionError(f"unexpected {event}")


def apply_to_list(items: State, event: State) -> None:
    """What the dashboard does with an event: `items` are SupportChatListItems by id."""
    if event["type"] == "chat_updated":
        items[event["chat"]["id"]] = event["chat"]
    elif event["type"] == "new_user_message":
        item, message = items.get(event["chat_id"]), event["message"]
        if item is not None:
            item |= {
                "user_email": event["user_email"],
                "user_name": event["user_name"],
                "user_sub": event["user_sub"],
                "last_message_sender": "user",
                "last_message_at": message["created_at"],
                "last_message_preview": message["content"][:100],
                "message_count": message["seq"],
                "unread": True,
                "archived": False,
            }
    else:
        raise AssertionError(f"unexpected {event}")


class Stage:
    """Alice's chat and the staff's list, each with a snapshot and an open stream."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.alice, self.staff, self.visitor, self.chat_id = "", "", "", ""

    async def set_up(self) -> "Stage":
        service = self.service
        self.alice, self.staff = service.user_token(name="Alice"), await service.staff_token()
        self.visitor = await service.visitor_token()
        self.chat_id = await service.chat_id(self.alice)
        for who in "ausau":
            await self.send(who)
        await service.send(self.visitor, "hello")
        return self

    async def send(self, who: str, client_id: str | None = None, content: str = "text") -> Any:
        """`who`: u for alice, a for staff."""
        if who == "u":
            return await self.service.send(self.alice, content, client_id)
        return await self.service.send(self.staff, content, client_id, chat_id=self.chat_id)

    async def staff_do(self, action: str, body: State | None = None) -> None:
        answer = await self.service.post(f"/admin/chats/{self.chat_id}/{action}", self.staff, body)
        assert answer.status == 200

    async def mark_read(self, up_to: int | None = None) -> None:
        body = {} if up_to is None else {"up_to": up_to}
        await self.service.request("PATCH", "/support_chat/mark_read", token=self.alice, body=body)

    async def chat_snapshot(self) -> State:
        chat: State = (await self.service.get("/support_chat", self.alice)).json
        stream = await self.service.stream(self.alice)
        state = (await stream.next()).data
        stream.close()
        assert {name: chat[name] for name in ("last_seq", "unread_count", "archived")} == {
            name: state[name] for name in ("last_seq", "unread_count", "archived")
        }
        return {**chat, "read_up_to": state["read_up_to"], "viewed_up_to": state["viewed_up_to"]}

    async def list_snapshot(self) -> State:
        both = [
            await self.service.get(f"/admin/chats?archived={which}", self.staff)
            for which in ("false", "true")
        ]
        return {item["id"]: item for answer in both for item in answer.json}

    async def verify(self, action: Callable[[], Awaitable[object]]) -> list[str]:
        """Runs `action`; fails unless old snapshot + events = fresh snapshot. Returns the types of the events."""
        chat, items = await self.chat_snapshot(), await self.list_snapshot()
        users = await self.service.stream(self.alice, cursor=chat["last_seq"])
        staffs = await self.service.stream(self.staff, "/admin/notifications/stream")
        await users.next("state")
        await staffs.next("state")
        await action()
        kinds = []
        for stream, topic, apply, state in (
            (users, chat_topic(self.chat_id), apply_to_chat, chat),
            (staffs, STAFF_TOPIC, apply_to_list, items),
        ):
            for event in await self._events_until_now(stream, topic):
                apply(state, event)
                kinds.append(event["type"])
        assert chat == await self.chat_snapshot()
        assert items == await self.list_snapshot()
        staff_state = await self.service.stream(self.staff, "/admin/notifications/stream")
        unread = sum(item["unread"] and not item["archived"] for item in items.values())
        assert (await staff_state.next()).data["unread_chats"] == unread
        return kinds

    async def _events_until_now(self, stream: StreamClient, topic: str) -> list[State]:
        self.service.app.bus.publish(Event(topic, MARKER))
        found: list[State] = []
        while (event := await stream.next()).type != "marker":
            found.append(event.data)
        return found


async def test_sending(service: Service) -> None:
    stage = await Stage(service).set_up()
    assert await stage.verify(lambda: stage.send("u", "c1", "x" * 150)) == [
        "new_message",
        "new_user_message",
    ]
    assert await stage.verify(lambda: stage.send("a", "c2", "ä" * 150)) == [
        "new_message",
        "chat_updated",
    ]
    for who, client_id, content in (("u", "c1", "x" * 150), ("a", "c2", "ä" * 150)):
        assert await stage.verify(partial(stage.send, who, client_id, content)) == []


async def test_marks(service: Service) -> None:
    stage = await Stage(service).set_up()
    read = [
        "messages_read",
        "chat_updated",
    ]  # the second for the e-mail that comes later, or not at all
    for up_to, kinds in ((0, []), (1, read), (1, []), (3, read), (None, read)):
        assert await stage.verify(partial(stage.mark_read, up_to)) == kinds, up_to
    both = ["admin_viewed", "chat_updated"]
    for body, expected in (({"up_to": 2}, both), ({}, both), ({}, []), ({"up_to": 1}, [])):
        kinds = await stage.verify(partial(stage.staff_do, "mark_viewed", body))
        assert kinds == expected, body


async def test_archiving(service: Service) -> None:
    stage = await Stage(service).set_up()
    both = ["chat_updated", "chat_updated"]
    for action, kinds in (
        ("unarchive", []),
        ("archive", both),
        ("archive", []),
        ("unarchive", both),
    ):
        assert await stage.verify(partial(stage.staff_do, action)) == kinds, action
    await stage.staff_do("archive")
    assert await stage.verify(lambda: stage.send("a")) == ["new_message", "chat_updated"]
    kinds = await stage.verify(lambda: stage.send("u"))
    assert kinds == ["chat_updated", "new_message", "new_user_message", "chat_updated"]


async def test_people(service: Service) -> None:
    """A newcomer's chat and first message; a visitor who gives a name; a host application that gives another."""
    stage = await Stage(service).set_up()

    async def rename() -> None:
        await service.request("PATCH", "/visitors/me", token=stage.visitor, body={"name": "Vera"})

    newcomer = service.user_token("newcomer")
    assert await stage.verify(lambda: service.chat_id(newcomer)) == ["chat_updated"]
    await stage.verify(lambda: service.send(newcomer, "hello"))
    await stage.verify(lambda: service.send(service.user_token("another"), "hello"))
    assert await stage.verify(rename) == ["chat_updated"]
    assert await stage.verify(rename) in ([], ["chat_updated"])

    async def come_with_another_name() -> None:
        stage.alice = service.user_token(name="Alice B.")
        await service.get("/support_chat", stage.alice)

    assert await stage.verify(come_with_another_name) == ["chat_updated"]


async def test_what_is_committed_in_one_batch(service: Service) -> None:
    stage = await Stage(service).set_up()

    async def all_at_once() -> None:
        held = await HeldWriter(service.app.db).begin()
        work: list[Awaitable[object]] = [
            stage.send("u", "b1"),
            stage.send("a", "b2"),
            stage.mark_read(),
            stage.send("u", "b1"),
            stage.send("a"),
            stage.staff_do("mark_viewed", {"up_to": 3}),
            stage.staff_do("archive"),
            stage.send("u"),
            stage.send("a"),
            service.send(service.user_token("other"), "hi"),
        ]
        jobs = [asyncio.ensure_future(one) for one in work]
        await until(lambda: service.app.db.in_flight >= 8)
        await held.release()
        await asyncio.gather(*jobs)

    await stage.verify(all_at_once)


@pytest.mark.parametrize("viewed", [True, False])
async def test_a_retry_beside_an_answer_in_one_batch(service: Service, viewed: bool) -> None:
    """The retry of an old user message brought nothing back, but the event of the answer that was stored in the same
    batch said that the chat was active and unread."""
    stage = await Stage(service).set_up()
    await stage.send("u", "old")
    if viewed:
        await stage.staff_do("mark_viewed")
    await stage.staff_do("archive")

    async def retry_and_answer() -> None:
        held = await HeldWriter(service.app.db).begin()
        jobs = [asyncio.ensure_future(stage.send("u", "old"))]
        await until(lambda: service.app.db.in_flight == 2)
        jobs.append(asyncio.ensure_future(stage.send("a")))
        await until(lambda: service.app.db.in_flight == 3)
        await held.release()
        await asyncio.gather(*jobs)

    assert await stage.verify(retry_and_answer) == ["new_message", "chat_updated"]

"""The database is restored from an older dump, and numbers are given again, to other messages."""

from typing import Any

import pytest

from tests.contract.conftest import People
from tests.support.postgres import execute
from tests.support.service import Service
from tests.support.sse import StreamClient

USER_STREAM = "/support_chat/stream"
RESET = {"type": "reset"}
PAGE = "/support_chat/messages"


def restore(service: Service, chat_id: str, last_seq: int) -> None:
    """Put a chat back to what a dump held that was made after its message `last_seq`."""
    execute(
        service.database_url,
        "DELETE FROM support_messages WHERE chat_id = %s AND seq > %s",
        chat_id,
        last_seq,
    )
    execute(
        service.database_url,
        "UPDATE support_chats SET last_seq = %s WHERE id = %s",
        last_seq,
        chat_id,
    )


async def send(service: Service, people: People, *texts: str) -> list[Any]:
    return [await service.send(people.alice, text) for text in texts]


def query(message: Any) -> str:
    return f"last_event_id={message['seq']}&last_message_id={message['id']}"


async def chat_state(stream: StreamClient) -> Any:
    """Read on to the chat's state, which follows that of staff. Return its `last_seq`."""
    while "last_seq" not in (state := (await stream.next("state")).data):
        pass
    return state["last_seq"]


@pytest.fixture
def streams(people: People) -> list[tuple[str, str]]:
    """Who opens which stream of the chat, to be followed by the query."""
    return [
        (people.alice, f"{USER_STREAM}?"),
        (people.staff, f"/admin/chats/{people.chat_id}/stream?"),
        (people.staff, f"/admin/notifications/stream?chat_id={people.chat_id}&"),
    ]


async def test_a_client_that_comes_back_late_gets_reset(
    service: Service, people: People, streams: list[tuple[str, str]]
) -> None:
    """It has seen 3 messages of which one is left; 3 others came since. It once kept its ghosts."""
    common, _, ghost = await send(service, people, "kept", "lost", "lost too")
    restore(service, people.chat_id, 1)
    _, impostor, newest = await send(service, people, "other", "other too", "newest")
    assert impostor["seq"] == ghost["seq"] and impostor["id"] != ghost["id"]
    for token, path in streams:
        stream = await service.stream(token, path + query(ghost))
        assert await chat_state(stream) == 4
        assert (await stream.next()).data == RESET
        for known, following in ((common, 2), (impostor, 4)):  # these are there: nothing to forget
            stream = await service.stream(token, path + query(known))
            await chat_state(stream)
            assert (await stream.next()).data["message"]["seq"] == following
        stream = await service.stream(token, path + f"last_event_id={ghost['seq']}")
        await chat_state(stream)
        assert (await stream.next()).data["message"] == newest  # it did not say what it has seen


async def test_a_page_after_another_message_says_reset(service: Service, people: People) -> None:
    """Where streams are blocked the widget polls, and meets the same restore."""
    *_, ghost = await send(service, people, "kept", "lost")
    restore(service, people.chat_id, 1)
    impostor, newest = await send(service, people, "other", "newest")
    wrong = await service.get(f"{PAGE}?after=2&after_id={ghost['id']}", people.alice)
    assert wrong.json == {"messages": [], "has_more": False, "last_seq": 3, "reset": True}
    for seq, message_id in ((2, impostor["id"]), (2, ""), (0, ghost["id"])):
        right = await service.get(f"{PAGE}?after={seq}&after_id={message_id}", people.alice)
        assert right.json["messages"][-1] == newest and "reset" not in right.json
    beyond = await service.get(f"{PAGE}?after=9&after_id={ghost['id']}", people.alice)
    assert beyond.json["reset"] is True


async def test_an_id_belongs_to_the_cursor_of_the_query(service: Service, people: People) -> None:
    """EventSource reconnects with a newer cursor in the header, and the query as it was at first."""
    first, second, _ = await send(service, people, "one", "two", "three")
    path = f"{USER_STREAM}?{query(first)}"
    stream = await service.stream(people.alice, path, cursor=second["seq"])
    await stream.next("state")
    assert (await stream.next()).data["message"]["seq"] == 3
    wrong = f"{USER_STREAM}?last_event_id=1&last_message_id={second['id']}"
    stream = await service.stream(people.alice, wrong, cursor=1)
    await stream.next("state")
    assert (await stream.next()).data == RESET


async def test_an_open_stream_is_told_that_messages_are_gone(
    service: Service, people: People
) -> None:
    """An asynchronous standby took over. Pings once named a message that nobody had any more."""
    *_, newest = await send(service, people, "kept", "kept too", "lost")
    behind = await service.stream(people.alice, f"{USER_STREAM}?{query(newest)}")
    await behind.next("state")
    await send(service, people, "lost too")
    await behind.next("new_message")
    restore(service, people.chat_id, 2)
    service.app.resynchronizer.request()
    assert (await behind.next("state")).data["last_seq"] == 2
    assert (await behind.next()).data == RESET
    (other,) = await send(service, people, "other")
    assert (await behind.next()).data["message"] == other
    service.app.resynchronizer.request()
    assert (await behind.next("state")).data["last_seq"] == 3
    (another,) = await send(service, people, "another")
    assert (await behind.next()).data["message"] == another, "only one reset"

"""The main job through the real server: writing, answering, reading, archiving; and the events that follow."""

import asyncio
from uuid import uuid4

from chatsvc.errors import NotFound
from chatsvc.store.chats import START_MAX_BYTES, START_MESSAGES
from tests.support.service import Service


async def test_a_message_is_stored_answered_and_delivered(service: Service) -> None:
    alice, staff = service.user_token(), await service.staff_token()
    stream = await service.stream(alice)
    assert (await stream.next()).data == {
        "type": "state",
        "last_seq": 0,
        "unread_count": 0,
        "read_up_to": 0,
        "viewed_up_to": 0,
        "archived": False,
    }
    notifications = await service.stream(staff, "/admin/notifications/stream")
    assert (await notifications.next()).data == {"type": "state", "unread_chats": 0}

    message = await service.send(alice, "hello", "c1")
    assert message["seq"] == 1 and message["sender_type"] == "user" and message["client_id"] == "c1"
    event = await stream.next()
    assert event.id == "1" and event.data == {"type": "new_message", "message": message}
    told = await notifications.next("new_user_message")
    assert (
        told.id is None
        and told.data["message"] == message
        and told.data["user_email"] == "alice@example.com"
    )

    reply = await service.send(staff, "hi", chat_id=told.data["chat_id"])
    assert (await stream.next()).data["message"] == reply
    chat = (await service.get("/support_chat", alice)).json
    assert (
        chat["messages"] == [message, reply] and chat["unread_count"] == 1 and chat["last_seq"] == 2
    )
    stream.close()
    notifications.close()


async def test_the_same_post_fifty_times_at_once_is_one_message(service: Service) -> None:
    alice = service.user_token()
    answers = await asyncio.gather(
        *(
            service.post("/support_chat/messages", alice, {"content": "once", "client_id": "same"})
            for _ in range(50)
        )
    )
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert (await service.get("/support_chat", alice)).json["last_seq"] == 1


async def test_streams_that_open_together_begin_each_with_its_own_chat(service: Service) -> None:
    """They are read in one query, which must not mix up chats, cursors and states."""
    chats, rows = service.app.chats, list[tuple[str, int | None]]()
    for count in (0, 1, START_MESSAGES + 1):
        user = service.user_token(f"user {count}")
        chat_id = await service.chat_id(user)
        for n in range(1, count + 1):
            await service.send(user, f"{n} of {count}")
        rows += [(chat_id, cursor) for cursor in (None, 0, 1, 2**31)]
    rows.insert(5, (str(uuid4()), 0))
    found = await asyncio.gather(
        *(chats.stream_start(*row) for row in rows), return_exceptions=True
    )
    assert isinstance(found.pop(5), NotFound)
    seen = [
        (state.last_seq, [message.content for message in page.messages], page.has_more)
        for state, page in (one for one in found if not isinstance(one, BaseException))
    ]
    many = [f"{n} of {START_MESSAGES + 1}" for n in range(1, START_MESSAGES + 2)]
    assert seen == [
        *[(0, [], False)] * 4,
        *[(1, [], False), (1, ["1 of 1"], False), (1, [], False), (1, [], False)],
        (len(many), [], False),
        (len(many), many[:-1], True),
        (len(many), many[1:], False),
        (len(many), [], False),
    ]


async def test_long_missed_messages_are_left_to_the_replay(service: Service) -> None:
    """Two hundred clients that came back to long messages took 280 MB: they are read in groups."""
    user = service.user_token()
    chat_id = await service.chat_id(user)
    sent = [
        await service.send(user, text) for text in ("short", "x" * (START_MAX_BYTES + 1), "short")
    ]
    _, page = await service.app.chats.stream_start(chat_id, 0)
    assert ([message.seq for message in page.messages], page.has_more) == ([1], True)
    _, page = await service.app.chats.stream_start(chat_id, 1)
    assert (page.messages, page.has_more) == ([], True)
    stream = await service.stream(user, cursor=0)
    assert await stream.messages_up_to(3) == sent
    stream.close()

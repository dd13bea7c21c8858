"""The main job through the real server: writing, answering, reading, archiving; and the events that follow."""

import asyncio

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

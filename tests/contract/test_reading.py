"""PATCH /support_chat/mark_read: what the user has read (docs/api.md section 3)."""

import asyncio
from typing import Any

from tests.contract.conftest import People
from tests.contract.shapes import check_problem, is_time
from tests.support.service import Response, Service

PATH = "/support_chat/mark_read"


async def mark(service: Service, token: str | None, body: Any = None) -> Response:
    return await service.request("PATCH", PATH, token=token, body=body)


async def conversation(service: Service, people: People, count: int = 4) -> None:
    """Staff write seq 1 … count, alice count + 1."""
    for n in range(count):
        await service.send(people.staff, f"s{n}", chat_id=people.chat_id)
    await service.send(people.alice, "thanks")


async def read_seqs(service: Service, people: People) -> list[int]:
    messages = (await service.get("/support_chat", people.alice)).json["messages"]
    assert all(message["read_at"] is None or is_time(message["read_at"]) for message in messages)
    return [message["seq"] for message in messages if message["read_at"] is not None]


async def test_up_to_marks_staff_messages_up_to_there(service: Service, people: People) -> None:
    await conversation(service, people)
    answer = await mark(service, people.alice, {"up_to": 2})
    assert answer.status == 200 and answer.json == {"unread_count": 2, "read_up_to": 2}
    assert await read_seqs(service, people) == [1, 2]
    assert (await service.get("/support_chat", people.alice)).json["unread_count"] == 2


async def test_without_up_to_all_that_is_stored_is_read_and_own_messages_never(
    service: Service, people: People
) -> None:
    await conversation(service, people)
    for body in (None, {}, {"up_to": None}):
        assert (await mark(service, people.alice, body)).json == {
            "unread_count": 0,
            "read_up_to": 4,
        }
        assert await read_seqs(service, people) == [1, 2, 3, 4]


async def test_repeating_it_changes_nothing(service: Service, people: People) -> None:
    await conversation(service, people)
    await mark(service, people.alice, {"up_to": 3})
    before = (await service.get("/support_chat", people.alice)).json
    stream = await service.stream(people.alice)
    await stream.next("state")
    assert (await mark(service, people.alice, {"up_to": 3})).json == {
        "unread_count": 1,
        "read_up_to": 3,
    }
    assert (await service.get("/support_chat", people.alice)).json == before
    last = await service.send(people.alice, "nothing before this")
    assert (await stream.next()).data == {"type": "new_message", "message": last}
    stream.close()


async def test_it_never_goes_back_nor_beyond_what_is_there(
    service: Service, people: People
) -> None:
    await conversation(service, people)
    assert (await mark(service, people.alice, {"up_to": 3})).json["read_up_to"] == 3
    assert (await mark(service, people.alice, {"up_to": 1})).json == {
        "unread_count": 1,
        "read_up_to": 3,
    }
    assert (await mark(service, people.alice, {"up_to": 0})).json == {
        "unread_count": 1,
        "read_up_to": 3,
    }
    assert (await mark(service, people.alice, {"up_to": 2**53 - 1})).json == {
        "unread_count": 0,
        "read_up_to": 4,
    }
    await service.send(people.staff, "later", chat_id=people.chat_id)
    assert (await service.get("/support_chat", people.alice)).json["unread_count"] == 1
    assert await read_seqs(service, people) == [1, 2, 3, 4]


async def test_an_empty_chat_has_nothing_to_read(service: Service, people: People) -> None:
    assert (await mark(service, people.alice)).json == {"unread_count": 0, "read_up_to": 0}
    assert (await mark(service, service.user_token("newcomer"))).json == {
        "unread_count": 0,
        "read_up_to": 0,
    }


async def test_many_marks_at_once_end_with_the_highest(service: Service, people: People) -> None:
    await conversation(service, people, 10)
    answers = await asyncio.gather(
        *(mark(service, people.alice, {"up_to": n % 8}) for n in range(40))
    )
    assert {answer.status for answer in answers} == {200}
    assert (await mark(service, people.alice, {"up_to": 0})).json == {
        "unread_count": 3,
        "read_up_to": 7,
    }


async def test_the_event_says_how_far_and_when(service: Service, people: People) -> None:
    await conversation(service, people)
    stream = await service.stream(people.alice)
    beside = await service.stream(people.staff, f"/admin/chats/{people.chat_id}/stream")
    await stream.next("state")
    await beside.next("state")
    await mark(service, people.alice, {"up_to": 2})
    event = await stream.next()
    read_at = (await service.get("/support_chat", people.alice)).json["messages"][0]["read_at"]
    assert event.id is None and event.data == {
        "type": "messages_read",
        "read_up_to": 2,
        "read_at": read_at,
    }
    assert (await beside.next()).data == event.data
    stream.close()
    beside.close()


async def test_what_another_user_does_marks_nothing_here(service: Service, people: People) -> None:
    await conversation(service, people)
    for token in (people.bob, people.visitor):
        assert (await mark(service, token)).json["read_up_to"] == 0
    check_problem(await mark(service, people.staff), 403)
    check_problem(await mark(service, None), 401)
    assert await read_seqs(service, people) == []


async def test_a_body_that_is_not_acceptable_is_refused(service: Service, people: People) -> None:
    await conversation(service, people)
    for body, status in (
        ({"up_to": -1}, 422),
        ({"up_to": 2**53}, 422),
        ({"up_to": "2"}, 422),
        ({"up_to": 1.5}, 422),
        ({"up_to": True}, 422),
        ({"seq": 1}, 422),
        ([], 400),
        (7, 400),
    ):
        check_problem(await mark(service, people.alice, body), status)
    assert await read_seqs(service, people) == []

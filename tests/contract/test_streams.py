"""What a client of an event stream may rely on (docs/api.md section 5)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.contract.conftest import People
from tests.contract.shapes import check_message, is_time
from tests.support.seed import seed_messages
from tests.support.service import Service
from tests.support.sse import Event, StreamClient

USER_STREAM, STAFF_STREAM = "/support_chat/stream", "/admin/notifications/stream"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "content-encoding": "identity",
}


@asynccontextmanager
async def streaming(service: Service, *opened: Any) -> AsyncIterator[list[StreamClient]]:
    """Streams opened with (token, path, cursor, headers …), each with its `state` read; closed at the end."""
    clients = [await service.stream(*arguments) for arguments in opened]
    try:
        for client in clients:
            assert client.status == 200
            assert (await client.next()).type == "state"
        yield clients
    finally:
        for client in clients:
            client.close()


def all_paths(people: People) -> list[tuple[str, str]]:
    return [
        (people.alice, USER_STREAM),
        (people.staff, f"/admin/chats/{people.chat_id}/stream"),
        (people.staff, STAFF_STREAM),
        (people.staff, f"{STAFF_STREAM}?chat_id={people.chat_id}"),
    ]


async def test_the_answer_has_these_headers(service: Service, people: People) -> None:
    for token, path in all_paths(people):
        stream = await service.stream(token, path, Accept_Encoding="gzip")
        assert stream.status == 200
        assert {name: stream.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in stream.headers and "content-length" not in stream.headers
        assert "transfer-encoding" not in stream.headers
        stream.close()


async def test_the_first_bytes_come_before_the_database_has_answered(
    service: Service, people: People
) -> None:
    """A proxy that holds them back shows itself; a slow database is not taken for one."""
    never = asyncio.Event()

    async def no_answer(*_: Any) -> Any:
        await never.wait()

    streams = service.app.streams
    streams._sources = streams._sources._replace(stream_start=no_answer, staff_state=no_answer)
    for token, path in all_paths(people):
        stream = await service.stream(token, path)
        comment, retry = [
            (await asyncio.wait_for(stream.reader.readline(), 5)).decode() for _ in range(2)
        ]
        assert comment.startswith(":")
        field, _, value = retry.partition(": ")
        assert field == "retry" and 1000 <= int(value) <= 3000
        stream.close()


async def test_retry_is_in_the_block_of_the_first_event(service: Service, people: People) -> None:
    """A block of its own is an empty event for httpx-sse and @microsoft/fetch-event-source."""
    for token, path in all_paths(people):
        stream = await service.stream(token, path)
        block = (await asyncio.wait_for(stream.reader.readuntil(b"\n\n"), 5)).decode()
        comment, retry, data = block.removesuffix("\n\n").split("\n")
        assert comment.startswith(": ") and retry.startswith("retry: ")
        assert json.loads(data.removeprefix("data: "))["type"] == "state"
        stream.close()


async def test_state_is_the_first_event_of_every_connection(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "one")
    await service.send(people.staff, "two", chat_id=people.chat_id)
    await service.send(people.staff, "three", chat_id=people.chat_id)
    await service.request("PATCH", "/support_chat/mark_read", token=people.alice, body={"up_to": 2})
    await service.post(f"/admin/chats/{people.chat_id}/archive", people.staff)
    await service.send(people.bob, "unread by staff")
    chat = {
        "type": "state",
        "last_seq": 3,
        "unread_count": 1,
        "read_up_to": 2,
        "viewed_up_to": 0,
        "archived": True,
    }
    expected = [
        [chat],
        [chat],
        [{"type": "state", "unread_chats": 1}],
        [{"type": "state", "unread_chats": 1}, chat],
    ]
    for (token, path), states in zip(all_paths(people), expected, strict=True):
        for cursor in (None, 3):
            stream = await service.stream(token, path, cursor)
            events = [await stream.next() for _ in states]
            assert [event.data for event in events] == states and {
                event.id for event in events
            } == {None}
            stream.close()


async def test_every_event_has_its_fields_and_only_messages_have_an_id(
    service: Service, people: People
) -> None:
    chat = f"/admin/chats/{people.chat_id}"
    opened = [
        (people.alice, USER_STREAM),
        (people.staff, f"{chat}/stream"),
        (people.staff, STAFF_STREAM),
    ]
    async with streaming(service, *opened) as (users, chats, staffs):
        first = await service.send(people.alice, "hello")
        await service.post(f"{chat}/mark_viewed", people.staff)
        reply = await service.send(people.staff, "hi", chat_id=people.chat_id)
        await service.request("PATCH", "/support_chat/mark_read", token=people.alice)
        await service.post(f"{chat}/archive", people.staff)
        last = await service.send(people.alice, "thanks")
        for stream in (users, chats):
            events = [await stream.next() for _ in range(7)]
            read_at = events[3].data["read_at"]
            assert is_time(read_at)
            assert [(event.id, event.name, event.data) for event in events] == [
                ("1", "message", {"type": "new_message", "message": first}),
                (None, "message", {"type": "admin_viewed", "up_to": 1}),
                ("2", "message", {"type": "new_message", "message": reply}),
                (None, "message", {"type": "messages_read", "read_up_to": 2, "read_at": read_at}),
                (None, "message", {"type": "chat_updated", "archived": True}),
                (None, "message", {"type": "chat_updated", "archived": False}),
                ("3", "message", {"type": "new_message", "message": last}),
            ]
        told = {
            "chat_id": people.chat_id,
            "user_email": "alice@example.com",
            "user_name": "Alice",
            "user_sub": "alice",
        }
        seen: list[Event] = []
        while not (
            seen and seen[-1].type == "chat_updated" and seen[-1].data["chat"]["message_count"] == 3
        ):
            seen.append(await staffs.next())
        assert {event.id for event in seen} == {None}
        assert [event.data for event in seen if event.type == "new_user_message"] == [
            {"type": "new_user_message", **told, "message": first},
            {"type": "new_user_message", **told, "message": last},
        ]
        updates = [event.data["chat"] for event in seen if event.type == "chat_updated"]
        assert [(chat["message_count"], chat["unread"], chat["archived"]) for chat in updates] == [
            (1, True, False),
            (1, False, False),
            (2, False, False),
            (2, False, False),  # read: no e-mail will come
            (2, False, True),
            (3, True, False),
        ]
        assert updates[-1] == (await service.get("/admin/chats", people.staff)).json[0]


async def test_resuming_by_header_and_by_query_gives_what_was_missed_in_order(
    service: Service, people: People
) -> None:
    sent = [await service.send(people.alice, f"m{n}") for n in range(5)]
    for opened in (
        (people.alice, USER_STREAM, 2),
        (people.alice, f"{USER_STREAM}?last_event_id=2"),
        (
            people.alice,
            f"{USER_STREAM}?last_event_id=4",
            2,
        ),  # EventSource repeats the query as it was at first
        (people.alice, f"{USER_STREAM}?last_event_id=nonsense", 2),
        (people.staff, f"/admin/chats/{people.chat_id}/stream", 2),
        (people.staff, f"{STAFF_STREAM}?chat_id={people.chat_id}", 2),
        (people.staff, f"{STAFF_STREAM}?chat_id={people.chat_id}&last_event_id=2"),
    ):
        async with streaming(service, opened) as (stream,):
            assert await stream.messages_up_to(5) == sent[2:]
            assert [event.id for event in stream.events if event.id] == ["3", "4", "5"]


async def test_after_what_was_missed_come_the_live_ones(service: Service, people: People) -> None:
    sent = [await service.send(people.alice, f"m{n}") for n in range(3)]
    async with streaming(service, (people.alice, USER_STREAM, 1)) as (stream,):
        sent.append(await service.send(people.alice, "live"))
        assert await stream.messages_up_to(4) == sent[1:]


async def test_cursor_0_is_the_beginning_and_the_newest_is_nothing(
    service: Service, people: People
) -> None:
    sent = [await service.send(people.alice, f"m{n}") for n in range(3)]
    async with streaming(
        service, (people.alice, USER_STREAM, 0), (people.alice, USER_STREAM, 3)
    ) as (
        all_,
        new,
    ):
        sent.append(await service.send(people.alice, "live"))
        assert await all_.messages_up_to(4) == sent
        assert await new.messages_up_to(4) == sent[3:]


async def test_without_a_cursor_it_starts_with_what_is_new(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "old")
    opened = [
        (people.alice, USER_STREAM),
        (people.alice, f"{USER_STREAM}?last_event_id="),
        (people.alice, USER_STREAM, ""),
    ]
    async with streaming(service, *opened) as streams:
        new = await service.send(people.alice, "new")
        for stream in streams:
            assert (await stream.next()).data == {"type": "new_message", "message": new}


async def test_a_message_between_the_first_fetch_and_the_stream_arrives(
    service: Service, people: People
) -> None:
    chat = (await service.get("/support_chat", people.alice)).json
    between = await service.send(people.staff, "between", chat_id=people.chat_id)
    async with streaming(service, (people.alice, USER_STREAM, chat["last_seq"])) as (stream,):
        assert (await stream.next()).data["message"] == between


async def test_an_unusable_cursor_is_answered_with_reset(service: Service, people: People) -> None:
    """Never with silence. What comes after is new from now on."""
    await service.send(people.alice, "old")
    texts = [
        "abc",
        "-1",
        "1.0",
        "01",
        "+1",
        "20",
        "99999999999",
        "9" * 4000,
        "1 2",
        "null",
        "\u0661".encode().decode("latin-1"),
    ]
    for text in texts:
        async with streaming(service, (people.alice, USER_STREAM, text)) as (stream,):
            event = await stream.next()
            assert (event.id, event.data) == (None, {"type": "reset"}), text[:20]
            new = await service.send(people.alice, "new")
            assert (await stream.next()).data["message"] == new


async def test_a_thousand_back_are_replayed_and_one_more_is_a_reset(
    service: Service, people: People
) -> None:
    seed_messages(service.database_url, people.chat_id, 1001)
    async with streaming(
        service, (people.alice, USER_STREAM, 1), (people.alice, USER_STREAM, 0)
    ) as (
        near,
        far,
    ):
        assert (await far.next()).data == {"type": "reset"}
        messages = await near.messages_up_to(1001)
        assert [message["seq"] for message in messages] == list(range(2, 1002))
        new = await service.send(people.alice, "new")
        assert (await far.next()).data["message"] == new
        assert (await near.next()).data["message"] == new


async def test_two_streams_of_staff_and_each_gets_its_own(service: Service, people: People) -> None:
    """One follows alice's chat in the same connection, the other is for all staff alone."""
    opened = [
        (people.staff, f"{STAFF_STREAM}?chat_id={people.chat_id}"),
        (people.staff, STAFF_STREAM),
    ]
    async with streaming(service, *opened) as (combined, plain):
        assert (await combined.next()).data["last_seq"] == 0
        sent = await service.send(people.alice, "hi")
        assert {(await combined.next()).type, (await combined.next()).type} == {
            "new_message",
            "new_user_message",
        }
        assert (await plain.next()).data["message"] == sent
        await service.send(people.bob, "me too")
        for stream in (combined, plain):
            event = await stream.next("new_user_message")
            assert event.data["chat_id"] == people.bobs_chat_id
        assert [event.data["message"] for event in combined.events if event.id] == [sent]
        assert not any(event.id for event in plain.events)


async def test_events_of_a_foreign_chat_never_arrive(service: Service, people: People) -> None:
    """Everything happens in alice's chat; then something in each of the others, and that is the first they hear."""
    others = [
        (people.bob, USER_STREAM, 0),
        (people.visitor, USER_STREAM),
        (people.staff, f"/admin/chats/{people.bobs_chat_id}/stream", 0),
    ]
    async with streaming(service, *others) as (bob, visitor, beside_bob):
        chat = f"/admin/chats/{people.chat_id}"
        await service.send(people.alice, "hello")
        await service.send(people.staff, "hi", chat_id=people.chat_id)
        await service.request("PATCH", "/support_chat/mark_read", token=people.alice)
        for action in ("mark_viewed", "archive", "unarchive"):
            await service.post(f"{chat}/{action}", people.staff)
        own, visitors = (
            await service.send(people.bob, "bob's"),
            await service.send(people.visitor, "the visitor's"),
        )
        assert (
            (await bob.next()).data["message"] == own == (await beside_bob.next()).data["message"]
        )
        assert (await visitor.next()).data["message"] == visitors


async def test_users_do_not_open_streams_of_staff_nor_anybody_one_without_credentials(
    service: Service, people: People
) -> None:
    for token, path, status in (
        (None, USER_STREAM, 401),
        ("nonsense", USER_STREAM, 401),
        (people.staff, USER_STREAM, 403),
        *(
            (token, path, status)
            for _, path in all_paths(people)[1:]
            for token, status in ((None, 401), (people.bob, 403))
        ),
    ):
        stream = await service.stream(token, path)
        assert (
            stream.status == status and stream.headers["content-type"] == "application/problem+json"
        )
        stream.close()
    assert len(service.app.streams) == 0


async def test_data_is_one_line_of_json_whatever_the_text(service: Service, people: People) -> None:
    async with streaming(service, (people.alice, USER_STREAM)) as (stream,):
        for text in (
            "a\nb\rc\r\nd",
            "x\n\ndata: {}\n\n",
            "\u2028\u2029\x85\x0b\x0c!",
            "id: 9\nevent: close\nretry: 1",
            "\ufeff: x",
        ):
            await service.send(people.alice, text)
            frame = await asyncio.wait_for(stream.reader.readuntil(b"\n\n"), 5)
            first, second, *rest = frame.decode().split("\n")
            assert first.startswith("id: ") and second.startswith("data: ") and rest == ["", ""]
            assert b"\r" not in frame
            assert len(frame.decode().splitlines()) == 3, "httpx-sse splits lines at U+2028 too"
            message = json.loads(second.removeprefix("data: "))["message"]
            check_message(message)
            assert message["content"] == text

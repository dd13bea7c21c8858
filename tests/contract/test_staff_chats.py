"""What staff do with chats: reading one, viewed marks, archiving (docs/api.md section 4)."""

import asyncio
from typing import Any
from uuid import uuid4

from tests.contract.conftest import People
from tests.contract.shapes import check_admin_chat, check_list_item, check_page, check_problem
from tests.support.postgres import execute
from tests.support.seed import seed_messages
from tests.support.service import Response, Service


async def act(service: Service, people: People, action: str, body: Any = None) -> Response:
    """`action` on alice's chat by staff."""
    return await service.post(f"/admin/chats/{people.chat_id}/{action}", people.staff, body)


async def item_of(
    service: Service, people: People, *, archived: bool = False
) -> dict[str, Any] | None:
    """Alice's line in the list."""
    items = (await service.get(f"/admin/chats?archived={str(archived).lower()}", people.staff)).json
    return next((item for item in items if item["id"] == people.chat_id), None)


async def admin_chat(service: Service, people: People) -> dict[str, Any]:
    chat: dict[str, Any] = (await service.get(f"/admin/chats/{people.chat_id}", people.staff)).json
    check_admin_chat(chat)
    return chat


async def test_a_chat_as_staff_see_it(service: Service, people: People) -> None:
    sent = [
        await service.send(people.alice, "hi"),
        await service.send(people.staff, "hello", chat_id=people.chat_id),
    ]
    chat = await admin_chat(service, people)
    assert chat["messages"] == sent and chat["has_more"] is False and chat["last_seq"] == 2
    assert (chat["id"], chat["user_email"], chat["user_name"]) == (
        people.chat_id,
        "alice@example.com",
        "Alice",
    )
    assert chat["archived"] is False and chat["admin_viewed_at"] is None


async def test_its_latest_fifty_messages_and_the_rest_page_by_page(
    service: Service, people: People
) -> None:
    seed_messages(service.database_url, people.chat_id, 60)
    chat = await admin_chat(service, people)
    assert [message["seq"] for message in chat["messages"]] == list(range(11, 61))
    assert chat["has_more"] is True and chat["last_seq"] == 60
    for query, seqs in (
        ("before=11", range(1, 11)),
        ("after=58", range(59, 61)),
        ("after=0&limit=3", range(1, 4)),
    ):
        page = (
            await service.get(f"/admin/chats/{people.chat_id}/messages?{query}", people.staff)
        ).json
        check_page(page)
        assert [message["seq"] for message in page["messages"]] == list(seqs)


async def test_reading_a_chat_changes_nothing(service: Service, people: People) -> None:
    """An API client that fetches a chat is not a person who has seen it."""
    await service.send(people.alice, "hi")
    before = await item_of(service, people)
    first = await admin_chat(service, people)
    await service.get(f"/admin/chats/{people.chat_id}/messages?after=0", people.staff)
    assert await admin_chat(service, people) == first and first["admin_viewed_at"] is None
    assert await item_of(service, people) == before and before and before["unread"] is True


async def test_viewed_moves_to_the_message_that_was_shown(service: Service, people: People) -> None:
    """A message that arrives while a page is being rendered stays unread."""
    shown, arrived = (
        await service.send(people.alice, "shown"),
        await service.send(people.alice, "arrived"),
    )
    answer = await act(service, people, "mark_viewed", {"up_to": 1})
    check_list_item(answer.json)
    assert answer.status == 200 and answer.json["unread"] is True
    assert (await admin_chat(service, people))["admin_viewed_at"] == shown["created_at"]
    assert (await act(service, people, "mark_viewed", {"up_to": 2})).json["unread"] is False
    assert (await admin_chat(service, people))["admin_viewed_at"] == arrived["created_at"]


async def test_viewed_never_moves_back_nor_beyond_what_is_there(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "one")
    two = await service.send(people.alice, "two")
    for body in ({"up_to": 2}, {"up_to": 1}, {"up_to": 0}, {"up_to": 2**53 - 1}, {}, None):
        assert (await act(service, people, "mark_viewed", body)).json["unread"] is False
        assert (await admin_chat(service, people))["admin_viewed_at"] == two["created_at"]
    await service.send(people.alice, "three")
    item = await item_of(service, people)
    assert item and item["unread"] is True


async def test_without_up_to_all_that_is_stored_is_viewed(service: Service, people: People) -> None:
    assert (await act(service, people, "mark_viewed")).json["unread"] is False
    assert (await admin_chat(service, people))["admin_viewed_at"] is None
    await service.send(people.alice, "one")
    last = await service.send(people.staff, "two", chat_id=people.chat_id)
    assert (await act(service, people, "mark_viewed")).json["unread"] is False
    assert (await admin_chat(service, people))["admin_viewed_at"] == last["created_at"]


async def test_a_staff_message_neither_makes_a_chat_unread_nor_reads_it(
    service: Service, people: People
) -> None:
    await service.send(people.staff, "welcome", chat_id=people.chat_id)
    item = await item_of(service, people)
    assert item and item["unread"] is False
    await service.send(people.alice, "hi")
    await service.send(people.staff, "hello", chat_id=people.chat_id)
    item = await item_of(service, people)
    assert item and item["unread"] is True


async def test_viewing_again_publishes_nothing(service: Service, people: People) -> None:
    await service.send(people.alice, "hi")
    stream = await service.stream(people.staff, "/admin/notifications/stream")
    assert (await stream.next("state")).data["unread_chats"] == 1
    item = (await act(service, people, "mark_viewed")).json
    assert (await stream.next()).data == {"type": "chat_updated", "chat": item}
    await act(service, people, "mark_viewed")
    await service.send(people.alice, "more")
    assert (await stream.next()).type == "new_user_message"
    stream.close()


async def test_archiving_and_restoring_may_be_repeated(service: Service, people: People) -> None:
    await service.send(people.alice, "hi")
    stream = await service.stream(people.alice)
    staff_stream = await service.stream(people.staff, "/admin/notifications/stream")
    await stream.next("state")
    await staff_stream.next("state")
    for action, archived in (("archive", True), ("unarchive", False)):
        first, again = await act(service, people, action), await act(service, people, action, {})
        check_list_item(first.json)
        assert (first.status, again.status) == (200, 200) and first.json == again.json
        assert first.json["archived"] is archived
        assert await item_of(service, people, archived=archived) == first.json
        assert await item_of(service, people, archived=not archived) is None
        assert (await service.get("/support_chat", people.alice)).json["archived"] is archived
        assert (await admin_chat(service, people))["archived"] is archived
        assert (await stream.next()).data == {"type": "chat_updated", "archived": archived}
        assert (await staff_stream.next()).data == {"type": "chat_updated", "chat": first.json}
    await service.send(people.alice, "the next event is this")
    assert (await stream.next()).type == "new_message"
    assert (await staff_stream.next()).type == "new_user_message"
    stream.close()
    staff_stream.close()


async def test_a_user_message_brings_an_archived_chat_back(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "hi")
    await act(service, people, "archive")
    stream = await service.stream(people.alice)
    staff_stream = await service.stream(people.staff, "/admin/notifications/stream")
    assert (await stream.next()).data["archived"] is True
    await staff_stream.next("state")
    sent = await service.send(people.alice, "one more thing")
    item = await item_of(service, people)
    assert item and item["unread"] is True and await item_of(service, people, archived=True) is None
    assert (await stream.next()).data == {"type": "chat_updated", "archived": False}
    assert (await stream.next()).data["message"] == sent
    assert (await staff_stream.next("chat_updated")).data["chat"] == item
    stream.close()
    staff_stream.close()


async def test_a_staff_message_leaves_an_archived_chat_archived(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "hi")
    await act(service, people, "archive")
    await service.send(people.staff, "for the record", chat_id=people.chat_id)
    item = await item_of(service, people, archived=True)
    assert item and item["last_message_preview"] == "for the record"


async def test_a_retry_of_an_old_message_does_not_bring_it_back(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "hi", "c1")
    archived = (await act(service, people, "archive")).json
    await service.send(people.alice, "hi", "c1")
    assert await item_of(service, people, archived=True) == archived


async def test_a_user_who_writes_while_staff_archive_ends_with_an_active_chat(
    service: Service, people: People
) -> None:
    """Whatever comes first: the message is stored after the archiving and brings the chat back, or the archiving
    came after it and covers it. What may not be is a message that is later than the archiving in an archived chat."""
    for n in range(10):
        _, message = await asyncio.gather(
            act(service, people, "archive"), service.send(people.alice, f"m{n}")
        )
        sql = "SELECT archived_at IS NULL OR archived_at > last_message_at FROM support_chats WHERE id = %s"
        assert execute(service.database_url, sql, people.chat_id) == [(True,)]
        await service.send(people.alice, "and again")
        item = await item_of(service, people)
        assert item and item["unread"] is True and item["message_count"] == message["seq"] + 1


async def test_users_and_strangers_do_none_of_it(service: Service, people: People) -> None:
    await service.send(people.alice, "hi")
    before = await item_of(service, people)
    chat = f"/admin/chats/{people.chat_id}"
    requests = [
        ("GET", "/admin/chats"),
        ("GET", chat),
        ("GET", f"{chat}/messages"),
        ("POST", f"{chat}/mark_viewed"),
        ("POST", f"{chat}/archive"),
        ("POST", f"{chat}/unarchive"),
        ("GET", f"{chat}/stream"),
        ("GET", "/admin/notifications/stream"),
    ]
    for method, path in requests:
        for token, status in (
            (None, 401),
            (people.alice, 403),
            (people.bob, 403),
            (people.visitor, 403),
        ):
            answer = await service.request(method, path, token=token)
            assert answer.status == status, (method, path)
            check_problem(answer, status)
    assert await item_of(service, people) == before


async def test_a_chat_that_does_not_exist_is_not_found(service: Service, people: People) -> None:
    for chat_id in (
        str(uuid4()),
        people.chat_id.upper(),
        f"urn:uuid:{people.chat_id}",
        "x",
        "%00",
        "9" * 5000,
    ):
        chat = f"/admin/chats/{chat_id}"
        for method, path in (
            ("GET", chat),
            ("GET", f"{chat}/messages"),
            ("POST", f"{chat}/mark_viewed"),
            ("POST", f"{chat}/archive"),
            ("POST", f"{chat}/unarchive"),
            ("GET", f"{chat}/stream"),
            ("GET", f"/admin/notifications/stream?chat_id={chat_id}"),
        ):
            answer = await service.request(method, path, token=people.staff)
            assert answer.status == 404, (method, path[:100], answer.status)


async def test_a_body_that_is_not_acceptable_is_refused(service: Service, people: People) -> None:
    for action, body, status in (
        ("mark_viewed", {"up_to": -1}, 422),
        ("mark_viewed", {"up_to": "1"}, 422),
        ("mark_viewed", {"x": 1}, 422),
        ("mark_viewed", [], 400),
        ("archive", {"x": 1}, 422),
        ("archive", [], 400),
        ("unarchive", {"x": 1}, 422),
    ):
        check_problem(await act(service, people, action, body), status)

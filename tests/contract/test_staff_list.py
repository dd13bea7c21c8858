"""GET /admin/chats: its order, its pages, and what it says of each chat (docs/api.md section 4)."""

import re
from typing import Any
from urllib.parse import quote

from tests.contract.conftest import People
from tests.contract.shapes import check_list_item, check_problem
from tests.support.postgres import execute
from tests.support.service import Response, Service


async def get(service: Service, staff: str, query: str = "") -> Response:
    answer = await service.get(f"/admin/chats{query}", staff)
    assert answer.status == 200, answer.text
    for item in answer.json:
        check_list_item(item)
    return answer


def next_query(answer: Response) -> str | None:
    """The query of the following page, from `Link`."""
    if "Link" not in answer.headers:
        return None
    link = re.fullmatch(r'</admin/chats(\?[^>]+)>; rel="next"', answer.headers["Link"])
    assert link, answer.headers["Link"]
    return link[1]


async def pages(service: Service, staff: str, query: str) -> list[list[str]]:
    """The ids on each page, following `Link` to the end."""
    found: list[list[str]] = []
    following: str | None = query
    while following is not None:
        answer = await get(service, staff, following)
        found.append([item["id"] for item in answer.json])
        following = next_query(answer)
    return found


async def users_with_chats(service: Service, count: int) -> dict[str, str]:
    """So many users with a chat each: their tokens by chat id."""
    tokens = [service.user_token(f"user{n}") for n in range(count)]
    return {await service.chat_id(token): token for token in tokens}


async def test_an_item_says_what_the_list_shows(service: Service, people: People) -> None:
    sent = await service.send(people.alice, "x" * 99 + "äöü" * 50)
    item: dict[str, Any] = (await get(service, people.staff)).json[0]
    assert item["id"] == people.chat_id and (item["user_email"], item["user_name"]) == (
        "alice@example.com",
        "Alice",
    )
    assert (
        item["last_message_at"] == sent["created_at"]
        and item["last_message_preview"] == "x" * 99 + "ä"
    )
    assert item["last_message_sender"] == "user" and item["message_count"] == 1
    assert item["unread"] is True and item["archived"] is False
    reply = await service.send(people.staff, "yes", chat_id=people.chat_id)
    item = (await get(service, people.staff)).json[0]
    assert item["last_message_sender"] == "admin" and item["message_count"] == 2
    assert item["last_message_at"] == reply["created_at"] and item["last_message_preview"] == "yes"


async def test_a_visitor_has_neither_name_nor_email(service: Service, people: People) -> None:
    await service.send(people.visitor, "hi")
    item = (await get(service, people.staff)).json[0]
    assert item["user_email"] is None and item["user_name"] is None


async def test_latest_first_and_chats_without_messages_last(
    service: Service, people: People
) -> None:
    tokens = await users_with_chats(service, 4)
    ids = list(tokens)
    for chat_id in (ids[2], ids[0], ids[3]):
        await service.send(tokens[chat_id], "hi")
    await service.send(people.staff, "an answer moves it up as well", chat_id=ids[2])
    listed = [item["id"] for item in (await get(service, people.staff)).json]
    assert listed[:3] == [ids[2], ids[3], ids[0]]
    assert set(listed[3:]) == {ids[1], people.chat_id, people.bobs_chat_id}


async def test_pages_hold_each_chat_once_in_the_order_of_the_list(
    service: Service, people: People
) -> None:
    """Half of the chats have no message: the pages go on where the messages end."""
    tokens = await users_with_chats(service, 9)
    for chat_id in list(tokens)[:5]:
        await service.send(tokens[chat_id], "hi")
    whole = [item["id"] for item in (await get(service, people.staff)).json]
    assert len(whole) == 11
    for limit in (1, 2, 3, 5, 10, 11, 200):
        found = await pages(service, people.staff, f"?limit={limit}")
        assert [chat_id for page in found for chat_id in page] == whole
        assert all(len(page) == limit for page in found[:-1]) and 1 <= len(found[-1]) <= limit


async def test_chats_with_the_same_time_are_told_apart(service: Service, people: People) -> None:
    for chat_id, token in (await users_with_chats(service, 5)).items():
        await service.send(token, chat_id)
    execute(
        service.database_url,
        "UPDATE support_chats SET last_message_at = '2026-01-29T10:30:00.123456Z' WHERE last_seq > 0",
    )
    found = await pages(service, people.staff, "?limit=2")
    assert len({chat_id for page in found for chat_id in page}) == 7 == sum(map(len, found))


async def test_pages_stay_right_while_chats_move(service: Service, people: People) -> None:
    """With OFFSET a chat that moves up pushes another one onto the next page: seen twice, and one never."""
    tokens = await users_with_chats(service, 9)
    for chat_id in tokens:
        await service.send(tokens[chat_id], "hi")
    whole = [item["id"] for item in (await get(service, people.staff, "?limit=9")).json]
    seen, query = [], "?limit=3"
    while query:
        answer = await get(service, people.staff, query)
        seen += [item["id"] for item in answer.json]
        query = next_query(answer) or ""
        await service.send(tokens[whole[0]], "again")
        await service.send(tokens[whole[1]], "again")
    assert seen[:9] == whole and set(seen[9:]) == {people.chat_id, people.bobs_chat_id}


async def test_archived_chats_are_a_list_of_their_own(service: Service, people: People) -> None:
    tokens = await users_with_chats(service, 4)
    for chat_id in tokens:
        await service.send(tokens[chat_id], "hi")
        await service.post(f"/admin/chats/{chat_id}/archive", people.staff)
    archived = [item["id"] for item in (await get(service, people.staff, "?archived=true")).json]
    assert archived == list(tokens)[::-1]
    assert {
        item["archived"] for item in (await get(service, people.staff, "?archived=true")).json
    } == {True}
    assert await pages(service, people.staff, "?archived=true&limit=3") == [
        archived[:3],
        archived[3:],
    ]
    active = [item["id"] for item in (await get(service, people.staff, "?archived=false")).json]
    assert set(active) == {people.chat_id, people.bobs_chat_id}


async def test_a_chat_is_found_by_the_id_of_its_user_in_the_host_application(
    service: Service, people: People
) -> None:
    """Scripts know users by that id alone; they had to read all pages. Archived chats count too."""
    sub = "order desk/7 é"
    chat_id = await service.chat_id(service.user_token(sub, email="desk@example.com"))
    stream = await service.stream(people.staff, "/admin/notifications/stream")
    await stream.next("state")
    for archived in (False, True):
        if archived:
            await service.post(f"/admin/chats/{chat_id}/archive", people.staff)
        for query, is_found in (
            ("", True),
            ("&archived=false", not archived),
            ("&archived=true", archived),
        ):
            found = (await get(service, people.staff, f"?sub={quote(sub)}{query}")).json
            assert [one["id"] for one in found] == ([chat_id] if is_found else []), query
    for other in (sub.upper(), sub[:-1], "%25", "%00", people.chat_id, "x" * 1000):
        assert (await get(service, people.staff, f"?sub={quote(other, safe='%')}")).json == []
    assert (await stream.next("chat_updated")).data["chat"]["user_sub"] == sub
    await service.send(people.staff, "an item of a message has it too", chat_id=chat_id)
    assert (await stream.next("chat_updated")).data["chat"]["user_sub"] == sub
    chat = (await service.get(f"/admin/chats/{chat_id}", people.staff)).json
    assert chat["user_sub"] == sub
    visitor = await service.chat_id(await service.visitor_token())
    assert (await service.get(f"/admin/chats/{visitor}", people.staff)).json["user_sub"] is None


async def test_a_query_of_the_wrong_form_is_a_bad_request(service: Service, people: People) -> None:
    for query in (
        "archived=yes",
        "archived=",
        "archived=TRUE",
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=",
        "cursor=",
        "cursor=x",
        "cursor=%00",
        "cursor=%C3%A4",
        "cursor=" + "A" * 4000,
        "cursor=MjAyNnww",  # 2026|0
        "cursor=bm9ufDAxYTIwMzZmLTk5NDktNzE1My05ZjQ0LTBkOTJkMmRhMzllNg",  # non|<uuid>
    ):
        answer = await service.get(f"/admin/chats?{query}", people.staff)
        assert answer.status == 400, query
        check_problem(answer, 400)

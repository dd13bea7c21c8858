"""GET /support_chat and GET /support_chat/messages: a user's one chat, and reading it page by page (docs/api.md section 3)."""

import asyncio
from urllib.parse import quote

import pytest

from tests.contract.conftest import People
from tests.contract.shapes import check_chat, check_page, check_problem
from tests.support.postgres import execute
from tests.support.seed import seed_messages
from tests.support.service import Service

MESSAGES = "/support_chat/messages"

WRONG_QUERIES = [
    "after=1&before=2",
    "after=1&since=2026-01-29T10:30:00Z",
    "before=1&since=2026-01-29T10:30:00Z",
    "after=1&before=2&since=2026-01-29T10:30:00Z",
    "after=&before=1",
    "after=-1",
    "after=1.0",
    "after=one",
    "after=01",
    "after=",
    "after=1e3",
    "after=%D9%A1",
    "after=" + "9" * 5000,
    "before=-1",
    "before=x",
    "before=",
    "since=yesterday",
    "since=2026-01-29",
    "since=2026-01-29T10:30:00",
    "since=",
    "since=1769682600",
    "since=0001-01-01T00:00:00%2B23:59",
    "since=2026-13-29T10:30:00Z",
    "limit=0",
    "limit=201",
    "limit=-1",
    "limit=ten",
    "limit=",
    "limit=1.5",
    "after=%ff",
]


def seqs(page: dict[str, list[dict[str, int]]]) -> list[int]:
    return [message["seq"] for message in page["messages"]]


async def test_a_first_request_creates_the_chat_and_the_second_finds_it(service: Service) -> None:
    alice = service.user_token()
    first = await service.get("/support_chat", alice)
    assert first.status == 200 and first.headers["Content-Type"] == "application/json"
    check_chat(first.json)
    expected = {
        "messages": [],
        "has_more": False,
        "last_seq": 0,
        "unread_count": 0,
        "archived": False,
    }
    assert first.json == {"id": first.json["id"], **expected}
    assert (await service.get("/support_chat", alice)).json == first.json


async def test_fifty_first_requests_at_once_create_one_chat(service: Service) -> None:
    """Two rooms for one user (RocketChat#38148): each request finds no chat and makes one."""
    alice = service.user_token()
    answers = await asyncio.gather(*(service.get("/support_chat", alice) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert execute(service.database_url, "SELECT count(*) FROM support_chats") == [(1,)]
    assert execute(
        service.database_url, "SELECT count(*) FROM users WHERE external_id = 'alice'"
    ) == [(1,)]


async def test_each_user_and_visitor_has_a_chat_of_his_own(
    service: Service, people: People
) -> None:
    visitors_chat = await service.chat_id(people.visitor)
    assert len({people.chat_id, people.bobs_chat_id, visitors_chat}) == 3
    await service.send(people.alice, "for alice alone")
    for token in (people.bob, people.visitor):
        assert (await service.get("/support_chat", token)).json["messages"] == []
        assert (await service.get(f"{MESSAGES}?after=0", token)).json["messages"] == []


@pytest.mark.parametrize("path", ["/support_chat", MESSAGES])
async def test_it_is_for_users_alone(service: Service, people: People, path: str) -> None:
    check_problem(await service.get(path, people.staff), 403)
    answer = await service.get(path)
    check_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("count", "first", "has_more"), [(50, 1, False), (51, 2, True), (120, 71, True)]
)
async def test_the_latest_fifty_come_with_the_chat(
    service: Service, people: People, count: int, first: int, has_more: bool
) -> None:
    seed_messages(service.database_url, people.chat_id, count, sender_type="admin")
    chat = (await service.get("/support_chat", people.alice)).json
    check_chat(chat)
    assert seqs(chat) == list(range(first, count + 1))
    assert (
        chat["has_more"] is has_more and chat["last_seq"] == count and chat["unread_count"] == count
    )


async def test_after_gives_strictly_later_ones_oldest_first(
    service: Service, people: People
) -> None:
    seed_messages(service.database_url, people.chat_id, 60)
    table = {
        "after=0": (range(1, 51), True),
        "after=10": (range(11, 61), False),
        "after=9": (range(10, 60), True),
        "after=59": (range(60, 61), False),
        "after=60": (range(0), False),
        "after=61": (range(0), False),
        "after=2147483647": (range(0), False),
        "after=9007199254740991": (range(0), False),
        "after=10&limit=1": (range(11, 12), True),
        "after=59&limit=1": (range(60, 61), False),
        "after=0&limit=200": (range(1, 61), False),
        "after=0&limit=60": (range(1, 61), False),
        "": (range(1, 51), True),
    }
    for query, (expected, has_more) in table.items():
        page = (await service.get(f"{MESSAGES}?{query}", people.alice)).json
        check_page(page)
        assert (seqs(page), page["has_more"], page["last_seq"]) == (list(expected), has_more, 60), (
            query
        )


async def test_before_gives_the_page_of_older_ones_in_order(
    service: Service, people: People
) -> None:
    seed_messages(service.database_url, people.chat_id, 60)
    table = {
        "before=0": (range(0), False),
        "before=1": (range(0), False),
        "before=2": (range(1, 2), False),
        "before=51": (range(1, 51), False),
        "before=52": (range(2, 52), True),
        "before=61": (range(11, 61), True),
        "before=1000": (range(11, 61), True),
        "before=60&limit=1": (range(59, 60), True),
        "before=61&limit=200": (range(1, 61), False),
    }
    for query, (expected, has_more) in table.items():
        page = (await service.get(f"{MESSAGES}?{query}", people.alice)).json
        check_page(page)
        assert (seqs(page), page["has_more"], page["last_seq"]) == (list(expected), has_more, 60), (
            query
        )


async def test_since_gives_strictly_later_ones(service: Service, people: People) -> None:
    seed_messages(service.database_url, people.chat_id, 60)
    messages = (await service.get(f"{MESSAGES}?after=0&limit=200", people.alice)).json["messages"]
    for moment, expected, has_more in (
        (messages[9]["created_at"], range(11, 61), False),
        (messages[8]["created_at"], range(10, 60), True),
        (messages[59]["created_at"], range(0), False),
        ("2001-01-01T00:00:00Z", range(1, 51), True),
        ("2001-01-01T00:00:00.123456+02:00", range(1, 51), True),
        ("9999-01-01T00:00:00Z", range(0), False),
    ):
        page = (await service.get(f"{MESSAGES}?since={quote(moment)}", people.alice)).json
        check_page(page)
        assert (seqs(page), page["has_more"]) == (list(expected), has_more), moment


async def test_created_at_of_each_message_is_a_cursor_as_good_as_its_seq(
    service: Service, people: People
) -> None:
    """Messages sent at the same moment: their times still tell them apart."""
    await asyncio.gather(*(service.send(people.alice, f"m{n}") for n in range(30)))
    messages = (await service.get("/support_chat", people.alice)).json["messages"]
    for message in messages:
        page = (await service.get(f"{MESSAGES}?since={message['created_at']}", people.alice)).json
        assert seqs(page) == list(range(message["seq"] + 1, 31))


async def test_a_query_of_the_wrong_form_is_a_bad_request(service: Service, people: People) -> None:
    for query in WRONG_QUERIES:
        for path, token in (
            (MESSAGES, people.alice),
            (f"/admin/chats/{people.chat_id}/messages", people.staff),
        ):
            answer = await service.get(f"{path}?{query}", token)
            assert answer.status == 400, (path, query, answer.status)
            check_problem(answer, 400)

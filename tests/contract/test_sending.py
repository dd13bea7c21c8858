"""POST /support_chat/messages and /admin/chats/ID/messages: sending is safe to repeat (docs/api.md sections 2 to 4)."""

import asyncio
import json
from collections import Counter

import pytest

from tests.contract.conftest import People
from tests.contract.shapes import check_message, check_messages, check_problem
from tests.support.postgres import execute
from tests.support.service import Service
from tests.support.waiting import until
from tests.support.writer import HeldWriter

PATH = "/support_chat/messages"


def paths(people: People) -> list[tuple[str, str, str]]:
    """Where a user and where staff send to alice's chat: path, token, sender_type."""
    return [
        (PATH, people.alice, "user"),
        (f"/admin/chats/{people.chat_id}/messages", people.staff, "admin"),
    ]


async def test_a_message_is_answered_as_it_is_stored(service: Service, people: People) -> None:
    for n, (path, token, sender_type) in enumerate(paths(people), 1):
        answer = await service.post(path, token, {"content": "  hello \n", "client_id": f"c{n}"})
        assert answer.status == 201
        message = answer.json
        check_message(message)
        expected = {"content": "  hello \n", "sender_type": sender_type, "read_at": None}
        assert message == {**message, **expected, "seq": n, "client_id": f"c{n}"}
        assert (await service.get("/support_chat", people.alice)).json["messages"][-1] == message


async def test_a_client_id_is_not_needed(service: Service, people: People) -> None:
    for path, token, _ in paths(people):
        first = await service.post(path, token, {"content": "twice"})
        second = await service.post(path, token, {"content": "twice", "client_id": None})
        assert (first.status, second.status) == (201, 201)
        assert first.json["client_id"] is None and first.json["id"] != second.json["id"]


async def test_sending_again_gives_the_stored_one_and_other_content_is_a_conflict(
    service: Service, people: People
) -> None:
    for path, token, sender_type in paths(people):
        body = {"content": "once", "client_id": sender_type}
        first, again = await service.post(path, token, body), await service.post(path, token, body)
        assert (first.status, again.status) == (201, 200) and first.json == again.json
        check_problem(await service.post(path, token, {**body, "content": "once "}), 409)
    assert (await service.get("/support_chat", people.alice)).json["last_seq"] == 2


async def test_the_stored_one_comes_with_what_happened_since(
    service: Service, people: People
) -> None:
    """A retry that comes after the user has read the message tells that it was read."""
    path = f"/admin/chats/{people.chat_id}/messages"
    await service.post(path, people.staff, {"content": "read?", "client_id": "c"})
    await service.request("PATCH", "/support_chat/mark_read", token=people.alice)
    again = await service.post(path, people.staff, {"content": "read?", "client_id": "c"})
    assert again.status == 200 and again.json["read_at"] is not None
    assert again.json == (await service.get("/support_chat", people.alice)).json["messages"][0]


async def test_a_client_id_counts_within_its_chat(service: Service, people: People) -> None:
    for token in (people.alice, people.bob, people.visitor):
        assert (
            await service.post(PATH, token, {"content": token, "client_id": "same"})
        ).status == 201


async def test_users_and_staff_do_not_get_each_others_message_for_a_client_id(
    service: Service, people: People
) -> None:
    """The same client_id and content from the other side is not the same message."""
    for path, token, sender_type in paths(people):
        answer = await service.post(path, token, {"content": "hi", "client_id": "same"})
        assert answer.status == (201 if sender_type == "user" else 409)


async def test_fifty_equal_posts_at_once_are_one_message(service: Service, people: People) -> None:
    """Double after a retry (zulip#31219, chatwoot#9314), here by staff; by users in tests/test_chats.py."""
    path, body = f"/admin/chats/{people.chat_id}/messages", {"content": "once", "client_id": "same"}
    answers = await asyncio.gather(*(service.post(path, people.staff, body) for _ in range(50)))
    assert Counter(answer.status for answer in answers) == {201: 1, 200: 49}
    assert len({answer.body for answer in answers}) == 1
    assert execute(service.database_url, "SELECT count(*) FROM support_messages") == [(1,)]


async def test_of_fifty_contents_with_one_client_id_one_wins(
    service: Service, people: People
) -> None:
    answers = await asyncio.gather(
        *(
            service.post(PATH, people.alice, {"content": f"m{n}", "client_id": "same"})
            for n in range(50)
        )
    )
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 49}


async def test_both_sides_at_once_are_numbered_without_holes(
    service: Service, people: People
) -> None:
    sends = [service.post(path, token, {"content": "x"}) for path, token, _ in paths(people) * 40]
    answers = await asyncio.gather(*sends)
    assert sorted(answer.json["seq"] for answer in answers) == list(range(1, 81))
    by_seq = sorted((answer.json["seq"], answer.json["created_at"]) for answer in answers)
    assert [created_at for _, created_at in by_seq] == sorted(
        {created_at for _, created_at in by_seq}
    )


async def test_times_rise_with_the_numbers_though_the_databases_clock_was_set_back(
    service: Service, people: People
) -> None:
    """By an hour: the newest message is later than now, and so is what comes after it, one by one and many in one commit."""
    for path, token, _ in paths(people):
        await service.post(path, token, {"content": "before"})
    for table, columns in (
        ("support_messages", ("created_at",)),
        ("support_chats", ("last_message_at", "last_user_message_at")),
    ):
        changes = ", ".join(f"{column} = {column} + interval '1 hour'" for column in columns)
        execute(service.database_url, f"UPDATE {table} SET {changes}")  # noqa: S608 -- constants
    for path, token, _ in paths(people):
        await service.post(path, token, {"content": "one by one"})
    held = await HeldWriter(service.app.db).begin()
    sends = [
        asyncio.ensure_future(service.post(path, token, {"content": "x"}))
        for path, token, _ in paths(people) * 5
    ]
    await until(lambda: service.app.db.in_flight == len(sends) + 1)
    await held.release()
    await asyncio.gather(*sends)
    chat = (await service.get("/support_chat", people.alice)).json
    assert chat["last_seq"] == 14
    check_messages(chat["messages"])
    (item, *_) = (await service.get("/admin/chats", people.staff)).json
    assert item["last_message_at"] == chat["messages"][-1]["created_at"] and item["unread"] is True


async def test_any_text_comes_back_as_it_was_sent(service: Service, people: People) -> None:
    texts = [
        "<script>alert(1)</script>",
        "\"\\'",
        "a\r\nb\rc\nd",
        "a\u2028b\u2029c\x85d",
        "👩‍👩‍👧‍👦 é é",
        "\u202eright to left",
        "{{7*7}} %s %(x)s {0}",
        "x" * 10_000,
        "😀" * 10_000,
        "a\x01\x1f\x7f",
        " \t x",
    ]
    for n, text in enumerate(texts, 1):
        raw = json.dumps({"content": text}, ensure_ascii=False).encode()
        head = {"Content-Type": "application/json"}
        answer = await service.request("POST", PATH, token=people.alice, raw=raw, headers=head)
        assert answer.status == 201 and answer.json["content"] == text, text[:50]
        page = (await service.get(f"{PATH}?after={n - 1}", people.alice)).json
        assert page["messages"][0]["content"] == text


REFUSED: list[tuple[bytes, int]] = [
    (b"{", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"null", 400),
    (b"", 400),
    (b'{"content": NaN}', 400),
    (b'{"content": "\xff"}', 400),
    (b"[" * 60_000, 400),
    (b"{}", 422),
    (b'{"content": null}', 422),
    (b'{"content": 1}', 422),
    (b'{"content": ""}', 422),
    (b'{"content": " \\n\\t"}', 422),
    (b'{"content": "\\u200b \\u2066"}', 422),
    (b'{"content": "a\\u0000b"}', 422),
    (b'{"content": "%s"}' % (b"x" * 10_001), 422),
    (b'{"content": "a", "client_id": ""}', 422),
    (b'{"content": "a", "client_id": "%s"}' % (b"c" * 65), 422),
    (b'{"content": "a", "client_id": 1}', 422),
    (b'{"content": "a", "client_id": "\\u0000"}', 422),
    (b'{"content": "a", "seq": 1}', 422),
    (b'{"content": "a", "sender_type": "admin"}', 422),
    (b'{"content": "a", "chat_id": "x"}', 422),
    (b'{"content": "%s"}' % (b"x" * 70_000), 413),
]


async def test_a_body_that_is_not_acceptable_is_refused_and_nothing_is_stored(
    service: Service, people: People
) -> None:
    for path, token, _ in paths(people):
        for body, status in REFUSED:
            answer = await service.request(
                "POST", path, token=token, raw=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status == status, (body[:60], answer.status, answer.text[:200])
            problem = check_problem(answer, status)
            if status == 422 and body:
                assert problem["errors"] and {"field", "detail"} == set(problem["errors"][0]), body[
                    :60
                ]
        answer = await service.request("POST", path, token=token, raw=b'{"content": "a"}')
        check_problem(answer, 415)
    assert (await service.get("/support_chat", people.alice)).json["last_seq"] == 0


async def test_a_client_id_of_64_characters_is_fine(service: Service, people: People) -> None:
    assert (await service.send(people.alice, "x", "é" * 64))["client_id"] == "é" * 64


async def test_strangers_send_nothing(service: Service, people: People) -> None:
    body = {"content": "let me in"}
    check_problem(await service.post(PATH, None, body), 401)
    check_problem(await service.post(PATH, people.staff, body), 403)
    path = f"/admin/chats/{people.chat_id}/messages"
    check_problem(await service.post(path, None, body), 401)
    for token in (people.alice, people.bob, people.visitor):
        check_problem(await service.post(path, token, body), 403)
    assert execute(service.database_url, "SELECT count(*) FROM support_messages") == [(0,)]


@pytest.mark.parametrize(
    "chat_id",
    [
        "0190f3a0-0000-7000-8000-000000000000",
        "1",
        "x" * 5000,
        "00000000-0000-0000-0000-00000000000G",
    ],
)
async def test_a_chat_that_does_not_exist_is_not_found(
    service: Service, people: People, chat_id: str
) -> None:
    check_problem(
        await service.post(f"/admin/chats/{chat_id}/messages", people.staff, {"content": "x"}), 404
    )

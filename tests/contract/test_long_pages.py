"""Pages of long messages: a page ends at about 512 KiB, whatever its limit."""

import json
from typing import Any

import pytest

from chatsvc.store.messages import PAGE_MAX_BYTES
from chatsvc.wire import CONTENT_MAX_CHARS
from tests.contract.conftest import People
from tests.support.service import Service

COUNT = 30
ENVELOPE_BYTES = 32 * 1024  # ids, times and names of the fields of such a page
# Six bytes each in JSON and one in the database; four bytes in both
CHARACTERS = pytest.mark.parametrize("character", ["\x01", "\N{CAT}"], ids=["control", "emoji"])


async def fill(service: Service, people: People, character: str) -> None:
    for n in range(COUNT):
        content = f"{n:02}".ljust(CONTENT_MAX_CHARS, character)
        body = json.dumps({"content": content}, ensure_ascii=False).encode()
        head = {"Content-Type": "application/json"}
        response = await service.post(
            "/support_chat/messages", people.alice, raw=body, headers=head
        )
        assert response.status == 201


def numbers(messages: list[Any]) -> list[int]:
    return [int(message["content"][:2]) for message in messages]


@CHARACTERS
async def test_a_page_of_long_messages_ends_early_and_the_next_one_goes_on(
    service: Service, people: People, character: str
) -> None:
    """200 messages of control characters made 12 MB of JSON, which stayed in memory unread."""
    await fill(service, people, character)
    first = (await service.get("/support_chat/messages", people.alice)).json["messages"][0]
    for token, path in (
        (people.alice, "/support_chat/messages"),
        (people.staff, f"/admin/chats/{people.chat_id}/messages"),
    ):
        for cursor, start, end, field in (
            ("after", 0, -1, "seq"),
            ("since", first["created_at"], -1, "created_at"),
            ("before", COUNT + 1, 0, "seq"),
        ):
            skipped = int(cursor == "since")
            found: list[int] = []
            has_more = True
            while has_more:
                response = await service.get(f"{path}?{cursor}={start}&limit=200", token)
                assert len(response.body) <= PAGE_MAX_BYTES + ENVELOPE_BYTES
                page, has_more = response.json["messages"], response.json["has_more"]
                assert has_more == (len(found) + len(page) < COUNT - skipped)
                found += numbers(page)
                start = page[end][field]
            assert sorted(found) == list(range(skipped, COUNT)), cursor


@CHARACTERS
async def test_chats_and_streams_have_pages_of_that_size_too(
    service: Service, people: People, character: str
) -> None:
    await fill(service, people, character)
    for token, path in (
        (people.alice, "/support_chat"),
        (people.staff, f"/admin/chats/{people.chat_id}"),
    ):
        response = await service.get(path, token)
        assert len(response.body) <= PAGE_MAX_BYTES + ENVELOPE_BYTES and response.json["has_more"]
        messages = response.json["messages"]
        assert numbers(messages) == list(range(COUNT - len(messages), COUNT))
    stream = await service.stream(people.alice, cursor=0)
    await stream.next("state")
    events = [await stream.next("new_message") for _ in range(COUNT)]
    assert [event.id for event in events] == [str(n + 1) for n in range(COUNT)]


async def test_the_page_around_a_found_message_has_that_message(
    service: Service, people: People
) -> None:
    """25 long messages after it filled the page, which then began after the search result."""
    await fill(service, people, "\N{CAT}")
    cookies = await service.login()
    chat = f"/dashboard/chats/{people.chat_id}"
    for seq in (3, COUNT - 20):
        page = await service.get(f"{chat}?message={seq}", cookies=cookies)
        assert f"{seq - 1:02}\N{CAT}" in page.text

"""The rows that say which e-mail is due (docs/api.md section 4)."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.contract.conftest import People
from tests.support.postgres import execute
from tests.support.service import Service

DELAY_S = 77  # not the default: a hard-coded delay would show


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    return make_service(email_delay_s=DELAY_S)


def notices(service: Service) -> list[dict[str, Any]]:
    sql = "SELECT state, first_seq, due_at, reason FROM support_notices ORDER BY created_at"
    columns = ("state", "first_seq", "due_at", "reason")
    return [dict(zip(columns, row, strict=True)) for row in execute(service.database_url, sql)]


def moment(message: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(message["created_at"])


async def answer(
    service: Service, people: People, content: str = "answer", client_id: str | None = None
) -> Any:
    return await service.send(people.staff, content, client_id, chat_id=people.chat_id)


async def mark_read(service: Service, people: People, up_to: int | None = None) -> None:
    body = {} if up_to is None else {"up_to": up_to}
    await service.request("PATCH", "/support_chat/mark_read", token=people.alice, body=body)


async def test_a_staff_message_makes_a_notice_due_after_the_configured_delay(
    service: Service, people: People
) -> None:
    await service.send(people.alice, "a user's message makes none")
    assert notices(service) == []
    message = await answer(service, people)
    due_at = moment(message) + timedelta(seconds=DELAY_S)
    assert notices(service) == [
        {"state": "pending", "first_seq": 2, "due_at": due_at, "reason": None}
    ]


async def test_further_ones_join_it(service: Service, people: People) -> None:
    await answer(service, people, client_id="c")
    first = notices(service)
    await answer(service, people, client_id="c")
    await answer(service, people, "another")
    await service.send(people.alice, "I have not looked yet")
    assert notices(service) == first


async def test_each_chat_has_its_own(service: Service, people: People) -> None:
    await answer(service, people)
    await service.send(people.staff, "for bob", chat_id=people.bobs_chat_id)
    await mark_read(service, people)
    assert [notice["state"] for notice in notices(service)] == ["cancelled", "pending"]


async def test_reading_cancels_it_and_the_next_message_makes_another(
    service: Service, people: People
) -> None:
    await answer(service, people)
    await mark_read(service, people)
    assert [(notice["state"], notice["reason"]) for notice in notices(service)] == [
        ("cancelled", "read")
    ]
    message = await answer(service, people)
    last = notices(service)[1]
    assert (last["state"], last["first_seq"]) == ("pending", 2)
    assert last["due_at"] == moment(message) + timedelta(seconds=DELAY_S)


async def test_reading_a_part_moves_it_to_what_is_still_unread(
    service: Service, people: People
) -> None:
    await answer(service, people, "one")
    await service.send(people.alice, "two")
    third = await answer(service, people, "three")
    await answer(service, people, "four")
    await mark_read(service, people, 1)
    due_at = moment(third) + timedelta(seconds=DELAY_S)
    assert notices(service) == [
        {"state": "pending", "first_seq": 3, "due_at": due_at, "reason": None}
    ]
    await mark_read(service, people, 1)
    assert notices(service)[0]["due_at"] == due_at
    await mark_read(service, people, 4)
    assert notices(service)[0]["state"] == "cancelled"


async def test_archiving_cancels_it_and_restoring_does_not_bring_it_back(
    service: Service, people: People
) -> None:
    await answer(service, people)
    for action in ("archive", "unarchive"):
        await service.post(f"/admin/chats/{people.chat_id}/{action}", people.staff)
        assert [(notice["state"], notice["reason"]) for notice in notices(service)] == [
            ("cancelled", "archived")
        ]


async def test_the_next_one_waits_for_the_interval_since_the_last_email(
    service: Service, people: People
) -> None:
    """The default interval is an hour. What was sent long ago changes nothing."""
    await answer(service, people)
    for age_s in (600, 7200):
        execute(
            service.database_url,
            "UPDATE support_notices SET state = 'sent', sent_at = now() - %s * interval '1 second'",
            age_s,
        )
        message = await answer(service, people)
        [(sent_at, due_at)] = execute(
            service.database_url,
            "SELECT s.sent_at, p.due_at FROM support_notices s, support_notices p"
            " WHERE s.state = 'sent' AND p.state = 'pending' ORDER BY s.sent_at DESC LIMIT 1",
        )
        assert isinstance(sent_at, datetime)
        by_delay = moment(message) + timedelta(seconds=DELAY_S)
        assert due_at == max(by_delay, sent_at + timedelta(seconds=3600)), age_s


async def test_the_clock_is_told_in_how_many_seconds_a_notice_is_due(
    service: Service, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that joins a pending notice arms nothing: its clock runs already."""
    armed: list[float] = []
    monkeypatch.setattr(service.app.notices, "arm", armed.append)
    for content in ("one", "two"):
        await answer(service, people, content)
    assert armed == [DELAY_S]

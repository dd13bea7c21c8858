"""A write whose COMMIT was not answered runs again (db.py): what it says and does then is what it would have been without the accident.

tests/test_db.py has the same of messages.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg2
import pytest

from chatsvc.database.connection import Transaction
from tests.handlers.test_account import (
    A_WHILE_S,
    ACCOUNT,
    NEW_PASSWORD,
    NOTIFICATIONS,
    ids,
    is_in,
)
from tests.handlers.test_dashboard import get, submit
from tests.support.service import PASSWORD, Service, read_cookies
from tests.support.waiting import until
from tests.support.writer import HeldWriter


@pytest.fixture
def cookies(service: Service, io_loop: Any) -> dict[str, str]:
    io_loop.run_sync(service.create_staff)
    found: dict[str, str] = io_loop.run_sync(service.login)
    return found


@pytest.fixture
def lose_next(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on the next COMMIT is carried out and its answer lost; called twice: the next two."""
    commit, lose = Transaction.commit, list[bool]()

    def commit_and_lose(tx: Transaction) -> None:
        holds_nothing = tx.is_empty
        commit(tx)
        if lose and not holds_nothing:
            lose.pop()
            tx.database.connection().close()  # type: ignore[no-untyped-call]
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Transaction, "commit", commit_and_lose)
    return lambda: lose.append(True)


async def test_a_new_password_holds_with_its_session_and_without_the_others(
    service: Service,
    cookies: dict[str, str],
    lose_next: Callable[[], None],
) -> None:
    """The second run found another hash than the old one, called that a wrong password, and nobody was logged in any more."""
    elsewhere = await service.login()
    stream = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={elsewhere['chatsvc']}")
    await stream.next("state")
    lose_next()
    answer = await submit(
        service, f"{ACCOUNT}/password", cookies, old_password=PASSWORD, new_password=NEW_PASSWORD
    )
    assert (answer.status, answer.headers.get("Location")) == (303, f"{ACCOUNT}?done=password")
    assert (await stream.next("close", timeout=2)).data == {"reason": "revoked", "reconnect": False}
    renewed = {**cookies, **read_cookies(answer)}
    assert [await is_in(service, one) for one in (renewed, cookies, elsewhere)] == [
        True,
        False,
        False,
    ]
    service.rates_clock.advance(A_WHILE_S)
    assert "chatsvc" in await service.login(password=NEW_PASSWORD)


@pytest.mark.parametrize(("kind", "action"), [("sessions", "end"), ("tokens", "revoke")])
async def test_what_gave_access_and_was_ended_takes_its_streams_along(
    service: Service,
    cookies: dict[str, str],
    lose_next: Callable[[], None],
    kind: str,
    action: str,
) -> None:
    """The second run found nothing to end, so nobody told the streams, and what was remembered held on."""
    form = {"token_name": "script", "token_password": PASSWORD}
    made = await submit(service, f"{ACCOUNT}/tokens", cookies, **form)
    (token,) = re.findall(r'<code class="token">([^<]+)</code>', made.text)
    before = set(ids(await get(service, ACCOUNT, cookies), "sessions"))
    elsewhere = {"Cookie": f"chatsvc={(await service.login())['chatsvc']}"}
    page = await get(service, ACCOUNT, cookies)
    (ended,) = ids(page, "tokens") if kind == "tokens" else set(ids(page, "sessions")) - before
    opened = (token, {}) if kind == "tokens" else (None, elsewhere)
    stream = await service.stream(opened[0], NOTIFICATIONS, **opened[1])
    await stream.next("state")
    lose_next()
    assert (await submit(service, f"{ACCOUNT}/{kind}/{ended}/{action}", cookies)).status == 303
    assert (await stream.next("close", timeout=2)).data == {"reason": "revoked", "reconnect": False}
    assert (await service.get("/admin/chats", opened[0], headers=opened[1])).status == 401


async def test_a_user_message_wins_over_the_archiving_before_it(
    service: Service, lose_next: Callable[[], None]
) -> None:
    """Both were committed together, in this order; the archiving that ran again put the message away with the chat."""
    alice, staff = service.user_token(), await service.staff_token()
    chat = await service.chat_id(alice)
    await service.send(alice, "first")
    await service.get("/admin/chats", staff)  # the token's use is noted now, and not once more
    held = await HeldWriter(service.app.db).begin()
    archiving = asyncio.ensure_future(service.post(f"/admin/chats/{chat}/archive", staff, {}))
    await until(lambda: service.app.db.queued_writes == 1)
    sending = asyncio.ensure_future(service.send(alice, "but wait"))
    await until(lambda: service.app.db.queued_writes == 2)
    lose_next()
    await held.release()
    await asyncio.gather(archiving, sending)
    assert (await service.get("/support_chat", alice)).json["archived"] is False


class Ears:
    """A chat in which staff wrote last; its user and the staff listen."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def set_up(self, *, archived: bool = False) -> "Ears":
        service = self.service
        self.alice, self.staff = service.user_token(), await service.staff_token()
        self.chat = await service.chat_id(self.alice)
        await service.send(self.alice, "hello")
        await service.send(self.staff, "good morning", chat_id=self.chat)
        if archived:
            await self.staff_do("archive")
        self.user = await service.stream(self.alice)
        self.desk = await service.stream(self.staff, NOTIFICATIONS)
        for stream in (self.user, self.desk):
            await stream.next("state")
        return self

    async def staff_do(self, action: str) -> int:
        return (
            await self.service.post(f"/admin/chats/{self.chat}/{action}", self.staff, {})
        ).status

    async def read(self) -> int:
        return (
            await self.service.request(
                "PATCH", "/support_chat/mark_read", token=self.alice, body={}
            )
        ).status


ACTIONS: dict[str, tuple[Callable[[Ears], Awaitable[int]], dict[str, Any]]] = {
    "archive": (lambda ears: ears.staff_do("archive"), {"archived": True}),
    "unarchive": (lambda ears: ears.staff_do("unarchive"), {"archived": False}),
    "viewed": (lambda ears: ears.staff_do("mark_viewed"), {"viewed_up_to": 2}),
    "read": (lambda ears: ears.read(), {"read_up_to": 2, "unread_count": 0}),
}


@pytest.mark.parametrize("name", ACTIONS)
async def test_open_streams_learn_what_was_done_by_a_write_that_ran_again(
    service: Service, lose_next: Callable[[], None], name: str
) -> None:
    """The second run found nothing to change and published nothing; who listened knew it with the next connection."""
    act, change = ACTIONS[name]
    ears = await Ears(service).set_up(archived=name == "unarchive")
    lose_next()
    assert await act(ears) == 200
    state = (await ears.user.next("state", timeout=2)).data
    assert {field: state[field] for field in change} == change
    await ears.desk.next("state", timeout=2)


async def test_staff_learn_of_a_user_message_and_of_a_notice_that_ran_again(
    service: Service, lose_next: Callable[[], None]
) -> None:
    """The chat's streams got the message, staff got nothing: to the second run it was no new one."""
    ears = await Ears(service).set_up()
    lose_next()
    await service.send(ears.alice, "one more thing")
    await ears.desk.next("state", timeout=2)
    lose_next()
    assert await service.app.notices.do_not_send(ears.chat) is False
    await ears.desk.next("state", timeout=2)


async def test_open_streams_learn_of_a_write_that_was_answered_503_and_is_stored(
    service: Service, lose_next: Callable[[], None], expected_log: list[str]
) -> None:
    """Both runs lost their answer."""
    expected_log.append("the database failed")
    ears = await Ears(service).set_up()
    lose_next()
    lose_next()
    assert await ears.staff_do("archive") == 503
    assert (await ears.user.next("state", timeout=2)).data["archived"] is True


async def test_open_streams_learn_what_a_batch_did_that_ran_again(
    service: Service, lose_next: Callable[[], None]
) -> None:
    ears = await Ears(service).set_up()
    held = await HeldWriter(service.app.db).begin()
    work = [asyncio.ensure_future(action) for action in (ears.staff_do("archive"), ears.read())]
    await until(lambda: service.app.db.queued_writes == 2)
    lose_next()
    await held.release()
    assert await asyncio.gather(*work) == [200, 200]
    state = (await ears.user.next("state", timeout=2)).data
    assert (state["archived"], state["read_up_to"]) == (True, 2)

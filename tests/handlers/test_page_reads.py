"""How many database jobs the dashboard's pages and fragments take.

The chat page once made seven, one after the other. Each waited for a free database thread.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chatsvc.store import people
from tests.handlers.test_dashboard import get, seqs, submit
from tests.support.postgres import execute
from tests.support.service import Service

PATHS = [
    "/dashboard",
    "/dashboard?archived=true",
    "/dashboard/cards",
    "/dashboard/tabs",
    "/dashboard/search",
    "/dashboard/search?q=hello",
    "/dashboard/account",
    "{chat}",
    "{chat}?before=3",
    "{chat}?message=2",
    "{chat}/messages?after=1",
    "{chat}/messages?before=3",
]


class Jobs:
    """The reads and writes of a service, without those that look up the session."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[str] = []
        self.writes: list[str] = []
        db = service.app.db
        monkeypatch.setattr(db, "read", self._counted(db.read, self.reads))
        monkeypatch.setattr(db, "write", self._counted(db.write, self.writes))

    def forget(self) -> None:
        self.reads.clear()
        self.writes.clear()

    @staticmethod
    def _counted(submit: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
        def counted(fn: Callable[..., Any], *args: Any) -> Any:
            if fn not in (people.session_access, people.touch_session):
                seen.append(fn.__name__)
            return submit(fn, *args)

        return counted


@pytest.fixture
def jobs(service: Service, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(service, monkeypatch)


async def prepare(service: Service) -> tuple[str, dict[str, str]]:
    """Return the path of a chat with messages of its user and of two staff, and cookies."""
    await service.create_staff()
    await service.create_staff("olga@example.com", "Olga")
    user, cookies = service.user_token(), await service.login()
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    await service.send(user, "hello")
    await submit(service, path, cookies, content="hello from me")
    await submit(service, path, await service.login("olga@example.com"), content="and Olga")
    await service.send(user, "hello again")
    return path, cookies


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_makes_one_read(service: Service, jobs: Jobs, path: str) -> None:
    chat, cookies = await prepare(service)
    jobs.forget()
    await get(service, path.format(chat=chat), cookies)
    assert len(jobs.reads) == 1, jobs.reads
    assert len(jobs.writes) <= 1, jobs.writes


async def test_a_refused_reply_makes_one_read(service: Service, jobs: Jobs) -> None:
    chat, cookies = await prepare(service)
    jobs.forget()
    assert (await submit(service, chat, cookies, content=" ")).status == 422
    assert (len(jobs.reads), len(jobs.writes)) == (1, 1), (jobs.reads, jobs.writes)


async def test_a_chat_is_marked_viewed_by_the_first_page_that_shows_it(
    service: Service, jobs: Jobs
) -> None:
    """The later ones have nothing to change. The tabs of the first do not count it as unread."""
    chat, cookies = await prepare(service)
    for path, shown, writes, unread in (
        (f"{chat}?before=2", [1], 1, 1),
        (f"{chat}?before=2", [1], 0, 1),
        (chat, [1, 2, 3, 4], 1, 0),
        (chat, [1, 2, 3, 4], 0, 0),
        (f"{chat}?before=3", [1, 2], 0, 0),
    ):
        jobs.forget()
        page = await get(service, path, cookies)
        assert (seqs(page), len(jobs.writes)) == (shown, writes), path
        assert page.text.count("<title>(1) ") == unread, path


async def test_a_message_that_arrives_while_the_page_is_made_stays_unread(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives between the read and the write."""
    chat, cookies = await prepare(service)
    user, write = service.user_token(), service.app.db.write

    async def write_late(fn: Callable[..., Any], *args: Any) -> Any:
        monkeypatch.setattr(service.app.db, "write", write)
        await service.send(user, "meanwhile")
        return await write(fn, *args)

    monkeypatch.setattr(service.app.db, "write", write_late)
    page = await get(service, chat, cookies)
    assert seqs(page) == [1, 2, 3, 4] and "<title>(1) " in page.text
    ((viewed,),) = execute(
        service.database_url,
        "SELECT m.seq FROM support_messages m JOIN support_chats c"
        " ON c.id = m.chat_id AND m.created_at = c.admin_viewed_at",
    )
    assert viewed == 4

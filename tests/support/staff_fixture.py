"""A user, her chat and a member of staff; moves the times in the database."""

from contextlib import closing
from typing import Any

import psycopg2

from chatsvc.store.notices import Notice, notices_of
from tests.support.postgres import execute
from tests.support.service import Service, read_cookies
from tests.support.waiting import until

# Not the defaults: a hard-coded figure would show.
DELAY_S = 77
INTERVAL_S = 1234
TIMES = {
    "support_messages": ("created_at", "updated_at", "read_at"),
    "support_chats": ("last_message_at", "last_user_message_at", "admin_viewed_at", "archived_at"),
    "support_notices": ("due_at", "claimed_until", "next_try_at", "sent_at", "created_at"),
}


def pass_time(database_url: str, seconds: float) -> None:
    """Move all times in the tables back by `seconds`, as if so much time had passed."""
    with (
        closing(psycopg2.connect(database_url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for statement in moves(seconds):
            cursor.execute(statement)


def moves(seconds: float) -> list[str]:
    by = f"{float(seconds)} * interval '1 second'"
    return [
        f"UPDATE {table} SET {', '.join(f'{column} = {column} - {by}' for column in columns)}"  # noqa: S608
        for table, columns in TIMES.items()
    ]


class StaffFixture:
    """A user and her chat, and staff who reply in it."""

    def __init__(self, service: Service, sub: str = "alice", **claims: Any) -> None:
        self.service, self.notices = service, service.app.notices
        self.user = service.user_token(sub, **{"name": sub.capitalize(), **claims})
        self.staff, self.chat_id = "", ""

    async def set_up(self) -> "StaffFixture":
        self.staff, self.chat_id = (
            await self.service.staff_token(),
            await self.service.chat_id(self.user),
        )
        return self

    async def answer(self, content: str = "answer") -> Any:
        return await self.service.send(self.staff, content, chat_id=self.chat_id)

    async def read(self, up_to: int | None = None) -> None:
        body = {} if up_to is None else {"up_to": up_to}
        answer = await self.service.request(
            "PATCH", "/support_chat/mark_read", token=self.user, body=body
        )
        assert answer.status == 200

    async def staff_do(self, action: str) -> None:
        assert (
            await self.service.post(f"/admin/chats/{self.chat_id}/{action}", self.staff)
        ).status == 200

    async def answer_by_form(self, content: str) -> None:
        """As the dashboard does without JavaScript."""
        cookies = await self.service.login(await self.service.create_staff("form@example.com"))
        form = {"content": content, "_xsrf": cookies["_xsrf"]}
        answer = await self.service.request(
            "POST", f"/dashboard/chats/{self.chat_id}", form=form, cookies=cookies
        )
        assert answer.status == 303

    async def answer_by_cookie(self, content: str) -> None:
        """As the dashboard's script does."""
        cookies = await self.service.login(await self.service.create_staff("script@example.com"))
        page = await self.service.get(f"/dashboard/chats/{self.chat_id}", cookies=cookies)
        cookies |= read_cookies(page)
        answer = await self.service.post(
            f"/admin/chats/{self.chat_id}/messages",
            body={"content": content},
            cookies=cookies,
            headers={"X-XSRFToken": cookies["_xsrf"]},
        )
        assert answer.status == 201, answer.text

    async def listed(self, from_seq: int = 0) -> list[Notice]:
        """Return the notices that staff see."""
        return await self.service.app.db.read(notices_of, self.chat_id, from_seq)

    async def seen(self, from_seq: int = 0) -> list[tuple[str, int, int | None, str | None]]:
        """Return state, range and reason of the notices that staff see."""
        return [
            (notice.state, notice.first_seq, notice.up_to_seq, notice.reason)
            for notice in await self.listed(from_seq)
        ]

    def states(self) -> list[str]:
        """Of all notices in the database, oldest first."""
        rows = execute(
            self.service.database_url, "SELECT state FROM support_notices ORDER BY created_at, id"
        )
        return [str(state) for (state,) in rows]

    def set(self, assignment: str, state: str = "pending") -> None:
        """Changes the row behind the service's back."""
        execute(
            self.service.database_url,
            f"UPDATE support_notices SET {assignment} WHERE state = %s",  # noqa: S608
            state,
        )

    def passes(self, seconds: float) -> None:
        """Time passes, and the service looks what is due, as its sweep does every minute."""
        pass_time(self.service.database_url, seconds)
        self.notices.wake()

    async def ends(self, *states: str) -> None:
        """Waits until the notices are in these states."""
        await until(lambda: self.states() == list(states))

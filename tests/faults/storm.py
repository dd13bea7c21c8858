"""A storm: several chats, users and staff who send and follow, on one server or several, while a test breaks things."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from uuid import uuid4

from chatsvc.database.connection import Transaction
from chatsvc.security import tokens
from chatsvc.security.passwords import hash_password
from chatsvc.store import people
from tests.faults.client import PAUSE_S, Follower, Sender, request
from tests.faults.history import History, Seen, read_database, violations
from tests.support.service import IDENTITY_SECRET
from tests.support.waiting import until

FINISH_LIMIT_S = 20.0  # for everybody to have everything when the fault is over


def user_token(sub: str) -> str:
    return tokens.sign_identity(
        IDENTITY_SECRET, sub=sub, email=f"{sub}@example.com", name=None, ttl_s=3600
    )


def staff_token(database_url: str) -> str:
    """A staff token of a new account, made beside the server. Blocks."""
    email, token = f"{uuid4().hex}@example.com", tokens.new_secret(tokens.STAFF_PREFIX)
    with closing(Transaction(database_url, application_name="test")) as tx:
        people.save_staff(tx, str(uuid4()), email, "Sam", hash_password("correct horse battery"))
        people.create_staff_token(tx, str(uuid4()), email, tokens.hash_token(token))
    return token


class Storm:
    """`async with Storm([port], url) as storm:` … break things … `await storm.finish()`, which checks the invariants.

    In each chat `senders` users and one member of staff send all the time, the user and staff follow; one stream of all staff.
    """

    def __init__(
        self,
        ports: Sequence[int],
        database_url: str,
        *,
        chats: int = 4,
        senders: int = 2,
        silence_limit_s: float = 40.0,
    ) -> None:
        self.silence_limit_s = silence_limit_s
        self.ports, self.database_url = ports, database_url
        self.chats_wanted, self.senders_per_chat = chats, senders
        self.history = History()
        self.senders: list[Sender] = []
        self.followers: list[Follower] = []
        self.users: dict[str, str] = {}  # chat to token
        self.staff = ""
        self._stop = asyncio.Event()
        self._sending: list[asyncio.Task[None]] = []
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Storm":
        self.staff = await asyncio.to_thread(staff_token, self.database_url)
        for n in range(self.chats_wanted):
            await self._add_chat(f"user{n}")
        self._follow(self.ports, "/admin/notifications/stream", self.staff, Seen("all staff", None))
        await self.all_open()
        self.send()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._sending, *self._following):
            task.cancel()
        await asyncio.gather(*self._sending, *self._following, return_exceptions=True)

    async def _add_chat(self, sub: str) -> None:
        token = user_token(sub)
        chat_id = (await request(self.ports[0], "GET", "/support_chat", token)).json["id"]
        self.users[chat_id] = token
        as_staff = f"/admin/chats/{chat_id}"
        for _ in range(self.senders_per_chat):
            self.senders.append(
                Sender(self.ports, "/support_chat/messages", token, chat_id, self.history)
            )
        self.senders.append(
            Sender(self.ports, f"{as_staff}/messages", self.staff, chat_id, self.history)
        )
        for port in self.ports:
            self._follow([port], "/support_chat/stream", token, Seen(f"{sub} at {port}", chat_id))
            self._follow(
                [port],
                f"{as_staff}/stream",
                self.staff,
                Seen(f"staff with {sub} at {port}", chat_id),
            )

    def _follow(self, ports: Sequence[int], path: str, token: str, seen: Seen) -> None:
        follower = Follower(ports, path, token, seen, silence_limit_s=self.silence_limit_s)
        self.history.seen.append(seen)
        self.followers.append(follower)
        self._following.append(asyncio.create_task(follower.run()))

    def send(self) -> None:
        """Starts all senders (again)."""
        self._stop.clear()
        self._sending = [asyncio.create_task(sender.run(self._stop)) for sender in self.senders]

    async def pause(self) -> None:
        """Stops the senders; each finishes its message."""
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._sending), FINISH_LIMIT_S)

    async def all_open(self) -> None:
        await until(lambda: all(one.is_open for one in self.followers), "all streams are open")

    async def more(self, count: int) -> None:
        """Waits until `count` more messages are acknowledged."""
        wanted = len(self.history.acknowledged) + count
        await until(
            lambda: self._progress() >= wanted,
            f"{count} more messages are acknowledged",
            FINISH_LIMIT_S,
        )

    def _progress(self) -> int:
        for task in self._sending:
            if task.done():
                task.result()
        return len(self.history.acknowledged)

    async def finish(self, *, reconnect: bool = False) -> None:
        """Ends the sending, waits until every follower has the newest message (after coming back once with `reconnect`), checks I1 to I4."""
        await self.pause()
        if reconnect:
            for follower in self.followers:
                follower.drop()
        await self.caught_up()
        found = violations(self.history, await asyncio.to_thread(read_database, self.database_url))
        assert not found, "\n".join(found)

    async def caught_up(self, *, but: Follower | None = None) -> None:
        """Waits until every follower has the newest message of its chat; after the limit it is left to the check, which says what is missing."""
        newest = (await asyncio.to_thread(read_database, self.database_url)).last_seqs
        behind = [one.seen for one in self.followers if one.seen.chat_id and one is not but]
        with contextlib.suppress(AssertionError):
            await until(
                lambda: all(s.newest >= newest[s.chat_id or ""] for s in behind),
                "caught up",
                FINISH_LIMIT_S,
            )

    @property
    def outcomes(self) -> Counter[int | str]:
        """How the tries of all senders ended: by status, or by the name of the exception."""
        return Counter(one.outcome for sender in self.senders for one in sender.tries)

    def seconds_until_acknowledged(self, moment: float) -> float:
        """From `moment` (monotonic) to the first acknowledgement of a try that began after it."""
        ends = [
            one.began + one.seconds
            for sender in self.senders
            for one in sender.tries
            if one.began >= moment and one.outcome in (200, 201)
        ]
        return min(ends) - moment


async def some_time() -> None:
    """A random moment, so that a fault does not always hit the same step."""
    await asyncio.sleep(random.uniform(0, 2 * PAUSE_S[1]))

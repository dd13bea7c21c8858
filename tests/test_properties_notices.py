"""I5 as a property: staff messages, reads, archives, crashes and answers of the mail server in any order, on a virtual clock."""

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from typing import Any, NamedTuple
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tornado.ioloop import IOLoop

from chatsvc.database.connection import Transaction
from chatsvc.mail.mailer import MailDisabled, Rejected, TemporaryFailure
from chatsvc.mail.messages import Composer, ReplyNotice
from chatsvc.pages.assets import Assets
from chatsvc.pages.templates import load_templates
from chatsvc.services.chats import Sender
from chatsvc.services.notices import PAUSES_S, NoticeService
from chatsvc.store.notices import Notice, notices_of
from chatsvc.text.translations import Translations
from tests.conftest import ServiceFactory
from tests.support.postgres import execute
from tests.support.service import SECRET_KEY, Service
from tests.support.staff_fixture import DELAY_S, INTERVAL_S, moves

LEASE_S = 400  # more than notices.LEASE_S
EXAMPLES = int(os.environ.get("EXAMPLES", 60))


class Crash(BaseException):
    """The process ends here."""


class Scripted(NamedTuple):
    """What the mail server does with an e-mail: whether it takes it, and what the sender hears of it."""

    takes: bool
    says: type[BaseException] | None = None
    options: dict[str, Any] = {}  # noqa: RUF012 -- never changed


FINE = Scripted(True)
SCRIPTED = {
    "fine": FINE,
    "later": Scripted(False, TemporaryFailure),
    "lost on the way": Scripted(False, TemporaryFailure, {"outcome_unknown": True}),
    "taken, answer lost": Scripted(True, TemporaryFailure, {"outcome_unknown": True}),
    "refused": Scripted(False, Rejected),
    "bad login": Scripted(False, MailDisabled),
    "crash before": Scripted(False, Crash),
    "crash after": Scripted(True, Crash),
}


class Mail(NamedTuple):
    """What the mail server took."""

    message_id: str
    seqs: frozenset[int]
    at: float
    acknowledged: bool


class ScriptedMailer:
    """Answers as it is told; `meanwhile` runs while an e-mail is under way."""

    destination = "a script"

    def __init__(self) -> None:
        self.answer = FINE
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.on_send: Callable[[EmailMessage, Scripted], None] = lambda message, answer: None

    async def send(self, message: EmailMessage) -> str:
        answer = self.answer
        self.on_send(message, answer)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        self._say(answer)
        return "taken"

    async def check(self) -> None:
        if self.answer.says is MailDisabled:
            self._say(self.answer)

    def _say(self, answer: Scripted) -> None:
        if answer.says is not None:
            raise (
                answer.says("headline", "reason")
                if answer.says is MailDisabled
                else answer.says("no", **answer.options)
            )

    async def idle(self) -> None: ...

    def abort(self) -> None: ...

    async def close(self) -> None: ...


class NumberedComposer(Composer):
    """E-mails show a few messages and count the others; here a header names all."""

    def compose(self, notice: ReplyNotice) -> EmailMessage:
        message = super().compose(notice)
        message["X-Seqs"] = " ".join(str(each.seq) for each in notice.messages)
        return message


def move_times(tx: Transaction, seconds: float) -> None:
    for statement in moves(seconds):
        tx.execute_sql(statement)


class Story(RuleBasedStateMachine):
    """One chat. The model knows what was posted, read and archived, and every e-mail that the mail server took."""

    service: Service
    io_loop: IOLoop

    @initialize()
    def begin(self) -> None:
        self.passed = 0.0  # virtual seconds
        self.mailer = ScriptedMailer()
        self.mailer.on_send = self.reach
        self.posted: dict[int, float] = {}  # staff messages
        self.last_seq = self.read_up_to = 0
        self.archived = False
        self.excused: set[int] = set()  # archived, declined or failed: no e-mail has to tell them
        self.declined: set[int] = set()
        self.mails: list[Mail] = []
        self.unclear: dict[str, int] = {}  # tries whose end the sender does not know, by Message-ID
        self.hurried = False  # staff said "send now": the interval does not hold for the next
        self.problems: list[AssertionError] = []
        self.run(self.set_up)
        self.start()
        self.run(lambda: self.post("staff"))

    def run(self, action: Callable[[], Awaitable[Any]]) -> Any:
        return self.io_loop.run_sync(action, timeout=20)

    async def set_up(self) -> None:
        execute(
            self.service.database_url, "TRUNCATE support_notices, support_messages, support_chats"
        )
        caller = await self.service.app.identity.authenticate_bearer(
            self.service.user_token(str(uuid4()))
        )
        self.user_id = caller.user_id
        self.chat_id = await self.service.app.chats.chat_id_for_user(self.user_id)

    def start(self) -> None:
        """A process begins."""
        app = self.service.app
        composer = NumberedComposer(
            app.config, SECRET_KEY, load_templates(Assets()), Translations()
        )
        self.notices = NoticeService(
            app.db,
            self.mailer,
            composer,
            email_delay_s=DELAY_S,
            email_min_interval_s=INTERVAL_S,
        )

    @property
    def now(self) -> float:
        return time.time() + self.passed

    @property
    def unread(self) -> set[int]:
        return {seq for seq in self.posted if seq > self.read_up_to}

    def reach(self, message: EmailMessage, answer: Scripted) -> None:
        """What is wrong with an e-mail is kept: the service would take it for an error of its own."""
        try:
            self.see(message, answer)
        except AssertionError as error:
            self.problems.append(error)

    def see(self, message: EmailMessage, answer: Scripted) -> None:
        """An e-mail reaches the mail server: is it one that may be sent now?"""
        seqs, message_id = (
            frozenset(map(int, str(message["X-Seqs"]).split())),
            str(message["Message-ID"]),
        )
        assert seqs and seqs <= self.unread, "it tells what was read, or nothing"
        assert not self.archived
        assert not seqs & self.declined
        first_try = message_id not in self.unclear and all(
            mail.message_id != message_id for mail in self.mails
        )
        assert self.hurried or self.now - min(self.posted[seq] for seq in seqs) > DELAY_S - 1
        known = frozenset().union(*(mail.seqs for mail in self.mails if mail.acknowledged))
        assert not seqs & known, "it tells again what was told"
        others = [
            mail for mail in self.mails if mail.message_id != message_id and mail.acknowledged
        ]
        if others and first_try and not self.hurried:
            assert self.now - max(mail.at for mail in others) > INTERVAL_S - 1
        repeats = sum(mail.message_id == message_id for mail in self.mails)
        assert repeats <= self.unclear.get(message_id, 0), (
            "it is sent twice and no crash was between"
        )
        maybe = [mail.seqs for mail in self.mails if mail.message_id == message_id]
        assert all(seqs <= before for before in maybe), "a repeat tells more than the first"
        if answer.takes:
            self.mails.append(Mail(message_id, seqs, self.now, answer.says is None))
        if answer.says is Crash or answer.options.get("outcome_unknown"):
            self.unclear[message_id] = self.unclear.get(message_id, 0) + 1
        if answer.says is Rejected:
            self.excused |= self.unread
        if answer.options or answer.says not in (TemporaryFailure, MailDisabled):
            self.hurried = False  # else it is still to be sent, without waiting for the interval

    # ---- what happens ----

    async def post(self, who: str) -> None:
        kind: Any = "admin" if who == "staff" else "user"
        message, _ = await self.service.app.chats.post_message(
            self.chat_id, Sender(self.user_id, kind), f"m{self.last_seq + 1}", None
        )
        self.last_seq = message.seq
        if who == "staff":
            self.posted[message.seq] = self.now
        else:
            self.archived = False
        if self.archived:
            self.excused |= self.unread

    async def read_all(self, up_to: int | None = None) -> None:
        await self.service.app.chats.mark_read(self.chat_id, up_to)
        read = [seq for seq in self.posted if up_to is None or seq <= up_to]
        self.read_up_to = max([self.read_up_to, *read])

    async def do_archive(self) -> None:
        await self.service.app.chats.archive(self.chat_id)
        self.archived = True
        self.excused |= self.unread

    @rule(who=st.sampled_from(["staff", "staff", "user"]))
    def somebody_writes(self, who: str) -> None:
        self.run(lambda: self.post(who))

    @rule(back=st.integers(0, 3))
    def the_user_reads(self, back: int) -> None:
        self.run(lambda: self.read_all(max(0, self.last_seq - back)))

    @rule(decision=st.sampled_from(["archive", "restore", "decline", "hurry"]))
    def staff_decide(self, decision: str) -> None:
        if decision == "archive":
            self.run(self.do_archive)
        elif decision == "restore":
            self.run(lambda: self.service.app.chats.unarchive(self.chat_id))
            self.archived = False
        elif decision == "decline":
            under_way = "claimed" in [notice.state for notice in self.rows()]
            if self.run(lambda: self.notices.do_not_send(self.chat_id)):
                self.excused |= self.unread
                self.declined |= set() if under_way else self.unread
        elif not self.archived and self.run(lambda: self.notices.send_now(self.chat_id)):
            self.hurried = True
            self.declined.clear()

    def time_passes(self, seconds: float) -> None:
        self.run(lambda: self.service.app.db.write(move_times, seconds))
        self.passed += seconds

    @rule(
        after=st.sampled_from([0, DELAY_S, DELAY_S, LEASE_S, INTERVAL_S, 4 * 3600 * 1.2]),
        answer=st.sampled_from(sorted(SCRIPTED)),
        meanwhile=st.sampled_from(["nothing", "nothing", "staff", "user", "read", "archive"]),
    )
    def the_service_sweeps(self, after: float, answer: str, meanwhile: str) -> None:
        self.time_passes(after)
        self.mailer.answer = SCRIPTED[answer]
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "staff": lambda: self.post("staff"),
            "user": lambda: self.post("user"),
            "read": self.read_all,
            "archive": self.do_archive,
        }
        self.mailer.meanwhile = actions.get(meanwhile)
        self.sweep()
        self.mailer.meanwhile = None

    @rule(after=st.sampled_from([DELAY_S, LEASE_S, INTERVAL_S]))
    def the_service_sweeps_in_peace(self, after: float) -> None:
        self.the_service_sweeps(after, "fine", "nothing")

    def sweep(self) -> None:
        async def one_sweep() -> bool:
            try:
                await self.notices.sweep()
            except Crash:
                return True
            return False

        if self.run(one_sweep):
            self.start()
        if self.problems:
            raise self.problems[0]

    # ---- what holds ----

    def rows(self) -> list[Notice]:
        found: list[Notice] = self.run(
            lambda: self.service.app.db.read(notices_of, self.chat_id, 0)
        )
        return found

    @invariant()
    def there_is_one_pending_and_one_claimed_at_most(self) -> None:
        if hasattr(self, "notices"):
            states = [notice.state for notice in self.rows()]
            assert states.count("pending") <= 1 and states.count("claimed") <= 1

    def teardown(self) -> None:
        """The faults are over, time passes: whatever is unread and not excused was told, and nothing is left to do."""
        if not hasattr(self, "notices"):
            return
        self.mailer.answer, self.mailer.meanwhile = FINE, None
        self.start()
        for seconds in (PAUSES_S[-1], INTERVAL_S, INTERVAL_S):
            self.time_passes(seconds * 1.2)
            self.sweep()
        known = frozenset().union(*(mail.seqs for mail in self.mails))
        untold = self.unread - self.excused - known
        assert not untold, f"never told: {untold}"
        assert {notice.state for notice in self.rows()} <= {"sent", "cancelled", "failed"}


@pytest.fixture
def story(io_loop: IOLoop, make_service: ServiceFactory) -> Iterator[type[Story]]:
    service = make_service(email_delay_s=DELAY_S, email_min_interval_s=INTERVAL_S)
    io_loop.run_sync(service.app.notices.stop)  # the test's own one sweeps, when the story says so
    yield type("StoryHere", (Story,), {"service": service, "io_loop": io_loop})


@pytest.mark.slow
def test_whatever_happens_each_e_mail_is_one_correct_not_lost_and_not_twice(
    story: type[Story], expected_log: list[str]
) -> None:
    expected_log += ["failed for good", "e-mail is paused"]
    run_state_machine_as_test(
        story,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

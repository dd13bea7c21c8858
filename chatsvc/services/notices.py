"""NoticeService: the e-mails to users who have not read what staff wrote (store/notices.py has a notice's life)."""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from uuid_utils import uuid7

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import DomainError
from chatsvc.events import STAFF_TOPIC, Event
from chatsvc.mail.mailer import DeliveryError, NotNow, Refused, Unusable
from chatsvc.mail.messages import Letter, LetterError, Letters, UnreadMessage
from chatsvc.store import claims
from chatsvc.store import notices as rows
from chatsvc.store.chats import Changed, list_item
from chatsvc.store.claims import Claim, Step
from chatsvc.store.notices import Notice
from chatsvc.wire import StaffChatUpdatedEvent

if TYPE_CHECKING:
    from chatsvc.mail.mailer import Mailer

log = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 60.0  # the rows are asked this often, whatever the alarm clock thinks
LEASE_S = 300.0  # of a claim: longer than one e-mail may take (mailer.MAIL_LIMIT_S) and its end needs to be recorded
HELD_PAUSE_S = 0.1  # something is due and another process is at it
RECORD_PAUSE_S = (
    1.0  # between two tries to record an e-mail's end when the database does not answer
)
STOP_LIMIT_S = 8.0  # at stop: for the e-mail that is under way
CUT_LIMIT_S = 2.0  # and for recording that it was cut off
# Between tries: 1, 5, 15, 60, then every 240 minutes, with jitter so that what failed together does not come back together.
PAUSES_S = (60, 300, 900, 3600, *(14_400,) * 5)
JITTER = (0.9, 1.1)  # all pauses together stay below 24 h
TRIES_MAX = len(PAUSES_S) + 1


class NoticeService:
    """Sends what is due, one e-mail at a time.

    One task, one timer: the alarm clock rings when the next notice is due, and every SWEEP_INTERVAL_S the rows are asked. `publish` takes
    events after COMMIT, in commit order; `on_end` is told how each try ended: sent, cancelled, failed, retried.
    """

    def __init__(
        self,
        db: Database,
        publish: Callable[[Event], None],
        mailer: "Mailer",
        letters: Letters,
        *,
        email_delay_s: float,
        email_min_interval_s: float,
        on_end: Callable[[str], None] = lambda how: None,
    ) -> None:
        self._db, self._publish = db, publish
        self._mailer, self._letters = mailer, letters
        self._email_delay_s, self._email_min_interval_s = email_delay_s, email_min_interval_s
        self._on_end = on_end
        self._terms = claims.Terms(LEASE_S, TRIES_MAX, letters.message_id)
        self._trouble: Unusable | None = None
        self._task: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def paused(self) -> str | None:
        """Why no e-mail is sent at all, in one line for staff; None: all is well."""
        return None if self._trouble is None else f"{self._trouble.headline} ({self._trouble})"

    @property
    def headline(self) -> str | None:
        """The same without what the mail server said: for everybody to see."""
        return None if self._trouble is None else self._trouble.headline

    async def start(self) -> None:
        log.info("%s", self._mailer.where)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finishes the e-mail that is under way, or cuts it off; then its row says that it is to be tried again."""
        self._stopping = True
        self._awake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_LIMIT_S)
            self._mailer.cut()
            await asyncio.wait([self._task], timeout=CUT_LIMIT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
        await self._mailer.close()

    # ---- for staff ----

    async def notices_of(self, chat_id: str, from_seq: int = 0) -> list[Notice]:
        """The chat's notices that are about messages from `from_seq` on, oldest first."""
        return await self._db.read(rows.notices_of, chat_id, from_seq)

    async def send_now(self, chat_id: str) -> bool:
        """Sends the e-mail about what is unread now rather than later. False: there is nothing to tell, or one is under way.

        It waits for nothing: neither the delay nor the interval since the last one. Archived, opted out and the like still hold.
        """
        result = await self._db.write(_send_now, chat_id, str(uuid7()), then=self._brought_forward)
        return result.changed

    async def do_not_send(self, chat_id: str) -> bool:
        """No e-mail about what is unread now. False: none was to come."""
        return (await self._db.write(_do_not_send, chat_id, then=self._changed)).changed

    # ---- the clock ----

    def arm(self, due_in_s: float) -> None:
        """Something is due in so many seconds, by the database's clock. One timer, for what is due first."""
        loop = asyncio.get_running_loop()
        at = loop.time() + due_in_s
        if due_in_s > SWEEP_INTERVAL_S or (self._alarm is not None and self._alarm.when() <= at):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._trouble is None:
            self._awake.set()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                self.arm(await self.sweep())
            except DomainError:
                log.info("the notices cannot be read now")
            except Exception:
                log.exception("a sweep of the notices failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_INTERVAL_S):
                    await self._awake.wait()
            self._awake.clear()

    async def sweep(self) -> float:
        """Sends all that is due. Returns in how many seconds something is due again."""
        if self._trouble is not None and not await self._is_usable_again():
            await self._mailer.rest()
            return math.inf
        if (due_in_s := await self._due_in_s()) > 0:
            return due_in_s
        while self._trouble is None and not self._stopping:
            step = await self._db.write(claims.claim_next, self._terms, then=self._stepped)
            if step is None:
                break
            if step.claim is not None and not await self._deliver(step.claim):
                return math.inf  # those behind it keep their tries; the next sweep asks again
        await self._mailer.rest()
        return max(await self._due_in_s(), HELD_PAUSE_S)

    async def _due_in_s(self) -> float:
        due_in_s = await self._db.read(claims.due_in_s)
        return math.inf if due_in_s is None else due_in_s

    # ---- one e-mail ----

    async def _deliver(self, claim: Claim) -> bool:
        """Returns False if there was no mail server at all."""
        letter = Letter(
            to=claim.to,
            user_id=claim.user_id,
            user_name=claim.user_name,
            language=claim.language,
            chat_id=claim.chat_id,
            message_id=claim.message_id,
            messages=[UnreadMessage(*each) for each in claim.messages],
            notice_id=claim.notice_id,
        )
        try:
            await self._mailer.send(partial(self._letters.compose, letter, claim.now))
        except Exception as error:
            await self._not_sent(claim, error)
            return not (isinstance(error, NotNow) and error.nobody_there)
        await self._record(claims.record_sent, claim, self._email_min_interval_s)
        return True

    async def _not_sent(self, claim: Claim, error: Exception) -> None:
        if isinstance(error, Refused | LetterError):
            await self._fail(
                claim, error, refused_address=isinstance(error, LetterError) or error.address
            )
        elif isinstance(error, Unusable):
            self._pause(error)
            await self._retry(claim, error, 0, may_be_out=False, counts=False)
        elif claim.attempts >= TRIES_MAX:
            await self._fail(claim, error, refused_address=False)
        else:
            if not isinstance(error, NotNow):
                log.error(
                    "notice %s: the e-mail could not be written or sent",
                    claim.notice_id,
                    exc_info=error,
                )
            pause_s = PAUSES_S[claim.attempts - 1] * random.uniform(*JITTER)  # noqa: S311
            log.info("notice %s is tried again in %.0f s: %s", claim.notice_id, pause_s, error)
            may_be_out = not isinstance(error, NotNow) or error.may_be_out
            await self._retry(claim, error, pause_s, may_be_out=may_be_out, counts=True)

    async def _fail(self, claim: Claim, error: Exception, *, refused_address: bool) -> None:
        log.warning("notice %s failed for good: %s", claim.notice_id, error)
        await self._record(claims.record_failed, claim, _reason(error), refused_address)

    async def _retry(
        self, claim: Claim, error: Exception, pause_s: float, *, may_be_out: bool, counts: bool
    ) -> None:
        self._on_end("retried")
        stays = may_be_out or claim.may_be_out
        await self._record(
            claims.record_retry, claim, _reason(error), pause_s, stays, counts, self._email_delay_s
        )

    async def _record(self, fn: Callable[..., Step], *args: object) -> None:
        """The e-mail is out, or is not: without the row it would be sent again, so this waits for the database."""
        while True:
            try:
                await self._db.write(fn, *args, then=self._stepped)
            except DomainError:
                await asyncio.sleep(RECORD_PAUSE_S)
            else:
                return

    # ---- a mail server that cannot be used ----

    def _pause(self, trouble: Unusable) -> None:
        """Said once; the queue waits, and nothing in it is used up."""
        if self._trouble is None or self._trouble.headline != trouble.headline:
            log.warning(
                "e-mail is paused: %s (%s); asked again every %.0f s",
                trouble.headline,
                trouble,
                SWEEP_INTERVAL_S,
            )
        self._trouble = trouble

    async def _is_usable_again(self) -> bool:
        try:
            await self._mailer.check()
        except Unusable as trouble:
            self._pause(trouble)
        except NotNow:
            pass  # it is not there at all; whether it can be used is not known yet
        else:
            self._trouble = None
            log.info("e-mail goes on")
        return self._trouble is None

    # ---- after COMMIT, on the loop, in commit order ----

    def _stepped(self, step: Step | None) -> None:
        if step is not None and step.ended is not None:
            self._on_end(step.ended)
        if step is not None and step.chat is not None:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(step.chat)))

    def _changed(self, result: Changed) -> None:
        if result.changed:
            self._publish(Event.of(STAFF_TOPIC, StaffChatUpdatedEvent(result.chat)))

    def _brought_forward(self, result: Changed) -> None:
        self._changed(result)
        if result.changed:
            self.arm(0)


def _reason(error: Exception) -> str:
    """For the row, and so for staff."""
    return (
        str(error)
        if isinstance(error, DeliveryError | LetterError)
        else "an error of chatsvc; its log says more"
    )


def _send_now(tx: Transaction, chat_id: str, notice_id: str) -> Changed:
    return Changed(list_item(tx, chat_id), rows.send_now(tx, chat_id, notice_id))


def _do_not_send(tx: Transaction, chat_id: str) -> Changed:
    return Changed(list_item(tx, chat_id), rows.do_not_send(tx, chat_id))

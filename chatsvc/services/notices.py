"""NoticeService: e-mails to users who have not read what staff wrote.

store/notices.py describes the life of a notice.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tornado.ioloop import IOLoop
from uuid_utils import uuid7

from chatsvc.database.connection import Transaction
from chatsvc.database.threads import Database
from chatsvc.errors import DomainError
from chatsvc.events import STAFF_TOPIC, NoticeDue, NoticeEnded
from chatsvc.mail.mailer import (
    DeliveryError,
    MailDisabled,
    Mailer,
    Rejected,
    TemporaryFailure,
)
from chatsvc.mail.messages import Composer, UnusableAddress
from chatsvc.store import claims
from chatsvc.store import notices as rows
from chatsvc.store.chats import list_item
from chatsvc.store.claims import Claim, ClaimPolicy, NoticeOutcome
from chatsvc.wire import StaffChatUpdatedEvent

log = logging.getLogger(__name__)

SWEEP_INTERVAL_S = 60.0  # the rows are queried this often, whatever the alarm says
LEASE_S = 300.0  # of a claim: longer than one e-mail takes (smtp.MAIL_LIMIT_S) with its recording
HELD_PAUSE_S = 0.1  # a notice is due but another process holds its chat
RECORD_PAUSE_S = 1.0  # between attempts to record an outcome while the database is unavailable
STOP_LIMIT_S = 8.0  # at stop: for the e-mail in progress
ABORT_LIMIT_S = 2.0  # then for recording that it was cut off
# Between attempts: 1, 5, 15, 60, then every 240 minutes. Jitter spreads what failed together.
PAUSES_S = (60, 300, 900, 3600, *(14_400,) * 5)
JITTER = (0.9, 1.1)  # all pauses together stay below 24 h
TRIES_MAX = len(PAUSES_S) + 1


class NoticeService:
    """Sends due e-mails one at a time.

    One task sweeps the rows: every SWEEP_INTERVAL_S, and when the alarm for the next due notice
    rings. A lost alarm only delays an e-mail to the next sweep.
    """

    def __init__(
        self,
        db: Database,
        mailer: Mailer,
        composer: Composer,
        *,
        email_delay_s: float,
        email_min_interval_s: float,
    ) -> None:
        self._db = db
        self._mailer, self._composer = mailer, composer
        self._email_delay_s, self._email_min_interval_s = email_delay_s, email_min_interval_s
        self._policy = claims.ClaimPolicy(LEASE_S, TRIES_MAX, composer.message_id)
        self._disabled: MailDisabled | None = None
        self._task: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._alarm: object | None = None
        self._alarm_at = math.inf  # on the loop's clock, which is never stepped
        self._stopping = False

    @property
    def unavailable_reason(self) -> str | None:
        """Why no e-mail is sent at all, in one line for staff. None: e-mail works."""
        return None if self._disabled is None else f"{self._disabled.headline} ({self._disabled})"

    @property
    def unavailable_headline(self) -> str | None:
        """The same without the mail server's own words, so that everybody may see it."""
        return None if self._disabled is None else self._disabled.headline

    @property
    def alarm_in_s(self) -> float | None:
        """Seconds until the alarm rings. None: it is not set."""
        if self._alarm is None:
            return None
        return self._alarm_at - asyncio.get_running_loop().time()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    async def start(self) -> None:
        log.info("%s", self._mailer.destination)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish the e-mail in progress, or cut it off and record that it is to be retried."""
        self._stopping = True
        self._awake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=STOP_LIMIT_S)
            self._mailer.abort()
            await asyncio.wait([self._task], timeout=ABORT_LIMIT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._disarm()
        await self._mailer.close()

    # ---- for staff ----

    async def send_now(self, chat_id: str) -> bool:
        """Send the e-mail about unread messages now, without the delay and the interval.

        Returns False if there is nothing to tell or an e-mail is in progress. An archived chat or
        a user who has unsubscribed still gets none.
        """
        return await self._db.write(_send_now, chat_id, str(uuid7()))

    async def do_not_send(self, chat_id: str) -> bool:
        """Send no e-mail about what is unread now. Returns False if none was planned."""
        return await self._db.write(_do_not_send, chat_id)

    # ---- the alarm ----

    def arm(self, due_in_s: float) -> None:
        """Set the alarm for a notice that is due in this many seconds, unless it rings earlier."""
        at = asyncio.get_running_loop().time() + due_in_s
        if due_in_s > SWEEP_INTERVAL_S or at >= self._alarm_at:
            return
        self._disarm()
        self._alarm, self._alarm_at = IOLoop.current().call_later(due_in_s, self._ring), at

    def wake(self) -> None:
        """Sweep now instead of at the next alarm."""
        self._awake.set()

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        if self._disabled is None:
            self.wake()

    def _disarm(self) -> None:
        if self._alarm is not None:
            IOLoop.current().remove_timeout(self._alarm)
        self._alarm, self._alarm_at = None, math.inf

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
        """Send everything that is due. Returns the seconds until the next notice is due."""
        if self._disabled is not None and not await self._is_enabled_again():
            await self._mailer.idle()
            return math.inf
        waits = self._email_delay_s, self._email_min_interval_s
        if await self._db.read(claims.is_too_late, *waits):
            await self._db.write(claims.limit_waits, *waits)
        if (due_in_s := await self._due_in_s()) > 0:
            return due_in_s
        while self._disabled is None and not self._stopping:
            outcome = await self._db.write(_claim_next, self._policy)
            if outcome is None:
                break
            if outcome.claim is not None and not await self._deliver(outcome.claim):
                return math.inf  # do not try the rest of the queue: each would use up an attempt
        await self._mailer.idle()
        return max(await self._due_in_s(), HELD_PAUSE_S)

    async def _due_in_s(self) -> float:
        due_in_s = await self._db.read(claims.due_in_s)
        return math.inf if due_in_s is None else due_in_s

    # ---- one e-mail ----

    async def _deliver(self, claim: Claim) -> bool:
        """Send a claimed e-mail. Returns False if the mail server was unreachable."""
        try:
            message = await asyncio.to_thread(self._composer.compose, claim.email)
            await self._mailer.send(message)
        except Exception as error:
            await self._not_sent(claim, error)
            return not (isinstance(error, TemporaryFailure) and error.unreachable)
        await self._record(claims.record_sent, claim, self._email_min_interval_s)
        return True

    async def _not_sent(self, claim: Claim, error: Exception) -> None:
        if isinstance(error, UnusableAddress):
            await self._fail(claim, error, bad_address=True)
        elif isinstance(error, Rejected):
            await self._fail(claim, error, bad_address=error.bad_address)
        elif isinstance(error, MailDisabled):
            self.pause(error)
            await self._retry(claim, error, 0, outcome_unknown=False, counts=False)
        elif claim.attempts >= TRIES_MAX:
            await self._fail(claim, error, bad_address=False)
        else:
            if not isinstance(error, TemporaryFailure):
                log.error(
                    "notice %s: an error of chatsvc, not of the mail server",
                    claim.notice_id,
                    exc_info=error,
                )
            pause_s = PAUSES_S[claim.attempts - 1] * random.uniform(*JITTER)  # noqa: S311
            log.info("notice %s will be retried in %.0f s: %s", claim.notice_id, pause_s, error)
            await self._retry(
                claim, error, pause_s, outcome_unknown=_is_outcome_unknown(error), counts=True
            )

    async def _fail(self, claim: Claim, error: Exception, *, bad_address: bool) -> None:
        log.warning("notice %s failed for good: %s", claim.notice_id, error)
        unknown = claim.outcome_unknown or _is_outcome_unknown(error)
        await self._record(claims.record_failed, claim, _reason(error), unknown, bad_address)

    async def _retry(
        self, claim: Claim, error: Exception, pause_s: float, *, outcome_unknown: bool, counts: bool
    ) -> None:
        unknown = outcome_unknown or claim.outcome_unknown
        await self._record(
            _record_retry,
            claim,
            _reason(error),
            pause_s,
            unknown,
            counts,
            self._email_delay_s,
        )

    async def _record(self, fn: Callable[..., NoticeOutcome], *args: object) -> None:
        """Record an outcome, retrying until the database is back, or the e-mail is sent again."""
        while True:
            try:
                await self._db.write(_record, fn, *args)
            except DomainError:
                await asyncio.sleep(RECORD_PAUSE_S)
            else:
                return

    # ---- a mail server that cannot be used ----

    def pause(self, disabled: MailDisabled) -> None:
        """Stop sending until a check succeeds. No notice loses an attempt.

        Each cause is logged once.
        """
        if self._disabled is None or self._disabled.headline != disabled.headline:
            log.warning(
                "e-mail is paused: %s (%s); it is checked every %.0f s",
                disabled.headline,
                disabled,
                SWEEP_INTERVAL_S,
            )
        self._disabled = disabled

    async def _is_enabled_again(self) -> bool:
        try:
            await self._mailer.check()
        except MailDisabled as disabled:
            self.pause(disabled)
        except TemporaryFailure:
            pass  # still unreachable: keep the pause
        else:
            self._disabled = None
            log.info("e-mail is resumed")
        return self._disabled is None


def _is_outcome_unknown(error: Exception) -> bool:
    """Whether the mail server may have the e-mail; after an internal error nobody knows."""
    if isinstance(error, TemporaryFailure):
        return error.outcome_unknown
    return not isinstance(error, DeliveryError | UnusableAddress)


def _reason(error: Exception) -> str:
    """Return the reason for the row, which staff see."""
    if isinstance(error, DeliveryError | UnusableAddress):
        return str(error)
    return "an internal error of chatsvc; see its log"


# ---- on the writer thread ----


def _claim_next(tx: Transaction, policy: ClaimPolicy) -> NoticeOutcome | None:
    outcome = claims.claim_next(tx, policy)
    if outcome is not None:
        _emit(tx, outcome)
    return outcome


def _record(tx: Transaction, fn: Callable[..., NoticeOutcome], *args: object) -> None:
    _emit(tx, fn(tx, *args))


def _record_retry(tx: Transaction, *args: Any) -> NoticeOutcome:
    tx.signal(NoticeEnded("retried"))
    return claims.record_retry(tx, *args)


def _emit(tx: Transaction, outcome: NoticeOutcome) -> None:
    if outcome.ended is not None:
        tx.signal(NoticeEnded(outcome.ended))
    if outcome.chat is not None:
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(outcome.chat))


def _send_now(tx: Transaction, chat_id: str, notice_id: str) -> bool:
    chat = list_item(tx, chat_id)
    is_changed = rows.send_now(tx, chat_id, notice_id)
    if is_changed:
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(chat))
        tx.signal(NoticeDue(0))
    return is_changed


def _do_not_send(tx: Transaction, chat_id: str) -> bool:
    chat = list_item(tx, chat_id)
    is_changed = rows.do_not_send(tx, chat_id)
    if is_changed:
        tx.emit(STAFF_TOPIC, StaffChatUpdatedEvent(chat))
    return is_changed

"""SmtpMailer: hands e-mails to a mail server over one connection."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import TypeVar

import aiosmtplib
from aiosmtplib import SMTPResponse

from chatsvc.mail.mailer import DeliveryError, MailDisabled, Rejected, TemporaryFailure
from chatsvc.mail.server import (
    INVALID_RESPONSE,
    NOT_SMTP,
    MailServer,
    StartTlsMissing,
    advice,
    connect,
    describe,
    disconnect,
    hang_up,
    lacks_login,
    reply,
)

T = TypeVar("T")

MAIL_LIMIT_S = 60.0  # for a whole e-mail: trickling bytes would never exceed a limit per read
RESET_LIMIT_S = 5.0  # for RSET after a refusal; without it the connection is dropped
REASON_MAX_CHARS = 300  # of a server's response
ACCEPTED = range(200, 300)
CLOSING = 421  # the server closes the connection after it
LOGIN_WANTED = (530, 535, 538)
# Enhanced status codes (RFC 3463): x.1.x is about the recipient's address, x.7.x about policy.
_ABOUT_ADDRESS, _ABOUT_POLICY = re.compile(r"\d{3} 5\.1\."), re.compile(r"\d{3} 5\.7\.")


class SmtpMailer:
    """Sends over one connection, which is kept while there is more to send.

    `limit_s` covers one e-mail from connecting to the final response. `greeting_limit_s`, if
    given, is a shorter one for the server's greeting.
    """

    def __init__(
        self,
        server: MailServer,
        limit_s: float = MAIL_LIMIT_S,
        *,
        greeting_limit_s: float | None = None,
    ) -> None:
        self._server, self._limit_s, self._greeting_limit_s = server, limit_s, greeting_limit_s
        self._in_use = asyncio.Lock()  # held while the connection is in use
        self._smtp: aiosmtplib.SMTP | None = None
        self._limit: asyncio.Timeout | None = None  # the time limit of the current operation
        self._sender = self._recipient = ""  # of the last e-mail
        self._content_begun = False

    @property
    def destination(self) -> str:
        return f"e-mails go to {self._server}"

    async def send(self, message: EmailMessage) -> str:
        policy = message.policy.clone(linesep="\r\n")
        content = await asyncio.to_thread(message.as_bytes, policy=policy)
        (sender,), (recipient,) = message["From"].addresses, message["To"].addresses

        async def work() -> str:
            self._sender, self._recipient = sender.addr_spec, recipient.addr_spec
            return await self._send(content)

        return await self._run(work)

    async def check(self) -> None:
        await self._run(self._check)

    async def idle(self) -> None:
        async with self._in_use:
            smtp, self._smtp = self._smtp, None
            if smtp is not None:
                await hang_up(smtp)

    def abort(self) -> None:
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        self.abort()
        self._drop()
        await asyncio.sleep(0)  # asyncio closes the socket in the next round of the loop

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` within the limit. The connection is dropped unless its state is known."""
        async with self._in_use:
            self._content_begun = False
            try:
                async with self._within(self._limit_s):
                    return await work()
            except TimeoutError as error:  # every other timeout has already become a DeliveryError
                self._drop()
                raise TemporaryFailure(
                    self._redact(f"cut off after {self._limit_s:.0f} s at most"),
                    outcome_unknown=self._content_begun,
                ) from error
            except DeliveryError:
                await self._reset()
                raise
            except BaseException:
                self._drop()
                raise

    @asynccontextmanager
    async def _within(self, limit_s: float) -> AsyncIterator[None]:
        """Limit a block to `limit_s`; `abort` ends it earlier."""
        async with asyncio.timeout(limit_s) as self._limit:
            try:
                yield
            finally:
                self._limit = None

    async def _send(self, content: bytes) -> str:
        """Send on the kept connection, or once more on a new one if the server had closed it."""
        if self._smtp is not None:
            try:
                return await self._hand_over(self._smtp, content)
            except TemporaryFailure as error:
                if self._smtp is not None or error.outcome_unknown:
                    raise
        return await self._hand_over(await self._connected(), content)

    async def _check(self) -> None:
        """Connect, and run an e-mail's commands up to MAIL FROM if a sender is known."""
        smtp = await self._connected()
        if self._sender:
            await self._response(smtp.mail(self._sender), about="sender")
            await self._reset()

    async def _hand_over(self, smtp: aiosmtplib.SMTP, content: bytes) -> str:
        await self._response(smtp.mail(self._sender), about="sender")
        await self._response(smtp.rcpt(self._recipient), about="recipient")
        self._content_begun = True
        return await self._response(smtp.data(content), about="content")

    async def _response(self, command: Awaitable[SMTPResponse], *, about: str) -> str:
        """Return the server's positive response. Raises a DeliveryError for any other."""
        try:
            code, text = await command
        except aiosmtplib.SMTPResponseException as error:
            code, text = error.code, error.message
            if code in ACCEPTED and about == "content":  # an unexpected 2xx instead of 354 or 250
                raise self._lost(reply(code, text)) from error
        except (OSError, aiosmtplib.SMTPException) as error:
            raise self._lost(describe(error)) from error
        if code == INVALID_RESPONSE:
            raise self._lost(NOT_SMTP)
        if code == CLOSING:
            self._drop()
        if code in ACCEPTED:
            return self._redact(reply(code, text))
        raise self._refusal(code, reply(code, text), about)

    def _lost(self, text: str) -> TemporaryFailure:
        self._drop()
        return TemporaryFailure(self._redact(text), outcome_unknown=self._content_begun)

    def _refusal(self, code: int, response: str, about: str) -> DeliveryError:
        """Return the error for a negative response: one of this e-mail, or one of all e-mails."""
        reason = self._redact(response)
        if code < 500 or (code in LOGIN_WANTED and about != "sender"):
            # A server may require a login only for some recipients; the others still get e-mails.
            return TemporaryFailure(reason)
        if code in LOGIN_WANTED:
            change = (
                "set user and password in CHATSVC_SMTP_URL, smtp://user:password@host:587, "
                "without ?tls=off"
            )
            return MailDisabled("the mail server requires another login", reason, change)
        if about == "sender":
            change = (
                f"set CHATSVC_MAIL_FROM, now {self._sender}, to an address that this server "
                "accepts as a sender"
            )
            return MailDisabled("the mail server refuses the sender, MAIL_FROM", reason, change)
        bad_address = about == "recipient" and not _ABOUT_POLICY.match(response)
        return Rejected(reason, bad_address=bad_address or bool(_ABOUT_ADDRESS.match(response)))

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._smtp is None:
            try:
                self._smtp = await connect(self._server, greeting_limit_s=self._greeting_limit_s)
            except (OSError, aiosmtplib.SMTPException) as error:
                raise self._connect_failure(error) from error
        return self._smtp

    def _connect_failure(self, error: Exception) -> DeliveryError:
        """Return the error for a failed connection: a temporary failure, or one of all e-mails."""
        text, change = self._redact(describe(error)), advice(self._server, error)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
            return MailDisabled("the mail server refuses user and password", text, change)
        if lacks_login(error) or isinstance(error, StartTlsMissing):
            headline = "the mail server does not offer what SMTP_URL asks for"
            return MailDisabled(headline, text, change)
        if isinstance(error, ssl.SSLError) and not isinstance(
            error, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return MailDisabled("the mail server cannot be trusted: TLS", text, change)
        return TemporaryFailure(text, change, unreachable=True)

    def _redact(self, text: str) -> str:
        """Return a text for logs and staff, without the recipient's address."""
        if self._recipient:
            text = re.sub(re.escape(self._recipient), "…", text, flags=re.IGNORECASE)
        return f"{self._server}: {text}"[:REASON_MAX_CHARS]

    async def _reset(self) -> None:
        """Make the connection ready for another e-mail, or drop it."""
        try:
            async with self._within(RESET_LIMIT_S):
                if self._smtp is not None:
                    await self._smtp.rset()
        except (OSError, aiosmtplib.SMTPException):
            self._drop()

    def _drop(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            disconnect(smtp)

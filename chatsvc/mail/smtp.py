"""Mailers: SmtpMailer on its own thread, FolderMailer where no mail server is configured."""

import asyncio
import os
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from chatsvc.config.config import Config
from chatsvc.mail.mailer import DeliveryError, Mailer, NotNow, Refused, Unusable
from chatsvc.mail.server import MailServer, NoStartTls, advice, connect, reason, reply

T = TypeVar("T")

MAIL_LIMIT_S = 60.0  # for one e-mail, all in all: smtplib's own limit is for each read, and a server that drips never meets it
REASON_MAX_CHARS = 300  # of what a server says
ACCEPTED = range(200, 300)
CLOSING = 421  # the server hangs up after it
LOGIN_WANTED = (530, 535, 538)
# Enhanced status codes (RFC 3463): x.1.x is about the recipient's address, x.7.x about what the server allows us.
_ABOUT_ADDRESS, _ABOUT_POLICY = re.compile(r"\d{3} 5\.1\."), re.compile(r"\d{3} 5\.7\.")


def mailer_of(config: Config, *, greeting_limit_s: float | None = None) -> Mailer:
    if config.smtp_url is None:
        return FolderMailer(config.data_dir / "mail")
    return SmtpMailer(MailServer.of(config.smtp_url), greeting_limit_s=greeting_limit_s)


class FolderMailer:
    """Writes each e-mail into a folder, as an .eml file whose name is made of the Message-ID: the same one again is the same file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        return f"e-mails are written to {self._folder} and reach nobody: no SMTP_URL is set"

    async def send(self, compose: Callable[[], EmailMessage]) -> str:
        return await asyncio.to_thread(self._write, compose)

    async def check(self) -> None: ...

    async def rest(self) -> None: ...

    def cut(self) -> None: ...

    async def close(self) -> None: ...

    def _write(self, compose: Callable[[], EmailMessage]) -> str:
        message = compose()
        name = re.sub(r"[^\w.-]", "_", str(message["Message-ID"]).strip("<>").partition("@")[0])
        file, unfinished = self._folder / f"{name}.eml", self._folder / f".{name}.{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_bytes(message.as_bytes())
            unfinished.replace(file)
        except OSError as error:
            raise NotNow(f"{self._folder}: {reason(error)}") from error
        return f"written to {file}"


class SmtpMailer:
    """One connection on one thread of its own; it is kept while there is more to send. A slow mail server delays e-mails and nothing else.

    `limit_s` is for an e-mail, all in all; a server's greeting may have a shorter one.
    """

    def __init__(
        self,
        server: MailServer,
        limit_s: float = MAIL_LIMIT_S,
        *,
        greeting_limit_s: float | None = None,
    ) -> None:
        self._server, self._limit_s, self._greeting_limit_s = server, limit_s, greeting_limit_s
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._smtp: smtplib.SMTP | None = None
        self._wire: socket.socket | None = (
            None  # the connection below any TLS, to cut it from the loop
        )
        self._is_cut = False
        self._sender = self._recipient = ""  # of the last e-mail

    @property
    def where(self) -> str:
        return f"e-mails go to {self._server}"

    async def send(self, compose: Callable[[], EmailMessage]) -> str:
        return await self._run(lambda: self._send(compose()))

    async def check(self) -> None:
        await self._run(self._try)

    async def rest(self) -> None:
        await self._run(self._hang_up)

    def cut(self) -> None:
        self._is_cut = True
        wire = self._wire
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        self.cut()
        self._jobs.put(None)

    async def _run(self, work: Callable[[], T]) -> T:
        """Runs `work` on the mail thread and cuts the connection when its time is over."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(lambda: _settle(loop, done, work))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mail", daemon=True)
            self._thread.start()
        self._is_cut = False
        limit = loop.call_later(self._limit_s, self.cut)
        try:
            return await done
        finally:
            limit.cancel()

    # ---- on the mail thread ----

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._drop()

    def _send(self, message: EmailMessage) -> str:
        """On the connection that is open; on a new one, once, if the server has closed that meanwhile."""
        if self._smtp is not None:
            try:
                return self._hand_over(self._smtp, message)
            except NotNow as error:
                if self._smtp is not None or error.may_be_out or self._is_cut:
                    raise
        return self._hand_over(self._connected(), message)

    def _try(self) -> None:
        """As far as an e-mail goes before its recipient is named."""
        smtp = self._connected()
        try:
            if self._sender:
                self._check(*smtp.mail(self._sender), about="sender")
        except OSError as error:
            self._drop()
            raise NotNow(self._said(reason(error))) from error
        finally:
            self._reset()

    def _hand_over(self, smtp: smtplib.SMTP, message: EmailMessage) -> str:
        begun = False
        (sender,), (recipient,) = message["From"].addresses, message["To"].addresses
        self._sender, self._recipient = sender.addr_spec, recipient.addr_spec
        try:
            self._check(*smtp.mail(self._sender), about="sender")
            self._check(*smtp.rcpt(self._recipient), about="recipient")
            begun = True
            return self._check(
                *_data(smtp, message.as_bytes(policy=message.policy.clone(linesep="\r\n"))),
                about="content",
            )
        except OSError as error:  # smtplib's exceptions too
            self._drop()
            raise NotNow(self._said(reason(error)), may_be_out=begun) from error
        except DeliveryError:
            self._reset()
            raise

    def _check(self, code: int, text: bytes, *, about: str) -> str:
        """The server's answer, if it is a yes. Raises NotNow, Refused, Unusable."""
        answer = reply(code, text)
        said = self._said(answer)
        if code in ACCEPTED:
            return said
        if code == CLOSING:
            self._drop()
        if code < 500 or (code in LOGIN_WANTED and about != "sender"):
            raise NotNow(
                said
            )  # a login that only some recipients need is no reason to hold up the others
        if code in LOGIN_WANTED:
            change = "give user and password in CHATSVC_SMTP_URL, smtp://user:password@host:587, and no ?tls=off"
            raise Unusable("the mail server wants another login", said, change)
        if about == "sender":
            change = f"set CHATSVC_MAIL_FROM, now {self._sender}, to an address from which this server takes e-mails"
            raise Unusable("the mail server refuses the sender, MAIL_FROM", said, change)
        known_bad = about == "recipient" and not _ABOUT_POLICY.match(answer)
        raise Refused(said, address=known_bad or _ABOUT_ADDRESS.match(answer) is not None)

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            try:
                # each step may take longer than all of them: it is `cut` that ends an e-mail, and says so
                self._smtp = connect(
                    self._server,
                    2 * self._limit_s,
                    self._opened,
                    greeting_limit_s=self._greeting_limit_s,
                )
            except Exception as error:
                self._drop()
                raise self._no_connection(error) from error
        return self._smtp

    def _opened(self, connection: socket.socket) -> None:
        self._wire = connection.dup()
        if self._is_cut:
            raise TimeoutError

    def _no_connection(self, error: Exception) -> Exception:
        """What it means for the queue that no connection could be made."""
        said, change = self._said(reason(error)), advice(self._server, error)
        if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:
            return Unusable("the mail server refuses user and password", said, change)
        no_login = type(error) is smtplib.SMTPException  # "no suitable authentication method"
        if no_login or isinstance(error, NoStartTls | smtplib.SMTPNotSupportedError):
            return Unusable("the mail server does not offer what SMTP_URL asks for", said, change)
        if isinstance(error, ssl.SSLError) and not isinstance(
            error, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return Unusable("the mail server cannot be trusted: TLS", said, change)
        return NotNow(said, change, nobody_there=True) if isinstance(error, OSError) else error

    def _said(self, text: str) -> str:
        """For logs and staff: no address of a user in it."""
        text = f"cut off after {self._limit_s:.0f} s at most" if self._is_cut else text
        text = (
            re.sub(re.escape(self._recipient), "…", text, flags=re.IGNORECASE)
            if self._recipient
            else text
        )
        return f"{self._server}: {text}"[:REASON_MAX_CHARS]

    def _reset(self) -> None:
        """Ready for another e-mail on the same connection, or none."""
        try:
            if self._smtp is not None and self._smtp.rset()[0] not in ACCEPTED:
                self._drop()
        except OSError:
            self._drop()

    def _hang_up(self) -> None:
        if self._smtp is not None:
            with suppress(OSError):
                self._smtp.quit()
        self._drop()

    def _drop(self) -> None:
        smtp, wire, self._smtp, self._wire = self._smtp, self._wire, None, None
        for each in (smtp, wire):
            if each is not None:
                each.close()


def _data(smtp: smtplib.SMTP, content: bytes) -> tuple[int, bytes]:
    """DATA and the answer to it, a refusal to see the content too."""
    try:
        return smtp.data(content)
    except smtplib.SMTPDataError as error:
        text = error.smtp_error
        return error.smtp_code, text if isinstance(text, bytes) else text.encode()


def _settle(
    loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]", work: Callable[[], Any]
) -> None:
    """Runs `work` and brings its end to the loop, if that is still there and somebody waits."""
    try:
        result, error = work(), None
    except Exception as caught:
        result, error = None, caught

    def deliver() -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    with suppress(RuntimeError):
        loop.call_soon_threadsafe(deliver)

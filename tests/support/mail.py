"""A real mail server (aiosmtpd) that does as it is told, well or badly."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from tests.support.closing import next_turns
from tests.support.ports import reserve_port

DRIP_S = 0.1  # between two bytes of a server that drips
FINE = "250 2.0.0 taken"


class _Smtp(SMTP):
    """Writes its answers as its owner says: at once, or byte by byte."""

    owner: "MailServer"

    async def push(self, status: Any) -> None:
        if not self.owner.drips:
            await super().push(status)
            return
        text = status if isinstance(status, bytes) else status.encode()
        for position in range(len(text)):
            self._writer.write(text[position : position + 1])
            await asyncio.sleep(DRIP_S)
        await super().push(b"")


class MailServer(Controller):
    """`answers` say what it answers to MAIL, RCPT and DATA; what it took is in `mails`, whatever it answered to DATA in `seen`."""

    def __init__(self, **options: Any) -> None:
        self.mails: list[EmailMessage] = []
        self.seen: list[EmailMessage] = []
        self.times: list[float] = []  # monotonic, of `mails`
        self.answers: dict[str, str] = {}
        self.password = b"right"
        self.pause_s = 0.0  # before the answer to DATA
        self.hangs_up = False  # after DATA, without an answer, having taken the e-mail
        self.drips = False
        self.connections = 0
        self.open: list[_Smtp] = []
        self.go_on = threading.Event()
        self.go_on.set()  # clear it to hold the answer to DATA back
        options = {"auth_require_tls": False, "port": reserve_port(), **options}
        super().__init__(self, hostname="127.0.0.1", authenticator=self._authenticate, **options)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=off"

    def factory(self) -> SMTP:
        server = _Smtp(self.handler, **self.SMTP_kwargs)
        server.owner = self
        self.connections += 1
        self.open.append(server)
        return server

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        return AuthResult(
            success=(data.login, data.password) == (b"me", self.password), handled=False
        )

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        answer = self.answers.get("MAIL", "250 2.1.0 fine")
        if answer.startswith("250"):
            envelope.mail_from = address
        return answer

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        answer = self.answers.get(address, self.answers.get("RCPT", "250 2.1.5 fine"))
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=SMTP_POLICY)
        assert isinstance(message, EmailMessage)
        self.seen.append(message)
        deadline = time.monotonic() + 20
        while not self.go_on.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110 -- another thread
            await asyncio.sleep(0.005)
        await asyncio.sleep(self.pause_s)
        answer = self.answers.get("DATA", FINE)
        if answer.startswith("250"):
            self.times.append(time.monotonic())
            self.mails.append(message)
        if self.hangs_up:
            server.transport.abort()
        return answer

    def close_all(self) -> None:
        """Hangs up on everybody."""
        asyncio.run_coroutine_threadsafe(self._abort_all(), self.loop).result(5)

    async def _abort_all(self) -> None:
        for smtp in self.open:
            if isinstance(smtp.transport, asyncio.WriteTransport):
                smtp.transport.abort()  # `close` would wait for the client's end of TLS
        await next_turns()

    def stop(self, no_assert: bool = False) -> None:
        """Accept nobody, hang up on everybody, end the thread."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(5)
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        assert self.server is not None
        self.server.close()
        await next_turns()
        await self._abort_all()

    @property
    def message_ids(self) -> list[str]:
        """Of what it took, in the order of taking."""
        return [str(message["Message-ID"]) for message in self.mails]


@contextmanager
def mail_server(**options: Any) -> Iterator[MailServer]:
    """A running one. aiosmtpd's own log is off: it complains about what clients do."""
    logger = logging.getLogger("mail.log")
    was_disabled, logger.disabled = logger.disabled, True
    server = MailServer(**options)
    server.start()
    server.connections = 0  # the controller tries it out
    try:
        yield server
    finally:
        server.go_on.set()
        server.stop()
        logger.disabled = was_disabled


def told(server: MailServer, number: int = -1) -> list[str]:
    """Which of the contents "m1", "m2", … an e-mail tells."""
    return [f"m{seq}" for seq in told_in(server.mails[number])]


def told_in(message: EmailMessage) -> list[int]:
    body = message.get_body(("plain",))
    assert body is not None
    return [
        int(word[1:])
        for word in body.get_content().split()
        if word[0] == "m" and word[1:].isdigit()
    ]

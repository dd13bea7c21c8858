"""Mailers: what each answer of a mail server means, how long one may take, whom it is trusted to be."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from chatsvc.mail.factory import make_mailer
from chatsvc.mail.folder import FolderMailer
from chatsvc.mail.mailer import DeliveryError, MailDisabled, Rejected, TemporaryFailure
from chatsvc.mail.server import MailServer as Address
from chatsvc.mail.smtp import SmtpMailer
from tests.support.certificate import Certificate
from tests.support.mail import FINE, MailServer, mail_server
from tests.support.ports import reserve_port
from tests.support.service import make_config


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def mail(to: str = "alice@example.com", message_id: str = "<one@chat.example>") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = (
        "Chat <chat@example.com>",
        f"Alice <{to}>",
        message_id,
    )
    message.set_content("a line\n.\n..and dots\n")
    return message


@asynccontextmanager
async def mailer_to(url: str, limit_s: float = 10.0) -> AsyncIterator[SmtpMailer]:
    mailer = SmtpMailer(Address.from_url(url), limit_s)
    try:
        yield mailer
    finally:
        await mailer.idle()
        await mailer.close()


async def refusal(mailer: SmtpMailer, **options: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await mailer.send(mail(**options))
    return raised.value


async def test_it_is_handed_over_as_it_was_written(server: MailServer) -> None:
    async with mailer_to(server.url) as mailer:
        assert await mailer.send(mail()) == f"127.0.0.1 port {server.port}: {FINE}"
    [taken] = server.mails
    assert (taken["From"], taken["To"], taken["Message-ID"]) == (
        "Chat <chat@example.com>",
        "Alice <alice@example.com>",
        "<one@chat.example>",
    )
    assert taken.get_content().replace("\r\n", "\n") == "a line\n.\n..and dots\n"


NOT_NOW, GONE_OUT = (
    (TemporaryFailure, {"outcome_unknown": False}),
    (TemporaryFailure, {"outcome_unknown": True}),
)
REFUSED, BAD_ADDRESS = (Rejected, {"bad_address": False}), (Rejected, {"bad_address": True})
UNUSABLE: tuple[type[DeliveryError], dict[str, Any]] = (MailDisabled, {})


@pytest.mark.parametrize(
    ("step", "answer", "meaning"),
    [
        ("MAIL", "451 4.3.0 busy", NOT_NOW),
        ("MAIL", "421 4.3.2 too many connections", NOT_NOW),
        ("MAIL", "550 5.7.1 this sender may not", UNUSABLE),
        ("MAIL", "530 5.7.0 log in first", UNUSABLE),
        ("RCPT", "450 4.2.1 greylisted", NOT_NOW),
        ("RCPT", "530 5.7.0 log in to send elsewhere", NOT_NOW),
        ("RCPT", "550 no such user", BAD_ADDRESS),
        ("RCPT", "550 5.1.1 <alice@example.com>: Alice@example.com is unknown", BAD_ADDRESS),
        ("RCPT", "550 5.7.1 relaying denied", REFUSED),
        ("DATA", "452 4.3.1 no space", NOT_NOW),
        ("DATA", "421 4.3.2 shutting down", NOT_NOW),
        ("DATA", "554 5.6.0 not this content", REFUSED),
        ("DATA", "550 5.1.1 unknown after all", BAD_ADDRESS),
    ],
)
async def test_each_answer_has_one_meaning_and_the_next_e_mail_is_not_hurt(
    server: MailServer, step: str, answer: str, meaning: tuple[type[DeliveryError], dict[str, Any]]
) -> None:
    async with mailer_to(server.url) as mailer:
        server.answers[step] = answer
        error = await refusal(mailer)
        assert (type(error), {name: getattr(error, name) for name in meaning[1]}) == meaning
        assert answer[:9] in str(error) and "alice@" not in str(error).lower()
        server.answers.clear()
        await mailer.send(mail())
    assert len(server.mails) == 1


async def test_a_server_that_hangs_up_after_the_content_may_have_taken_it(
    server: MailServer,
) -> None:
    async with mailer_to(server.url) as mailer:
        server.hangs_up = True
        error = await refusal(mailer)
        assert isinstance(error, TemporaryFailure) and error.outcome_unknown
        assert len(server.mails) == 1  # it did


async def test_a_kept_connection_that_the_server_has_closed_costs_nothing(
    server: MailServer,
) -> None:
    async with mailer_to(server.url) as mailer:
        for number in range(3):
            await mailer.send(mail(message_id=f"<{number}@chat.example>"))
        assert server.connections == 1
        server.close_all()
        await mailer.send(mail(message_id="<3@chat.example>"))
    assert server.message_ids == [f"<{number}@chat.example>" for number in range(4)]
    assert server.connections == 2


@pytest.mark.parametrize(
    ("role", "outcome_unknown"), [("drips", False), ("hold", True), ("silent", False)]
)
async def test_one_limit_holds_for_the_whole_of_an_e_mail(
    server: MailServer, role: str, outcome_unknown: bool
) -> None:
    """A limit for each read would never end this: a server that sends a byte every now and then never meets it."""
    limit_s = 1.0
    server.drips = role == "drips"
    if role == "hold":
        server.go_on.clear()
    url = server.url
    silent = socket.create_server(
        ("127.0.0.1", 0)
    )  # the kernel accepts, and nobody answers the TLS handshake
    if role == "silent":
        url = f"smtps://127.0.0.1:{silent.getsockname()[1]}"
    async with mailer_to(url, limit_s) as mailer:
        began = time.monotonic()
        error = await refusal(mailer)
        assert limit_s - 0.1 < time.monotonic() - began < limit_s + 5
        assert isinstance(error, TemporaryFailure) and error.outcome_unknown is outcome_unknown, (
            error
        )
        assert "cut off" in str(error)
    silent.close()


@pytest.mark.parametrize(("user", "headline"), [("me:wr%40ng@", "user and password"), ("", None)])
async def test_a_login_that_is_refused_makes_the_server_unusable(
    server: MailServer, user: str, headline: str | None
) -> None:
    async with mailer_to(server.url.replace("//", f"//{user}")) as mailer:
        if headline is None:
            await mailer.check()
            return
        for ask in (mailer.check, lambda: mailer.send(mail())):
            with pytest.raises(MailDisabled) as raised:
                await ask()
            assert headline in raised.value.headline and "535" in str(raised.value)
            assert "wr@ng" not in repr(raised.value) and "wr%40ng" not in repr(raised.value)


async def test_a_server_that_is_not_there_is_asked_again_later() -> None:
    async with mailer_to(f"smtp://127.0.0.1:{reserve_port()}") as mailer:
        error = await refusal(mailer)
        assert (
            isinstance(error, TemporaryFailure)
            and not error.outcome_unknown
            and "Connection refused" in str(error)
        )


async def test_without_tls_only_when_told_so(server: MailServer) -> None:
    async with mailer_to(f"smtp://127.0.0.1:{server.port}") as mailer:
        assert isinstance(await refusal(mailer), MailDisabled)
    assert server.seen == []


@pytest.mark.parametrize(("scheme", "door"), [("smtp", "tls_context"), ("smtps", "ssl_context")])
async def test_a_certificate_is_checked(
    tmp_path: Path,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    door: str,
) -> None:
    with mail_server(**{door: certificate.context()}, auth_require_tls=scheme == "smtp") as server:
        url = f"{scheme}://me:right@127.0.0.1:{server.port}"
        async with mailer_to(url) as mailer:
            error = await refusal(mailer)
            assert isinstance(error, MailDisabled) and "TLS" in error.headline
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
            await mailer.send(mail())
        assert len(server.mails) == 1


async def test_a_greeting_may_have_a_shorter_limit_than_what_follows(
    certificate: Certificate,
) -> None:
    """`test-email` said after a minute that smtp:// led to a port with TLS from the start: both sides wait for the other to speak."""
    with mail_server(ssl_context=certificate.context()) as silent, mail_server() as slow:
        slow.pause_s = 1.2
        mailers = [
            SmtpMailer(Address.from_url(one.url), greeting_limit_s=1.0) for one in (silent, slow)
        ]
        began = time.monotonic()
        error = await refusal(mailers[0])
        assert (
            isinstance(error, TemporaryFailure)
            and str(error) == f"127.0.0.1 port {silent.port}: no response in time"
        )
        assert "use smtps://" in error.advice and time.monotonic() - began < 10
        assert FINE in await mailers[1].send(mail())
        for mailer in mailers:
            await mailer.close()


# ---- into a folder ----


async def test_without_a_mail_server_e_mails_are_files_and_the_same_one_is_one_file(
    tmp_path: Path,
) -> None:
    mailer = make_mailer(make_config(tmp_path))
    assert isinstance(mailer, FolderMailer) and str(tmp_path / "mail") in mailer.destination
    for _ in range(2):
        said = await mailer.send(mail())
    [file] = (tmp_path / "mail").iterdir()
    assert file.name == "one.eml" and str(file) in said
    content = file.read_bytes()
    assert message_from_bytes(content)["To"] == "Alice <alice@example.com>"
    (tmp_path / "mail" / "one.eml").unlink()
    (tmp_path / "mail").rmdir()
    (tmp_path / "mail").write_text("in the way")
    with pytest.raises(TemporaryFailure):
        await mailer.send(mail())

"""Checks e-mail: connects and logs in like the mailer, and sends nothing."""

import asyncio
import ssl

import aiosmtplib

from chatsvc.config.config import Config
from chatsvc.doctor.environment import is_local
from chatsvc.doctor.finding import Finding, fail, ok, warn
from chatsvc.mail.server import MailServer, StartTlsMissing, advice, connect, describe, hang_up

SMTP_LIMIT_S = 20.0  # from connecting to the login; two addresses may each take CONNECT_LIMIT_S
ABOUT = "SMTP"


def check(config: Config, *, limit_s: float = SMTP_LIMIT_S) -> Finding:
    if config.smtp_url is not None:
        # asyncio.run would replace the current loop of the thread.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(_try(MailServer.from_url(config.smtp_url), limit_s))
    found = f"SMTP_URL is not set: e-mails are only written to {config.data_dir / 'mail'}"
    if is_local(config.public_url):
        return ok(ABOUT, found)
    return warn(ABOUT, found, "set CHATSVC_SMTP_URL to your mail server or provider")


async def _try(server: MailServer, limit_s: float) -> Finding:
    try:
        async with asyncio.timeout(limit_s):
            smtp = await connect(server, greeting_limit_s=limit_s / 2)
    except ssl.SSLError as error:
        return fail(ABOUT, f"{server}: no TLS: {error.reason or error}", advice(server, error))
    except StartTlsMissing as error:
        return fail(ABOUT, f"{server} offers no STARTTLS", advice(server, error))
    except aiosmtplib.SMTPAuthenticationError as error:
        found = f"{server} refuses user and password: {describe(error)}"
        return fail(ABOUT, found, advice(server, error))
    except (OSError, aiosmtplib.SMTPException) as error:
        return fail(ABOUT, f"{server} cannot be used: {describe(error)}", advice(server, error))
    await hang_up(smtp)
    return _usable(server)


def _usable(server: MailServer) -> Finding:
    how = {"off": "without TLS", "tls": "with TLS", "starttls": "with STARTTLS"}[server.tls]
    found = f"{server}, {how}, {'logged in' if server.user else 'without a login'}"
    if (
        server.tls == "off"
        and server.user
        and not is_local(f"//{f'[{server.host}]' if ':' in server.host else server.host}")
    ):
        return warn(ABOUT, f"{found}: the password is sent unencrypted", "remove ?tls=off")
    return ok(ABOUT, found)

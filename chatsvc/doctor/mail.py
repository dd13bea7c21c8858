"""The doctor on e-mail: connects and logs in as the mailer does, and sends nothing."""

import smtplib
import ssl

from chatsvc.config.config import Config
from chatsvc.doctor.environment import is_local
from chatsvc.doctor.finding import Finding, fail, ok, warn
from chatsvc.mail.server import MailServer, NoStartTls, advice, connect, reason

SMTP_LIMIT_S = 10.0  # for each step; a server that is slower is of no use
ABOUT = "SMTP"


def check(config: Config) -> Finding:
    if config.smtp_url is not None:
        return _try(MailServer.of(config.smtp_url))
    found = f"no SMTP_URL: e-mails are written to {config.data_dir / 'mail'} and reach nobody"
    if is_local(config.public_url):
        return ok(ABOUT, found)
    return warn(ABOUT, found, "set CHATSVC_SMTP_URL to your mail server or provider")


def _try(server: MailServer) -> Finding:
    try:
        with connect(server, SMTP_LIMIT_S):
            return _usable(server)
    except ssl.SSLError as error:
        return fail(ABOUT, f"{server}: no TLS: {error.reason or error}", advice(server, error))
    except NoStartTls as error:
        return fail(ABOUT, f"{server} offers no STARTTLS", advice(server, error))
    except smtplib.SMTPAuthenticationError as error:
        return fail(
            ABOUT, f"{server} refuses user and password: {reason(error)}", advice(server, error)
        )
    except OSError as error:  # smtplib's exceptions too
        return fail(ABOUT, f"{server} cannot be used: {reason(error)}", advice(server, error))


def _usable(server: MailServer) -> Finding:
    how = {"off": "without TLS", "tls": "with TLS", "starttls": "with STARTTLS"}[server.tls]
    found = f"{server}, {how}, {'logged in' if server.user else 'without a login'}"
    if (
        server.tls == "off"
        and server.user
        and not is_local(f"//{f'[{server.host}]' if ':' in server.host else server.host}")
    ):
        return warn(ABOUT, f"{found}: the password travels in the clear", "leave out ?tls=off")
    return ok(ABOUT, found)

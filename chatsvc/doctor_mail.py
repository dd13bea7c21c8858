"""The doctor on e-mail: connects and logs in as the mailer will, and sends nothing."""

import smtplib
import ssl
from urllib.parse import SplitResult, unquote, urlsplit

from chatsvc.config import Config
from chatsvc.doctor_config import is_local
from chatsvc.doctor_finding import Finding, fail, ok, warn

SMTP_LIMIT_S = 10.0  # for each step; a server that is slower is of no use
TLS_PORT, SUBMISSION_PORT, PLAIN_PORT = 465, 587, 25
ABOUT = "SMTP"


def check(config: Config) -> Finding:
    if config.smtp_url is not None:
        return _try(urlsplit(config.smtp_url))
    found = f"no SMTP_URL: e-mails are written to {config.data_dir / 'mail'} and reach nobody"
    if is_local(config.public_url):
        return ok(ABOUT, found)
    return warn(ABOUT, found, "set CHATSVC_SMTP_URL to your mail server or provider")


def _try(url: SplitResult) -> Finding:
    plain = url.query == "tls=off"
    port = url.port or (TLS_PORT if url.scheme == "smtps" else PLAIN_PORT if plain else SUBMISSION_PORT)
    place = f"{url.hostname} port {port}"
    try:
        with _connect(url, port) as smtp:
            return _log_in(smtp, url, place, plain)
    except ssl.SSLError as error:
        found = f"{place}: no TLS: {error.reason or error}"
        advice = "smtps:// is for port 465, smtp:// for 587; the host must be the name that its certificate has"
        return fail(ABOUT, found, advice)
    except (OSError, smtplib.SMTPException) as error:
        advice = "check host and port in CHATSVC_SMTP_URL, and whether this network lets it through"
        return fail(ABOUT, f"{place} cannot be used: {_reason(error)}", advice)


def _connect(url: SplitResult, port: int) -> smtplib.SMTP:
    assert url.hostname is not None
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(url.hostname, port, timeout=SMTP_LIMIT_S, context=context)
    return smtplib.SMTP(url.hostname, port, timeout=SMTP_LIMIT_S)


def _log_in(smtp: smtplib.SMTP, url: SplitResult, place: str, plain: bool) -> Finding:
    smtp.ehlo_or_helo_if_needed()
    if url.scheme == "smtp" and not plain:
        if not smtp.has_extn("starttls"):
            advice = "take smtps:// with port 465, or add ?tls=off if nobody can listen on the way there"
            return fail(ABOUT, f"{place} offers no STARTTLS", advice)
        smtp.starttls(context=ssl.create_default_context())
    if url.username and url.password:
        try:
            smtp.login(unquote(url.username), unquote(url.password))
        except smtplib.SMTPAuthenticationError as error:
            advice = "correct user and password in CHATSVC_SMTP_URL (special characters percent-encoded)"
            return fail(ABOUT, f"{place} refuses user and password: {_reason(error)}", advice)
    return _usable(url, place, plain)


def _usable(url: SplitResult, place: str, plain: bool) -> Finding:
    how = "without TLS" if plain else "with TLS" if url.scheme == "smtps" else "with STARTTLS"
    found = f"{place}, {how}, {'logged in' if url.username else 'without a login'}"
    if plain and url.username and not is_local(f"smtp://{url.netloc}"):
        return warn(ABOUT, f"{found}: the password travels in the clear", "leave out ?tls=off")
    return ok(ABOUT, found)


def _reason(error: Exception) -> str:
    """One line without the server's line breaks."""
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {' '.join(text.split())}"
    if isinstance(error, TimeoutError):
        return f"no answer within {SMTP_LIMIT_S:.0f} s"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__

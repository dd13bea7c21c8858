"""A connection to a mail server, as SMTP_URL describes it: TLS, certificate and login. Blocking; for the mailer's thread and for commands."""

import smtplib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"tls": 465, "starttls": 587, "off": 25}
CONNECT_LIMIT_S = (
    10.0  # for each address of the host, and for TLS; a server that is slower is of no use
)
GREETING_LIMIT_S = 15.0  # for who waits at a terminal; RFC 5321 gives a server 5 minutes, those that let one wait take 5 to 10 s


class NoStartTls(smtplib.SMTPException):
    """The server offers no STARTTLS, and nobody said that it may go without."""


class MailServer(NamedTuple):
    """SMTP_URL taken apart."""

    host: str
    port: int
    tls: Literal["tls", "starttls", "off"]
    user: str | None
    password: str | None

    @classmethod
    def of(cls, smtp_url: str) -> "MailServer":
        """`smtp_url` as parsers.smtp_url lets it pass."""
        url = urlsplit(smtp_url)
        tls: Literal["tls", "starttls", "off"] = (
            "tls" if url.scheme == "smtps" else "off" if url.query == "tls=off" else "starttls"
        )
        user, password = (unquote(part) if part else None for part in (url.username, url.password))
        assert url.hostname
        return cls(url.hostname, url.port or DEFAULT_PORTS[tls], tls, user, password)

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


class _Connection(smtplib.SMTP):
    """An SMTP connection that shows its socket as soon as there is one, before the TLS handshake: then it can be cut from outside."""

    def __init__(
        self,
        server: MailServer,
        greeting_limit_s: float,
        on_socket: Callable[[socket.socket], None],
    ) -> None:
        self._server, self._greeting_limit_s, self._on_socket = server, greeting_limit_s, on_socket
        super().__init__(server.host, server.port, timeout=CONNECT_LIMIT_S)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        """smtplib's own door for another kind of socket (SMTP_SSL uses it)."""
        connection = socket.create_connection((host, port), timeout)
        try:
            self._on_socket(connection)
            if self._server.tls == "tls":
                connection = ssl.create_default_context().wrap_socket(
                    connection, server_hostname=host
                )
            connection.settimeout(self._greeting_limit_s)
        except BaseException:
            connection.close()
            raise
        return connection


def connect(
    server: MailServer,
    limit_s: float,
    on_socket: Callable[[socket.socket], None] = lambda connection: None,
    *,
    greeting_limit_s: float | None = None,
) -> smtplib.SMTP:
    """Connected, with TLS if so configured, logged in. `on_socket` gets the bare connection.

    `limit_s` is for each step from then on, the server's greeting among them unless that has a limit of its own.

    Raises ssl.SSLError, NoStartTls, smtplib.SMTPAuthenticationError, other SMTPExceptions and OSErrors.
    """
    smtp = _Connection(server, greeting_limit_s or limit_s, on_socket)
    try:
        if smtp.sock is not None:
            smtp.sock.settimeout(limit_s)
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            if not smtp.has_extn("starttls"):
                raise NoStartTls("offers no STARTTLS")
            smtp.starttls(context=ssl.create_default_context())
        if server.user and server.password:
            smtp.login(server.user, server.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def advice(server: MailServer, error: Exception) -> str:
    """What to change after an error of `connect`."""
    if isinstance(error, NoStartTls):
        return "take smtps:// with port 465 in CHATSVC_SMTP_URL, or add ?tls=off if nobody can listen on the way there"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the host in CHATSVC_SMTP_URL, {server.host}, must be the name that its certificate has, and this system must know who issued it "
            "(an authority of your own: SSL_CERT_FILE)"
        )
    if isinstance(error, ssl.SSLError):
        return "in CHATSVC_SMTP_URL smtps:// is for a port with TLS from the start, 465; smtp:// is for STARTTLS, 587"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "correct user and password in CHATSVC_SMTP_URL (special characters percent-encoded)"
    if isinstance(error, smtplib.SMTPNotSupportedError) or type(error) is smtplib.SMTPException:
        return "it takes no login this way: leave user and password out of CHATSVC_SMTP_URL, or use the port for logins, 587 or 465"
    known_as = f"port {server.port} in CHATSVC_SMTP_URL, and whether this network lets it through"
    if server.tls != "tls" and isinstance(error, TimeoutError | smtplib.SMTPServerDisconnected):
        return f"take smtps:// if that port has TLS from the start, as 465 has; else check host and {known_as}"
    return f"check host and {known_as}"


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code == -1:
        return "what answers there is no mail server"
    if isinstance(error, smtplib.SMTPResponseException):
        return reply(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "no answer in time"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def reply(code: int, text: bytes | str) -> str:
    """A server's answer without its line breaks."""
    return f"{code} {' '.join((text.decode(errors='replace') if isinstance(text, bytes) else text).split())}"

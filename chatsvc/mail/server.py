"""A mail server as SMTP_URL describes it: connecting with TLS and login, and what errors mean."""

import asyncio
import os
import socket
import ssl
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import aiosmtplib

DEFAULT_PORTS = {"tls": 465, "starttls": 587, "off": 25}
CONNECT_LIMIT_S = 10.0  # for each address of the host, so that a dead IPv6 route is survived
GREETING_LIMIT_S = 15.0  # for commands: RFC 5321 allows 5 minutes, slow servers take 5 to 10 s
QUIT_LIMIT_S = 5.0  # QUIT is a courtesy
INVALID_RESPONSE = -1  # aiosmtplib's code for a response that is not SMTP
NOT_SMTP = "the response is not that of a mail server"


class StartTlsMissing(aiosmtplib.SMTPException):
    """The server does not offer STARTTLS, and SMTP_URL does not allow sending without it."""


class MailServer(NamedTuple):
    """The parts of SMTP_URL."""

    host: str
    port: int
    tls: Literal["tls", "starttls", "off"]
    user: str | None
    password: str | None

    @classmethod
    def from_url(cls, smtp_url: str) -> "MailServer":
        """Take apart a URL that `parsers.smtp_url` has accepted."""
        url = urlsplit(smtp_url)
        tls: Literal["tls", "starttls", "off"] = (
            "tls" if url.scheme == "smtps" else "off" if url.query == "tls=off" else "starttls"
        )
        user, password = (unquote(part) if part else None for part in (url.username, url.password))
        assert url.hostname
        return cls(url.hostname, url.port or DEFAULT_PORTS[tls], tls, user, password)

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


async def connect(server: MailServer, *, greeting_limit_s: float | None = None) -> aiosmtplib.SMTP:
    """Return a connection that is encrypted as configured and logged in.

    `greeting_limit_s` limits the wait for the greeting, including the TLS handshake of smtps://.
    The caller limits everything else. Raises aiosmtplib.SMTPException (StartTlsMissing,
    SMTPAuthenticationError and others) and OSError (ssl.SSLError, TimeoutError and others).
    """
    tls = None if server.tls == "off" else await asyncio.to_thread(ssl.create_default_context)
    full_name = await asyncio.to_thread(socket.getfqdn)
    connection = await _open_socket(server)
    smtp = aiosmtplib.SMTP(
        hostname=server.host,
        sock=connection,
        local_hostname=full_name if "." in full_name else _address_literal(connection),
        use_tls=server.tls == "tls",
        # _secure_and_log_in insists on STARTTLS; here a missing one would be a generic error
        start_tls=False,
        tls_context=tls,
        timeout=None,  # one limit covers the whole e-mail, not each read
    )
    try:
        async with asyncio.timeout(greeting_limit_s):
            await smtp.connect()
        await _secure_and_log_in(smtp, server)
    except aiosmtplib.SMTPConnectError as error:
        disconnect(smtp)
        raise error.__cause__ or error from None
    except BaseException:
        disconnect(smtp)
        raise
    return smtp


async def _open_socket(server: MailServer) -> socket.socket:
    """Connect to the first of the host's addresses that answers."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{server.host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        server.host, server.port, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


def _address_literal(connection: socket.socket) -> str:
    """How a host without a full name introduces itself (RFC 5321, 4.1.3)."""
    address = connection.getsockname()[0]
    return f"[IPv6:{address}]" if connection.family == socket.AF_INET6 else f"[{address}]"


async def _secure_and_log_in(smtp: aiosmtplib.SMTP, server: MailServer) -> None:
    if server.tls == "starttls":
        try:
            await smtp.starttls()
        except aiosmtplib.SMTPException as error:
            if type(error) is aiosmtplib.SMTPException:  # every other failure has a class
                raise StartTlsMissing("offers no STARTTLS") from None
            raise
    try:  # greet now, so that a rejected EHLO is not mistaken for a rejected sender
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError:
        await smtp.helo()
    if server.user and server.password:
        await smtp.login(server.user, server.password)


def disconnect(smtp: aiosmtplib.SMTP) -> None:
    """Drop a connection at once, whatever is still unsent."""
    transport = smtp.transport
    smtp.close()
    _abort(transport)


async def hang_up(smtp: aiosmtplib.SMTP) -> None:
    """End a connection as RFC 5321 requires, or drop it."""
    transport = smtp.transport  # QUIT makes `smtp` forget it
    try:
        async with asyncio.timeout(QUIT_LIMIT_S):
            await smtp.quit()
    except (OSError, aiosmtplib.SMTPException):
        pass
    finally:
        smtp.close()
        _abort(transport)


def _abort(transport: asyncio.BaseTransport | None) -> None:
    """Close a socket now: `close` would wait for a peer that reads nothing or ends no TLS."""
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def advice(server: MailServer, error: Exception) -> str:
    """Say what to change after an error of `connect`."""
    if isinstance(error, StartTlsMissing):
        return (
            "use smtps:// with port 465 in CHATSVC_SMTP_URL, or add ?tls=off if nobody can listen "
            "on the way there"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the host in CHATSVC_SMTP_URL, {server.host}, must be the name in the server's "
            "certificate, and this system must trust its issuer (for a private CA, set "
            "SSL_CERT_FILE)"
        )
    if isinstance(error, ssl.SSLError):
        return (
            "in CHATSVC_SMTP_URL smtps:// is for a port with TLS from the start, such as 465; "
            "smtp:// is for STARTTLS, such as 587"
        )
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return "correct user and password in CHATSVC_SMTP_URL (special characters percent-encoded)"
    if lacks_login(error):
        return (
            "this server does not support this login: remove user and password from "
            "CHATSVC_SMTP_URL, or use its port for logins, 587 or 465"
        )
    port = f"port {server.port} in CHATSVC_SMTP_URL, and whether this network lets it through"
    if server.tls != "tls" and isinstance(error, TimeoutError | aiosmtplib.SMTPServerDisconnected):
        return f"use smtps:// if that port requires TLS, as 465 does; else check host and {port}"
    return f"check host and {port}"


def lacks_login(error: Exception) -> bool:
    """Whether the server supports no login, or none of the methods known here."""
    return type(error) is aiosmtplib.SMTPException  # aiosmtplib has no class for it


def describe(error: Exception) -> str:
    """Say what went wrong in one line."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if error.code == INVALID_RESPONSE:
            return NOT_SMTP
        return reply(error.code, error.message)
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return "the server closed the connection"
    if isinstance(error, TimeoutError):
        return "no response in time"
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own text repeats the address
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__


def reply(code: int, text: str) -> str:
    """Return a server's response in one line."""
    return f"{code} {' '.join(text.split())}"

"""The doctor on options: wrong ones stop every command, so these are the risky ones."""

import ipaddress
import os
import resource
from collections.abc import Iterator
from email.utils import parseaddr
from urllib.parse import urlsplit

from chatsvc.app import DESCRIPTORS_RESERVED
from chatsvc.config.config import Config
from chatsvc.doctor.finding import Finding, fail, ok, warn

STREAMS_WANTED = (
    1_000  # a small site on a busy day; the usual limit of a login shell, 1024, is below it
)


def check(config: Config) -> Iterator[Finding]:
    for one in (public_url, proxies, origins, demo, data_dir, mail_from, chat_page):
        yield one(config)


def is_local(url: str) -> bool:
    """Whether only this machine can mean it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def public_url(config: Config) -> Finding:
    url = config.public_url
    if urlsplit(url).port == 0:
        return warn(
            "PUBLIC_URL",
            "the port is not known before the start",
            "set CHATSVC_PORT or CHATSVC_PUBLIC_URL",
        )
    if url.startswith("https:") or is_local(url):
        return ok("PUBLIC_URL", url)
    return warn(
        "PUBLIC_URL",
        f"{url} is not encrypted: everybody on the way can read tokens, cookies and messages",
        "put a proxy with TLS in front and set CHATSVC_PUBLIC_URL=https://…",
    )


def proxies(config: Config) -> Finding:
    """This service speaks no TLS: https means that a proxy stands in front."""
    if config.trusted_proxies:
        return ok("TRUSTED_PROXIES", ", ".join(config.trusted_proxies))
    if config.public_url.startswith("https:"):
        return warn(
            "TRUSTED_PROXIES",
            "none, so that all users seem to come from the proxy's address and share its limits",
            "set CHATSVC_TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1",
        )
    return ok("TRUSTED_PROXIES", "none, and PUBLIC_URL leads here directly")


def origins(config: Config) -> Finding:
    if config.allowed_origins:
        return ok("ALLOWED_ORIGINS", ", ".join(config.allowed_origins))
    if config.demo:
        return ok("ALLOWED_ORIGINS", "none; the demo page needs none")
    return warn(
        "ALLOWED_ORIGINS",
        "none: the widget works in pages of PUBLIC_URL only",
        "set CHATSVC_ALLOWED_ORIGINS to the origins of the pages that embed it, such as https://www.example.com",
    )


def demo(config: Config) -> Finding:
    if not config.demo:
        return ok("DEMO", "off")
    found = "on: everybody can get a token of its users at /demo"
    advice = "set CHATSVC_DEMO=off for anything but trying out"
    return (
        warn("DEMO", found, advice) if is_local(config.public_url) else fail("DEMO", found, advice)
    )


def data_dir(config: Config) -> Finding:
    """Asks the system rather than writing; the embedded PostgreSQL is a check of its own."""
    folder = config.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ok(
            "DATA_DIR",
            str(folder) if existing == folder else f"{folder}, which the first start makes",
        )
    problem = (
        f"{existing} cannot be written by this account"
        if existing.is_dir()
        else f"{existing} is not a folder"
    )
    return fail("DATA_DIR", problem, "set CHATSVC_DATA_DIR to a folder that it may write")


def mail_from(config: Config) -> Finding:
    domain = parseaddr(config.mail_from)[1].rpartition("@")[2]
    if config.smtp_url is None or "." in domain:
        return ok("MAIL_FROM", config.mail_from)
    return warn(
        "MAIL_FROM",
        f"{config.mail_from} has no domain of the internet: mail servers refuse it or take it for spam",
        "set CHATSVC_MAIL_FROM to an address that your mail server may send from",
    )


def chat_page(config: Config) -> Finding:
    if config.chat_page_url != config.public_url or config.smtp_url is None:
        return ok("CHAT_PAGE_URL", config.chat_page_url)
    return warn(
        "CHAT_PAGE_URL",
        "not set: e-mails lead back to PUBLIC_URL, where there is no page with the widget",
        "set CHATSVC_CHAT_PAGE_URL to a page that has it",
    )


def descriptors(limit: int | None = None) -> Finding:
    """`limit` is what the system allows this process; the service takes all of it."""
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return ok("file descriptors", "no limit")
    streams = max(0, limit - DESCRIPTORS_RESERVED)
    found = f"{limit} for this account here, room for {streams} open streams"
    advice = "raise it: LimitNOFILE=65536 in the unit file, or `ulimit -Hn 65536` before the start"
    if streams >= STREAMS_WANTED:
        return ok("file descriptors", found)
    return (
        warn("file descriptors", found, advice)
        if streams
        else fail("file descriptors", found, advice)
    )

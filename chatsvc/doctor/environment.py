"""Checks options that are valid but risky. Invalid ones stop every command."""

import ipaddress
import os
import resource
from collections.abc import Iterator
from email.utils import parseaddr
from urllib.parse import urlsplit

from chatsvc.app import DESCRIPTORS_RESERVED
from chatsvc.config.config import Config
from chatsvc.doctor.finding import Finding, fail, ok, warn

# A small site on a busy day. The usual limit of a login shell, 1024 descriptors, allows fewer.
STREAMS_WANTED = 1_000


def check(config: Config) -> Iterator[Finding]:
    for check_one in (public_url, proxies, origins, demo, data_dir, mail_from, chat_page):
        yield check_one(config)


def is_local(url: str) -> bool:
    """Whether the URL's host is this machine."""
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
            "the port is unknown until the service starts",
            "set CHATSVC_PORT or CHATSVC_PUBLIC_URL",
        )
    if url.startswith("https:") or is_local(url):
        return ok("PUBLIC_URL", url)
    return warn(
        "PUBLIC_URL",
        f"{url} is not encrypted: the network can read tokens, cookies and messages",
        "put a proxy with TLS in front and set CHATSVC_PUBLIC_URL=https://…",
    )


def proxies(config: Config) -> Finding:
    """Check TRUSTED_PROXIES. The service has no TLS, so an https URL means a proxy."""
    if config.trusted_proxies:
        return ok("TRUSTED_PROXIES", ", ".join(config.trusted_proxies))
    if config.public_url.startswith("https:"):
        return warn(
            "TRUSTED_PROXIES",
            "none: all users appear to come from the proxy's address and share its limits",
            "set CHATSVC_TRUSTED_PROXIES to the proxy's address, such as 127.0.0.1",
        )
    return ok("TRUSTED_PROXIES", "none; PUBLIC_URL has no proxy")


def origins(config: Config) -> Finding:
    if config.allowed_origins:
        return ok("ALLOWED_ORIGINS", ", ".join(config.allowed_origins))
    if config.demo:
        return ok("ALLOWED_ORIGINS", "none; the demo page needs none")
    return warn(
        "ALLOWED_ORIGINS",
        "none: the widget works only on pages of PUBLIC_URL",
        "set CHATSVC_ALLOWED_ORIGINS to the origins of the pages that embed it, "
        "such as https://www.example.com",
    )


def demo(config: Config) -> Finding:
    if not config.demo:
        return ok("DEMO", "off")
    level = warn if is_local(config.public_url) else fail
    return level(
        "DEMO",
        "on: anybody can get a token of the demo users at /demo",
        "set CHATSVC_DEMO=off, except to try chatsvc out",
    )


def data_dir(config: Config) -> Finding:
    """Check the permissions of DATA_DIR without writing to it."""
    folder = config.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ok(
            "DATA_DIR",
            str(folder) if existing == folder else f"{folder}, which the first start creates",
        )
    problem = (
        f"this account cannot write to {existing}"
        if existing.is_dir()
        else f"{existing} is not a folder"
    )
    return fail("DATA_DIR", problem, "set CHATSVC_DATA_DIR to a folder that it can write to")


def mail_from(config: Config) -> Finding:
    domain = parseaddr(config.mail_from)[1].rpartition("@")[2]
    if config.smtp_url is None or "." in domain:
        return ok("MAIL_FROM", config.mail_from)
    return warn(
        "MAIL_FROM",
        f"{config.mail_from} has no public domain: mail servers refuse it or treat it as spam",
        "set CHATSVC_MAIL_FROM to an address that your mail server accepts as a sender",
    )


def chat_page(config: Config) -> Finding:
    if config.chat_page_url != config.public_url or config.smtp_url is None:
        return ok("CHAT_PAGE_URL", config.chat_page_url)
    return warn(
        "CHAT_PAGE_URL",
        "not set: e-mails link to PUBLIC_URL, which has no page with the widget",
        "set CHATSVC_CHAT_PAGE_URL to a page that has it",
    )


def descriptors(limit: int | None = None) -> Finding:
    """Check the hard limit on file descriptors. The service raises its soft limit to it."""
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return ok("file descriptors", "no limit")
    streams = max(0, limit - DESCRIPTORS_RESERVED)
    found = f"{limit} for this account, enough for {streams} open streams"
    if streams >= STREAMS_WANTED:
        return ok("file descriptors", found)
    return (warn if streams else fail)(
        "file descriptors",
        found,
        "raise it: LimitNOFILE=65536 in the unit file, or `ulimit -Hn 65536` before the start",
    )

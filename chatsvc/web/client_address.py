"""The address of the client behind a request, and whether it is this machine."""

import logging
import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tornado.httputil import HTTPServerRequest

log = logging.getLogger(__name__)

Networks = tuple[IPv4Network | IPv6Network, ...]
PROXIES_MAX = 1000  # about whose headers the log has a line; proxies are few
# An address as some proxies write it: in brackets, with a port (Azure), or quoted (RFC 7239).
_DECORATED = re.compile(r'"?(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?"?', re.ASCII)


def parse_networks(texts: tuple[str, ...]) -> Networks:
    """Parse addresses and networks."""
    return tuple(ip_network(text, strict=False) for text in texts)


@lru_cache(maxsize=10_000)
def is_within(address: str, networks: Networks) -> bool:
    """Return whether an address is in one of the networks. Other text is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def client_address(request: HTTPServerRequest, trusted: Networks) -> str:
    """Return the address nearest to the client that a trusted proxy reports.

    Without a trusted proxy this is the address of the connection.
    """
    address: str = request.remote_ip or ""
    if not trusted or not is_within(address, trusted):
        return address
    header = request.headers.get("X-Forwarded-For", "")
    for claim in reversed(header.split(",")):
        candidate = _parse_claim(claim)
        if candidate is None:
            if header:
                _warn_once(address)
            break
        address = candidate
        if not is_within(address, trusted):
            break
    return address


def _parse_claim(claim: str) -> str | None:
    """Return the address in one item of X-Forwarded-For, without port, brackets and quotes."""
    text = claim.strip()
    match = _DECORATED.fullmatch(text)
    candidate = (match[1] or match[2]) if match else text
    try:
        ip_address(candidate)
    except ValueError:
        return None
    return candidate


@lru_cache(maxsize=PROXIES_MAX)
def _warn_once(proxy: str) -> None:
    """Log once per proxy that its header is unreadable: its clients share one rate limit."""
    log.warning(
        "the trusted proxy %s sends an X-Forwarded-For whose last item is not an address; "
        "all its clients share the rate limits of one address",
        proxy,
    )


def is_local(request: HTTPServerRequest) -> bool:
    """Return whether a request comes from this machine and no proxy forwarded it."""
    forwarded = any(
        name in FORWARDING or name.startswith("X-Forwarded-") for name in request.headers
    )
    return not forwarded and is_within(request.remote_ip or "", LOOPBACK)


FORWARDING = (
    "Forwarded",
    "Via",
    "X-Real-Ip",
    "X-Client-Ip",
    "Cf-Connecting-Ip",
    "True-Client-Ip",
)  # in the spelling that Tornado normalizes to
LOOPBACK = parse_networks(("127.0.0.0/8", "::1"))

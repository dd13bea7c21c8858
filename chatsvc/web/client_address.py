"""Where a request really comes from."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tornado.httputil import HTTPServerRequest

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(texts: tuple[str, ...]) -> Networks:
    """Addresses and networks as ip_network takes them."""
    return tuple(ip_network(text, strict=False) for text in texts)


@lru_cache(maxsize=10_000)
def is_within(address: str, networks: Networks) -> bool:
    """Whether an address is in one of the networks; text that is no address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


def client_address(request: HTTPServerRequest, trusted: Networks) -> str:
    """The address nearest to the client that was told by a trusted proxy, else that of the connection."""
    address: str = request.remote_ip or ""
    if not trusted or not is_within(address, trusted):
        return address
    for claimed in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        candidate = claimed.strip()
        try:
            ip_address(candidate)
        except ValueError:
            break
        address = candidate
        if not is_within(address, trusted):
            break
    return address


def is_local(request: HTTPServerRequest) -> bool:
    """A request from this machine that no proxy passed on."""
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
)  # as Tornado spells them
LOOPBACK = parse_networks(("127.0.0.0/8", "::1"))

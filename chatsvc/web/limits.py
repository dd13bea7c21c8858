"""The limits of the HTTP server, each with its reason."""

from collections.abc import Callable

import msgspec

KIB, MIB = 1024, 1024 * 1024


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits for one client, and for all of them together."""

    head_max_bytes: int = 32 * KIB  # a site with many cookies; longer heads get 431
    body_max_bytes: int = 256 * KIB  # a handler may change it for its request; longer: 413
    idle_s: float = 30.0  # for the first byte of a next request; then the connection is closed
    head_s: float = 30.0  # for a head, from its first byte; then 408
    body_s: float = 15.0  # for a body, plus 1 s for each `least_bytes_per_s` of it; then 408
    take_s: float = 30.0  # for a response; a client that reads `least_bytes_per_s` has longer
    scarce_take_s: float = 5.0  # instead of `take_s`, while half of `unsent_max_bytes` is used
    least_bytes_per_s: int = 4 * KIB  # a phone with bad reception reaches this
    # Unread responses of all connections. From half of it on, new requests get 503. Together with
    # the response being made, memory grows by at most 64 MiB.
    unsent_max_bytes: int = 48 * MIB
    linger_s: float = 2.0  # for a refused client to read the response while it still sends


# The key under which a client's connections are counted; None for clients without a limit.
SourceKey = Callable[[str], str | None]

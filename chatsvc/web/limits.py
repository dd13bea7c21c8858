"""The limits of the HTTP server, each with its reason."""

from collections.abc import Callable

import msgspec

KIB, MIB = 1024, 1024 * 1024


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client, and all of them together, may take of the server."""

    head_max_bytes: int = 32 * KIB  # a site with many cookies; longer heads get 431
    body_max_bytes: int = 256 * KIB  # a handler may set another one for its request; 413
    idle_s: float = 30.0  # for the first byte of a next request; then the connection is closed
    head_s: float = 30.0  # for a head, from its first byte; then 408
    body_s: float = 15.0  # for a body, and one second more for every `least_bytes_per_s` of it; 408
    take_s: float = 30.0  # for a response; longer only at `least_bytes_per_s`, else it is cut off
    scarce_take_s: float = 5.0  # instead, while half of `unsent_max_bytes` is used
    least_bytes_per_s: int = 4 * KIB  # a phone at the edge of its network still reaches it
    # Responses of all connections that their clients have not taken. From half of it on new
    # requests get 503. With a response that is just made, memory grows by 64 MiB at most.
    unsent_max_bytes: int = 48 * MIB
    linger_s: float = 2.0  # for a refused client to read why, while the rest of its body arrives


# The key under which a client's connections are counted; None for clients without a limit.
SourceKey = Callable[[str], str | None]

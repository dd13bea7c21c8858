"""What the access log costs per successful request, by itself: with the default and with all lines."""

import io
import logging
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from bench.harness import Harness
from bench.table import Row
from chatsvc.handlers import access_log
from chatsvc.handlers.access_log import AccessLog
from chatsvc.ops.log_format import TextFormatter
from chatsvc.ops.metrics import Metrics

REQUESTS = 20_000
ROUNDS = 5
TARGET_US = 3.0


def measure(harness: Harness) -> list[Row]:
    metrics = Metrics()
    request = SimpleNamespace(method="GET", path="/support_chat", request_time=lambda: 0.003)
    handler = cast(
        Any, SimpleNamespace(request=request, get_status=lambda: 200, request_id="6f0c6f0c6f0c6f0c")
    )
    sink = logging.StreamHandler(io.StringIO())
    sink.setFormatter(TextFormatter())
    access_log.log.addHandler(sink)
    access_log.log.setLevel(logging.INFO)
    try:
        counting = microseconds_of(lambda: metrics.request_completed("N", "GET", 200, 0.003))
        default, everything = (
            microseconds_of(partial(AccessLog(metrics, which), handler)) - counting
            for which in ("errors", "all")
        )
    finally:
        access_log.log.removeHandler(sink)
        access_log.log.setLevel(logging.NOTSET)
    what = "access log, CPU per successful request"
    return [
        Row(what, f"{default:.1f} µs", f"< {TARGET_US:g} µs", passed=default < TARGET_US),
        Row("… with LOG_REQUESTS=all", f"{everything:.1f} µs"),
        Row("… counting it for /metrics, beside that", f"{counting:.1f} µs"),
    ]


def microseconds_of(call: Callable[[], None]) -> float:
    """The least of some rounds: what it costs when nothing else runs."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            call()
        rounds.append(time.perf_counter() - began)
    return min(rounds) / REQUESTS * 1e6

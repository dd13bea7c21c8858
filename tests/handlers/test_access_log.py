"""Which requests have a line in the log."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chatsvc.handlers.access_log import AccessLog
from chatsvc.ops.metrics import Metrics


def completed(status: int, seconds: float) -> Any:
    """A handler whose response is complete."""
    request = SimpleNamespace(method="GET", path="/support_chat", request_time=lambda: seconds)
    return SimpleNamespace(request=request, get_status=lambda: status, request_id="6f0c")


@pytest.mark.parametrize(
    ("which", "status", "seconds", "is_logged"),
    [
        ("errors", 200, 0.01, False),
        ("errors", 304, 0.99, False),
        ("errors", 200, 1.01, True),
        ("errors", 404, 0.01, True),
        ("errors", 503, 0.01, True),
        ("all", 200, 0.01, True),
    ],
)
def test_errors_and_slow_requests_always_have_a_line(
    which: str, status: int, seconds: float, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each request once cost a fifth of what a message costs; all are still counted."""
    caplog.set_level("INFO", "chatsvc.access")
    metrics = Metrics()
    access_log = AccessLog(metrics, which)
    for _ in range(2):
        access_log(cast(Any, completed(status, seconds)))
    line = f"{status} GET /support_chat {seconds * 1000:.1f} ms 6f0c"
    assert caplog.messages == ([line] * 2 if is_logged else [])
    assert metrics.total("chatsvc_requests_total") == 2
    assert metrics.total("chatsvc_request_seconds_count") == 2

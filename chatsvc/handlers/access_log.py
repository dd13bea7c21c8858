"""The access log: one line per request, without query, body, token or address."""

import logging

from tornado.web import RequestHandler

from chatsvc.handlers.base import METHODS
from chatsvc.ops.metrics import Metrics

log = logging.getLogger("chatsvc.access")


def log_request(metrics: Metrics, handler: RequestHandler) -> None:
    """Log and count a request. Tornado calls this when the response is complete."""
    request, status = handler.request, handler.get_status()
    seconds = request.request_time()
    metrics.requests.labels(
        type(handler).__qualname__, request.method if request.method in METHODS else "other", status
    ).inc()
    metrics.request_seconds.observe(seconds)
    if log.isEnabledFor(logging.INFO):
        request_id = getattr(handler, "request_id", "-")
        log.info(
            "%d %s %s %.1f ms %s",
            status,
            request.method,
            request.path[:200],
            seconds * 1000,
            request_id,
        )

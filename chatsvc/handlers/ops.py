"""Endpoints for operators: health, readiness, metrics and the OpenAPI document."""

from prometheus_client import CONTENT_TYPE_LATEST

from chatsvc.errors import Forbidden
from chatsvc.handlers.endpoint import Endpoint
from chatsvc.services.identity import Caller
from chatsvc.web.client_address import is_local


class HealthHandler(Endpoint):
    """Respond 200 while the loop runs. A database failure does not count: no restart cures it."""

    audience = "public"

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")


class ReadyHandler(Endpoint):
    """Respond 200 if the database is available and its schema current, or else 503 and why."""

    audience = "public"

    async def get(self) -> None:
        problem = await self.services.readiness.problem()
        self.set_status(200 if problem is None else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{problem or self.services.readiness.detail}\n")


class MetricsHandler(Endpoint):
    """Metrics in the Prometheus format, for this machine or with a staff token."""

    audience = "staff"

    async def identify(self) -> Caller:
        if self.bearer_token is None and is_local(self.request):
            return LOCAL
        if self.bearer_token is None:
            raise Forbidden("Metrics need a staff token, or a request from this machine.")
        return await super().identify()

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(self.services.metrics.render())


class OpenApiHandler(Endpoint):
    audience = "public"

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(self.services.openapi)


LOCAL = Caller(
    user_id="",
    kind="staff",
    email=None,
    name=None,
    language=None,
    chat_id=None,
    access_id=None,
    expires_at=None,
)  # a caller on this machine, who may read metrics only

ROUTES = [
    (r"/healthz", HealthHandler),
    (r"/readyz", ReadyHandler),
    (r"/metrics", MetricsHandler),
    (r"/openapi.json", OpenApiHandler),
]

"""For those who run it: is it alive, is it ready, what does it do, what is its contract."""

from prometheus_client import CONTENT_TYPE_LATEST

from chatsvc.errors import Forbidden
from chatsvc.handlers.base import BaseHandler
from chatsvc.services.identity import Caller
from chatsvc.web.client_address import is_local


class HealthHandler(BaseHandler):
    """200 while the process runs its loop; says nothing about the database: restarting would not help that."""

    audience = "public"

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")

    head = get


class ReadyHandler(BaseHandler):
    """200 when the database answers and the schema is current, else 503 and why; 503 while draining."""

    audience = "public"

    async def get(self) -> None:
        problem = await self.services.readiness.problem()
        self.set_status(200 if problem is None else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{problem or self.services.readiness.detail}\n")

    head = get


class MetricsHandler(BaseHandler):
    """Prometheus text, for this machine and for those who hold a staff token."""

    audience = "staff"

    async def identify(self) -> Caller:
        if self.bearer_token is None and is_local(self.request):
            return LOCAL
        if self.bearer_token is None:
            raise Forbidden("metrics are shown on this machine, or to a staff token")
        return await super().identify()

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(self.services.metrics.render())


class OpenApiHandler(BaseHandler):
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
)  # somebody on this machine; may read metrics and nothing else

ROUTES = [
    (r"/healthz", HealthHandler),
    (r"/readyz", ReadyHandler),
    (r"/metrics", MetricsHandler),
    (r"/openapi.json", OpenApiHandler),
]

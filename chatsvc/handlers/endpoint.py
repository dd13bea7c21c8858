"""Endpoint: a lightweight replacement for RequestHandler, used by the API."""

import asyncio
import inspect
import logging
import time
from functools import lru_cache
from typing import Any, ClassVar, cast

from tornado.escape import utf8
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
    format_timestamp,
)
from tornado.web import Application, HTTPError

from chatsvc import errors
from chatsvc.handlers.base import USER_PATHS, BaseHandler, CorsMixin
from chatsvc.security.rate_limits import address_key
from chatsvc.web.exchange import Exchange

log = logging.getLogger(__name__)


class Endpoint(BaseHandler):
    """A handler of the API: its response is a status, headers and one body.

    It inherits request parsing and the origin check from RequestHandler, but not cookies,
    templates, redirects or streaming. The rules are those of BaseHandler.
    """

    awaits_body: ClassVar[bool] = True  # False: the verb runs as soon as the head has arrived

    def __init__(self, application: Application, request: HTTPServerRequest) -> None:
        # skip RequestHandler.__init__: it costs more than the rest of the request
        self.application = application
        self.request = request
        self._is_finished = False
        self.clear()

    @property
    def exchange(self) -> Exchange:
        return cast(Exchange, self.request.connection)

    async def run(self, *path_args: bytes) -> None:
        """Handle the request, as RequestHandler does."""
        try:
            if self.request.method not in self.SUPPORTED_METHODS:
                raise HTTPError(405)
            arguments = [self.decode_argument(one) for one in path_args]
            self._cross_origin_protection()
            await self.prepare()
            result = getattr(self, self.request.method.lower())(*arguments)
            if inspect.isawaitable(result):
                await result
            if not self._is_finished:
                self.finish()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.log_exception(type(error), error, error.__traceback__)
        if self._is_finished:
            return
        self.clear()
        status = error.status_code if isinstance(error, HTTPError) else 500
        try:
            self.write_error(status, exc_info=(type(error), error, error.__traceback__))
        except Exception:
            log.exception("request %s: its error could not be rendered", self.request_id)
            self.exchange.abort()

    # ---- the response ----

    def clear(self) -> None:
        self._status = 200
        self._fields = {"Date": _http_date(int(time.time()))}
        self.set_default_headers()

    def set_status(self, status_code: int, reason: str | None = None) -> None:
        self._status = status_code

    def get_status(self) -> int:
        return self._status

    def set_header(self, name: str, value: Any) -> None:
        self._fields[name] = value

    def clear_header(self, name: str) -> None:
        self._fields.pop(name, None)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Send the response with this body, and end the request."""
        assert not self._is_finished and not isinstance(chunk, dict)
        self._is_finished = True
        sent = self.exchange.respond(self._status, self._fields, utf8(chunk or b""))
        self.application.log_request(self)
        self.on_finish()
        return sent

    def detach(self) -> Any:
        """End the request and return its socket, or None if the client has disconnected."""
        self._is_finished = True
        self.on_finish()
        return self.exchange.detach()


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    return format_timestamp(second)


class EndpointDelegate(HTTPMessageDelegate):
    """Collects the body of a request and runs its Endpoint."""

    def __init__(self, endpoint: Endpoint, path_args: list[bytes]) -> None:
        self._endpoint = endpoint
        self._path_args = path_args
        self._chunks: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> "asyncio.Task[None] | None":
        return None if self._endpoint.awaits_body else self._run()

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        if self._endpoint.awaits_body:
            self._endpoint.request.body = b"".join(self._chunks)
            self._run()

    def on_connection_close(self) -> None:
        self._chunks.clear()

    def _run(self) -> "asyncio.Task[None]":
        self._task = asyncio.get_running_loop().create_task(self._endpoint.run(*self._path_args))
        return self._task


class UserHandler(CorsMixin, Endpoint):
    """Endpoints for users.

    The chat is found by the caller's identity, never by an id in the request.
    """

    audience = "user"
    _is_read = False  # True once limit_read() has counted this request

    async def limit_caller(self) -> None:
        if self.request.method not in ("POST", "OPTIONS"):  # messages have limits of their own
            await self.limit_read()
            self._is_read = True

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        if self._is_read and isinstance(chunk, bytes):
            address = address_key(self.address)
            self.services.limits.reads.charge(self.caller.user_id, address, len(chunk))
        return super().finish(chunk)

    async def chat_id(self) -> str:
        """Return the id of the caller's chat, created if there is none yet."""
        if self.caller.chat_id is None:
            await self.services.identity.note_language(self.caller, self.language)
            self.caller.chat_id = await self.services.chats.chat_id_for_user(self.caller.user_id)
        return self.caller.chat_id


class StaffHandler(Endpoint):
    """Endpoints for staff."""

    audience = "staff"


class TooLargeHandler(CorsMixin, Endpoint):
    """Refuse a Content-Length over the limit before the body is read.

    CORS headers let the widget read the error.
    """

    audience = "public"
    awaits_body = False

    def __init__(
        self, application: Application, request: HTTPServerRequest, *, allowed_bytes: int
    ) -> None:
        """`allowed_bytes` is the limit of the handler that the route would have used."""
        super().__init__(application, request)
        self.allowed_bytes = allowed_bytes

    def cors_headers(self) -> list[tuple[str, str]]:
        return super().cors_headers() if self.request.path.startswith(USER_PATHS) else []

    async def prepare(self) -> None:
        length = int(self.request.headers.get("Content-Length", "0"))
        raise errors.PayloadTooLarge(
            f"The request body has {length:,} bytes; the maximum is {self.allowed_bytes:,}."
        )

    def check_xsrf_cookie(self) -> None:
        pass

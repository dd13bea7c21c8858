"""BaseHandler: authenticate before a verb runs, decode bodies strictly, render errors.

Access is denied by default. Errors are problem details in JSON. Pages (RequestHandler) and the API
(Endpoint) share these rules.
"""

import asyncio
import http
import logging
import random
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import msgspec
from tornado.web import HTTPError, RequestHandler

from chatsvc import errors
from chatsvc.errors import DomainError
from chatsvc.handlers.body import decode_body
from chatsvc.security.rate_limits import RateLimiter, address_key
from chatsvc.services.identity import Caller
from chatsvc.web.client_address import client_address
from chatsvc.web.exchange import Exchange
from chatsvc.wire import FieldProblem, Problem

if TYPE_CHECKING:
    from chatsvc.handlers.services import Services

log = logging.getLogger(__name__)

T = TypeVar("T")
Audience = Literal["public", "user", "staff", "nobody"]

BODY_MAX_BYTES = 64 * 1024  # 10,000 characters fit: four bytes each in UTF-8, or six as \u0001
USER_PATHS = ("/support_chat", "/visitors")  # called by pages of other origins (docs/api.md, 3)
PREFLIGHT_MAX_AGE_S = 7200  # the maximum of Chromium
CORS_HEADERS = ("Authorization", "Content-Type", "Last-Event-ID")
REQUESTED_HEADERS_MAX = 64  # names that a preflight may ask for
# A refusal is delayed this long, so 100 connections get at most 100 refusals a second.
REFUSAL_HELD_S = 1.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# The kinds of callers of each audience; "nobody" has none
AUDIENCES = {"user": ("host", "visitor"), "staff": ("staff",)}
_BY_STATUS: dict[int, type[DomainError]] = {
    kind.status: kind for kind in DomainError.__subclasses__() if kind is not errors.Internal
}


class BaseHandler(RequestHandler):
    """The base of all handlers. `audience` is who may call a handler; by default it is nobody."""

    audience: ClassVar[Audience] = "nobody"
    remembers: ClassVar[bool] = True  # whether a verified token is cached for the next request
    body_max_bytes: ClassVar[int] = BODY_MAX_BYTES
    caller: Caller
    _methods: ClassVar[tuple[str, ...]] = ()

    @property
    def services(self) -> "Services":
        services: Services = self.settings["services"]
        return services

    @property
    def request_id(self) -> str:
        """The id that the response and the log line share."""
        if not hasattr(self.request, "chatsvc_id"):
            self.request.chatsvc_id = f"{random.getrandbits(64):016x}"  # type: ignore[attr-defined]
        request_id: str = self.request.chatsvc_id  # type: ignore[attr-defined]
        return request_id

    @property
    def address(self) -> str:
        """The client's address. X-Forwarded-For counts only from TRUSTED_PROXIES."""
        return client_address(self.request, self.services.trusted_proxies)

    # ---- before the verb ----

    async def prepare(self) -> None:
        self.services.running.add(self)
        self.check_method()
        if len(self.request.body) > self.body_max_bytes:
            raise errors.PayloadTooLarge(
                f"The request body has {len(self.request.body):,} bytes; "
                f"the maximum is {self.body_max_bytes:,}."
            )
        if self.request.method != "OPTIONS" and self.audience != "public":
            self.caller = await self.identify()
            if self.caller.kind not in AUDIENCES.get(self.audience, ()):
                raise errors.Forbidden("These credentials do not grant access to this resource.")
            await self.limit_caller()

    async def limit_caller(self) -> None:
        """Count the request for its caller. Raise TooManyRequests. prepare() calls it last."""

    async def identify(self) -> Caller:
        """Return the caller. prepare() checks the audience afterwards. Raise Unauthorized."""
        token = self.bearer_token
        if token is not None:
            return await self.services.identity.authenticate_bearer(token, remember=self.remembers)
        if self.audience == "staff" and self.session_cookie:
            return await self.services.identity.authenticate_cookie(self.session_cookie)
        raise errors.Unauthorized

    @property
    def session_cookie(self) -> str | None:
        """The token of a staff session, also from a cookie that an earlier version set."""
        names = self.services.cookies
        return self.get_cookie(names.session) or self.get_cookie(names.session_before)

    @property
    def language(self) -> str | None:
        """The best available language for the browser; None if it prefers none of them."""
        header = self.request.headers.get("Accept-Language")
        return None if header is None else self.services.languages.preferred(header)

    @property
    def bearer_token(self) -> str | None:
        """The token of the Authorization header, or None without that header.

        Raise Unauthorized if the header is not a bearer token.
        """
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.Unauthorized
        return token.strip()

    def check_method(self) -> None:
        if self.request.method not in self.allowed_methods():
            raise errors.MethodNotAllowed(
                f"{self.request.method} is not allowed here; "
                f"allowed: {', '.join(self.allowed_methods())}."
            )

    def __init_subclass__(cls) -> None:
        if "get" in vars(cls) and "head" not in vars(cls):
            cls.head = cls.get  # HEAD runs GET; the body is omitted
        cls._methods = tuple(
            method
            for method in METHODS
            if getattr(cls, method.lower()) is not getattr(RequestHandler, method.lower())
        )

    @classmethod
    def allowed_methods(cls) -> tuple[str, ...]:
        return cls._methods

    def check_xsrf_cookie(self) -> None:
        """Require the form token beside a session cookie, which browsers send by themselves."""
        if self.audience != "staff" or "Authorization" in self.request.headers:
            return
        if self.session_cookie:  # without credentials prepare() raises 401
            super().check_xsrf_cookie()

    def check_trusted_origin(self, origin: str) -> bool:
        """Trust our public origin only. CorsMixin adds the origins that embed the widget."""
        return origin == self.services.public_origin

    def on_finish(self) -> None:
        self.services.running.discard(self)

    # ---- what comes in ----

    def decode(self, type_: Callable[..., T]) -> T:
        """Return the body as `type_`.

        Raise UnsupportedMediaType, BadRequest (not JSON) or Unprocessable (breaks a rule).
        """
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if self.request.body and encoding.strip().lower() != "identity":
            raise errors.UnsupportedMediaType(
                f"The request body must not be compressed: {encoding[:64]!r} is not supported."
            )
        return decode_body(self.request.body, self.request.headers.get("Content-Type", ""), type_)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode an argument as UTF-8. Raise BadRequest, or NotFound for a part of the path."""
        try:
            return super().decode_argument(value, name)
        except HTTPError:
            raise (
                errors.BadRequest(f"{name} must be UTF-8.") if name else errors.NotFound()
            ) from None

    def int_argument(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number from the query. Raise BadRequest."""
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not low <= int(text) <= high:
            raise errors.BadRequest(
                f"{name} must be a whole number from {low} to {high}, not {text[:64]!r}."
            )
        return int(text)

    def take(self, limiter: RateLimiter, key: str) -> None:
        """Count this request. Raise TooManyRequests."""
        wait_s = limiter.take(key)
        if wait_s:
            raise errors.TooManyRequests(retry_after_s=wait_s)

    async def limit_read(self) -> None:
        """Count a read for the caller and for the address. Raise TooManyRequests.

        A refusal is held back: a client that repeats its request at once would cost as much as
        one that is served.
        """
        wait_s = self.services.limits.reads.take(self.caller.user_id, address_key(self.address))
        if wait_s:
            await asyncio.sleep(min(wait_s, REFUSAL_HELD_S))
            raise errors.TooManyRequests(retry_after_s=wait_s)

    def limit_message(self) -> None:
        """Count a message for the caller and for the address. Raise TooManyRequests."""
        limits = self.services.limits
        self.take(
            limits.message_staff if self.caller.kind == "staff" else limits.message_user,
            self.caller.user_id,
        )
        self.take(limits.message_address, address_key(self.address))

    # ---- what goes out ----

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        return None

    def send(self, body: msgspec.Struct | Sequence[msgspec.Struct], status: int = 200) -> None:
        """End the request with a JSON response."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(b"" if self.has_left else msgspec.json.encode(body))

    @property
    def has_left(self) -> bool:
        """Whether the client has disconnected: nothing need be encoded for it."""
        connection = self.request.connection
        return isinstance(connection, Exchange) and not connection.is_connected

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = self.as_domain_error(status_code, kwargs.get("exc_info", (None, None, None))[1])
        self.set_error(error)
        self.render_error(error)

    def set_error(self, error: DomainError) -> None:
        """Set the status of an error and its headers."""
        self.set_status(error.status)
        if error.retry_after_s is not None:
            self.set_header("Retry-After", str(max(1, -int(-error.retry_after_s // 1))))
        if error.status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if error.status == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))

    def render_error(self, error: DomainError) -> None:
        """Render an error as problem details. Pages override this."""
        self.set_header("Content-Type", "application/problem+json")
        fields = tuple(FieldProblem(broken.field, broken.detail) for broken in error.errors)
        problem = Problem(
            f"urn:chatsvc:problem:{error.code}",
            error.title,
            error.status,
            error.detail,
            self.request_id,
            fields,
        )
        self.finish(msgspec.json.encode(problem))

    @staticmethod
    def as_domain_error(status_code: int, error: BaseException | None) -> DomainError:
        """Return the error of the catalogue for an exception."""
        if isinstance(error, DomainError):
            return error
        if isinstance(error, HTTPError):
            kind = _BY_STATUS.get(error.status_code)
            if kind is not None:
                return kind()
            if error.status_code < 500:
                return errors.BadRequest(http.HTTPStatus(error.status_code).phrase)
        return errors.Internal(
            "An unexpected error occurred. The log has it under this request_id."
        )

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if isinstance(value, DomainError | HTTPError):
            return  # the access log has client errors; database/threads.py logs database failures
        log.error(
            "request %s failed",
            self.request_id,
            exc_info=(typ, value, tb),  # type: ignore[arg-type]
        )


class CorsMixin(BaseHandler):
    """User endpoints: pages on the allowed origins may call them, without cookies."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        for name, value in self.cors_headers():
            self.set_header(name, value)

    def check_trusted_origin(self, origin: str) -> bool:
        return origin in self.services.allowed_origins or super().check_trusted_origin(origin)

    def cors_headers(self) -> list[tuple[str, str]]:
        """Return the headers that let an allowed origin read the response."""
        headers = [("Vary", "Origin")]
        origin = self.request.headers.get("Origin")
        if origin is not None and origin in self.services.allowed_origins:
            headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Access-Control-Expose-Headers", "Retry-After, X-Request-Id"))
        return headers

    async def options(self, *_: str) -> None:
        """Respond to a preflight. It grants nothing to an origin that is not allowed."""
        if "Access-Control-Allow-Origin" in dict(self.cors_headers()):
            self.set_header("Access-Control-Allow-Methods", ", ".join(self.allowed_methods()))
            self.set_header("Access-Control-Allow-Headers", ", ".join(self._allowed_headers()))
            self.set_header("Vary", "Origin, Access-Control-Request-Headers")
            self.set_header("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S))
        self.clear_header("Cache-Control")
        self.set_status(204)

    def _allowed_headers(self) -> list[str]:
        """Return the names that we need, and those that monitoring on the host page adds.

        Additional headers change nothing here: the origin is allowed and sends no cookies.
        """
        requested = self.request.headers.get("Access-Control-Request-Headers", "").split(",")
        names = (name.strip() for name in requested[:REQUESTED_HEADERS_MAX])
        known = {name.lower() for name in CORS_HEADERS}
        extra = [n for n in names if re.fullmatch(r"[\w!#$%&'+.^`|~-]+", n, re.ASCII)]
        return [*CORS_HEADERS, *(name for name in extra if name.lower() not in known)]

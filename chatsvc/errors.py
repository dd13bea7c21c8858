"""The catalogue of domain errors: raise one, and handlers/base.py renders it.

The format is problem details (RFC 9457); docs/api.md section 6 has the status codes.
"""

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """A field of a well-formed body that breaks a rule.

    `reason` is a key of the part "problems" in the language files, which say the same to people.
    `limit` fills the placeholder {n} of that text.
    """

    field: str
    detail: str
    reason: str = "unprocessable"
    limit: int | None = None


class DomainError(Exception):
    """An error that the client is told about; `detail` names what is wrong and what is allowed.

    On the writer thread it ends only the function that raised it, not the batch. That function
    must not have written anything before.
    """

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(
        self,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.retry_after_s = retry_after_s


class Internal(DomainError):
    """The client's view of an unexpected exception. Its traceback is in the log only."""


class BadRequest(DomainError):
    status, code, title = 400, "bad-request", "Bad request"


class Unauthorized(DomainError):
    status, code, title = 401, "unauthorized", "Missing or invalid credentials"


class TokenExpired(Unauthorized):
    code, title = "expired", "The token has expired"


class Forbidden(DomainError):
    status, code, title = 403, "forbidden", "Access denied"


class NotFound(DomainError):
    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(DomainError):
    status, code, title = 405, "method-not-allowed", "Method not allowed"


class Conflict(DomainError):
    status, code, title = 409, "conflict", "Conflict"


class PayloadTooLarge(DomainError):
    status, code, title = 413, "payload-too-large", "The request body is too large"


class UnsupportedMediaType(DomainError):
    status, code, title = 415, "unsupported-media-type", "The request body must be application/json"


class Unprocessable(DomainError):
    status, code, title = 422, "unprocessable", "The request body is not valid"

    @classmethod
    def field(
        cls, field: str, detail: str, reason: str = "unprocessable", limit: int | None = None
    ) -> "Unprocessable":
        """Return the usual case: one field that breaks one rule."""
        return cls(f"{field}: {detail}", errors=(FieldError(field, detail, reason, limit),))


class TooManyRequests(DomainError):
    status, code, title = 429, "too-many-requests", "Too many requests"


class Unavailable(DomainError):
    """The database is unavailable.

    Either nothing was stored, or a retry with the same client_id finds the stored message.
    """

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after_s: float = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)

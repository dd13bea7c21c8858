"""The catalogue of domain errors. Raise one; handlers/base.py renders it (RFC 9457, docs/api.md section 6)."""

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One field of a body that was understood but is not acceptable."""

    field: str
    detail: str
    reason: str = "unprocessable"  # a key of the texts' part "problems": the same for people, in their language
    limit: int | None = None  # what the text calls {n}


class DomainError(Exception):
    """Something that the caller is told about. `detail` is for the caller; it names what was wrong and what would be right.

    Raised by a function on the writer thread it ends only that function, not the batch: it must come before anything is written.
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
    """What a client sees of an exception that nobody expected; the log has the rest."""


class BadRequest(DomainError):
    status, code, title = 400, "bad-request", "Bad request"


class Unauthorized(DomainError):
    status, code, title = 401, "unauthorized", "Credentials are missing or not accepted"


class TokenExpired(Unauthorized):
    code, title = "expired", "The token has expired"


class Forbidden(DomainError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(DomainError):
    status, code, title = 404, "not-found", "There is no such thing"


class MethodNotAllowed(DomainError):
    status, code, title = 405, "method-not-allowed", "This method is not supported here"


class Conflict(DomainError):
    status, code, title = 409, "conflict", "Conflict"


class PayloadTooLarge(DomainError):
    status, code, title = 413, "payload-too-large", "The body is too large"


class UnsupportedMediaType(DomainError):
    status, code, title = 415, "unsupported-media-type", "The body must be application/json"


class Unprocessable(DomainError):
    status, code, title = 422, "unprocessable", "The body is not acceptable"

    @classmethod
    def field(
        cls, field: str, detail: str, reason: str = "unprocessable", limit: int | None = None
    ) -> "Unprocessable":
        """The usual case: one field, one reason."""
        return cls(f"{field}: {detail}", errors=(FieldError(field, detail, reason, limit),))


class TooManyRequests(DomainError):
    status, code, title = 429, "too-many-requests", "Too many requests"


class Unavailable(DomainError):
    """The database does not answer. Nothing was stored, or a retry with the same client_id finds it."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after_s: float = 1) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)

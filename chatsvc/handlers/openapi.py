"""Describe a verb's request and responses beside it, for /openapi.json and the tests."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

F = TypeVar("F", bound=Callable[..., Any])


class Operation(NamedTuple):
    """`responses`: status → struct, list of structs or None; `query`: name → JSON schema."""

    summary: str
    body: type[msgspec.Struct] | None
    responses: dict[int, Any]
    query: dict[str, dict[str, Any]]
    errors: tuple[int, ...]


_ID = {"type": "string"}  # opaque
_SEQ = {"type": "integer", "minimum": 0, "maximum": 10**16 - 1}  # see services/cursors.py
PAGE_QUERY: dict[str, dict[str, Any]] = {
    "after": _SEQ,
    "after_id": _ID,
    "before": _SEQ,
    "since": {"type": "string", "format": "date-time"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
}
CURSOR_QUERY: dict[str, dict[str, Any]] = {
    "last_event_id": {"type": "string"},
    "last_message_id": _ID,
}


def operation(
    summary: str,
    responses: dict[int, Any],
    *,
    body: type[msgspec.Struct] | None = None,
    query: dict[str, dict[str, Any]] | None = None,
    errors: tuple[int, ...] = (),
) -> Callable[[F], F]:
    """Describe a verb. Errors that follow from audience, path and body are added to `errors`."""

    def describe(verb: F) -> F:
        described = Operation(summary, body, responses, query or {}, errors)
        verb.operation = described  # type: ignore[attr-defined]
        return verb

    return describe

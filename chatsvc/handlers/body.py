"""Decode request bodies strictly: JSON with the fields of one struct and no others."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import msgspec

from chatsvc.errors import BadRequest, DomainError, FieldError, Unprocessable, UnsupportedMediaType

T = TypeVar("T")

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (missing required|contains unknown) field `(?P<field>.*)`", re.DOTALL)


def decode_body(body: bytes, content_type: str, type_: Callable[..., T]) -> T:
    """Return the body as `type_`. It may be empty if no field is required.

    Raise UnsupportedMediaType, BadRequest (not JSON, or not an object) or Unprocessable (breaks a
    rule).
    """
    if not body and not _required_fields(type_):
        return type_()
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        decoded: T = _decoder(type_).decode(body)
    except msgspec.ValidationError as error:
        raise _as_unprocessable(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadRequest("The request body must be valid JSON.") from None
    return decoded


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


@cache
def _required_fields(type_: Any) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(type_) if field.required)


def _as_unprocessable(message: str) -> DomainError:
    match = _AT.match(message)
    named = _NAMED.match(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    if named is not None:
        path = named["field"][:64]
    elif not path:
        return BadRequest(f"The request body must be a JSON object. {what}.")
    return Unprocessable(f"{path}: {what}"[:300], errors=(FieldError(path, what[:200]),))

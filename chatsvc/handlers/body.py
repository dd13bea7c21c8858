"""Bodies, decoded strictly: JSON, the fields of one struct, nothing else."""

import json
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
    """The body as `type_`; no body at all will do where no field is required.

    Raises UnsupportedMediaType, BadRequest (not JSON, or not an object), Unprocessable (not acceptable).
    """
    if not body and not _required_fields(type_):
        return type_()
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType
    try:
        decoded: T = _decoder(type_).decode(body)
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except msgspec.ValidationError as error:
        raise _as_unprocessable(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None
    return decoded


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_)


@cache
def _required_fields(type_: Any) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(type_) if field.required)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("duplicate field")


def _as_unprocessable(message: str) -> DomainError:
    match = _AT.match(message)
    named = _NAMED.match(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    if named is not None:
        path = named["field"][:64]
    elif not path:
        return BadRequest(f"the body must be a JSON object: {what}")
    return Unprocessable(f"{path}: {what}"[:300], errors=(FieldError(path, what[:200]),))

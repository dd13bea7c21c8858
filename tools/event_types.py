"""Write the TypeScript types of all events, from the structs in chatsvc/wire.py that describe them."""

import types
import typing
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from chatsvc import wire

HEAD = """\
/** The events of the streams. Generated from chatsvc/wire.py by `make dist`; do not edit. */

import type { SupportMessage } from "./support-chat.js";
"""
CHAT = (
    wire.ChatStateEvent,
    wire.NewMessageEvent,
    wire.MessagesReadEvent,
    wire.AdminViewedEvent,
    wire.ChatUpdatedEvent,
    wire.ResetEvent,
)
PUBLIC = wire.SupportMessage
STAFF = (wire.StaffStateEvent, wire.NewUserMessageEvent, wire.StaffChatUpdatedEvent)
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def declarations() -> str:
    """Return the declaration file."""
    needed: dict[str, str] = {}
    for struct in (*CHAT, *STAFF):
        _declare(struct, needed)
    unions = (_union("ChatEvent", CHAT), _union("StaffEvent", STAFF))
    needed.pop(PUBLIC.__name__)
    return "\n".join((HEAD, *needed.values(), *unions))


def public_declaration() -> str:
    """Return the interface that support-chat.d.ts, which host pages download alone, has to hold."""
    needed: dict[str, str] = {}
    _declare(PUBLIC, needed)
    return needed[PUBLIC.__name__]


def _union(name: str, structs: tuple[type[Struct], ...]) -> str:
    members = "".join(f"\n  | {struct.__name__}" for struct in structs)
    return f"export type {name} ={members};\n"


def _declare(struct: type[Struct], needed: dict[str, str]) -> None:
    """Add the interface of a struct to `needed`, after those that it refers to."""
    if struct.__name__ in needed:
        return
    tag = struct.__struct_config__.tag
    lines = [f'  type: "{tag}";'] if tag else []
    for field in msgspec.structs.fields(struct):
        lines.append(f"  {field.encode_name}: {_type(field.type, needed)};")
    body = "\n".join(lines)
    needed[struct.__name__] = f"export interface {struct.__name__} {{\n{body}\n}}\n"


def _type(hint: Any, needed: dict[str, str]) -> str:
    origin = get_origin(hint)
    if origin is typing.Annotated:
        return _type(get_args(hint)[0], needed)
    if origin is typing.Literal:
        return " | ".join(f'"{value}"' for value in get_args(hint))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type(part, needed) for part in get_args(hint))
    if origin is list:
        return f"{_type(get_args(hint)[0], needed)}[]"
    if isinstance(hint, type) and issubclass(hint, Struct):
        _declare(hint, needed)
        return hint.__name__
    return PLAIN[hint]


if __name__ == "__main__":
    print(declarations(), end="")

"""Generate /openapi.json from the routes and the structs of the handlers."""

import re
from typing import Any, get_args, get_origin

import msgspec

from chatsvc import __version__, wire
from chatsvc.errors import DomainError
from chatsvc.handlers.base import BaseHandler
from chatsvc.handlers.openapi import Operation
from chatsvc.handlers.stream import EventStream

REF_TEMPLATE = "#/components/schemas/{name}"
BODY_ERRORS = (400, 413, 415, 422)
STREAM_EVENTS = (
    wire.ChatStateEvent,
    wire.NewMessageEvent,
    wire.MessagesReadEvent,
    wire.ChatUpdatedEvent,
    wire.AdminViewedEvent,
    wire.ResetEvent,
    wire.StaffStateEvent,
    wire.NewUserMessageEvent,
    wire.StaffChatUpdatedEvent,
    wire.CloseEvent,
    wire.PingEvent,
)


def describe(routes: list[tuple[Any, ...]]) -> bytes:
    """Return the OpenAPI 3.1 document of all verbs that have an Operation."""
    paths: dict[str, dict[str, Any]] = {}
    types: dict[Any, None] = {wire.Problem: None, **dict.fromkeys(STREAM_EVENTS)}
    for pattern, handler, *_ in routes:
        for method in handler.allowed_methods():
            operation = getattr(getattr(handler, method.lower()), "operation", None)
            if operation is not None and method != "HEAD":
                path = pattern.replace("([^/]+)", "{chat_id}").replace("\\", "")
                paths.setdefault(path, {})[method.lower()] = _operation(
                    handler, method, path, operation
                )
                types |= dict.fromkeys(_types_of(operation))
    _, schemas = msgspec.json.schema_components(list(types), ref_template=REF_TEMPLATE)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "chatsvc",
                "version": __version__,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _types_of(operation: Operation) -> list[Any]:
    found = [] if operation.body is None else [operation.body]
    for response in operation.responses.values():
        found += get_args(response) if get_origin(response) is list else [response]
    return [type_ for type_ in found if not _is_stream(type_)]


def _operation(
    handler: type[BaseHandler], method: str, path: str, operation: Operation
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"[^a-z]+", "_", f"{method.lower()}{path}").strip("_"),
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in operation.query.items()
        ],
        "responses": {
            **{
                str(status): _response(type_, status)
                for status, type_ in operation.responses.items()
            },
            **{
                str(status): _problem(status)
                for status in _error_statuses(handler, path, operation)
            },
        },
    }
    if "{chat_id}" in path:
        id_schema = {"type": "string", "format": "uuid"}
        described["parameters"].append(
            {"name": "chat_id", "in": "path", "required": True, "schema": id_schema}
        )
    if operation.body is not None:
        required = any(field.required for field in msgspec.structs.fields(operation.body))
        described["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": _ref(operation.body)}},
        }
    if handler.audience in ("user", "staff"):
        described["security"] = [{"bearer": []}]
    return described


def _error_statuses(handler: type[BaseHandler], path: str, operation: Operation) -> list[int]:
    statuses = {503, *operation.errors}
    if handler.audience in ("user", "staff"):
        statuses |= {401, 403}
    if operation.query:
        statuses.add(400)
    if operation.body is not None:
        statuses |= set(BODY_ERRORS)
    if "{chat_id}" in path:
        statuses.add(404)
    return sorted(statuses - set(operation.responses))


def _response(type_: Any, status: int) -> dict[str, Any]:
    if _is_stream(type_):
        return {
            "description": "Server-Sent Events, see docs/api.md",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    if get_origin(type_) is list:
        schema: dict[str, Any] = {"type": "array", "items": _ref(get_args(type_)[0])}
    else:
        schema = _ref(type_)
    description = {201: "Created", 200: "OK"}.get(status, "Response")
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _is_stream(type_: Any) -> bool:
    return type_ is EventStream


def _problem(status: int) -> dict[str, Any]:
    title = next(kind.title for kind in DomainError.__subclasses__() if kind.status == status)
    return {
        "description": title,
        "content": {"application/problem+json": {"schema": _ref(wire.Problem)}},
    }


def _ref(type_: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": REF_TEMPLATE.format(name=type_.__name__)}

"""The OpenAPI 3.1 document, made from the registry and from nothing else.

Owns: operations, parameters, schemas and answers in OpenAPI's words. Does not own: the declarations
(`registry.py`), the page that shows them (`docs.py`).
Source: OpenAPI 3.1.1, JSON Schema 2020-12.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from party.errors import KanvasError
from server.auth import COOKIE
from server.problems import PROBLEM_TYPE, Problem
from server.registry import JSON, Api, Operation, Reply

REF: Final = "#/components/schemas/{model}"

TAGS: Final = {
    "sign-in": "Who you are: guest names, tokens, the session cookie.",
    "account": "Where you are signed in, and your personal tokens.",
    "rooms": "Rooms, who is in them, and the trash.",
    "sharing": "Members of a room, invitations into it, links that let people in.",
    "assets": "Images and files of a room: uploaded, checked, read, listed.",
    "audit": "Who did what, and who was refused what.",
    "comments": "What people write about a drawing, beside it: threads, replies, mentions.",
    "parties": "The way into a room's document: WebSocket, and the same over HTTP.",
    "jobs": "Work that is done after the answer: how far it is.",
    "admin": "For the operator: a token made by `kanvas token --admin`.",
    "server": "Health, configuration, this document.",
}

DESCRIPTION: Final = """Kanvas is a self-hosted, real-time collaborative canvas server.

Send `Authorization: Bearer <token>`; `POST /api/v1/auth/guest` gives you one. Errors are
`application/problem+json` with a stable `code`; lists are `{items, next_cursor}`. Drawing itself goes over
`/parties/{room_id}`, a WebSocket that speaks the standard y-protocols."""

HEADER_SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "Retry-After": {"type": "integer", "minimum": 0},
    "ETag": {"type": "string", "pattern": '^(W/)?"[^"]*"$'},
}

RATE_HEADERS: Final = {
    "Retry-After": "Seconds to wait.",
    "RateLimit": "What is left of the action's rate, and for how many seconds.",
    "RateLimit-Policy": "The action and its rate.",
}


def build_document(api: Api, version: str) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    schemas, definitions = _collect_schemas(api)
    paths: dict[str, dict[str, Any]] = {}
    for operation in api.operations:
        paths.setdefault(operation.path.replace(":path}", "}"), {})[operation.method.lower()] = _operation(
            operation, schemas
        )
    used = {operation.tag for operation in api.operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kanvas", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "Set by sign-in. Changes must come from a page of an allowed origin.",
                },
            },
        },
    }


Key = tuple[type[Any], JsonSchemaMode]


def _collect_schemas(api: Api) -> tuple[dict[Key, dict[str, Any]], dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for operation in api.operations:
        if operation.body_model is not None:
            wanted[operation.body_model, "validation"] = None
        for model in (operation.raw.media if operation.raw else {}).values():
            if model is not None:
                wanted[model, "validation"] = None
        for reply in operation.replies:
            if reply.model is not None:
                wanted[reply.model, "serialization"] = None
    refs, defs = models_json_schema(list(wanted), ref_template=REF)
    definitions = defs.get("$defs", {})
    for definition in definitions.values():
        _tidy(definition)
    return dict(refs), dict(sorted(definitions.items()))


def _tidy(schema: dict[str, Any]) -> None:
    """Take out what only restates the field's name."""
    schema.pop("title", None)
    for one in schema.get("properties", {}).values():
        one.pop("title", None)


def _operation(operation: Operation, schemas: Mapping[Key, dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "parameters": [
            *_parameters(operation.path_model, "path"),
            *_parameters(operation.query_model, "query"),
            *_parameters(operation.headers_model, "header"),
        ],
        "responses": _responses(operation, schemas),
        "security": [{"bearer": []}, {"session": []}] if operation.needs_user else [],
    }
    if operation.body_model is not None:
        content = {JSON: {"schema": schemas[operation.body_model, "validation"]}}
        made["requestBody"] = {"required": True, "content": content}
    elif operation.raw is not None:
        made["requestBody"] = {
            "required": True,
            "content": {
                media: {} if model is None else {"schema": schemas[model, "validation"]}
                for media, model in operation.raw.media.items()
            },
        }
    return made


def _parameters(model: type[BaseModel] | None, place: str) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    found = []
    for name, described in schema.get("properties", {}).items():
        one = _without_null(described)
        description = one.pop("description", "")
        one.pop("title", None)
        made: dict[str, Any] = {"name": name, "in": place, "required": place == "path" or name in required}
        if description:
            made["description"] = description
        made["schema"] = one
        found.append(made)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is absent, never null."""
    made = dict(schema)
    if "anyOf" in made:
        rest = [one for one in made.pop("anyOf") if one != {"type": "null"}]
        made = {**rest[0], **made} if len(rest) == 1 else {"anyOf": rest, **made}
    if made.get("default", 0) is None:
        del made["default"]
    return made


def _responses(operation: Operation, schemas: Mapping[Key, dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for reply in operation.replies:
        made[str(reply.status)] = _reply(reply, schemas)
    for status, errors in _by_status(operation.all_errors()):
        told = "\n".join(f"- `{error.code}`: {error().message}" for error in errors)
        headers = {"X-Request-ID": _header("X-Request-ID", "Quote it to the operator.")}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = _header("WWW-Authenticate", "Bearer.")
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = _header("Retry-After", "Seconds to wait.")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            # the other errors of this status do not go away by waiting
            headers |= {name: _header(name, f"?{text}") for name, text in RATE_HEADERS.items()}
        content = {PROBLEM_TYPE: {"schema": schemas[Problem, "serialization"]}}
        made.setdefault(str(status), {"description": told, "headers": headers, "content": content})
    return dict(sorted(made.items()))


def _by_status(errors: Iterable[type[KanvasError]]) -> list[tuple[int, list[type[KanvasError]]]]:
    found: dict[int, list[type[KanvasError]]] = {}
    for error in errors:
        found.setdefault(error.status, []).append(error)
    return sorted(found.items())


def _reply(reply: Reply, schemas: Mapping[Key, dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": reply.description,
        "headers": {
            "X-Request-ID": _header("X-Request-ID", "Quote it to the operator."),
            **{name: _header(name, text) for name, text in reply.headers.items()},
        },
    }
    content: dict[str, Any] = {media: {} for media in reply.media}
    if reply.model is not None:
        content[JSON] = {"schema": schemas[reply.model, "serialization"]}
    if content:
        made["content"] = content
    return made


def _header(name: str, text: str) -> dict[str, Any]:
    optional = text.startswith("?")
    return {
        "description": text.removeprefix("?"),
        "required": not optional,
        "schema": HEADER_SCHEMAS.get(name, {"type": "string"}),
    }

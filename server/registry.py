"""The registry: every route of the API with its types, decoded before the handler and encoded after it.

Owns: declaring, dispatching by method, decoding path, query, headers and body, authentication.
Does not own: the document made of it (`openapi.py`), what handlers do.

A handler takes `call` and, by name, whichever of `path`, `query`, `headers`, `body` it declares; their
annotations are pydantic models, and that is all there is to declare about them.
Rules: every status a route can answer is declared; all wrong fields are reported together; a path that
can't name anything is 404.
"""

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Final, Literal, TypeVar, get_type_hints

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from db.audit import Event, append
from db.scopes import Actor, Transactions, as_user
from party.errors import (
    Invalid,
    KanvasError,
    NotFound,
    OriginRefused,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from server.auth import SAFE_METHODS, Identity, host_of, identify
from server.problems import (
    RATE_HEADERS,
    BadRequest,
    FieldError,
    InvalidFields,
    MethodNotAllowed,
    ScopeMissing,
    UnsupportedMedia,
    field_errors,
    problem_response,
    request_id_of,
)
from server.rates.actions import ACTIONS, action_name
from server.rates.base import AuthUnavailable, RateLimited
from server.rates.headers import rate_headers
from server.scopes import check_scope
from server.services import Services, services_of

log = structlog.get_logger("kanvas.api")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[..., Awaitable[Response]]
Model = TypeVar("Model", bound=BaseModel)

JSON: Final = "application/json"
MAX_JSON_BYTES: Final = 64 * 1024
"""Bodies of our own JSON routes are a few names; images and updates have limits of their own."""


class Body(BaseModel):
    """Base of request bodies: nothing is converted, nothing unknown is swallowed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """Base of query parameters: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Path(BaseModel):
    """Base of path parameters: one that can't be right names nothing, so it is `missing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    missing: ClassVar[type[KanvasError]] = NotFound


class RequestHeaders(BaseModel):
    """Base of request headers; the alias is the header's name."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Out(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer a route can give: status, the model of its JSON, other media types, and its headers.

    A header's text says what it means; one that begins with "?" may be absent.
    """

    status: int
    description: str
    model: type[BaseModel] | None = None
    media: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body the handler reads itself by `call.chunks` or `call.read`: its media types, JSON with a model."""

    media: Mapping[str, type[BaseModel] | None]
    max_bytes: int | None = None
    """None: the handler knows."""
    too_large: type[KanvasError] = TooLarge


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to its handler."""

    request: Request
    services: Services
    operation: "Operation"
    _identity: Identity | None

    @property
    def identity(self) -> Identity:
        """Who is asking; only on routes that ask who."""
        if self._identity is None:
            raise RuntimeError("this route is declared without authentication")
        return self._identity

    @property
    def actor(self) -> Actor:
        """Who is asking, as the database knows them."""
        return Actor(self.identity.user_id, self.identity.is_admin)

    @property
    def database(self) -> Transactions:
        """The database as who is asking may see it."""
        return as_user(self.services.database, self.actor)

    def record(
        self,
        connection: Connection,
        action: str,
        *,
        room_id: str | None = None,
        target: str = "",
        details: Mapping[str, JsonValue] | None = None,
        by: tuple[str, str] | None = None,
    ) -> None:
        """Note in the audit log what this request does, in the transaction that does it, late in it.

        `by` is the id and name of who does it, where the request begins without anybody: sign-in.
        """
        actor_id, actor_name = by or (self.identity.user_id, self.identity.name)
        event = Event(
            at=self.services.now(),
            actor_id=actor_id,
            actor_name=actor_name,
            action=action,
            room_id=room_id,
            target=target,
            address=host_of(self.request),
            request_id=request_id_of(self.request) or "",
            details=orjson.dumps(details or {}).decode(),
        )
        append(connection, event)

    @property
    def content_type(self) -> str:
        """The media type of the body, lower case, without parameters."""
        return media_type(self.request)

    async def chunks(self, max_bytes: int | None = None) -> AsyncIterator[bytes]:
        """The raw body as it comes. Raises the route's `too_large` past `max_bytes`, ClientDisconnect."""
        raw = self.operation.raw
        limit = max_bytes if max_bytes is not None else (raw.max_bytes if raw else MAX_JSON_BYTES)
        error = raw.too_large if raw else TooLarge
        async for chunk in read_chunks(self.request, limit, error):
            yield chunk

    async def read(self, max_bytes: int | None = None) -> bytes:
        """The raw body whole. Raises as `chunks` does."""
        return b"".join([chunk async for chunk in self.chunks(max_bytes)])

    def decode(self, model: type[Model], raw: bytes) -> Model:
        """JSON bytes as a model. Raises BadRequest, InvalidFields."""
        return decode_json(model, raw)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, declared."""

    method: Method
    path: str
    handler: Handler
    summary: str
    description: str
    tag: str
    needs_user: bool
    replies: tuple[Reply, ...]
    errors: tuple[type[KanvasError], ...]
    raw: RawBody | None
    path_model: type[Path] | None
    query_model: type[Query] | None
    headers_model: type[RequestHeaders] | None
    body_model: type[Body] | None
    page: str | None
    audit: str | None

    @property
    def name(self) -> str:
        return getattr(self.handler, "__name__", "handler")

    @property
    def action(self) -> str | None:
        """What it is counted as (server/rates/actions.py); None when it is not."""
        return action_name(self.name, self.tag, self.method, needs_user=self.needs_user)

    def all_errors(self) -> list[type[KanvasError]]:
        """The declared errors and those that follow from the declaration."""
        found: list[type[KanvasError]] = list(self.errors)
        if self.action is not None:
            found.append(RateLimited)
            if ACTIONS[self.action].is_auth:
                found.append(AuthUnavailable)
        if self.needs_user:
            found += [Unauthenticated, ScopeMissing]
            if self.method not in SAFE_METHODS:
                found.append(OriginRefused)
        if self.path_model is not None:
            found.append(self.path_model.missing)
        if self.body_model is not None:
            found += [BadRequest, Invalid, TooLarge, UnsupportedMedia]
        if self.raw is not None:
            found += [UnsupportedMedia, self.raw.too_large]
            if any(self.raw.media.values()):
                found.append(BadRequest)
        # query parameters nobody declared are refused everywhere, and bodies too
        found += [Invalid, Unavailable, KanvasError]
        return list(dict.fromkeys(found))


class Api:
    """All operations, and the Starlette routes that serve them."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def route(
        self,
        method: Method,
        path: str,
        *,
        summary: str,
        tag: str,
        replies: Sequence[Reply],
        errors: Sequence[type[KanvasError]] = (),
        raw: RawBody | None = None,
        needs_user: bool = True,
        page: str | None = None,
        audit: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a handler. Its docstring is the operation's description.

        `page` is for addresses that people open themselves: where they are sent when that is too often,
        instead of a problem in JSON. `audit` is the action it is in the audit log.
        """

        def declare(handler: Handler) -> Handler:
            hints = get_type_hints(handler)
            unknown = set(inspect.signature(handler).parameters) - {
                "call",
                "path",
                "query",
                "headers",
                "body",
            }
            if unknown:
                raise TypeError(f"{handler}: a handler takes no {', '.join(sorted(unknown))}")
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    handler=handler,
                    summary=summary,
                    description=inspect.getdoc(handler) or "",
                    tag=tag,
                    needs_user=needs_user,
                    replies=tuple(replies),
                    errors=tuple(errors),
                    raw=raw,
                    path_model=hints.get("path"),
                    query_model=hints.get("query"),
                    headers_model=hints.get("headers"),
                    body_model=hints.get("body"),
                    page=page,
                    audit=audit,
                )
            )
            return handler

        return declare

    def include(self, other: "Api") -> None:
        """Take in the operations another module declared."""
        self.operations += other.operations

    def routes(self) -> list[Route]:
        """One Starlette route per path: Starlette's own 405 knows only the first method of a path."""
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in self.operations:
            methods = by_path.setdefault(operation.path, {})
            if operation.method in methods:
                raise ValueError(f"{operation.method} {operation.path} is declared twice")
            methods[operation.method] = operation
        # the first that fits is taken: "/assets/import" before "/assets/{asset_id}"
        paths = sorted(by_path, key=lambda path: [part.startswith("{") for part in path.split("/")])
        return [Route(path, _Dispatch(by_path[path]), methods=None) for path in paths]


class _Dispatch:
    """The ASGI application of one path."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self.operations = operations
        allowed = set(operations) | ({"HEAD"} if "GET" in operations else set())
        self.allow = ", ".join(sorted(allowed))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations.get(method)
        if operation is None:
            response = problem_response(MethodNotAllowed(), request_id_of(request), {"Allow": self.allow})
        else:
            response = await answer_call(operation, request)
        await response(scope, receive, send)


async def answer_call(operation: Operation, request: Request) -> Response:
    """Authenticate, decode, call the handler. Raises KanvasError."""
    services = services_of(request)
    identity: Identity | None = None
    try:
        if operation.needs_user:
            identity = await _identify(request, services)
            structlog.contextvars.bind_contextvars(user_id=identity.user_id)
            check_scope(identity.scopes, operation.tag, operation.method)
        return await _answer(operation, request, services, identity)
    except KanvasError as error:
        services.refusals.note_answer(operation, request, identity, error)
        raise


async def _answer(
    operation: Operation, request: Request, services: Services, identity: Identity | None
) -> Response:
    # before the body is read, and whatever the answer will be
    try:
        headers = await _count(operation, request, services, identity)
    except (RateLimited, AuthUnavailable) as refused:
        if operation.page is None or "text/html" not in request.headers.get("accept", ""):
            raise
        return _to_page(operation.page, refused)
    arguments: dict[str, BaseModel] = {}
    wrong: list[FieldError] = []
    if operation.path_model is not None:
        arguments["path"] = _decode_path(operation.path_model, request)
    _collect(arguments, wrong, "query", lambda: _decode_query(operation.query_model, request))
    if operation.headers_model is not None:
        model = operation.headers_model
        _collect(arguments, wrong, "headers", lambda: _decode_headers(model, request))
    if operation.raw is not None:
        _check_media(request, tuple(operation.raw.media))
    if operation.body_model is not None:
        _check_media(request, (JSON,))
        raw = b"".join([chunk async for chunk in read_chunks(request, MAX_JSON_BYTES, TooLarge)])
        body_model = operation.body_model
        _collect(arguments, wrong, "body", lambda: decode_json(body_model, raw))
    elif operation.raw is None and operation.method != "GET" and await _has_body(request):
        wrong.append(FieldError(pointer="", code="extra_forbidden", message="This address takes no body."))
    if wrong:
        raise InvalidFields(wrong)
    response = await operation.handler(Call(request, services, operation, identity), **arguments)
    response.headers.update(headers)
    if all(reply.status != response.status_code for reply in operation.replies):
        log.error("undeclared answer", operation=operation.name, status=response.status_code)
    return response


def _to_page(page: str, refused: RateLimited | AuthUnavailable) -> Response:
    wait = str(ceil(getattr(refused, "retry_after_s", 2.0)))
    headers = {"Location": page, "Cache-Control": "no-store", "Retry-After": wait}
    return Response(status_code=303, headers=headers)


async def _identify(request: Request, services: Services) -> Identity:
    try:
        identity = await identify(request, services.tokens, services.settings, method=request.method)
    except Unauthenticated:
        await services.rates.note_failure(host_of(request))
        raise
    await services.tokens.personal.note_use(identity, host_of(request))
    return identity


async def _count(
    operation: Operation, request: Request, services: Services, identity: Identity | None
) -> dict[str, str]:
    """Count the request; the headers that every answer to it carries, errors too. Raises RateLimited."""
    action = operation.action
    if action is None:
        return {}
    user_id, plan = (identity.user_id, identity.plan) if identity is not None else (None, "")
    state = request.scope.setdefault("state", {})
    try:
        counted = await services.rates.take(action, host=host_of(request), user_id=user_id, plan=plan)
    except RateLimited as refused:
        state[RATE_HEADERS] = refused.headers
        raise
    if counted is None:
        return {}
    headers: dict[str, str] = rate_headers(action, *counted)
    state[RATE_HEADERS] = headers
    return headers


def _collect(
    arguments: dict[str, BaseModel],
    wrong: list[FieldError],
    name: str,
    decode: Callable[[], BaseModel | None],
) -> None:
    try:
        decoded = decode()
    except InvalidFields as error:
        wrong += error.errors
    else:
        if decoded is not None:
            arguments[name] = decoded


def _decode_path(model: type[Path], request: Request) -> Path:
    try:
        decoded = model.model_validate(request.path_params)
    except ValidationError:
        raise model.missing from None
    room_id = request.path_params.get("room_id")
    if isinstance(room_id, str):
        structlog.contextvars.bind_contextvars(room_id=room_id)
    return decoded


def _decode_query(model: type[Query] | None, request: Request) -> Query | None:
    values: dict[str, str] = {}
    wrong = []
    for name, value in request.query_params.multi_items():
        if name in values:
            wrong.append(FieldError(field=name, code="repeated", message="Give this parameter only once."))
        values[name] = value
    if model is None:
        wrong += [
            FieldError(field=name, code="extra_forbidden", message="This address takes no such parameter.")
            for name in values
        ]
    if wrong:
        raise InvalidFields(wrong)
    if model is None:
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidFields(field_errors(error, in_body=False)) from None


def _decode_headers(model: type[RequestHeaders], request: Request) -> RequestHeaders:
    names = [info.alias or name for name, info in model.model_fields.items()]
    values = {name: ", ".join(request.headers.getlist(name)) for name in names if name in request.headers}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidFields(field_errors(error, in_body=False)) from None


def decode_json(model: type[Model], raw: bytes) -> Model:
    """JSON bytes as a model. Raises BadRequest for what is no JSON, InvalidFields for wrong fields."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequest(f"The body is not JSON in UTF-8: {first['msg']}.") from None
        raise InvalidFields(field_errors(error, in_body=True)) from None


def media_type(request: Request) -> str:
    """The media type of the body, lower case, without parameters; empty when none is given."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_media(request: Request, accepted: Sequence[str]) -> None:
    given = media_type(request)
    if (
        "*/*" in accepted
        or given in accepted
        or any(one.endswith("/*") and given.startswith(one[:-1]) for one in accepted)
    ):
        return
    shown = re.sub(r"[^\x20-\x7e]", "", given)[:100] or "nothing"
    raise UnsupportedMedia(f"Send the body with Content-Type {' or '.join(accepted)}, not {shown}.")


async def _has_body(request: Request) -> bool:
    """Whether there is any; nothing is read after its first bytes."""
    async for chunk in request.stream():
        if chunk:
            return True
    return False


async def read_chunks(
    request: Request, max_bytes: int | None, error: type[KanvasError]
) -> AsyncIterator[bytes]:
    """The body as it comes; refused by its announced length or as soon as it is too long."""
    message = f"The body has more than {max_bytes} bytes, which is the limit here."
    announced = request.headers.get("content-length", "")
    if max_bytes is not None and re.fullmatch(r"[0-9]{1,19}", announced) and int(announced) > max_bytes:
        raise error(message)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if max_bytes is not None and size > max_bytes:
            raise error(message)
        if chunk:
            yield chunk


def answer(body: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; nothing of ours is for shared caches."""
    return Response(
        body.model_dump_json(by_alias=True).encode(),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type=JSON,
    )


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """204."""
    return Response(status_code=204, headers={"Cache-Control": "no-store", **(headers or {})})

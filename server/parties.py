"""The way into a room: /parties/{room_id} as a WebSocket, and over HTTP.

Owns: admission at the door (origin, token, place), handing the line to the hub, the HTTP reading and writing
of a room's state. Does not own: what a message means (party/), sockets and frames (`line.py`).
Rules: a refusal accepts the socket and closes it with its code and words, because an HTTP status on an
upgrade reaches a browser as 1006 and is retried for ever (S5); over HTTP the same rules and the same
durability hold (R9); what is read is committed (R4).
"""

import asyncio
import base64
import binascii
from functools import partial
from typing import Annotated, Final

import structlog
from pydantic import Field
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from party.errors import (
    BadUpdate,
    Forbidden,
    IncompleteUpdate,
    KanvasError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from party.ports import Role
from server.auth import Identity, check_cookie_origin, check_origin, find_token, host_of
from server.conditions import is_known_to_client, make_etag
from server.identity.desk import Desk
from server.identity.signal import encode_role
from server.line import Line, Receiver
from server.packs import share, takes_gzip
from server.problems import FieldError, InvalidFields
from server.registry import Api, Body, Call, Out, RawBody, Reply, RequestHeaders, answer
from server.rooms import RoomPath
from server.scopes import most_role
from server.services import Services, services_of
from server.transport import EXTENSION, KanvasProtocol

log = structlog.get_logger("kanvas.parties")

api = Api()

SUBPROTOCOL: Final = "kanvas"
BINARY: Final = "application/octet-stream"
JSON: Final = "application/json"
SIZE: Final = "Kanvas-Document-Bytes"
"""Content-Length counts compressed bytes, and browsers hand out uncompressed ones."""


async def party_socket(websocket: WebSocket) -> None:
    """Accept, check, and take a seat; from then on the line and the room do without us."""
    protocol: KanvasProtocol = websocket.scope["extensions"][EXTENSION]["protocol"]
    services = services_of(websocket)
    offered: list[str] = websocket.scope["subprotocols"]
    # Chromium fails a connection that offered some and had none selected
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    line = protocol.take_over(services.traffic)
    room_id = websocket.path_params["room_id"]
    structlog.contextvars.bind_contextvars(room_id=room_id)
    identity: Identity | None = None
    try:
        # a journal that hangs must not keep people waiting without a word
        async with asyncio.timeout(services.traffic.bounds.join_s):
            host = host_of(websocket)
            await services.rates.connect(host)
            identity = await _identify_or_count(websocket, services, offered, host)
            structlog.contextvars.bind_contextvars(user_id=identity.user_id)
            await services.tokens.personal.note_use(identity, host)
            await services.rates.join(host, identity.user_id, identity.plan)
            line.pace = services.rates.pace_of(identity.plan)
            place = services.places.take(identity.user_id, room_id)
            # our own client is told before its token ends, and may renew it here
            is_ours = line.is_ours = SUBPROTOCOL in offered
            sitting = services.sessions.open(identity, line, place, wants_warning=is_ours)
            line.keep(sitting)
            with services.tracer.span("join", room_id=room_id):
                # stock clients would not know what to do with it
                on_role = partial(_tell_role, line) if is_ours else None
                seat: Receiver
                most = most_role(identity.scopes)
                seat, principal = await services.access.seat(
                    room_id,
                    identity,
                    line,
                    on_role,
                    most,
                    services.refusals.watch(websocket, identity, room_id),
                )
            if is_ours:
                seat = Desk(seat, sitting, services.sessions, services.tokens.verify)
    except KanvasError as error:
        services.tally.rejected.bump(error.code)
        log.info("party refused", code=error.code)
        services.refusals.note_join(websocket, identity, error)
        line.fail(error)
        return
    except TimeoutError:
        services.tally.rejected.bump(Unavailable.code)
        log.warning("party refused", code=Unavailable.code, reason="the room did not open in time")
        line.fail(Unavailable("The room could not be opened in time; try again soon."))
        return
    except BaseException:
        # a bug or the end of the process: nobody else will close it
        line.fail(KanvasError())
        raise
    line.seat_at(seat)
    log.info("party joined")
    if principal.is_shown or not principal.is_admin:
        # an operator who looks after a room was not in it
        services.visits.note(room_id, identity.user_id, identity.name)


def _tell_role(line: Line, role: Role) -> None:
    line.send(encode_role(role))


async def _identify_or_count(
    websocket: WebSocket, services: Services, offered: list[str], host: str
) -> Identity:
    try:
        return await _identify(websocket, services, offered)
    except Unauthenticated:
        await services.rates.note_failure(host)
        raise


async def _identify(websocket: WebSocket, services: Services, offered: list[str]) -> Identity:
    """Who connects: token by subprotocol (our client), query (stock y-websocket), header, or cookie."""
    check_origin(websocket.headers.get("origin"), websocket.headers.get("host"), services.settings)
    tokens = [one for one in offered if one != SUBPROTOCOL]
    if SUBPROTOCOL in offered and tokens:
        return await services.tokens.verify(tokens[0])
    if token := websocket.query_params.get("token"):
        return await services.tokens.verify(token)
    found = find_token(websocket)
    if found is None:
        raise Unauthenticated
    if found[1]:
        # "*" lets any page connect with a token of its own, not with somebody's cookie
        check_cookie_origin(websocket.headers, services.settings)
    return await services.tokens.verify(found[0])


def routes() -> list[WebSocketRoute]:
    """The WebSocket side; the HTTP side is in `api`."""
    return [WebSocketRoute("/parties/{room_id}", party_socket)]


class StateHeaders(RequestHeaders):
    """Headers of a read."""

    accept: str | None = Field(default=None, alias="Accept", description=f"{BINARY} for the bare update")
    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")


class StateOut(Out):
    """A room's committed state."""

    version: str = Field(description="epoch-seq", examples=["1-42"], pattern=r"^\d+-\d+$")
    update: str = Field(description="The whole document as one Yjs update (encoding version 1), in base64")


class VersionOut(Out):
    """Where the room is now that your update is durable."""

    version: str = Field(description="epoch-seq", examples=["1-43"], pattern=r"^\d+-\d+$")


class UpdateBody(Body):
    """A Yjs update in JSON."""

    update: Annotated[str, Field(description="A Yjs update (encoding version 1), in base64")]


@api.route(
    "GET",
    "/parties/{room_id}",
    summary="Read a room's state",
    tag="parties",
    replies=(
        Reply(200, "The state", StateOut, media=(BINARY,), headers={"ETag": "The room's version"}),
        Reply(304, "You have this version", headers={"ETag": "The room's version"}),
    ),
    errors=(Forbidden,),
)
async def read_state(call: Call, path: RoomPath, headers: StateHeaders) -> Response:
    """The document as of the last commit and its version.

    Ask with `Accept: application/octet-stream` for the bare Yjs update. With `Upgrade: websocket` this
    address is the room's party and speaks the y-protocols.
    """
    hub = call.services.hub
    await call.services.access.check(path.room_id, call.identity, "see")
    known = {"Vary": "Accept", "Cache-Control": "private, no-cache"}
    # first, for the document is encoded once for each commit
    etag = make_etag(await hub.version(path.room_id))
    if is_known_to_client(headers.if_none_match, etag):
        return Response(status_code=304, headers={"ETag": etag, **known})
    version, update = await hub.state(path.room_id)
    known = {"ETag": make_etag(version), **known}
    if BINARY in (headers.accept or ""):
        return Response(update, media_type=BINARY, headers=known)
    return answer(StateOut(version=version, update=base64.b64encode(update).decode()), headers=known)


class BaseHeaders(RequestHeaders):
    """Headers of a read of the base."""

    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")
    accept_encoding: str | None = Field(
        default=None, alias="Accept-Encoding", description="With gzip it is about a quarter of the size"
    )


@api.route(
    "GET",
    "/parties/{room_id}/base",
    summary="Read a large room's base before joining",
    tag="parties",
    replies=(
        Reply(
            200,
            "A Yjs update (encoding version 1)",
            media=(BINARY,),
            headers={"ETag": "The base's version, weak", SIZE: "Bytes of the update, uncompressed"},
        ),
        Reply(304, "You have this base", headers={"ETag": "The base's version, weak"}),
    ),
    errors=(Forbidden,),
)
async def read_base(call: Call, path: RoomPath, headers: BaseHeaders) -> Response:
    """A recent committed state, for clients that then connect and sync what was drawn since.

    It costs the server next to nothing: it is what the room holds in memory, compressed once for everybody.
    It may be older than `GET /parties/{room_id}`; apply it, then join with your state vector.
    """
    await call.services.access.check(path.room_id, call.identity, "see")
    committed = await call.services.hub.read(path.room_id)
    # weak: the library may write the same state in other bytes, and it is the same tag with and without gzip
    etag = "W/" + make_etag(committed.base_version)
    told = {"ETag": etag, "Vary": "Accept-Encoding", "Cache-Control": "private, no-cache"}
    if is_known_to_client(headers.if_none_match, etag):
        return Response(status_code=304, headers=told)
    base = committed.base
    told[SIZE] = str(len(base))
    if not takes_gzip(headers.accept_encoding):
        # the middleware says on what it varies, as with every answer it leaves as it is
        del told["Vary"]
        return share(base, told, BINARY)
    packed = await call.services.packs.gzip(path.room_id, base)
    return share(packed, told | {"Content-Encoding": "gzip"}, BINARY)


@api.route(
    "POST",
    "/parties/{room_id}",
    summary="Apply an update to a room",
    tag="parties",
    replies=(Reply(200, "Durable, and on its way to everybody in the room", VersionOut),),
    errors=(BadUpdate, IncompleteUpdate, TooLarge, Forbidden),
    audit="document.edit",
    raw=RawBody({BINARY: None, JSON: UpdateBody}),
)
async def apply_update(call: Call, path: RoomPath) -> Response:
    """Send a Yjs update as bare bytes, or in base64 as JSON; the answer comes when it is on disk.

    An update that builds on edits the room does not have is refused with `incomplete_update` and the room's
    state vector: send everything beyond it. Sending the same update twice is harmless.
    """
    limit = call.services.limits.max_update_bytes
    if call.content_type == BINARY:
        update = await call.read(limit)
    else:
        # base64 takes four characters for three bytes
        body = call.decode(UpdateBody, await call.read(limit * 4 // 3 + 1024))
        try:
            update = base64.b64decode(body.update, validate=True)
        except (binascii.Error, ValueError) as exc:
            wrong = FieldError(pointer="/update", code="base64", message="Send base64 (RFC 4648).")
            raise InvalidFields([wrong]) from exc
    principal = await call.services.access.author(path.room_id, call.identity)
    return answer(VersionOut(version=await call.services.hub.submit(path.room_id, principal, update)))

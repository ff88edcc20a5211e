"""Room routes: make, find, list, change, trash, restore, and who is in.

Owns: /api/v1/rooms and below, but for assets (`assets/`). Does not own: SQL (`db/rooms.py`), the document.
Rules: an id is the capability to enter an unlisted room, and no listing gives it away; only the owner
changes a room; look, compare and change happen in one transaction; the answer to an Idempotency-Key is
stored in the transaction of the change.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, JsonValue
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db import rooms as db_rooms
from db.idempotency import Answer, find_answer, store_answer
from db.rooms import Room
from db.users import find_user, put_user
from party.errors import Conflict, Forbidden, PreconditionFailed, RoomNotFound
from party.ports import Principal
from server.auth import Identity
from server.company import find_people
from server.conditions import IF_MATCH_PATTERN, check_if_match, make_etag
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.problems import IdempotencyConflict
from server.registry import Api, Body, Call, Out, Path, Reply, RequestHeaders, answer, no_content
from server.services import TRASH_KEPT, Services
from server.sign_in import UserOut
from server.text import Search, Title

api = Api()

ROOM_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{2,63}$"
RESERVED: Final = frozenset({"active"})
"""Ids that are parts of other addresses."""

MAX_FACES: Final = 8
"""People shown on a room in a listing; the count says how many there are."""

ETAG: Final = {"ETag": "The room's revision; send it back in If-Match."}
RoomId = Annotated[str, Field(pattern=ROOM_ID_PATTERN, examples=["first-sketch"])]


class RoomPath(Path):
    """Which room."""

    missing = RoomNotFound
    room_id: RoomId


class NewRoom(Body):
    """A room to make; all of it is optional."""

    title: Title = "Untitled"
    visibility: Literal["public", "unlisted"] = Field(
        default="unlisted", description="public: listed for everybody; unlisted: who has the address gets in"
    )
    room_schema: Literal["canvas", "open"] = Field(
        default="canvas", alias="schema", description="canvas: a drawing; open: any Yjs document"
    )
    id: RoomId | None = Field(default=None, description="Part of the address; made up when left out")


class RoomChange(Body):
    """What to change; what is left out or null stays."""

    title: Title | None = None
    visibility: Literal["public", "unlisted"] | None = None


class RoomOut(Out):
    """A room as you see it."""

    id: str
    title: str
    visibility: Literal["public", "unlisted"]
    room_schema: Literal["canvas", "open"] = Field(serialization_alias="schema")
    epoch: int = Field(ge=1, description="Raised when the room's past is replaced")
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    purge_at: datetime | None = Field(description="When the trash is emptied of it")
    creator: UserOut
    role: Literal["owner", "editor"] = Field(description="Yours")
    participant_count: int = Field(ge=0, description="How many people are in it now")
    participants: list[UserOut] = Field(max_length=MAX_FACES, description="Some of those who are in it now")


class RoomList(Out):
    """A page of rooms, newest first."""

    items: list[RoomOut]
    next_cursor: str | None


class ParticipantOut(Out):
    """Somebody who is or was in the room."""

    user: UserOut
    role: Literal["owner", "editor", "commenter", "viewer"]
    present: bool
    first_seen_at: datetime
    last_seen_at: datetime


class ParticipantList(Out):
    """Everybody who ever was in the room, in the order they came."""

    items: list[ParticipantOut]
    next_cursor: str | None


class RoomQuery(PageQuery):
    """Which rooms to list."""

    scope: Literal["public", "mine", "trash"] = Field(
        default="public", description="mine: you made them or were in them; trash: you deleted them"
    )
    q: Search | None = Field(default=None, description="Part of the title, in any case")


class CreateHeaders(RequestHeaders):
    """Headers of POST /rooms."""

    idempotency_key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        pattern="^[!-~]{1,128}$",
        description="Repeat the request with the same key and it happens once; kept for a day",
    )


class ChangeHeaders(RequestHeaders):
    """Headers of a change."""

    if_match: str | None = Field(
        default=None,
        alias="If-Match",
        json_schema_extra={"pattern": IF_MATCH_PATTERN},
        examples=["*"],
        description="The ETag you read; refused with 412 when the room changed since",
    )


def room_out(room: Room, identity: Identity, present: list[Principal]) -> RoomOut:
    """The room as `identity` sees it, with the people who are in it now."""
    return RoomOut(
        id=room.id,
        title=room.title,
        visibility=room.visibility,
        room_schema=room.schema,
        epoch=room.epoch,
        created_at=room.created_at,
        updated_at=room.updated_at,
        deleted_at=room.deleted_at,
        purge_at=room.deleted_at + TRASH_KEPT if room.deleted_at else None,
        creator=UserOut(id=room.creator_id, name=room.creator_name),
        role="owner" if room.creator_id == identity.user_id else "editor",
        participant_count=len(present),
        participants=[UserOut(id=one.user_id, name=one.name) for one in present[:MAX_FACES]],
    )


def what_changed(before: Room, after: Room, names: Sequence[str]) -> dict[str, JsonValue]:
    """For the audit log: those of these fields that are others now, with what they were and are."""
    return {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in names
        if getattr(before, name) != getattr(after, name)
    }


async def _show(call: Call, room: Room) -> Response:
    present = (await find_people(call.services, [room.id]))[room.id]
    return answer(room_out(room, call.identity, present), headers={"ETag": make_etag(room.revision)})


async def get_room(services: Services, room_id: str) -> Room:
    """The room. Raises RoomNotFound, also when it is in the trash."""
    room = await services.database.read(lambda conn: db_rooms.find_room(conn, room_id))
    if room is None:
        raise RoomNotFound
    return room


def check_kept_out(call: Call, room_id: str) -> None:
    """Before somebody changes a room or puts something into it. Raises RoomClosed, KeptOut (M7)."""
    call.services.keeper.guard.check_kept_out(room_id, call.identity.user_id)


def _get_own(
    conn: Connection, call: Call, room_id: str, if_match: str | None, *, deleted: bool = False
) -> Room:
    """The room of its owner, unchanged since; to be called in the transaction of the change."""
    room = db_rooms.find_room(conn, room_id, deleted=deleted, is_to_change=True)
    if room is None:
        raise RoomNotFound
    if room.creator_id != call.identity.user_id:
        raise Forbidden("Only the owner of the room may do this.")
    if not check_if_match(if_match, make_etag(room.revision)):
        raise PreconditionFailed
    return room


@api.route(
    "POST",
    "/api/v1/rooms",
    summary="Make a room",
    tag="rooms",
    replies=[
        Reply(
            201,
            "The new room",
            RoomOut,
            headers={**ETAG, "Location": "Its address", "Idempotency-Replayed": "?true when answered before"},
        )
    ],
    errors=[Conflict, IdempotencyConflict],
    audit="room.create",
)
async def create_room(call: Call, body: NewRoom, headers: CreateHeaders) -> Response:
    """You become its owner. With an Idempotency-Key a repeated request gets the first answer again."""
    services, identity, now = call.services, call.identity, call.services.now()
    if body.id in RESERVED:
        raise Conflict("This id is part of another address here; choose another.")
    key = headers.idempotency_key
    request_hash = hashlib.sha256(b"POST /api/v1/rooms\n" + body.model_dump_json().encode()).hexdigest()

    def create(conn: Connection) -> Answer | Room:
        if key is not None:
            known = find_answer(conn, identity.user_id, key)
            if known is not None:
                return known
        # a token made by the operator has no row yet; a known name is the newer one
        if find_user(conn, identity.user_id) is None:
            put_user(conn, identity.user_id, identity.name, now)
        room = db_rooms.insert_room(
            conn,
            id=body.id or str(ULID()).lower(),
            title=body.title,
            visibility=body.visibility,
            schema=body.room_schema,
            creator_id=identity.user_id,
            now=now,
        )
        if key is not None:
            made = _created(room, identity)
            told = orjson.dumps(_stored_headers(made)).decode()
            store_answer(conn, identity.user_id, key, request_hash, 201, told, bytes(made.body), now)
        details: dict[str, JsonValue] = {"title": room.title, "visibility": room.visibility}
        call.record(conn, "room.create", room_id=room.id, target=room.id, details=details)
        return room

    done = await services.database.write(create)
    if isinstance(done, Room):
        services.tally.rooms_created += 1
        return _created(done, identity)
    if done.request_hash != request_hash:
        raise IdempotencyConflict
    stored: dict[str, Any] = orjson.loads(done.headers_json)
    return Response(
        done.body,
        status_code=done.status,
        headers={"Cache-Control": "no-store", **stored, "Idempotency-Replayed": "true"},
        media_type="application/json",
    )


def _created(room: Room, identity: Identity) -> Response:
    headers = {"ETag": make_etag(room.revision), "Location": f"/api/v1/rooms/{room.id}"}
    return answer(room_out(room, identity, []), status=201, headers=headers)


def _stored_headers(response: Response) -> dict[str, str]:
    return {name: response.headers[name] for name in ("ETag", "Location")}


@api.route(
    "GET",
    "/api/v1/rooms",
    summary="List rooms",
    tag="rooms",
    replies=[Reply(200, "One page", RoomList)],
)
async def list_rooms(call: Call, query: RoomQuery) -> Response:
    """Newest first. Unlisted rooms are only among yours."""
    before = decode_cursor(query.cursor, ROOM_ID_PATTERN) if query.cursor is not None else None
    user_id = call.identity.user_id

    found = await call.services.database.read(
        lambda conn: db_rooms.list_rooms(
            conn, scope=query.scope, user_id=user_id, q=query.q, before=before, limit=query.limit + 1
        )
    )
    page = found[: query.limit]
    people = await find_people(call.services, [room.id for room in page])
    return answer(
        RoomList(
            items=[room_out(room, call.identity, people[room.id]) for room in page],
            next_cursor=encode_cursor(page[-1].created_at, page[-1].id) if len(found) > len(page) else None,
        )
    )


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}",
    summary="Look at a room",
    tag="rooms",
    replies=[Reply(200, "The room", RoomOut, headers=ETAG)],
)
async def read_room(call: Call, path: RoomPath) -> Response:
    """Whoever has the id of an unlisted room may see it."""
    return await _show(call, await get_room(call.services, path.room_id))


@api.route(
    "PATCH",
    "/api/v1/rooms/{room_id}",
    summary="Rename or publish a room",
    tag="rooms",
    replies=[Reply(200, "The room as it is now", RoomOut, headers=ETAG)],
    errors=[Forbidden, PreconditionFailed],
    audit="room.change",
)
async def change_room(call: Call, path: RoomPath, headers: ChangeHeaders, body: RoomChange) -> Response:
    """Only its owner may, and not while the operator keeps him out."""
    now = call.services.now()

    def change(conn: Connection) -> Room:
        room = _get_own(conn, call, path.room_id, headers.if_match)
        check_kept_out(call, room.id)
        if body.title is None and body.visibility is None:
            return room
        changed = db_rooms.update_room(
            conn,
            room.id,
            title=body.title,
            visibility=body.visibility,
            revision=room.revision,
            now=now,
        )
        details = what_changed(room, changed, ("title", "visibility"))
        call.record(conn, "room.change", room_id=room.id, target=room.id, details=details)
        return changed

    return await _show(call, await call.services.database.write(change))


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}",
    summary="Put a room into the trash",
    tag="rooms",
    replies=[Reply(204, "It is in the trash, for 30 days")],
    errors=[Forbidden, PreconditionFailed],
    audit="room.delete",
)
async def delete_room(call: Call, path: RoomPath, headers: ChangeHeaders) -> Response:
    """Only its owner may. Everybody in it is sent out."""
    services, now = call.services, call.services.now()

    def trash(conn: Connection) -> None:
        room = _get_own(conn, call, path.room_id, headers.if_match)
        db_rooms.trash_room(conn, room.id, revision=room.revision, now=now)
        call.record(conn, "room.delete", room_id=room.id, target=room.id)

    await services.database.write(trash)
    await services.hub.evict(path.room_id, RoomNotFound("The owner put this room into the trash."))
    return no_content()


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/restore",
    summary="Take a room out of the trash",
    tag="rooms",
    replies=[Reply(200, "The room, as it was", RoomOut, headers=ETAG)],
    errors=[Forbidden, PreconditionFailed],
    audit="room.restore",
)
async def restore_room(call: Call, path: RoomPath, headers: ChangeHeaders) -> Response:
    """Only its owner may. A room that is not in the trash stays as it is."""
    now = call.services.now()

    def restore(conn: Connection) -> Room:
        room = _get_own(conn, call, path.room_id, headers.if_match, deleted=True)
        restored = db_rooms.restore_room(conn, room.id, revision=room.revision, now=now)
        if room.deleted_at is not None:
            call.record(conn, "room.restore", room_id=room.id, target=room.id)
        return restored

    return await _show(call, await call.services.database.write(restore))


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/participants",
    summary="Who is or was in a room",
    tag="rooms",
    replies=[Reply(200, "Everybody, in the order they came", ParticipantList)],
)
async def list_participants(call: Call, path: RoomPath) -> Response:
    """`present` says who is in it now."""
    await get_room(call.services, path.room_id)
    known = await call.services.database.read(lambda conn: db_rooms.list_participants(conn, path.room_id))
    people = await find_people(call.services, [path.room_id])
    present = {one.user_id for one in people[path.room_id]}
    items = [
        ParticipantOut(
            user=UserOut(id=one.user_id, name=one.name),
            role=one.role,
            present=one.user_id in present,
            first_seen_at=one.first_seen_at,
            last_seen_at=one.last_seen_at,
        )
        for one in known
    ]
    return answer(ParticipantList(items=items, next_cursor=None))

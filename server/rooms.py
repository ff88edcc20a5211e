"""Room routes: make, find, list, change, trash, restore, and who is in.

Owns: /api/v1/rooms and below, but for assets (`assets/`). Does not own: SQL (`db/rooms.py`), the document.
Rules: an id is the capability to enter an unlisted room as far as everybody's role there goes, and no listing
gives it away; who may do what is asked of the policy in the transaction of the change; look, compare and
change happen in one transaction; the answer to an Idempotency-Key is stored in that of the change. Keeps
rules G1-G3, G7.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, JsonValue
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db import listings
from db import rooms as db_rooms
from db.access import Access, find_role, get_access, touch_access
from db.idempotency import Answer, find_answer, store_answer
from db.rooms import Room
from db.scopes import Actor
from db.standing import Standings, find_aliases, find_roles, find_standings
from db.users import find_user, put_user
from party.errors import Conflict, Forbidden, PreconditionFailed, RoomNotFound
from party.policy import ACTIONS, Action, actions_of, can
from party.ports import Principal, Role
from server.company import find_people
from server.conditions import IF_MATCH_PATTERN, check_if_match, make_etag
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.problems import IdempotencyConflict
from server.registry import Api, Body, Call, Out, Path, Reply, RequestHeaders, answer, no_content
from server.services import TRASH_KEPT
from server.sign_in import UserOut
from server.text import Search, Title

api = Api()

ROOM_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{2,63}$"
RESERVED: Final = frozenset({"active"})
"""Ids that are parts of other addresses."""

MAX_FACES: Final = 8
"""People shown on a room in a listing; the count says how many there are."""

ETAG: Final = {"ETag": "The room's revision; send it back in If-Match."}
EverybodysRole = Literal["none", "viewer", "commenter", "editor"]
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
    default_role: EverybodysRole | None = Field(
        default=None, description="Of everybody who has the address; left out: as the server is set up"
    )
    shows_viewers: bool = Field(default=True, description="Whether others see who only looks")
    id: RoomId | None = Field(default=None, description="Part of the address; made up when left out")


class RoomChange(Body):
    """What to change; what is left out or null stays."""

    title: Title | None = None
    visibility: Literal["public", "unlisted"] | None = None
    default_role: EverybodysRole | None = Field(
        default=None, description="Of everybody who has the address; with none only members get in"
    )
    shows_viewers: bool | None = Field(default=None, description="Whether others see who only looks")


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
    role: Role | None = Field(
        description="Yours; null when you have none, as an operator or in a listed room that lets nobody in"
    )
    may: list[Action] = Field(description="What you may do in it")
    default_role: EverybodysRole = Field(description="Of everybody who has the address")
    shows_viewers: bool = Field(description="Whether others see who only looks")
    participant_count: int = Field(ge=0, description="How many people are in it now")
    participants: list[UserOut] = Field(max_length=MAX_FACES, description="Some of those who are in it now")


class RoomList(Out):
    """A page of rooms, newest first."""

    items: list[RoomOut]
    next_cursor: str | None


class ParticipantOut(Out):
    """Somebody who is or was in the room."""

    user: UserOut
    role: Role | None = Field(description="Theirs now; null: none any more")
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


def room_out(room: Room, role: Role | None, actor: Actor, present: Sequence[Principal]) -> RoomOut:
    """The room as `actor` sees it, who has this role there, with the people who are in it now."""
    may = actions_of(role, is_admin=actor.is_admin)
    if "see" not in may:
        # it is listed, and that is all
        present = ()
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
        role=role,
        may=[one for one in ACTIONS if one in may],
        default_role=room.default_role,
        shows_viewers=room.shows_viewers,
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


async def _show(call: Call, access: Access) -> Response:
    room = access.room
    present = (await find_people(call.services, [room.id]))[room.id]
    told = room_out(room, access.role, call.actor, present)
    return answer(told, headers={"ETag": make_etag(room.revision)})


async def get_room(call: Call, room_id: str) -> Room:
    """A room that who asks may see. Raises RoomNotFound, also when it is in the trash; Forbidden."""
    see = partial(get_access, room_id=room_id, actor=call.actor, action="see")
    return (await call.database.read(see)).room


def check_kept_out(conn: Connection, call: Call, room_id: str) -> None:
    """Before somebody changes a room or puts something into it, also as a guest he was (G8); in its
    transaction. Raises RoomClosed, KeptOut (M7).
    """
    me = call.identity.user_id
    for one in (me, *find_aliases(conn, me)):
        call.services.keeper.guard.check_kept_out(room_id, one)


def check_edit(conn: Connection, call: Call, room_id: str) -> Room:
    """A room whose document and files who asks may change; to be called in the transaction of the change.

    Raises RoomNotFound, Forbidden, RoomClosed, KeptOut.
    """
    room = get_access(conn, room_id, call.actor, "edit").room
    check_kept_out(conn, call, room_id)
    return room


def _get_unchanged(
    conn: Connection, call: Call, room_id: str, action: Action, if_match: str | None, *, deleted: bool = False
) -> Access:
    """The room to change, as it was read; to be called in the transaction of the change."""
    access = get_access(conn, room_id, call.actor, action, deleted=deleted, is_to_change=True)
    if not check_if_match(if_match, make_etag(access.room.revision)):
        raise PreconditionFailed
    return access


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
            default_role=body.default_role or services.settings.default_role,
            shows_viewers=body.shows_viewers,
        )
        if key is not None:
            made = _created(room, call.actor)
            told = orjson.dumps(_stored_headers(made)).decode()
            store_answer(conn, identity.user_id, key, request_hash, 201, told, bytes(made.body), now)
        details: dict[str, JsonValue] = {"title": room.title, "visibility": room.visibility}
        call.record(conn, "room.create", room_id=room.id, target=room.id, details=details)
        return room

    done = await call.database.write(create)
    if isinstance(done, Room):
        services.tally.rooms_created += 1
        return _created(done, call.actor)
    if done.request_hash != request_hash:
        raise IdempotencyConflict
    stored: dict[str, Any] = orjson.loads(done.headers_json)
    return Response(
        done.body,
        status_code=done.status,
        headers={"Cache-Control": "no-store", **stored, "Idempotency-Replayed": "true"},
        media_type="application/json",
    )


def _created(room: Room, actor: Actor) -> Response:
    headers = {"ETag": make_etag(room.revision), "Location": f"/api/v1/rooms/{room.id}"}
    return answer(room_out(room, "owner", actor, ()), status=201, headers=headers)


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
    actor = call.actor

    def find(conn: Connection) -> tuple[list[Room], dict[str, Role | None]]:
        found = listings.list_rooms(
            conn, scope=query.scope, user_id=actor.user_id, q=query.q, before=before, limit=query.limit + 1
        )
        return found, find_roles(conn, [room.id for room in found], actor.user_id)

    found, roles = await call.database.read(find)
    page = found[: query.limit]
    # who was in a room or made it may have no role there any more
    wanted: Action = "delete" if query.scope == "trash" else "see"
    shown = [room for room in page if query.scope == "public" or can(roles.get(room.id), wanted)]
    people = await find_people(call.services, [room.id for room in shown])
    return answer(
        RoomList(
            items=[room_out(room, roles.get(room.id), actor, people[room.id]) for room in shown],
            next_cursor=encode_cursor(page[-1].created_at, page[-1].id) if len(found) > len(page) else None,
        )
    )


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}",
    summary="Look at a room",
    tag="rooms",
    replies=[Reply(200, "The room", RoomOut, headers=ETAG)],
    errors=[Forbidden],
)
async def read_room(call: Call, path: RoomPath) -> Response:
    """For whom it has a role: its members, and with the id everybody, unless their role in it is `none`."""
    see = partial(get_access, room_id=path.room_id, actor=call.actor, action="see")
    return await _show(call, await call.database.read(see))


@api.route(
    "PATCH",
    "/api/v1/rooms/{room_id}",
    summary="Rename or publish a room, or change everybody's role in it",
    tag="rooms",
    replies=[Reply(200, "The room as it is now", RoomOut, headers=ETAG)],
    errors=[Forbidden, PreconditionFailed],
    audit="room.change",
)
async def change_room(call: Call, path: RoomPath, headers: ChangeHeaders, body: RoomChange) -> Response:
    """Only its owner may, and not while the operator keeps him out.

    Where everybody's role is lowered, who is in the room and no member loses what that took within a second.
    """
    now = call.services.now()
    is_shared = body.default_role is not None or body.shows_viewers is not None

    def change(conn: Connection) -> Access:
        access = _get_unchanged(conn, call, path.room_id, "rename", headers.if_match)
        if is_shared and not can(access.role, "share", is_admin=call.actor.is_admin):
            raise Forbidden
        check_kept_out(conn, call, path.room_id)
        if not body.model_dump(exclude_none=True):
            return access
        room = db_rooms.update_room(
            conn,
            path.room_id,
            title=body.title,
            visibility=body.visibility,
            default_role=body.default_role,
            shows_viewers=body.shows_viewers,
            revision=access.room.revision,
            now=now,
        )
        details = what_changed(access.room, room, ("title", "visibility", "default_role", "shows_viewers"))
        call.record(conn, "room.change", room_id=room.id, target=room.id, details=details)
        if is_shared:
            touch_access(conn, path.room_id, now)
        return Access(room, find_role(conn, path.room_id, call.actor.user_id))

    access = await call.database.write(change)
    if is_shared:
        await call.services.access.changed(path.room_id)
    call.services.people.tell(path.room_id)
    return await _show(call, access)


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
        room = _get_unchanged(conn, call, path.room_id, "delete", headers.if_match).room
        db_rooms.trash_room(conn, room.id, revision=room.revision, now=now)
        call.record(conn, "room.delete", room_id=room.id, target=room.id)

    await call.database.write(trash)
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

    def restore(conn: Connection) -> Access:
        access = _get_unchanged(conn, call, path.room_id, "delete", headers.if_match, deleted=True)
        room = db_rooms.restore_room(conn, path.room_id, revision=access.room.revision, now=now)
        if access.room.deleted_at is not None:
            call.record(conn, "room.restore", room_id=room.id, target=room.id)
        return Access(room, access.role)

    return await _show(call, await call.database.write(restore))


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/participants",
    summary="Who is or was in a room",
    tag="rooms",
    replies=[Reply(200, "Everybody, in the order they came", ParticipantList)],
    errors=[Forbidden],
)
async def list_participants(call: Call, path: RoomPath) -> Response:
    """`present` says who is in it now. Where viewers are not shown only its owner sees them, and each
    himself."""

    def find(conn: Connection) -> tuple[Access, list[db_rooms.Participant], Standings | None]:
        access = get_access(conn, path.room_id, call.actor, "see")
        known = db_rooms.list_participants(conn, path.room_id)
        return access, known, find_standings(conn, path.room_id, [one.user_id for one in known])

    access, known, standings = await call.database.read(find)
    people = await find_people(call.services, [path.room_id])
    present = {one.user_id for one in people[path.room_id]}
    roles = {one: found.role for one, found in standings.people.items()} if standings is not None else {}
    shows_all = access.room.shows_viewers or can(access.role, "share", is_admin=call.actor.is_admin)
    items = [
        ParticipantOut(
            user=UserOut(id=one.user_id, name=one.name),
            role=roles.get(one.user_id),
            present=one.user_id in present,
            first_seen_at=one.first_seen_at,
            last_seen_at=one.last_seen_at,
        )
        for one in known
        # nor who looked and was sent away
        if shows_all or roles.get(one.user_id) not in ("viewer", None) or one.user_id == call.actor.user_id
    ]
    return answer(ParticipantList(items=items, next_cursor=None))

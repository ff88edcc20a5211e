"""The operator's routes to live rooms and nodes: see them, send people out, freeze, close, drain.

Owns: /api/v1/admin/rooms and /api/v1/admin/nodes. Does not own: carrying it out (`oversight.py`), gathering
(`overview.py`), who is an operator (`admin.py`). Rule: only a token with the claim `admin` gets in, and every
order is logged with whose token it was. Keeps rules M3-M9.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue
from starlette.responses import Response

from db.rooms import find_names
from party.errors import Conflict, RoomNotFound
from party.ports import Role
from party.quarantine import Hold
from party.restraints import EVERYBODY, Exclusion
from server.admin import check_admin
from server.audit.notes import Note
from server.overview import Phase, RoomView, Seen
from server.problems import AdminsOnly, NodeNotFound
from server.registry import Api, Body, Call, Out, Path, Query, Reply, answer, no_content
from server.rooms import RoomPath
from server.sign_in import UserOut
from server.text import WHOLE

api = Api()

MOST_S: Final = 365 * 86_400
Seconds = Annotated[int, Field(ge=0, le=MOST_S), WHOLE]


class NodePath(Path):
    """Which node."""

    missing = NodeNotFound
    node: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,32}$", examples=["one"])]


class RoomsQuery(Query):
    """How many to show."""

    limit: Annotated[int, Field(ge=1, le=500)] = 200


class LiveRoomOut(Out):
    """A room that is open somewhere, or that you hold back."""

    id: str
    title: str | None = Field(description="null for one that is not in the database any more")
    visibility: Literal["public", "unlisted"] | None
    people: int = Field(ge=0, description="Users in it now; one on two nodes counts twice")
    connections: int = Field(ge=0)
    lagging: int = Field(ge=0, description="Connections that can't keep up and get nothing for now")
    edits_per_s: float | None = Field(description="Rows of the journal a second; null at the first look")
    document_bytes: int = Field(ge=0)
    journal_rows: int = Field(ge=0, description="Since the last checkpoint")
    journal_bytes: int = Field(ge=0)
    waits_for_journal: bool = Field(description="Its last edits can't be saved just now, and are tried again")
    nodes: list[str] = Field(description="Where it is open; empty when it is not")
    quarantine: Literal["room", "somebody"] | None = Field(
        description="room: it is not opened; somebody: edits of some of its people are not taken"
    )
    frozen_at: datetime | None = Field(description="Since when it takes no edits")
    closed_until: datetime | None = Field(description="Until when nobody is let in")
    kept_out: int = Field(ge=0, description="How many users are kept out by name")


class LiveRoomList(Out):
    """The rooms with most people in them first. `silent_nodes` did not answer, so theirs are missing."""

    items: list[LiveRoomOut]
    total: int = Field(ge=0, description="Open rooms, those that are not listed too")
    silent_nodes: list[str]
    next_cursor: str | None


class PersonOut(Out):
    """Somebody who is in the room now."""

    user: UserOut
    role: Role
    connections: int = Field(ge=1, description="Tabs and devices")
    node: str


class LiveRoomDetailOut(LiveRoomOut):
    """A room and who is in it."""

    participants: list[PersonOut]


class NodeOut(Out):
    """One process that serves rooms."""

    node: str
    host: str = Field(description="The machine it runs on")
    pid: int = Field(description="Its process there")
    is_this: bool = Field(description="It gave this answer")
    phase: Phase
    serves: bool = Field(description="False of one that does jobs alone: kanvas worker")
    started_at: datetime
    rooms: int = Field(ge=0)
    connections: int = Field(ge=0)
    edits_per_s: float | None


class NodeList(Out):
    """All that are alive."""

    items: list[NodeOut]
    silent_nodes: list[str]
    next_cursor: str | None


class KickBody(Body):
    """Who has to go."""

    user_id: Annotated[str, Field(min_length=1, max_length=128)]
    for_s: Seconds = Field(default=0, description="Keep him out for so many seconds; 0: he may come back")


class CloseBody(Body):
    """For how long."""

    for_s: Seconds = Field(default=0, description="Let nobody in for so many seconds; 0: they may come back")


class KickedOut(Out):
    """What came of it."""

    closed: int = Field(ge=0, description="Connections to the node that answers; others close theirs")


class FrozenOut(Out):
    """Since when."""

    frozen_at: datetime


@api.route(
    "GET",
    "/api/v1/admin/rooms",
    summary="List live rooms",
    tag="admin",
    replies=[Reply(200, "The fullest first", LiveRoomList)],
    errors=[AdminsOnly],
)
async def list_live_rooms(call: Call, query: RoomsQuery) -> Response:
    """Every room that is open on any node, and those that are frozen or closed. Asks all nodes, and shows
    after half a second what has come."""
    check_admin(call)
    seen = await call.services.overview.look()
    held = set(call.services.oversight.frozen) | {one.room_id for one in _exclusions(call)}
    chosen = sorted(seen.rooms.values(), key=lambda room: (-room.people, -room.connections, room.room_id))
    # what is held back comes whether or not it is open: it could not be let go otherwise
    missing = [RoomView(room_id) for room_id in sorted(held - seen.rooms.keys())]
    shown = [*chosen[: query.limit], *missing[: query.limit]]
    items = await _rooms_out(call, shown)
    return answer(LiveRoomList(items=items, total=seen.total, silent_nodes=seen.silent, next_cursor=None))


@api.route(
    "GET",
    "/api/v1/admin/rooms/{room_id}",
    summary="Look at a live room",
    tag="admin",
    replies=[Reply(200, "It and its people", LiveRoomDetailOut)],
    errors=[AdminsOnly],
)
async def read_live_room(call: Call, path: RoomPath) -> Response:
    """Who is in it now, on every node."""
    check_admin(call)
    seen = await call.services.overview.look(path.room_id)
    [item] = await _rooms_out(call, [seen.rooms.get(path.room_id) or RoomView(path.room_id)])
    if item.title is None:
        raise RoomNotFound
    return answer(LiveRoomDetailOut(**item.model_dump(), participants=_people_out(seen)))


@api.route(
    "POST",
    "/api/v1/admin/rooms/{room_id}/kick",
    summary="Send somebody out of a room",
    tag="admin",
    replies=[Reply(200, "He was sent out", KickedOut)],
    errors=[AdminsOnly],
    audit="room.kick",
)
async def kick(call: Call, path: RoomPath, body: KickBody) -> Response:
    """All his connections to the room are closed with 4403 and a sentence. With `for_s` he is not let in
    again, and nothing he sends over HTTP is taken, before that time has passed; without it he may come back
    at once. A guest can come back under another name: to keep everybody from drawing freeze the room, or
    close it."""
    check_admin(call)
    note = _note(call, "room.kick", path.room_id, target=body.user_id, for_s=body.for_s)
    closed = await call.services.oversight.kick(path.room_id, body.user_id, body.for_s, call.identity, note)
    return answer(KickedOut(closed=closed))


@api.route(
    "POST",
    "/api/v1/admin/rooms/{room_id}/freeze",
    summary="Freeze a room",
    tag="admin",
    replies=[Reply(200, "It takes no edits", FrozenOut)],
    errors=[AdminsOnly],
    audit="room.freeze",
)
async def freeze_room(call: Call, path: RoomPath) -> Response:
    """From now on nobody's edits are taken, on any node, through restarts, until it is thawed. People stay in
    it, see each other, and may read; what they draw stays with them and is asked for when it is thawed."""
    check_admin(call)
    note = _note(call, "room.freeze", path.room_id)
    since = await call.services.oversight.freeze(path.room_id, call.identity, note)
    return answer(FrozenOut(frozen_at=since))


@api.route(
    "POST",
    "/api/v1/admin/rooms/{room_id}/thaw",
    summary="Thaw a room",
    tag="admin",
    replies=[Reply(204, "It takes edits again")],
    errors=[AdminsOnly],
    audit="room.thaw",
)
async def thaw_room(call: Call, path: RoomPath) -> Response:
    """Everybody in it is asked for what they drew meanwhile, and it is taken like any edit."""
    check_admin(call)
    note = _note(call, "room.thaw", path.room_id)
    await call.services.oversight.thaw(path.room_id, call.identity, note)
    return no_content()


@api.route(
    "POST",
    "/api/v1/admin/rooms/{room_id}/close",
    summary="Close a room",
    tag="admin",
    replies=[Reply(204, "Everybody was sent out")],
    errors=[AdminsOnly],
    audit="room.close",
)
async def close_room(call: Call, path: RoomPath, body: CloseBody) -> Response:
    """Everybody is sent out with 4403 and a sentence. With `for_s` nobody is let in and no edit is taken
    before that time has passed or it is opened again; without it whoever wants may open it at once. Nothing
    of the drawing is lost, and its owner keeps it."""
    check_admin(call)
    note = _note(call, "room.close", path.room_id, for_s=body.for_s)
    await call.services.oversight.close(path.room_id, body.for_s, call.identity, note)
    return no_content()


@api.route(
    "POST",
    "/api/v1/admin/rooms/{room_id}/open",
    summary="Open a closed room",
    tag="admin",
    replies=[Reply(204, "Everybody is let in")],
    errors=[AdminsOnly],
    audit="room.open",
)
async def open_room(call: Call, path: RoomPath) -> Response:
    """Ends a closing, and lets everybody in who was kicked for a time. A frozen room stays frozen."""
    check_admin(call)
    note = _note(call, "room.open", path.room_id)
    await call.services.oversight.open(path.room_id, call.identity, note)
    return no_content()


@api.route(
    "GET",
    "/api/v1/admin/nodes",
    summary="List nodes",
    tag="admin",
    replies=[Reply(200, "All that are alive", NodeList)],
    errors=[AdminsOnly],
)
async def list_nodes(call: Call) -> Response:
    """The processes that serve this installation together; one, as long as there is no Redis."""
    check_admin(call)
    seen = await call.services.overview.look()
    here = call.services.notes.node
    items = [
        NodeOut(
            node=one.node,
            host=one.host,
            pid=one.pid,
            is_this=one.node == here,
            phase=one.phase,
            serves=one.serves,
            started_at=datetime.fromtimestamp(one.started_at, UTC),
            rooms=one.rooms,
            connections=one.connections,
            edits_per_s=one.edits_per_s,
        )
        for one in seen.nodes
    ]
    return answer(NodeList(items=items, silent_nodes=seen.silent, next_cursor=None))


@api.route(
    "POST",
    "/api/v1/admin/nodes/{node}/drain",
    summary="Drain a node",
    tag="admin",
    replies=[Reply(204, "It was told")],
    errors=[AdminsOnly, Conflict],
    audit="node.drain",
)
async def drain_node(call: Call, path: NodePath) -> Response:
    """The process stops taking traffic, sends its people to the others (1012), writes its checkpoints and
    ends, as with SIGTERM; whoever runs it decides whether it starts again. It is not drained while no other
    one is ready: 409."""
    check_admin(call)
    seen = await call.services.overview.look()
    # another that drains is alive, too, and so is one that does jobs alone
    ready = [one.node for one in seen.nodes if one.phase == "ready" and one.serves]
    note = _note(call, "node.drain", None, target=path.node)
    await call.services.oversight.drain(path.node, ready, call.identity, note)
    return no_content()


def _note(call: Call, action: str, room_id: str | None, target: str = "", **details: JsonValue) -> Note:
    return lambda conn: call.record(conn, action, room_id=room_id, target=target, details=details)


def _exclusions(call: Call) -> list[Exclusion]:
    now = call.services.now().timestamp()
    found = call.services.keeper.guard.restraints.exclusions
    return [one for one in found if one.until > now]


async def _rooms_out(call: Call, shown: list[RoomView]) -> list[LiveRoomOut]:
    ids = [room.room_id for room in shown]
    names = await call.database.read(lambda conn: find_names(conn, ids))
    holds = _quarantined(call.services.keeper.holds(), call.services.now().timestamp())
    frozen = call.services.oversight.frozen
    closed: dict[str, datetime] = {}
    kept: dict[str, int] = {}
    for one in _exclusions(call):
        if one.user_id == EVERYBODY:
            closed[one.room_id] = datetime.fromtimestamp(one.until, UTC)
        else:
            kept[one.room_id] = kept.get(one.room_id, 0) + 1
    return [
        LiveRoomOut(
            id=room.room_id,
            title=names[room.room_id].title if room.room_id in names else None,
            visibility=names[room.room_id].visibility if room.room_id in names else None,
            people=room.people,
            connections=room.connections,
            lagging=room.lagging,
            edits_per_s=room.edits_per_s,
            document_bytes=room.document_bytes,
            journal_rows=room.rows,
            journal_bytes=room.row_bytes,
            waits_for_journal=room.waits_for_journal,
            nodes=room.nodes,
            quarantine=holds.get(room.room_id),
            frozen_at=frozen.get(room.room_id),
            closed_until=closed.get(room.room_id),
            kept_out=kept.get(room.room_id, 0),
        )
        for room in shown
    ]


def _quarantined(holds: Collection[Hold], now: float) -> dict[str, Literal["room", "somebody"]]:
    found: dict[str, Literal["room", "somebody"]] = {}
    for hold in holds:
        if hold.until <= now or hold.kind == "care":
            continue
        if hold.kind == "room":
            found[hold.room_id] = "room"
        else:
            found.setdefault(hold.room_id, "somebody")
    return found


def _people_out(seen: Seen) -> list[PersonOut]:
    return [
        PersonOut(
            user=UserOut(id=one.user_id, name=one.name),
            role=one.role,
            connections=one.connections,
            node=node,
        )
        for node, one in seen.people
    ]

"""Routes of who is where: public rooms with people in them, and one person.

Owns: /api/v1/rooms/active, /api/v1/users/{user_id}/presence. Does not own: what is known (directory.py).
Rules: the directory is a hint, so the database is asked whether a room is public still and whether two people
know each other; the id of an unlisted room is told only to who was in it
and may see it still.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from sqlalchemy import Connection
from starlette.responses import Response

from db.rooms import Room, find_known_room, list_public, share_room
from db.standing import find_roles
from party.ports import Role
from server.company import find_active, find_people
from server.problems import UserNotFound
from server.redis.address import RedisAway
from server.registry import Api, Call, Out, Path, Query, Reply, answer
from server.rooms import RoomOut, room_out
from server.text import whole_number

api = Api()

MOST: Final = 50


class ActiveQuery(Query):
    """How many."""

    limit: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=12, ge=1, le=MOST, description="How many at most"
    )


class ActiveRooms(Out):
    """Public rooms with people in them."""

    items: list[RoomOut] = Field(max_length=MOST)


@api.route(
    "GET",
    "/api/v1/rooms/active",
    summary="List rooms with people in them",
    tag="rooms",
    replies=[Reply(200, "Most people first", ActiveRooms)],
)
async def list_active_rooms(call: Call, query: ActiveQuery) -> Response:
    """Public rooms only, of all processes; it may be some seconds behind."""
    services = call.services
    # some may not be public any more
    ids = await find_active(services, query.limit * 2)
    rooms, roles = await call.database.read(partial(_find, ids=ids, user_id=call.actor.user_id))
    people = await find_people(services, [room.id for room in rooms])
    rooms = sorted(
        (room for room in rooms if people[room.id]), key=lambda room: (-len(people[room.id]), room.id)
    )
    return answer(
        ActiveRooms(
            items=[
                room_out(room, roles.get(room.id), call.actor, people[room.id])
                for room in rooms[: query.limit]
            ]
        )
    )


def _find(
    connection: Connection, ids: Sequence[str], user_id: str
) -> tuple[list[Room], Mapping[str, Role | None]]:
    if not ids:
        return [], {}
    found = list_public(connection, ids)
    return found, find_roles(connection, [room.id for room in found], user_id)


class UserPath(Path):
    """Who."""

    missing = UserNotFound
    user_id: str = Field(min_length=1, max_length=255)


class RoomHereOut(Out):
    """A room somebody is in."""

    id: str
    title: str


class PresenceOut(Out):
    """Where somebody is."""

    online: bool | None = Field(description="In a room within the last minute; null when it is not known now")
    room: RoomHereOut | None = Field(description="That room, if you may know of it")
    last_seen_at: datetime | None = Field(description="Null when it was more than a minute ago")


@api.route(
    "GET",
    "/api/v1/users/{user_id}/presence",
    summary="Where somebody is",
    tag="rooms",
    replies=[Reply(200, "As far as you may know", PresenceOut)],
)
async def read_presence(call: Call, path: UserPath) -> Response:
    """Of people who were in a room that you were in, too, and may see still; anybody else is 404."""
    services, me = call.services, call.identity.user_id
    if path.user_id != me and not await call.database.read(
        partial(share_room, user_id=me, other_id=path.user_id)
    ):
        raise UserNotFound
    try:
        where = await services.directory.whereabouts(path.user_id)
    except RedisAway:
        return answer(PresenceOut(online=None, room=None, last_seen_at=None))
    if where is None:
        return answer(PresenceOut(online=False, room=None, last_seen_at=None))
    room = None
    if where.room_id is not None:
        room = await call.database.read(partial(find_known_room, id=where.room_id, user_id=me))
    return answer(
        PresenceOut(
            online=where.room_id is not None,
            room=RoomHereOut(id=room.id, title=room.title) if room is not None else None,
            last_seen_at=where.seen_at,
        )
    )

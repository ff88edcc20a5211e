"""Queries on who may do what in a room.

Owns: the role somebody has, from membership, ownership and the role of everybody. Does not own: what a role
allows (party/policy.py), members and links (members.py, links.py).

The role is the higher one of the member's own and everybody's. A room that a version before 0009 made has no
owner among its members: then its creator is it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, and_, exists, select, update

from db.rooms import Room, find_room
from db.scopes import Actor, as_server
from db.tables import room_members, rooms
from party.errors import Forbidden, RoomNotFound
from party.policy import Action, can, higher
from party.ports import Role


@dataclass(frozen=True, slots=True)
class Access:
    """A room and the role somebody has in it; None: nobody's guest, in a public room that lets nobody in."""

    room: Room
    role: Role | None


def find_role(connection: Connection, room_id: str, user_id: str) -> Role | None:
    """The role of somebody in a room that is there, be it in the trash; None when they have none."""
    owner = room_members.alias("owner")
    has_owner = exists().where(owner.c.room_id == rooms.c.id, owner.c.role == "owner")
    statement = (
        select(rooms.c.default_role, rooms.c.creator_id, room_members.c.role, has_owner.label("has_owner"))
        .outerjoin(
            room_members, and_(room_members.c.room_id == rooms.c.id, room_members.c.user_id == user_id)
        )
        .where(rooms.c.id == room_id)
    )
    # an owner they can't see is no absent one
    with as_server(connection):
        row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    own: Role | None = row.role
    if own is None and row.creator_id == user_id and not row.has_owner:
        own = "owner"
    everybody = None if row.default_role == "none" else cast("Role", row.default_role)
    return higher(own, everybody)


def get_access(
    connection: Connection,
    room_id: str,
    actor: Actor,
    action: Action,
    *,
    deleted: bool = False,
    is_to_change: bool = False,
) -> Access:
    """The room, if `actor` may do `action` in it; to be called in the transaction of the change.

    Raises RoomNotFound when it is not there or not for their eyes, Forbidden when they may see it, no more.
    """
    room = find_room(connection, room_id, deleted=deleted, is_to_change=is_to_change)
    if room is None:
        raise RoomNotFound
    role = find_role(connection, room_id, actor.user_id)
    if can(role, action, is_admin=actor.is_admin):
        return Access(room, role)
    is_known = room.visibility == "public" or can(role, "see", is_admin=actor.is_admin)
    # in the trash it is there for its owner alone
    raise Forbidden if is_known and room.deleted_at is None else RoomNotFound


def touch_access(connection: Connection, room_id: str, now: datetime) -> None:
    """Note that roles changed: every process looks at who is in the room (G4)."""
    # whoever left may see it no more
    with as_server(connection):
        connection.execute(update(rooms).where(rooms.c.id == room_id).values(access_at=now))

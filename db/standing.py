"""Queries on where people stand in a room: several at once, or one in several rooms.

Owns: what sockets, listings and the look at who is in a room ask. Does not own: what a role allows
(party/policy.py), the role of one person at a change (access.py), members (members.py). Keeps rules G2, G8.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy import Connection, and_, bindparam, exists, select

from db.tables import room_members, rooms, users
from party.policy import higher
from party.ports import NO_ALIASES, Role

AT_ONCE: Final = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody's role in a room (None: none at all), and the guests he was."""

    role: Role | None
    aliases: frozenset[str] = NO_ALIASES


@dataclass(frozen=True, slots=True)
class Standings:
    """Of everybody who was asked for, by user id."""

    is_public: bool
    shows_viewers: bool
    people: Mapping[str, Standing]


def find_standings(connection: Connection, room_id: str, user_ids: Sequence[str]) -> Standings | None:
    """Where these people stand in a room; None when it is not there, or in the trash.

    Two statements for up to 500 of them.
    """
    roles: dict[str, Role] = {}
    aliases: dict[str, set[str]] = {}
    room = None
    for at in range(0, max(1, len(user_ids)), AT_ONCE):
        some = list(user_ids[at : at + AT_ONCE])
        rows = connection.execute(_STANDINGS, {"room": room_id, "people": some}).all()
        if not rows:
            return None
        room = rows[0]
        roles |= {row.user_id: row.role for row in rows if row.user_id is not None}
        for user_id, alias in _aliases(connection, some):
            aliases.setdefault(user_id, set()).add(alias)
    assert room is not None  # noqa: S101 - the loop runs at least once
    people = {
        one: Standing(
            _role(room.default_role, roles.get(one), is_maker=room.creator_id == one and not room.has_owner),
            frozenset(aliases[one]) if one in aliases else NO_ALIASES,
        )
        for one in user_ids
    }
    return Standings(room.visibility == "public", room.shows_viewers, people)


def find_roles(connection: Connection, room_ids: Sequence[str], user_id: str) -> dict[str, Role | None]:
    """The role of one person in each of these rooms that is there, be it in the trash."""
    found: dict[str, Role | None] = {}
    for at in range(0, len(room_ids), AT_ONCE):
        some = list(room_ids[at : at + AT_ONCE])
        rows = connection.execute(_ROLES, {"rooms": some, "user": user_id})
        for row in rows:
            is_maker = row.creator_id == user_id and not row.has_owner
            found[row.id] = _role(row.default_role, row.role, is_maker=is_maker)
    return found


def find_aliases(connection: Connection, user_id: str) -> frozenset[str]:
    """The ids of the guests that this account was."""
    return frozenset(alias for _, alias in _aliases(connection, [user_id]))


def find_changed(connection: Connection, since: datetime) -> dict[str, datetime]:
    """The rooms where roles changed since then, and when they did last."""
    return {row.id: row.access_at for row in connection.execute(_CHANGED, {"since": since})}


# Built once: they are asked for at every join, and building one takes longer than SQLite to answer it.
_owner = room_members.alias("owner")
_ROOM: Final = (
    rooms.c.default_role,
    rooms.c.creator_id,
    exists().where(_owner.c.room_id == rooms.c.id, _owner.c.role == "owner").label("has_owner"),
)
_STANDINGS: Final = (
    select(*_ROOM, rooms.c.visibility, rooms.c.shows_viewers, room_members.c.user_id, room_members.c.role)
    .outerjoin(
        room_members,
        and_(
            room_members.c.room_id == rooms.c.id,
            room_members.c.user_id.in_(bindparam("people", expanding=True)),
        ),
    )
    .where(rooms.c.id == bindparam("room"), rooms.c.deleted_at.is_(None))
)
_ROLES: Final = (
    select(rooms.c.id, *_ROOM, room_members.c.role)
    .outerjoin(
        room_members,
        and_(room_members.c.room_id == rooms.c.id, room_members.c.user_id == bindparam("user")),
    )
    .where(rooms.c.id.in_(bindparam("rooms", expanding=True)))
)
_ALIASES: Final = select(users.c.alias_of, users.c.id).where(
    users.c.alias_of.in_(bindparam("people", expanding=True))
)
# ix_rooms_access holds nothing but rooms where roles ever changed
_CHANGED: Final = select(rooms.c.id, rooms.c.access_at).where(rooms.c.access_at >= bindparam("since"))


def _role(everybody: str, own: Role | None, *, is_maker: bool) -> Role | None:
    if own is None and is_maker:
        # made by a version before 0009, which knows of no members
        own = "owner"
    return higher(own, None if everybody == "none" else cast("Role", everybody))


def _aliases(connection: Connection, user_ids: Collection[str]) -> list[tuple[str, str]]:
    """Account and guest, for each guest that one of these was."""
    rows = connection.execute(_ALIASES, {"people": list(user_ids)})
    return [(row.alias_of, row.id) for row in rows]

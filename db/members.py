"""Queries on who has a role of their own in a room.

Owns: `room_members`, and what becomes of a role when somebody is let in again or a link ends. Does not own:
the role of everybody (access.py), invitations and links (invitations.py, links.py), who may change any of it.

Rules kept (E in party/SPEC.md): a room has one owner; being let in never lowers a role; who came by a link
falls back to the role they have besides when it ends. Whoever changes something holds the room's lock
(`find_room(..., is_to_change=True)`), so that nobody else does meanwhile.

A room that a version before 0009 made has no owner among its members: its creator, if no member, counts as
the owner, and is written down before the first change.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Connection, Row, and_, delete, func, literal, or_, select, tuple_, update

from db.rooms import Room
from db.tables import UtcDateTime, room_members, rooms, users
from db.upsert import insert_into
from party.policy import higher
from party.ports import Role

GivenRole = Literal["viewer", "commenter", "editor"]
"""What can be given away; ownership is handed over."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What somebody may do in a room, and what of it a link gave."""

    role: Role
    link_id: str | None = None
    """The link that gave the role; None: it does not hang on any."""

    own_role: Role | None = None
    """With a link: what is left when it ends."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with a role of their own in a room. `since` is aware, in UTC."""

    user_id: str
    name: str
    seat: Seat
    invited_by: str | None
    since: datetime


def raise_seat(seat: Seat | None, role: Role, link_id: str | None) -> Seat:
    """What who sits here gets with `role`, given by a link or (None) to themselves; may be the same seat."""
    if seat is None:
        return Seat(role, link_id)
    is_more = higher(seat.role, role) != seat.role
    if link_id is not None:
        if not is_more:
            return seat
        return Seat(role, link_id, seat.role if seat.link_id is None else seat.own_role)
    if seat.link_id is None:
        return Seat(role) if is_more else seat
    if higher(role, seat.role) == role:
        return Seat(role)
    return Seat(seat.role, seat.link_id, higher(seat.own_role, role))


def find_member(connection: Connection, room_id: str, user_id: str) -> Member | None:
    row = connection.execute(
        _MEMBERS.where(room_members.c.room_id == room_id, room_members.c.user_id == user_id)
    ).one_or_none()
    return None if row is None else _member(row)


def count_members(connection: Connection, room_id: str) -> int:
    counted = select(func.count()).select_from(room_members).where(room_members.c.room_id == room_id)
    return int(connection.execute(counted).scalar_one())


def list_rooms_of(connection: Connection, user_id: str) -> list[str]:
    """The rooms that somebody has a role of their own in."""
    statement = select(room_members.c.room_id).where(room_members.c.user_id == user_id)
    return list(connection.execute(statement.order_by(room_members.c.room_id)).scalars())


def list_members(
    connection: Connection,
    room: Room,
    *,
    seen_by: str | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Member]:
    """Members in the order they came, at most `limit`, all behind `after`.

    `seen_by`: whose eyes; None sees all. Where viewers are not shown, anybody else sees no viewers but
    themselves.
    """
    m = room_members.c
    statement = _MEMBERS.where(m.room_id == room.id)
    if seen_by is not None:
        shows = select(rooms.c.shows_viewers).where(rooms.c.id == room.id)
        if not connection.execute(shows).scalar_one():
            statement = statement.where(or_(m.role != "viewer", m.user_id == seen_by))
    if after is not None:
        at, user_id = after
        cursor = tuple_(literal(at, UtcDateTime), literal(user_id, m.user_id.type))
        statement = statement.where(tuple_(m.created_at, m.user_id) > cursor)
    statement = statement.order_by(m.created_at, m.user_id).limit(limit)
    found = [_member(row) for row in connection.execute(statement)]
    if after is None and find_owner(connection, room.id) is None and not _is_member(connection, room):
        made_it = Member(room.creator_id, room.creator_name, Seat("owner"), None, room.created_at)
        found = [made_it, *found][:limit]
    return found


def find_owner(connection: Connection, room_id: str) -> str | None:
    """The id of the member who is the owner."""
    m = room_members.c
    statement = select(m.user_id).where(m.room_id == room_id, m.role == "owner")
    owner: str | None = connection.execute(statement).scalar_one_or_none()
    return owner


def write_owner(connection: Connection, room: Room) -> None:
    """Make the creator of a room without an owner a member, as what they are."""
    if find_owner(connection, room.id) is not None:
        return
    statement = insert_into(connection, room_members).values(
        room_id=room.id,
        user_id=room.creator_id,
        role="owner",
        room_created_at=room.created_at,
        created_at=room.created_at,
    )
    connection.execute(statement.on_conflict_do_nothing())


def put_member(
    connection: Connection,
    room: Room,
    user_id: str,
    seat: Seat,
    *,
    invited_by: str | None = None,
    now: datetime,
) -> None:
    """Give somebody (who must be a user) this seat, whatever they had; `invited_by` None keeps who it was."""
    values: dict[str, object] = {
        "role": seat.role,
        "link_id": seat.link_id,
        "own_role": seat.own_role,
    }
    if invited_by is not None:
        values["invited_by"] = invited_by
    statement = insert_into(connection, room_members).values(
        room_id=room.id, user_id=user_id, room_created_at=room.created_at, created_at=now, **values
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[room_members.c.room_id, room_members.c.user_id], set_=values
        )
    )


def hand_over(connection: Connection, room: Room, user_id: str) -> None:
    """Make this member the owner, and who was it an editor."""
    owner = find_owner(connection, room.id)
    # first: a unique index lets there be one
    if owner is not None:
        _change_seat(connection, room.id, owner, Seat("editor"))
    _change_seat(connection, room.id, user_id, Seat("owner"))


def _change_seat(connection: Connection, room_id: str, user_id: str, seat: Seat) -> None:
    """Of a member. An update, not put_member: by the second one who hands a room over may let nobody in."""
    m = room_members.c
    values = {"role": seat.role, "link_id": seat.link_id, "own_role": seat.own_role}
    connection.execute(
        update(room_members).where(m.room_id == room_id, m.user_id == user_id).values(**values)
    )


def remove_member(connection: Connection, room_id: str, user_id: str) -> bool:
    """Whether there was one."""
    gone = delete(room_members).where(room_members.c.room_id == room_id, room_members.c.user_id == user_id)
    return connection.execute(gone).rowcount > 0


def end_link(connection: Connection, room_id: str, link_id: str) -> int:
    """Take from everybody what this link gave them; how many that were."""
    m = room_members.c
    by_link = and_(m.room_id == room_id, m.link_id == link_id)
    fallen = connection.execute(
        update(room_members)
        .where(by_link, m.own_role.is_not(None))
        .values(role=m.own_role, own_role=None, link_id=None)
    )
    gone = connection.execute(delete(room_members).where(by_link))
    return fallen.rowcount + gone.rowcount


def _is_member(connection: Connection, room: Room) -> bool:
    """Whether its creator has a role besides."""
    m = room_members.c
    statement = select(literal(1)).where(m.room_id == room.id, m.user_id == room.creator_id)
    return connection.execute(statement).first() is not None


_MEMBERS = select(
    room_members.c.user_id,
    users.c.name,
    room_members.c.role,
    room_members.c.link_id,
    room_members.c.own_role,
    room_members.c.invited_by,
    room_members.c.created_at,
).join(users, users.c.id == room_members.c.user_id)


def _member(row: Row[*tuple[object, ...]]) -> Member:
    values = row._mapping
    seat = Seat(cast("Role", values["role"]), values["link_id"], cast("Role | None", values["own_role"]))
    return Member(values["user_id"], values["name"], seat, values["invited_by"], values["created_at"])

"""Queries on what the operator holds back.

Owns: `rooms.frozen_at` and the table `room_exclusions`. Does not own: what a restraint means
(party/restraints.py), who may order one (the edge).

Rules: freezing and closing change neither the room's revision nor its drawing; who reads gets all that holds
in one snapshot; a room in the trash has no restraints that anybody could meet, and keeps them for its return.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from db.tables import room_exclusions, rooms
from db.upsert import insert_into
from party.errors import RoomNotFound


@dataclass(frozen=True, slots=True)
class Excluded:
    """Somebody kept out of a room; an empty `user_id` is everybody. The time is aware, in UTC."""

    room_id: str
    user_id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """All that is held back at a moment. `frozen`: room id to since when."""

    frozen: dict[str, datetime]
    excluded: list[Excluded]


def read_restraints(connection: Connection, now: datetime) -> Held:
    """Everything that holds at `now`."""
    # ix_rooms_frozen holds nothing but these; the other table is as small as what it says
    frozen = connection.execute(
        select(rooms.c.id, rooms.c.frozen_at).where(
            rooms.c.frozen_at.is_not(None), rooms.c.deleted_at.is_(None)
        )
    )
    x = room_exclusions
    excluded = connection.execute(
        select(x.c.room_id, x.c.user_id, x.c.until).where(x.c.until > now).order_by(x.c.room_id, x.c.user_id)
    )
    return Held(
        frozen={row.id: row.frozen_at for row in frozen},
        excluded=[Excluded(row.room_id, row.user_id, row.until) for row in excluded],
    )


def freeze_room(connection: Connection, room_id: str, now: datetime) -> datetime:
    """Take no edits from now on; one that is frozen stays so. Returns since when. Raises RoomNotFound."""
    since = _find(connection, room_id)
    if since is not None:
        return since
    connection.execute(update(rooms).where(rooms.c.id == room_id).values(frozen_at=now))
    return now


def thaw_room(connection: Connection, room_id: str) -> None:
    """Take edits again. Raises RoomNotFound."""
    _find(connection, room_id)
    connection.execute(update(rooms).where(rooms.c.id == room_id).values(frozen_at=None))


def exclude(connection: Connection, room_id: str, user_id: str, until: datetime) -> None:
    """Keep somebody out until then, whatever was said before. Raises RoomNotFound."""
    _find(connection, room_id)
    statement = insert_into(connection, room_exclusions).values(room_id=room_id, user_id=user_id, until=until)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[room_exclusions.c.room_id, room_exclusions.c.user_id], set_={"until": until}
        )
    )


def let_in(connection: Connection, room_id: str) -> int:
    """Keep nobody out of the room any more; returns how many it were. Raises RoomNotFound."""
    _find(connection, room_id)
    return connection.execute(delete(room_exclusions).where(room_exclusions.c.room_id == room_id)).rowcount


def purge_exclusions(connection: Connection, now: datetime) -> int:
    """Forget those that have ended; returns how many."""
    return connection.execute(delete(room_exclusions).where(room_exclusions.c.until <= now)).rowcount


def check_room(connection: Connection, room_id: str) -> None:
    """Raises RoomNotFound when it is not there, or in the trash."""
    _find(connection, room_id)


def _find(connection: Connection, room_id: str) -> datetime | None:
    # locked, so that two operators do not each find it unfrozen
    row = connection.execute(
        select(rooms.c.frozen_at).where(rooms.c.id == room_id, rooms.c.deleted_at.is_(None)).with_for_update()
    ).one_or_none()
    if row is None:
        raise RoomNotFound
    since: datetime | None = row.frozen_at
    return since

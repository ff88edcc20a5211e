"""Listings of rooms, a page at a time.

Owns: which rooms are listed for whom, in which order. Does not own: rooms (rooms.py), who may see one
(policies.py: call it as who asks).

Rule kept (V6): a page is a range of an index, read in its order; nothing is sorted or scanned, whatever
somebody has. "Mine" is two such ranges, for members and for who was there, put together here, since no
database reads two at once in order. Measured (tests/bench/listing.py) for somebody with 10,000 rooms.
"""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, literal, tuple_

from db.rooms import Room, fold, room_of, select_rooms
from db.tables import UtcDateTime, room_members, room_participants, rooms

Scope = Literal["public", "mine", "trash"]

MAX_QUERY_CHARS = 1_000
"""A longer search finds nothing (SQLite refuses LIKE patterns from 50,000 bytes on)."""


def list_rooms(
    connection: Connection,
    *,
    scope: Scope,
    user_id: str,
    q: str | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Room]:
    """Rooms, newest first by (created_at, id), at most `limit`, all older than `before`.

    "public": listed for everybody. "mine": `user_id` is a member or was in it. "trash": `user_id` owns and
    somebody deleted it. `q` is a part of the title in any case.
    """
    folded = fold(q) if q else ""
    if len(folded) > MAX_QUERY_CHARS:
        return []
    found: dict[str, Room] = {}
    for statement, created_at, room_id in _ranges(scope, user_id):
        if folded:
            statement = statement.where(rooms.c.title_folded.contains(folded, autoescape=True))  # noqa: PLW2901
        if before is not None:
            cursor = tuple_(literal(before[0], UtcDateTime), literal(before[1], rooms.c.id.type))
            statement = statement.where(tuple_(created_at, room_id) < cursor)  # noqa: PLW2901
        ordered = statement.order_by(created_at.desc(), room_id.desc()).limit(limit)
        found |= {row.id: room_of(row) for row in connection.execute(ordered)}
    return sorted(found.values(), key=lambda room: (room.created_at, room.id), reverse=True)[:limit]


Range = tuple[Select[*tuple[object, ...]], ColumnElement[Any], ColumnElement[Any]]
"""A statement, and the columns it is in the order of."""


def _ranges(scope: Scope, user_id: str) -> list[Range]:
    live, trashed = rooms.c.deleted_at.is_(None), rooms.c.deleted_at.is_not(None)
    by_room = (rooms.c.created_at, rooms.c.id)
    if scope == "public":
        return [(select_rooms().where(live, rooms.c.visibility == "public"), *by_room)]
    member = room_members
    as_member = select_rooms().join(member, member.c.room_id == rooms.c.id).where(member.c.user_id == user_id)
    by_member = (member.c.room_created_at, member.c.room_id)
    if scope == "trash":
        return [(as_member.where(trashed, member.c.role == "owner"), *by_member)]
    seen = room_participants
    as_seen = select_rooms().join(seen, seen.c.room_id == rooms.c.id).where(seen.c.user_id == user_id, live)
    return [
        (as_member.where(live), *by_member),
        (as_seen.where(seen.c.room_created_at.is_not(None)), seen.c.room_created_at, seen.c.room_id),
        # written by a version before 0010, and not seen there since: few, and soon none
        (as_seen.where(seen.c.room_created_at.is_(None)), *by_room),
    ]

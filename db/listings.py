"""Listings of rooms, a page at a time.

Owns: which rooms are listed for whom, in which order. Does not own: rooms (rooms.py), who may see one
(policies.py: call it as who asks).

Rule kept (V6): a page is a range of an index, read in its order; nothing is sorted or scanned, whatever
somebody has. "Mine" is two such ranges, for members and for who was there, put together here, since no
database reads two at once in order. Which rooms it could be is asked with the server's eyes, and those alone
are read with the asker's: PostgreSQL judges every row by its policies before it looks at a title. Measured
(tests/bench/listing.py) for somebody with 10,000 rooms: a page in 4 ms on SQLite, 9 ms on PostgreSQL.
"""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, literal, select, tuple_

from db.rooms import Room, fold, room_of, select_rooms
from db.scopes import as_server
from db.tables import UtcDateTime, room_members, room_participants, rooms

Scope = Literal["public", "mine", "trash"]

MAX_QUERY_CHARS = 1_000
"""A longer search finds nothing (SQLite refuses LIKE patterns from 50,000 bytes on)."""

MOST_AT_ONCE = 1_000
"""Rooms that are looked for at once, where who asks may not see many of those before."""


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
    ranges = _ranges(scope, user_id)
    if folded:
        matches = rooms.c.title_folded.contains(folded, autoescape=True)
        ranges = [(statement.where(matches), by) for statement, by in ranges]
    found: list[Room] = []
    take = limit
    while True:
        with as_server(connection):
            some = _first(connection, ranges, before, take)
        seen = select_rooms().where(rooms.c.id.in_([room_id for _, room_id in some]))
        there = {row.id: room_of(row) for row in connection.execute(seen)} if some else {}
        found += [there[room_id] for _, room_id in some if room_id in there]
        if len(some) < take or len(found) >= limit:
            return found[:limit]
        # a few that are hidden cost little more, and very many no statement for each page of them
        take = min(2 * (limit - len(found) if there else take), MOST_AT_ONCE)
        before = some[-1]


Place = tuple[datetime, str]
"""Where a room stands in a listing: when it was made, and its id."""

Range = tuple[Select[datetime, str], tuple[ColumnElement[Any], ColumnElement[Any]]]
"""A statement that gives places, and the columns it is in the order of."""


def _first(connection: Connection, ranges: list[Range], before: Place | None, limit: int) -> list[Place]:
    """The first places of some ranges together, newest first, each once."""
    found: set[Place] = set()
    for statement, by in ranges:
        if before is not None:
            cursor = tuple_(literal(before[0], UtcDateTime), literal(before[1], rooms.c.id.type))
            statement = statement.where(tuple_(*by) < cursor)  # noqa: PLW2901
        ordered = statement.order_by(*(column.desc() for column in by)).limit(limit)
        found |= {(row[0], row[1]) for row in connection.execute(ordered)}
    return sorted(found, reverse=True)[:limit]


def _ranges(scope: Scope, user_id: str) -> list[Range]:
    live, trashed = rooms.c.deleted_at.is_(None), rooms.c.deleted_at.is_not(None)
    by_room = (rooms.c.created_at, rooms.c.id)
    if scope == "public":
        return [(select(*by_room).where(live, rooms.c.visibility == "public"), by_room)]
    member = room_members
    by_member = (member.c.room_created_at, member.c.room_id)
    as_member = select(*by_member).join(rooms, rooms.c.id == member.c.room_id)
    as_member = as_member.where(member.c.user_id == user_id)
    if scope == "trash":
        return [(as_member.where(trashed, member.c.role == "owner"), by_member)]
    seen = room_participants
    by_seen = (seen.c.room_created_at, seen.c.room_id)
    was_there = seen.c.user_id == user_id
    return [
        (as_member.where(live), by_member),
        (
            select(*by_seen)
            .join(rooms, rooms.c.id == seen.c.room_id)
            .where(was_there, live, seen.c.room_created_at.is_not(None)),
            by_seen,
        ),
        # written by a version before 0010, and not seen there since: few, and soon none
        (
            select(*by_room)
            .join(seen, seen.c.room_id == rooms.c.id)
            .where(was_there, live, seen.c.room_created_at.is_(None)),
            by_room,
        ),
    ]

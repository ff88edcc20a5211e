"""What is deleted in the rooms' checkpoints, and since when: what has to leave for good, and where.

Owns: `tombstones`; which rooms a purge has to visit. Does not own: what is deleted (the checkpoint says so,
party/document.py), the purge itself (party/hub.py), how long anything is kept (the edge).

Rules kept: a time is never earlier than the deletion, since it is that of the first checkpoint that has it,
and of a later one when the element was brought back and deleted again.
"""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select

from db.tables import room_heads, room_updates, rooms, tombstones
from party.ports import Tombstones


def store_tombstones(connection: Connection, room_id: str, found: Tombstones, now: datetime) -> None:
    """Make the room's list the one that was found in its checkpoint, keeping the times of the old ones."""
    table = tombstones
    known = set(connection.execute(select(table.c.element_id).where(table.c.room_id == room_id)).scalars())
    # PostgreSQL's text can't hold a NUL, and no editor makes such an id: it is never purged
    deleted = {one for one in found.old | found.new if "\0" not in one}
    kept = known & found.old
    if gone := known - kept:
        connection.execute(
            delete(table).where(table.c.room_id == room_id, table.c.element_id == bindparam("gone_id")),
            [{"gone_id": one} for one in sorted(gone)],
        )
    if fresh := deleted - kept:
        connection.execute(
            table.insert(),
            [{"room_id": room_id, "element_id": one, "deleted_at": now} for one in sorted(fresh)],
        )


def list_rooms_to_purge(
    connection: Connection, *, deleted_before: datetime, written_before: datetime
) -> list[str]:
    """Rooms with elements deleted before then, or with updates from before that no checkpoint has looked at.

    The second are those that stayed open, and those whose process was killed. Rooms in the trash are left
    alone: they leave as a whole. In no particular order.
    """
    due = select(tombstones.c.room_id).where(tombstones.c.deleted_at < deleted_before)
    tail = select(room_updates.c.room_id).where(
        room_updates.c.room_id == room_heads.c.room_id,
        room_updates.c.seq == room_heads.c.checkpoint_seq + 1,
        room_updates.c.created_at < written_before,
    )
    unseen = select(room_heads.c.room_id).where(room_heads.c.seq > room_heads.c.checkpoint_seq, tail.exists())
    statement = select(rooms.c.id).where(rooms.c.deleted_at.is_(None), rooms.c.id.in_(due.union(unseen)))
    return list(connection.execute(statement).scalars())


def list_tombstones(
    connection: Connection, room_id: str, *, deleted_before: datetime, limit: int
) -> list[str]:
    """The ids of elements of the room that were deleted before then, the oldest first."""
    table = tombstones
    statement = (
        select(table.c.element_id)
        .where(table.c.room_id == room_id, table.c.deleted_at < deleted_before)
        .order_by(table.c.deleted_at, table.c.element_id)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())

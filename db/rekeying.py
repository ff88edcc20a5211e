"""Sealed rows under another key, batch by batch, while others read and write.

Owns: walking `room_updates` and `canvas_states`, replacing bytes. Does not
own: sealing (db/cipher.py's port), when (server/vault/rotation.py). Keeps rules Z6, Z7.

Rules: a page is bounded in rows and a batch in bytes; bytes are replaced only where the row still is the one
that was read, so nothing is undone that came meanwhile.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select, tuple_, update

from db.cipher import Slot, Stored
from db.deadlines import allow_time
from db.tables import canvas_states, room_updates

PAGE: Final = 2000
"""Rows looked at in one go; of states, which are large, fewer."""
STATES: Final = 50


class Mark(NamedTuple):
    """A place in a table's order."""

    room_id: str
    seq: int


BEGIN: Final = Mark("", -1)


class Found(NamedTuple):
    """A row, not yet read."""

    slot: Slot
    key_id: str | None
    size_bytes: int

    @property
    def mark(self) -> Mark:
        return Mark(self.slot.room_id, self.slot.seq)


def list_updates(connection: Connection, after: Mark) -> list[Found]:
    """The next rows of all rooms, in order; empty at the end."""
    table = room_updates.c
    behind = tuple_(table.room_id, table.seq) > tuple_(after.room_id, after.seq)
    rows = connection.execute(
        select(table.room_id, table.epoch, table.seq, table.key_id, func.length(table.update_bytes))
        .where(behind)
        .order_by(table.room_id, table.seq)
        .limit(PAGE)
    )
    return [Found(Slot("update", row[0], row[1], row[2]), row[3], row[4]) for row in rows]


def list_states(connection: Connection, after: Mark) -> list[Found]:
    """The next checkpoints, in order; empty at the end."""
    table = canvas_states.c
    rows = connection.execute(
        select(table.room_id, table.epoch, table.seq, table.key_id, func.length(table.state))
        .where(table.room_id > after.room_id)
        .order_by(table.room_id)
        .limit(STATES)
    )
    return [Found(Slot("state", row[0], row[1], row[2]), row[3], row[4]) for row in rows]


def read_found(connection: Connection, found: Sequence[Found]) -> list[Stored]:
    """The bytes of those that still are as they were found."""
    allow_time(connection, sum(one.size_bytes for one in found))
    stored = []
    for one in found:
        data = _of(one.slot)[1]
        row = connection.execute(select(data).where(*_same(one.slot, one.key_id))).first()
        if row is not None:
            stored.append(Stored(one.key_id, one.slot, row[0]))
    return stored


def replace_stored(connection: Connection, old: Sequence[Stored], new: Sequence[Stored]) -> int:
    """Put the new bytes where the old ones still are; how many were."""
    allow_time(connection, sum(len(one.data) for one in new))
    replaced = 0
    for before, after in zip(old, new, strict=True):
        table, data = _of(before.slot)
        done = connection.execute(
            update(table)
            .where(*_same(before.slot, before.key_id))
            .values({data: after.data, table.c.key_id: after.key_id})
        )
        replaced += done.rowcount
    return replaced


def _of(slot: Slot) -> tuple[Table, Column[bytes]]:
    if slot.kind == "update":
        return room_updates, room_updates.c.update_bytes
    return canvas_states, canvas_states.c.state


def _same(slot: Slot, key_id: str | None) -> tuple[ColumnElement[bool], ...]:
    table = _of(slot)[0].c
    return (
        table.room_id == slot.room_id,
        table.seq == slot.seq,
        table.epoch == slot.epoch,
        table.key_id.is_not_distinct_from(key_id),
    )

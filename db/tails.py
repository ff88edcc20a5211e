"""What other processes wrote: the end of a room's journal, and which rooms are ahead.

Owns: reading `room_heads` and `room_updates` behind what a process knows, and whether edits fit behind what
came meanwhile. Does not own: writing them (journal). Keeps rules B4-B6.

`find_heads` is one query for all open rooms, a search of two primary keys for each.
"""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, Row, func, select, text

from db.cipher import Cipher, Slot, Stored, open_within
from db.deadlines import allow_time
from db.tables import room_clients, room_heads, room_updates, rooms
from party.errors import RoomMoved, RoomNotFound, Unavailable
from party.ports import MOST_TAIL_BYTES, MOST_TAIL_ROWS, Basis, Head, Owner, Tail

_SQLITE_HEADS = """
SELECT known.room_id AS room_id, rooms.epoch AS epoch, room_heads.seq AS seq
FROM (SELECT json_extract(value, '$[0]') AS room_id, json_extract(value, '$[1]') AS epoch,
             json_extract(value, '$[2]') AS seq FROM json_each(:known)) AS known
LEFT JOIN rooms ON rooms.id = known.room_id AND rooms.deleted_at IS NULL
LEFT JOIN room_heads ON room_heads.room_id = rooms.id
WHERE rooms.id IS NULL OR rooms.epoch <> known.epoch OR room_heads.seq > known.seq
"""
_POSTGRES_HEADS = """
SELECT known.room_id AS room_id, rooms.epoch AS epoch, room_heads.seq AS seq
FROM unnest(CAST(:rooms AS text[]), CAST(:epochs AS bigint[]), CAST(:seqs AS bigint[]))
     AS known (room_id, epoch, seq)
LEFT JOIN rooms ON rooms.id = known.room_id AND rooms.deleted_at IS NULL
LEFT JOIN room_heads ON room_heads.room_id = rooms.id
WHERE rooms.id IS NULL OR rooms.epoch <> known.epoch OR room_heads.seq > known.seq
"""

STORED = (room_updates.c.seq, room_updates.c.epoch, room_updates.c.key_id, room_updates.c.update_bytes)
"""What is selected of a row to open it."""


def stored_update(room_id: str, row: Row[int, int, str | None, bytes]) -> Stored:
    """A row of STORED."""
    seq, epoch, key_id, data = row
    return Stored(key_id, Slot("update", room_id, epoch, seq), data)


def read_tail(connection: Connection, room_id: str, epoch: int, after_seq: int) -> tuple[Tail, list[Stored]]:
    """The rows behind `after_seq`, from one snapshot; its updates beside it, as they are stored.

    Raises RoomNotFound, RoomMoved, Unavailable.
    """
    head = connection.execute(
        select(room_heads.c.seq, room_heads.c.checkpoint_seq)
        .join(rooms, room_heads.c.room_id == rooms.c.id)
        .where(rooms.c.id == room_id, rooms.c.epoch == epoch, rooms.c.deleted_at.is_(None))
    ).one_or_none()
    if head is None:
        raise RoomNotFound
    if head.checkpoint_seq > after_seq:
        return Tail(head.checkpoint_seq, head.seq, ()), []
    behind = (room_updates.c.room_id == room_id, room_updates.c.seq > after_seq)
    if head.seq - after_seq > MOST_TAIL_ROWS:
        raise RoomMoved
    size_bytes = connection.execute(
        select(func.coalesce(func.sum(func.length(room_updates.c.update_bytes)), 0)).where(*behind)
    ).scalar_one()
    if size_bytes > MOST_TAIL_BYTES:
        raise RoomMoved
    allow_time(connection, size_bytes)
    rows = connection.execute(select(*STORED).where(*behind).order_by(room_updates.c.seq)).all()
    if len(rows) != max(0, head.seq - after_seq):
        raise Unavailable(f"The journal of room {room_id} has a gap; restore the database from a backup.")
    clients = connection.execute(
        select(room_clients.c.client_id, room_clients.c.user_id, room_clients.c.is_relayed).where(
            room_clients.c.room_id == room_id
        )
    )
    tail = Tail(
        checkpoint_seq=head.checkpoint_seq,
        seq=head.seq,
        updates=(),
        owners={row.client_id: Owner(row.user_id, row.is_relayed) for row in clients},
    )
    return tail, [stored_update(room_id, row) for row in rows]


def find_heads(connection: Connection, known: Mapping[str, tuple[int, int]]) -> list[Head]:
    """Of the rooms in `known` (id -> epoch, seq) those that are ahead, of another epoch, or gone."""
    if not known:
        return []
    if connection.dialect.name == "sqlite":
        wanted = json.dumps([[room_id, epoch, seq] for room_id, (epoch, seq) in known.items()])
        found = connection.execute(text(_SQLITE_HEADS), {"known": wanted})
    else:
        found = connection.execute(
            text(_POSTGRES_HEADS),
            {
                "rooms": list(known),
                "epochs": [epoch for epoch, _ in known.values()],
                "seqs": [seq for _, seq in known.values()],
            },
        )
    return [Head(row.room_id, row.epoch, row.seq or 0) for row in found]


def fits_behind(connection: Connection, cipher: Cipher, room_id: str, basis: Basis, head_seq: int) -> bool:
    """Whether edits made on `basis` may stand behind the rows up to `head_seq` (B6).

    Rows that a checkpoint took can't be looked at: then it is no.
    """
    if head_seq <= basis.seq:
        return True
    rows = connection.execute(
        select(*STORED)
        .where(
            room_updates.c.room_id == room_id,
            room_updates.c.seq > basis.seq,
            room_updates.c.seq <= head_seq,
        )
        .order_by(room_updates.c.seq)
    ).all()
    if len(rows) != head_seq - basis.seq:
        return False
    return basis.fits(open_within(connection, cipher, [stored_update(room_id, row) for row in rows]))

"""The journal in SQL: a room's raw updates in order, and the checkpoint they build on.

Owns: `room_heads`, `room_updates`, `canvas_states`, `room_clients`. Does not own: the
tombstones that come with a checkpoint (tombstones.py), what an update means, when to make a checkpoint,
who shares a commit (grouping.py), whether to repeat a failed append (party/committer.py), encryption
(cipher.py; a row is sealed where its number is known, a state before its transaction).

Rules kept: `append` returns after the commit and no earlier; rooms that wait together share one transaction
and its fsync; a group that fails is repeated room by room, so that one room's error is its own; a
checkpoint and the end of its rows are one transaction, and an older checkpoint never replaces a newer one;
edits that contradict what other processes wrote meanwhile are refused, and the rest of their group goes
through.

The two statements of an append are SQLite's and go straight to the driver. Measured for one room with one
row of 60 B: 85 us CPU per transaction, against 110 us through SQLAlchemy's exec_driver_sql and 150 us
through Core; SQLite with its fsync is 47 us of each. A whole append, threads and loop included
(tests/bench/journal.py): one waiting room 170 to 310 us CPU, p50 0.20 to 0.40 ms, more on idle cores, which
have to be woken; 100 waiting rooms 23 to 30 us CPU each, p50 2.6 to 3.2 ms for all (most of it the 200 pages
they touch); one room with 100 rows 0.6 ms. WITHOUT ROWID on room_updates (see tables.py)
keeps a room's rows side by side and each one once; it costs an append nothing that could be measured.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import cast

from sqlalchemy import ColumnElement, Connection, delete, func, select, update
from sqlalchemy.engine.interfaces import DBAPICursor

from db.cipher import THREAD_BYTES, Cipher, Plain, Slot, Stored, list_keys, open_stored
from db.database import Database
from db.deadlines import allow_time
from db.grouping import Answer, Append, GroupCommitter
from db.postgres_url import is_postgres
from db.scopes import as_system
from db.tables import canvas_states, data_keys, room_clients, room_heads, room_updates, rooms
from db.tails import STORED, find_heads, fits_behind, read_tail, stored_update
from db.tombstones import store_tombstones
from db.upsert import insert_into
from party.errors import RoomMoved, RoomNotFound, Unavailable
from party.ports import NO_TOMBSTONES, Basis, Entry, Head, Owner, Schema, StoredRoom, Tail, Tombstones

ROW_BYTES = 4 * 1024
"""What a row is taken for when it is not known how many bytes are to be fetched."""

KEY_CHANGES = 3
"""How often keys may change under one write."""

NO_CIPHER = Plain()

# One statement for all rooms of the group: [[room_id, epoch, rows], ...] -> the new heads. A room that is
# absent, in the trash or of another epoch is missing from the answer.
_BUMP_HEADS = """
UPDATE room_heads SET seq = room_heads.seq + wanted.row_count
FROM (SELECT json_extract(value, '$[0]') AS room_id, json_extract(value, '$[1]') AS epoch,
             json_extract(value, '$[2]') AS row_count FROM json_each(?)) AS wanted, rooms
WHERE rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
  AND room_heads.room_id = wanted.room_id
RETURNING room_id, seq, (SELECT epoch FROM rooms WHERE rooms.id = room_heads.room_id)
"""
_INSERT_UPDATES = """
INSERT INTO room_updates (room_id, seq, epoch, user_id, update_bytes, key_id, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_KEY_IN_USE = """
SELECT id FROM data_keys WHERE retired_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1
"""
# The first to write under an id owns it; until then whoever relays it may change.
_CLAIM_CLIENTS = """
INSERT INTO room_clients (room_id, client_id, user_id, is_relayed) VALUES (?, ?, ?, ?)
ON CONFLICT (room_id, client_id) DO UPDATE SET user_id = excluded.user_id, is_relayed = excluded.is_relayed
WHERE room_clients.is_relayed
"""
_FOREIGN_CLAIMS = """
SELECT 1 FROM json_each(?) AS claim JOIN room_clients
  ON room_clients.room_id = json_extract(claim.value, '$[0]')
  AND room_clients.client_id = json_extract(claim.value, '$[1]')
WHERE room_clients.user_id <> json_extract(claim.value, '$[2]') LIMIT 1
"""


class SqlJournal:
    """party.ports.Journal over a Database, here SQLite's (PostgreSQL's appends: postgres_journal.py).

    Lives inside the database; has nothing to close.
    """

    def __init__(self, database: Database, cipher: Cipher = NO_CIPHER) -> None:
        self._database = as_system(database)
        self._cipher = cipher
        self._committer = GroupCommitter(self._write_group)

    async def load(self, room_id: str) -> StoredRoom:
        room, state, updates = await self._database.read(partial(_load, room_id=room_id))
        opened = await open_stored(self._database, self._cipher, [*state, *updates])
        return replace(
            room,
            checkpoint=opened[0] if state else None,
            updates=tuple(opened[len(state) :]),
        )

    def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> asyncio.Future[int]:
        return self._committer.append(room_id, epoch, entries, basis)

    async def read(self, room_id: str, epoch: int, after_seq: int) -> Tail:
        tail, updates = await self._database.read(
            partial(read_tail, room_id=room_id, epoch=epoch, after_seq=after_seq)
        )
        return replace(tail, updates=tuple(await open_stored(self._database, self._cipher, updates)))

    async def heads(self, known: Mapping[str, tuple[int, int]]) -> list[Head]:
        return await self._database.read(partial(find_heads, known=known))

    async def checkpoint(
        self,
        room_id: str,
        epoch: int,
        *,
        after_seq: int,
        seq: int,
        state: bytes,
        tombstones: Tombstones = NO_TOMBSTONES,
    ) -> bool:
        now = datetime.now(UTC)
        sealed = Stored(None, Slot("state", room_id, epoch, seq), state)

        def install(connection: Connection) -> None:
            _check_key(connection, sealed.key_id)
            _install(connection, sealed, after_seq, now)
            store_tombstones(connection, room_id, tombstones, now)
            _move_head(connection, room_id, epoch, after_seq, seq)

        if seq <= after_seq:
            return False
        for _ in range(KEY_CHANGES):
            sealed = await self._seal_state(sealed.slot, state)
            try:
                await self._database.write(install)
            except _TooLate:
                return False
            except _KeyRetired:
                self._cipher.learn(await self._database.read(list_keys))
            else:
                return True
        raise Unavailable("Keys are changing; the checkpoint is tried again later.")

    async def _seal_state(self, slot: Slot, state: bytes) -> Stored:
        cipher, key_id = self._cipher, self._cipher.key_id
        if key_id is None:
            return Stored(None, slot, state)
        if len(state) <= THREAD_BYTES:
            return Stored(key_id, slot, cipher.seal(key_id, slot, state))
        return Stored(key_id, slot, await asyncio.to_thread(cipher.seal, key_id, slot, state))

    async def _write_group(self, group: list[Append]) -> Sequence[Answer]:
        heads = await self._database.write(partial(_append, group=group, cipher=self._cipher))
        return [RoomNotFound() if seq is None else seq for seq in heads]


def open_journal(database: Database, cipher: Cipher = NO_CIPHER) -> SqlJournal:
    """The journal of this database, encrypted by this cipher."""
    if is_postgres(database.url):
        # PostgreSQL's driver is imported by who uses it only
        from db.postgres_journal import PostgresJournal  # noqa: PLC0415

        return PostgresJournal(database, cipher)
    return SqlJournal(database, cipher)


def _append(connection: Connection, group: list[Append], cipher: Cipher) -> list[int | None]:
    """Write the group; return each append's last sequence number, None where there is no such room."""
    row_counts: dict[tuple[str, int], int] = {}
    for append in group:
        key = (append.room_id, append.epoch)
        row_counts[key] = row_counts.get(key, 0) + len(append.entries)
    wanted = json.dumps([[room_id, epoch, count] for (room_id, epoch), count in row_counts.items()])
    driver = connection.connection.cursor()
    driver.execute(_BUMP_HEADS, (wanted,))
    heads = driver.fetchall()
    last = {(room_id, epoch): seq - row_counts[room_id, epoch] for room_id, seq, epoch in heads}

    # The form in which UtcDateTime stores it, without Core's type processing.
    created_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    key_id = _find_key(connection, driver, cipher) if cipher.is_on else None
    rows: list[tuple[str, int, int, str, bytes, str | None, str]] = []
    answers: list[int | None] = []
    claims: list[tuple[str, int, str, bool]] = []
    for append in group:
        key = (append.room_id, append.epoch)
        if key not in last:
            answers.append(None)
            continue
        if append.basis is not None and last[key] > append.basis.seq:
            # rows of this group are not in the table yet, so they are put there first
            driver.executemany(_INSERT_UPDATES, rows)
            rows.clear()
            if not fits_behind(connection, cipher, append.room_id, append.basis, last[key]):
                raise RoomMoved
        for entry in append.entries:
            last[key] += 1
            data = entry.update
            if key_id is not None:
                data = cipher.seal(key_id, Slot("update", append.room_id, append.epoch, last[key]), data)
            rows.append((append.room_id, last[key], append.epoch, entry.user_id, data, key_id, created_at))
            for client_id, owner in entry.claims.items():
                claims.append((append.room_id, client_id, owner.user_id, owner.is_relayed))
        answers.append(last[key])
    if rows:
        driver.executemany(_INSERT_UPDATES, rows)
    if claims:
        driver.executemany(_CLAIM_CLIENTS, claims)
        if driver.rowcount != len(claims):
            _check_claims(driver, claims)
    return answers


def _find_key(connection: Connection, driver: DBAPICursor, cipher: Cipher) -> str | None:
    """The key in use now, by the transaction that writes with it: a retired one seals nothing new (Z4)."""
    driver.execute(_KEY_IN_USE)
    found = driver.fetchone()
    key_id = None if found is None else str(found[0])
    if key_id != cipher.key_id:
        cipher.learn(list_keys(connection))
    return key_id


def _check_key(connection: Connection, key_id: str | None) -> None:
    """Hold the key this is sealed with until the end of the transaction. Raises _KeyRetired."""
    if key_id is None:
        return
    in_use = select(data_keys.c.id).where(data_keys.c.id == key_id, data_keys.c.retired_at.is_(None))
    if connection.execute(in_use.with_for_update(read=True)).first() is None:
        raise _KeyRetired


def _check_claims(driver: DBAPICursor, claims: Sequence[tuple[str, int, str, bool]]) -> None:
    """Raises RoomMoved when one of the ids is somebody else's."""
    wanted = json.dumps([[room_id, client_id, user_id] for room_id, client_id, user_id, _ in claims])
    driver.execute(_FOREIGN_CLAIMS, (wanted,))
    if driver.fetchone() is not None:
        raise RoomMoved


def _load(connection: Connection, room_id: str) -> tuple[StoredRoom, list[Stored], list[Stored]]:
    """The room without its bytes, and beside it its state (or none) and updates as they are stored."""
    head = connection.execute(
        select(
            rooms.c.schema,
            rooms.c.epoch,
            room_heads.c.seq,
            room_heads.c.checkpoint_seq,
            func.coalesce(func.length(canvas_states.c.state), 0).label("size_bytes"),
        )
        .join(room_heads, room_heads.c.room_id == rooms.c.id)
        .outerjoin(canvas_states, canvas_states.c.room_id == rooms.c.id)
        .where(rooms.c.id == room_id, rooms.c.deleted_at.is_(None))
    ).one_or_none()
    if head is None:
        raise RoomNotFound
    allow_time(connection, head.size_bytes + (head.seq - head.checkpoint_seq) * ROW_BYTES)
    state: list[Stored] = []
    if head.checkpoint_seq:
        found = connection.execute(
            select(canvas_states.c.epoch, canvas_states.c.key_id, canvas_states.c.state).where(
                canvas_states.c.room_id == room_id, canvas_states.c.seq == head.checkpoint_seq
            )
        ).all()
        state = [
            Stored(row.key_id, Slot("state", room_id, row.epoch, head.checkpoint_seq), row.state)
            for row in found
        ]
    rows = connection.execute(
        select(*STORED)
        .where(room_updates.c.room_id == room_id, room_updates.c.seq > head.checkpoint_seq)
        .order_by(room_updates.c.seq)
    ).all()
    clients = connection.execute(
        select(room_clients.c.client_id, room_clients.c.user_id, room_clients.c.is_relayed).where(
            room_clients.c.room_id == room_id
        )
    )
    complete = [row.seq for row in rows] == list(range(head.checkpoint_seq + 1, head.seq + 1))
    if not complete or (head.checkpoint_seq and not state):
        # Never seen by a transaction of ours: somebody edited the file, or the disk lost a part of it.
        raise Unavailable(f"The journal of room {room_id} has a gap; restore the database from a backup.")
    room = StoredRoom(
        room_id=room_id,
        schema=cast("Schema", head.schema),
        epoch=head.epoch,
        seq=head.seq,
        checkpoint_seq=head.checkpoint_seq,
        checkpoint=None,
        updates=(),
        owners={row.client_id: Owner(row.user_id, row.is_relayed) for row in clients},
    )
    return room, state, [stored_update(room_id, row) for row in rows]


class _TooLate(Exception):
    """The checkpoint is another one by now, or the room is gone; undoes the transaction."""


class _KeyRetired(Exception):
    """Nothing new may be sealed with this key any more; undoes the transaction."""


def _base(room_id: str, epoch: int, after_seq: int, seq: int) -> tuple[ColumnElement[bool], ...]:
    same_room = select(rooms.c.id).where(
        rooms.c.id == room_id, rooms.c.epoch == epoch, rooms.c.deleted_at.is_(None)
    )
    return (
        room_heads.c.room_id.in_(same_room),
        room_heads.c.checkpoint_seq == after_seq,
        room_heads.c.seq >= seq,
    )


def _install(connection: Connection, sealed: Stored, after_seq: int, now: datetime) -> None:
    _, room_id, epoch, seq = sealed.slot
    wanted = select(room_heads.c.seq).where(*_base(room_id, epoch, after_seq, seq))
    if connection.execute(wanted).first() is None:
        raise _TooLate
    allow_time(connection, len(sealed.data))
    content = {
        "seq": seq,
        "epoch": epoch,
        "state": sealed.data,
        "key_id": sealed.key_id,
        "created_at": now,
    }
    statement = insert_into(connection, canvas_states).values(room_id=room_id, **content)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[canvas_states.c.room_id], set_=content)
    )
    connection.execute(
        delete(room_updates).where(room_updates.c.room_id == room_id, room_updates.c.seq <= seq)
    )


def _move_head(connection: Connection, room_id: str, epoch: int, after_seq: int, seq: int) -> None:
    # Decided here, at the end: from now on appends pass the room over, and a state may take a second to
    # arrive at the server. The state's own row, written first, lets one checkpoint of a room in at a time.
    moved = connection.execute(
        update(room_heads).where(*_base(room_id, epoch, after_seq, seq)).values(checkpoint_seq=seq)
    )
    if moved.rowcount == 0:
        raise _TooLate

"""The journal's appends on PostgreSQL: one statement for a whole group, on connections of their own.

Owns: the statements of an append, and which connection a room's appends go by. Does not own: loading and
checkpoints, which are the same everywhere (journal.py), grouping (grouping.py), connections (postgres.py).

Rules kept: heads are locked in the order of their ids, so that groups of several processes can't wait for
each other in a circle, and a head that somebody else holds is passed over; a room's claims are looked at
under its lock, and one that is somebody else's by now refuses the room's whole part of the group, before
anything of it is written.

Rooms are dealt out to a few committers, since one waits for its fsync most of the time. A group without new
client ids is one statement and its own transaction: one round trip. Measured: see tests/bench/journal.py.
Source: postgresql.org/docs/current/sql-select.html (The Locking Clause), queries-with.html section 7.8.4;
transaction-iso.html: a statement's snapshot is older than the locks it waits for, hence the second look.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from db.database import Database
from db.grouping import PASSED_OVER, Answer, Append, GroupCommitter
from db.journal import SqlJournal
from db.postgres import PostgresDatabase
from party.errors import RoomMoved, RoomNotFound
from party.ports import Entry, Owner

_WANTED = """
wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int4[], $3::int8[]) AS one (room_id, epoch, row_count)
), locked AS MATERIALIZED (
    SELECT head.room_id, wanted.epoch, wanted.row_count
    FROM wanted
    JOIN rooms ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
    JOIN room_heads AS head ON head.room_id = wanted.room_id
    ORDER BY head.room_id
    FOR NO KEY UPDATE OF head SKIP LOCKED
)
"""
# $1..$3: room, epoch, number of rows; one for each room. $4..$8: room, epoch, number within the group, user,
# bytes; one for each row. Answers for each room its new head, and whether there is such a room at all.
_APPEND = f"""
WITH {_WANTED}, bumped AS (
    UPDATE room_heads SET seq = room_heads.seq + locked.row_count
    FROM locked WHERE room_heads.room_id = locked.room_id
    RETURNING room_heads.room_id, locked.epoch, room_heads.seq, room_heads.seq - locked.row_count AS before
), stored AS (
    INSERT INTO room_updates (room_id, seq, epoch, user_id, update_bytes, created_at)
    SELECT one.room_id, bumped.before + one.nth, one.epoch, one.user_id, one.update_bytes, $9
    FROM unnest($4::text[], $5::int4[], $6::int8[], $7::text[], $8::bytea[])
        AS one (room_id, epoch, nth, user_id, update_bytes)
    JOIN bumped ON bumped.room_id = one.room_id AND bumped.epoch = one.epoch
)
SELECT wanted.room_id, wanted.epoch, bumped.seq, rooms.id IS NOT NULL AS is_there
FROM wanted
LEFT JOIN bumped ON bumped.room_id = wanted.room_id AND bumped.epoch = wanted.epoch
LEFT JOIN rooms
    ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
"""  # noqa: S608 - put together from constants
_LOCK = f"""
WITH {_WANTED}
SELECT wanted.room_id, wanted.epoch, locked.room_id IS NOT NULL AS is_held, rooms.id IS NOT NULL AS is_there
FROM wanted
LEFT JOIN locked ON locked.room_id = wanted.room_id AND locked.epoch = wanted.epoch
LEFT JOIN rooms
    ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
"""  # noqa: S608
_OWNERS = """
SELECT room_clients.room_id, room_clients.client_id, room_clients.user_id, room_clients.is_relayed
FROM unnest($1::text[], $2::int8[]) AS one (room_id, client_id)
JOIN room_clients ON room_clients.room_id = one.room_id AND room_clients.client_id = one.client_id
"""
_CLAIM = """
INSERT INTO room_clients (room_id, client_id, user_id, is_relayed)
SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::bool[])
ON CONFLICT (room_id, client_id) DO UPDATE SET user_id = excluded.user_id, is_relayed = excluded.is_relayed
"""

Room = tuple[str, int]
"""A room's id and the epoch its edits were made in."""


class PostgresJournal(SqlJournal):
    """party.ports.Journal over a PostgresDatabase. Lives inside it; has nothing to close."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._server = cast(PostgresDatabase, database)
        self._committers = [
            GroupCommitter(partial(self._write_in_lane, lane)) for lane in range(self._server.lanes)
        ]

    def append(self, room_id: str, epoch: int, entries: Sequence[Entry]) -> asyncio.Future[int]:
        committer = self._committers[hash(room_id) % len(self._committers)]
        return committer.append(room_id, epoch, entries)

    async def _write_in_lane(self, lane: int, group: list[Append]) -> Sequence[Answer]:
        return await self._server.run_in_lane(lane, partial(_write, group))


async def _write(group: list[Append], driver: Any) -> Sequence[Answer]:
    parts: dict[Room, list[Append]] = {}
    for append in group:
        parts.setdefault((append.room_id, append.epoch), []).append(append)
    if any(entry.claims for append in group for entry in append.entries):
        async with driver.transaction(isolation="read_committed"):
            answers = await _claim_and_store(driver, parts)
    else:
        answers = await _store(driver, parts)
    told: list[Answer] = []
    after = {
        room: answer - sum(len(append.entries) for append in parts[room])
        for room, answer in answers.items()
        if isinstance(answer, int)
    }
    for append in group:
        room = (append.room_id, append.epoch)
        if room in after:
            after[room] += len(append.entries)
        told.append(after.get(room, answers[room]))
    return told


async def _store(driver: Any, parts: dict[Room, list[Append]]) -> dict[Room, Answer]:
    """Write the rows; answers each room's new head, PASSED_OVER or RoomNotFound."""
    counts = [sum(len(append.entries) for append in appends) for appends in parts.values()]
    rows = [
        (room_id, epoch, nth, entry.user_id, entry.update)
        for (room_id, epoch), appends in parts.items()
        for nth, entry in enumerate((entry for append in appends for entry in append.entries), start=1)
    ]
    found = await driver.fetch(
        _APPEND,
        [room_id for room_id, _ in parts],
        [epoch for _, epoch in parts],
        counts,
        *map(list, zip(*rows, strict=True)),
        datetime.now(UTC),
    )
    answers: dict[Room, Answer] = {}
    for room_id, epoch, seq, is_there in found:
        if seq is not None:
            answers[room_id, epoch] = seq
        else:
            answers[room_id, epoch] = PASSED_OVER if is_there else RoomNotFound()
    return answers


async def _claim_and_store(driver: Any, parts: dict[Room, list[Append]]) -> dict[Room, Answer]:
    """The same, with a look at whose client ids those are, under the lock of their rooms."""
    answers: dict[Room, Answer] = {}
    # None of a room's rows may be written before its claims were looked at under its lock.
    for room_id, epoch, is_held, is_there in await driver.fetch(
        _LOCK, [room_id for room_id, _ in parts], [epoch for _, epoch in parts], [0] * len(parts)
    ):
        if not is_held:
            answers[room_id, epoch] = PASSED_OVER if is_there else RoomNotFound()
    held = {room: appends for room, appends in parts.items() if room not in answers}
    claims = [
        (room_id, client_id, owner)
        for (room_id, _), appends in held.items()
        for append in appends
        for entry in append.entries
        for client_id, owner in entry.claims.items()
    ]
    known = {
        (room_id, client_id): Owner(user_id, is_relayed)
        for room_id, client_id, user_id, is_relayed in await driver.fetch(
            _OWNERS, [claim[0] for claim in claims], [claim[1] for claim in claims]
        )
    }
    refused: set[str] = set()
    bound: dict[tuple[str, int], Owner] = {}
    for room_id, client_id, owner in claims:
        key = (room_id, client_id)
        before = bound.get(key) or known.get(key)
        if before is None or before.is_relayed:
            bound[key] = owner
        elif key in known and known[key].user_id != owner.user_id and not known[key].is_relayed:
            refused.add(room_id)
    answers |= {room: RoomMoved() for room in held if room[0] in refused}
    if rest := {room: appends for room, appends in held.items() if room not in answers}:
        answers |= await _store(driver, rest)
    new = [
        (room_id, client_id, owner.user_id, owner.is_relayed)
        for (room_id, client_id), owner in bound.items()
        if room_id not in refused
    ]
    if new:
        await driver.execute(_CLAIM, *map(list, zip(*new, strict=True)))
    return answers

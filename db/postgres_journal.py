"""The journal's appends on PostgreSQL: one statement for a whole group, on connections of their own.

Owns: the statements of an append, and which connection a room's appends go by. Does not own: loading and
checkpoints, which are the same everywhere (journal.py), grouping (grouping.py), connections (postgres.py).

Rules kept: heads are locked in the order of their ids, so that groups of several processes can't wait for
each other in a circle, and a head that somebody else holds is passed over; a room's claims, and what others
wrote there meanwhile, are looked at under its lock, and what contradicts them refuses the room's whole part
of the group, before anything of it is written.

Rooms are dealt out to a few committers, since one waits for its fsync most of the time. A group without new
client ids is one statement and its own transaction: one round trip. Measured on two busy cores with fsync
(tests/bench/journal.py postgresql): one writer p50 0.5 ms, 150 us CPU of ours an append; 100 writers p50
7 ms, p99 16 to 30 ms, 13,000 appends a second at 15 us CPU each. 1, 2 or 4 committers made no difference
there, nor did commits that begin as soon as they can: two are for a server whose fsync takes long.

With encryption a row's number has to be known before it is sealed, and the statement gives it out: so rows
are sealed for the number behind the head this process saw last, and written if the head still is there. Where
it is not (another process wrote, or a room's first append) the head is locked first and read. With a key that
was retired meanwhile the statement writes nothing, and they are sealed again (rules Z3, Z4).
Source: postgresql.org/docs/current/sql-select.html (The Locking Clause), queries-with.html section 7.8.4;
transaction-iso.html: a statement's snapshot is older than the locks it waits for, hence the second look.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from db.cipher import Cipher, DataKey, Slot, open_all
from db.database import Database
from db.errors import KeyMissing
from db.grouping import PASSED_OVER, Answer, Append, GroupCommitter
from db.journal import KEY_CHANGES, NO_CIPHER, SqlJournal
from db.postgres import PostgresDatabase
from db.tails import stored_update
from party.errors import RoomMoved, RoomNotFound
from party.ports import Basis, Entry, Owner


def _wanted(fits: str) -> str:
    return f"""
wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int8[])
        AS one (room_id, epoch, row_count, basis)
), locked AS MATERIALIZED (
    SELECT head.room_id, wanted.epoch, wanted.row_count
    FROM wanted
    JOIN rooms ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
    JOIN room_heads AS head ON head.room_id = wanted.room_id AND {fits}
    ORDER BY head.room_id
    FOR NO KEY UPDATE OF head SKIP LOCKED
)
"""  # noqa: S608 - put together from constants, as all of these


def _append(fits: str, ahead: str, column: str = "", value: str = "") -> str:
    return f"""
WITH {_wanted(fits)}, bumped AS (
    UPDATE room_heads SET seq = room_heads.seq + locked.row_count
    FROM locked WHERE room_heads.room_id = locked.room_id
    RETURNING room_heads.room_id, locked.epoch, room_heads.seq, room_heads.seq - locked.row_count AS before
), stored AS (
    INSERT INTO room_updates (room_id, seq, epoch, user_id, update_bytes, created_at{column})
    SELECT one.room_id, bumped.before + one.nth, one.epoch, one.user_id, one.update_bytes, $10{value}
    FROM unnest($5::text[], $6::int4[], $7::int8[], $8::text[], $9::bytea[])
        AS one (room_id, epoch, nth, user_id, update_bytes)
    JOIN bumped ON bumped.room_id = one.room_id AND bumped.epoch = one.epoch
)
SELECT wanted.room_id, wanted.epoch, bumped.seq, rooms.id IS NOT NULL AS is_there,
    {ahead} AS is_ahead
FROM wanted
LEFT JOIN bumped ON bumped.room_id = wanted.room_id AND bumped.epoch = wanted.epoch
LEFT JOIN rooms
    ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
LEFT JOIN room_heads AS head ON head.room_id = rooms.id
"""  # noqa: S608


_FITS = "head.seq <= wanted.basis"
# $1..$4: room, epoch, number of rows, the head they may stand behind; one for each room. $5..$9: room, epoch,
# number within the group, user, bytes; one for each row. Answers for each room its new head, whether there is
# such a room at all, and whether it has got beyond that head.
_APPEND = _append(_FITS, "head.seq > wanted.basis")
# The same for rows sealed with the key $11: the head is exactly this, and the key is in use.
_IN_USE = "EXISTS (SELECT 1 FROM data_keys WHERE id = $11 AND retired_at IS NULL)"
_APPEND_SEALED = _append(
    f"head.seq = wanted.basis AND {_IN_USE}",
    f"head.seq <> wanted.basis OR NOT {_IN_USE}",
    ", key_id",
    ", $11",
)
_LOCK = f"""
WITH {_wanted(_FITS)}
SELECT wanted.room_id, wanted.epoch, locked.room_id IS NOT NULL AS is_held, rooms.id IS NOT NULL AS is_there
FROM wanted
LEFT JOIN locked ON locked.room_id = wanted.room_id AND locked.epoch = wanted.epoch
LEFT JOIN rooms
    ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
"""  # noqa: S608
_HEADS = "SELECT room_id, seq FROM room_heads WHERE room_id = ANY($1)"
_BETWEEN = """
SELECT seq, epoch, key_id, update_bytes FROM room_updates
WHERE room_id = $1 AND seq > $2 AND seq <= $3 ORDER BY seq
"""
_KEYS = "SELECT id, master_id, wrapped, created_at, retired_at FROM data_keys"
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

Parts = dict[Room, list[Append]]
"""What of a group is whose."""

ANYWHERE = 2**62
"""The head that edits may stand behind when it does not matter, or was looked at."""


MOST_HEADS = 20_000
"""Rooms whose head is remembered, to seal for it."""


class PostgresJournal(SqlJournal):
    """party.ports.Journal over a PostgresDatabase. Lives inside it; has nothing to close."""

    def __init__(self, database: Database, cipher: Cipher = NO_CIPHER) -> None:
        super().__init__(database, cipher)
        self._server = cast(PostgresDatabase, database)
        self._committers = [
            GroupCommitter(partial(self._write_in_lane, lane)) for lane in range(self._server.lanes)
        ]
        self._heads: dict[Room, int] = {}

    def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> asyncio.Future[int]:
        committer = self._committers[hash(room_id) % len(self._committers)]
        return committer.append(room_id, epoch, entries, basis)

    async def _write_in_lane(self, lane: int, group: list[Append]) -> Sequence[Answer]:
        return await self._server.run_in_lane(lane, partial(_write, group, self._cipher, self._heads))


class _KeyChanged(Exception):
    """The key in hand is retired, or a row has one that is not known here; undoes the transaction."""


@dataclass(frozen=True, slots=True)
class Pen:
    """What one commit writes with: a key, or None for plain rows, and the heads that are remembered."""

    cipher: Cipher
    key_id: str | None
    heads: dict[Room, int]

    def seal(self, room: Room, seq: int, plain: bytes) -> bytes:
        if self.key_id is None:
            return plain
        return self.cipher.seal(self.key_id, Slot("update", room[0], room[1], seq), plain)

    def open(self, room_id: str, rows: Sequence[Any]) -> list[bytes]:
        try:
            return open_all(self.cipher, [stored_update(room_id, row) for row in rows])
        except KeyMissing as error:
            raise _KeyChanged from error

    def remember(self, room: Room, seq: int) -> None:
        self.heads.pop(room, None)
        self.heads[room] = seq
        if len(self.heads) > MOST_HEADS:
            del self.heads[next(iter(self.heads))]


async def _write(
    group: list[Append], cipher: Cipher, heads: dict[Room, int], driver: Any
) -> Sequence[Answer]:
    parts: Parts = {}
    for append in group:
        appends = parts.setdefault((append.room_id, append.epoch), [])
        # a second one has to fit behind the first: it is looked at in the next commit
        if append.basis is None or not appends:
            appends.append(append)
    answers: dict[Room, Answer] = {}
    ahead = parts
    if not any(entry.claims for appends in parts.values() for append in appends for entry in append.entries):
        answers, ahead = await _store_at_once(driver, parts, Pen(cipher, cipher.key_id, heads))
    for _ in range(KEY_CHANGES):
        if not ahead:
            break
        try:
            # None of a room's rows may be written before it was looked at under its lock.
            async with driver.transaction(isolation="read_committed"):
                answers |= await _look_and_store(driver, ahead, Pen(cipher, cipher.key_id, heads))
        except _KeyChanged:
            cipher.learn([DataKey(*row) for row in await driver.fetch(_KEYS)])
        else:
            ahead = {}
    if ahead:
        raise KeyMissing
    return [_answer(append, parts, answers) for append in group]


def _answer(append: Append, parts: Parts, answers: dict[Room, Answer]) -> Answer:
    room = (append.room_id, append.epoch)
    answer, appends = answers[room], parts[room]
    if append not in appends:
        return PASSED_OVER
    if not isinstance(answer, int):
        return answer
    behind = appends[appends.index(append) + 1 :]
    return answer - sum(len(one.entries) for one in behind)


async def _store_at_once(driver: Any, parts: Parts, pen: Pen) -> tuple[dict[Room, Answer], Parts]:
    """Write the rows without a look; answers as `_store`."""
    if pen.key_id is None:
        return await _store(driver, parts, {room: _basis_seq(one) for room, one in parts.items()}, pen)
    # sealed for the head it had last, unless the edits know less than that
    heads = {
        room: pen.heads[room]
        for room, appends in parts.items()
        if room in pen.heads and pen.heads[room] <= _basis_seq(appends)
    }
    known = {room: parts[room] for room in heads}
    answers, ahead = await _store(driver, known, heads, pen) if known else ({}, {})
    return answers, ahead | {room: appends for room, appends in parts.items() if room not in known}


async def _store(
    driver: Any, parts: Parts, bases: Mapping[Room, int], pen: Pen
) -> tuple[dict[Room, Answer], Parts]:
    """Write the rows behind these heads; answers each room's new head, PASSED_OVER or RoomNotFound, and the
    parts of which nothing was written because the head or the key is another."""
    counts = [sum(len(append.entries) for append in appends) for appends in parts.values()]
    rows = [
        (*room, nth, entry.user_id, pen.seal(room, bases[room] + nth, entry.update))
        for room, appends in parts.items()
        for nth, entry in enumerate((entry for append in appends for entry in append.entries), start=1)
    ]
    found = await driver.fetch(
        _APPEND if pen.key_id is None else _APPEND_SEALED,
        [room_id for room_id, _ in parts],
        [epoch for _, epoch in parts],
        counts,
        [bases[room] for room in parts],
        *map(list, zip(*rows, strict=True)),
        datetime.now(UTC),
        *([] if pen.key_id is None else [pen.key_id]),
    )
    answers: dict[Room, Answer] = {}
    ahead: Parts = {}
    for room_id, epoch, seq, is_there, is_ahead in found:
        if seq is not None:
            answers[room_id, epoch] = seq
            if pen.key_id is not None:
                pen.remember((room_id, epoch), seq)
        elif is_there and is_ahead:
            ahead[room_id, epoch] = parts[room_id, epoch]
        else:
            answers[room_id, epoch] = PASSED_OVER if is_there else RoomNotFound()
    return answers, ahead


def _basis_seq(appends: Sequence[Append]) -> int:
    return min((append.basis.seq for append in appends if append.basis is not None), default=ANYWHERE)


async def _look_and_store(driver: Any, parts: Parts, pen: Pen) -> dict[Room, Answer]:
    """The same under the rooms' locks, with a look at what others wrote and whose client ids those are."""
    answers: dict[Room, Answer] = {}
    for room_id, epoch, is_held, is_there in await driver.fetch(
        _LOCK,
        [room_id for room_id, _ in parts],
        [epoch for _, epoch in parts],
        [0] * len(parts),
        [ANYWHERE] * len(parts),
    ):
        if not is_held:
            answers[room_id, epoch] = PASSED_OVER if is_there else RoomNotFound()
    held = {room: appends for room, appends in parts.items() if room not in answers}
    heads = dict(await driver.fetch(_HEADS, [room_id for room_id, _ in held]))
    for room in await _find_misfits(driver, held, heads, pen):
        answers[room] = RoomMoved()
        del held[room]
    bound, refused = await _bind(driver, held)
    answers |= {room: RoomMoved() for room in held if room[0] in refused}
    if rest := {room: appends for room, appends in held.items() if room not in answers}:
        stored, changed = await _store(driver, rest, {room: heads[room[0]] for room in rest}, pen)
        if changed:
            # the rooms are ours, so it is the key
            raise _KeyChanged
        answers |= stored
    new = [
        (room_id, client_id, owner.user_id, owner.is_relayed)
        for (room_id, client_id), owner in bound.items()
        if room_id not in refused
    ]
    if new:
        await driver.execute(_CLAIM, *map(list, zip(*new, strict=True)))
    return answers


async def _find_misfits(driver: Any, parts: Parts, heads: Mapping[str, int], pen: Pen) -> list[Room]:
    """The rooms whose edits may not stand behind what others wrote meanwhile (B6)."""
    misfits = []
    for room, appends in parts.items():
        for append in appends:
            if append.basis is None or heads[room[0]] <= append.basis.seq:
                continue
            found = await driver.fetch(_BETWEEN, room[0], append.basis.seq, heads[room[0]])
            # rows that a checkpoint took can't be looked at
            is_whole = len(found) == heads[room[0]] - append.basis.seq
            if not is_whole or not append.basis.fits(pen.open(room[0], found)):
                misfits.append(room)
                break
    return misfits


async def _bind(driver: Any, parts: Parts) -> tuple[dict[tuple[str, int], Owner], set[str]]:
    """What the claims bind, by room and client id, and the rooms with a claim that is somebody else's."""
    claims = [
        (room_id, client_id, owner)
        for (room_id, _), appends in parts.items()
        for append in appends
        for entry in append.entries
        for client_id, owner in entry.claims.items()
    ]
    if not claims:
        return {}, set()
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
    return bound, refused

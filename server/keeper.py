"""The keeper of the quarantine: what the rooms ask, what the database remembers, what the supervisor saw.

Owns: loading the holds at start, taking in the crashes the supervisor noted, storing every change, lifting,
looking at what other processes struck and lifted.
Does not own: the rules (party/quarantine.py), queries (db/quarantine.py), the list over HTTP (admin.py).
Rules: a crash is stored before its note is deleted, and counts once although it may be taken in twice; a
change of the rooms' own is stored in the background, because no room waits for it. The table is the truth
for what other processes do; their notes only make us look at once. Keeps rule Q7.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast

import orjson
import structlog
from sqlalchemy import Connection

from db.database import Database
from db.quarantine import HoldRow, Mark, delete_hold, list_holds, purge_holds, put_holds, read_mark
from db.scopes import as_system
from party.errors import KanvasError
from party.guard import Guard
from party.ports import Recorder, Stage
from party.quarantine import QUIET_S, Crash, Hold, Kind, Quarantine, Reason
from server.audit.notes import Note, note_nothing
from server.link import ALL_CRASHES

log = structlog.get_logger("kanvas.quarantine")

RETRY_S: Final = 5.0
"""After a change could not be stored, until it is tried again."""

LOOK_S: Final = 0.75
"""Between two looks at the table, where other processes write it too; most cost one row of numbers."""

TOPIC: Final = "quarantine"

MOST_WAITING: Final = 1_000
"""Changes not stored yet; above this the oldest is dropped, and holds in this process only."""


class Notes(Protocol):
    """How processes talk to each other: the hub's verbs. A note may be lost."""

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        """Tell one, or all others."""

    def on_note(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        """Hand what comes to `handler`: the sender, and the data."""


class Keeper:
    """The quarantine of this process. Make one with `open_keeper`."""

    def __init__(
        self,
        database: Database,
        rows: Sequence[HoldRow],
        recorder: Recorder | None,
        clock: Callable[[], float],
    ) -> None:
        self._database = as_system(database)
        self._clock = clock
        self._quarantine = Quarantine(map(_hold, rows))
        self._stored = {row.id: row for row in rows}
        """The table as it was last seen or written here."""

        self._mark: Mark | None = None
        """Of the table when it was last looked at; none since we wrote it, for others may take that back."""

        self._notes: Notes | None = None
        self._look = asyncio.Event()
        self._has_failed = False
        self._changed: dict[str, Hold] = {}
        self._wake = asyncio.Event()
        # a hold that is being stored while it is lifted would be back after a restart
        self._writing = asyncio.Lock()
        self.guard = Guard(recorder, self._quarantine, clock=clock, on_change=self._note)

    def connect(self, notes: Notes) -> None:
        """Tell other processes, and listen to them."""
        self._notes = notes
        notes.on_note(TOPIC, lambda _sender, _data: self._look.set())

    def holds(self) -> list[Hold]:
        """Everything that is remembered, the latest first."""
        return self._quarantine.holds(self._clock())

    async def lift(self, hold_id: str, and_note: Note = note_nothing) -> bool:
        """Forget one hold and its strikes at once; False when there is no such. Raises Unavailable.

        `and_note` writes in the same transaction when there was one.
        """
        async with self._writing:
            # from memory first: what strikes while the database is busy is a new hold, stored after this
            self._changed.pop(hold_id, None)
            hold = self._quarantine.lift(hold_id)

            def forget(conn: Connection) -> bool:
                is_deleted = delete_hold(conn, hold_id)
                if is_deleted or hold is not None:
                    and_note(conn)
                return is_deleted

            self._mark = None
            is_deleted = await self._database.write(forget)
            self._stored.pop(hold_id, None)
        self._tell()
        if hold is not None:
            log.info("quarantine lifted", **_told(hold))
        # a second try, after the database was away, finds it there alone
        return hold is not None or is_deleted

    async def clean_up(self) -> None:
        """Forget what ended more than a day ago."""
        before = datetime.fromtimestamp(self._clock() - QUIET_S, UTC)
        await self._database.write(lambda conn: purge_holds(conn, before))

    async def take_in(self, notes: Path) -> None:
        """Blame the crashes the supervisor noted, store that, then delete the notes."""
        lines = _read_lines(notes)
        if not lines:
            return
        changed: dict[str, Hold] = {}
        for line in lines:
            crash = _read_crash(line)
            if crash is None:
                log.warning("a note of a crash can't be read", note=line[:200].decode(errors="replace"))
                continue
            for hold in self._quarantine.blame(crash):
                changed[hold.id] = hold
        await self._database.write(lambda conn: put_holds(conn, map(_row, changed.values())))
        _delete(notes)
        for hold in changed.values():
            log.warning("quarantined", **_told(hold))

    def _note(self, holds: Sequence[Hold]) -> None:
        """The rooms changed these; called by the guard."""
        for hold in holds:
            log.warning("quarantined", **_told(hold))
            self._changed[hold.id] = hold
            if len(self._changed) > MOST_WAITING:
                del self._changed[next(iter(self._changed))]
        self._wake.set()

    async def store_forever(self) -> None:
        """Store what changed, as it changes; what could not be stored is tried again after a pause."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                is_stored = await self.store()
            except Exception:
                # a border: this task serves every room until the end of the process
                log.exception("quarantine not stored", holds=len(self._changed))
                is_stored = False
            if not is_stored:
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def store(self) -> bool:
        """Store what changed; False when it could not be. Cancel-safe: it is stored the next time."""
        async with self._writing:
            changed = list(self._changed.values())
            if not changed:
                return True
            self._mark = None
            try:
                await self._database.write(lambda conn: put_holds(conn, map(_row, changed)))
            except KanvasError as error:
                log.warning("quarantine not stored", reason=error.message, holds=len(changed))
                return False
            for hold in changed:
                self._stored[hold.id] = _row(hold)
                if self._changed.get(hold.id) is hold:
                    del self._changed[hold.id]
        self._tell()
        return True

    def _tell(self) -> None:
        if self._notes is not None:
            self._notes.note(TOPIC, b"")

    # -- what others struck and lifted ----------------------------------------------------------

    async def look(self) -> None:
        """Take in what other processes did. Raises Unavailable."""
        # what is being stored here would look as if it had been lifted elsewhere
        async with self._writing:
            mark = await self._database.read(read_mark)
            if mark == self._mark:
                return
            rows = {row.id: row for row in await self._database.read(list_holds)}
            for hold_id, row in rows.items():
                if hold_id not in self._changed and self._stored.get(hold_id) != row:
                    self._quarantine.take(_hold(row))
            for hold_id in self._stored.keys() - rows.keys() - self._changed.keys():
                self._quarantine.lift(hold_id)
            self._stored, self._mark = rows, mark

    async def look_forever(self, every_s: float | None) -> None:
        """Look this often (None: never by itself), and at once when a note says so."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._look.wait()
            self._look.clear()
            try:
                await self.look()
            except Exception as error:
                # a border: this task serves every room until the end of the process; told once for each time
                if not self._has_failed:
                    is_ours = isinstance(error, KanvasError)
                    log.warning(
                        "quarantine not read; what is known holds",
                        reason=str(error),
                        exc_info=None if is_ours else error,
                    )
                self._has_failed = True
            else:
                self._has_failed = False


@asynccontextmanager
async def open_keeper(
    database: Database,
    data_dir: Path | None,
    recorder: Recorder | None = None,
    clock: Callable[[], float] = time.time,
    crashes: str = ALL_CRASHES,
    look_s: float | None = None,
) -> AsyncIterator[Keeper]:
    """The quarantine as it was, and what the supervisor noted in `data_dir` since, in files named like
    `crashes`. With `look_s` the table is looked at this often, since other processes write it too. Raises
    Unavailable."""
    rows = await as_system(database).read(list_holds)
    keeper = Keeper(database, rows, recorder, clock)
    if data_dir is not None:
        for notes in await asyncio.to_thread(lambda: sorted(data_dir.glob(crashes))):
            await keeper.take_in(notes)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(keeper.store_forever()),
            tasks.create_task(keeper.look_forever(look_s)),
        ]
        try:
            yield keeper
        finally:
            for task in running:
                task.cancel()
            await keeper.store()


def _read_lines(notes: Path) -> list[bytes]:
    try:
        return notes.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _delete(notes: Path) -> None:
    notes.unlink(missing_ok=True)


def _read_crash(line: bytes) -> Crash | None:
    """A note of the supervisor's; None when it is none, such as one that was cut off by a full disk."""
    try:
        told: dict[str, Any] = orjson.loads(line)
        return Crash(
            at=float(told["at"]),
            reason=cast(Reason, str(told["reason"])),
            stage=cast(Stage, str(told["stage"])),
            room_id=str(told["room_id"]),
            user_id=None if told["user_id"] is None else str(told["user_id"]),
            client_ids=tuple(map(int, told["client_ids"])),
            is_exact=bool(told["is_exact"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _told(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.id,
        "kind": hold.kind,
        "room_id": hold.room_id,
        "user_id": hold.user_id,
        "client_id": hold.client_id,
        "stage": hold.stage,
        "reason": hold.reason,
        "strikes": hold.strikes,
        "until": datetime.fromtimestamp(hold.until, UTC).isoformat(),
    }


TIMES: Final = ("first_at", "last_at", "until")


def _row(hold: Hold) -> HoldRow:
    values = {one.name: getattr(hold, one.name) for one in fields(Hold)}
    values |= {name: datetime.fromtimestamp(values[name], UTC) for name in TIMES}
    return HoldRow(id=hold.id, **values)


def _hold(row: HoldRow) -> Hold:
    return Hold(
        kind=cast(Kind, row.kind),
        room_id=row.room_id,
        user_id=row.user_id,
        client_id=row.client_id,
        stage=cast(Stage, row.stage),
        reason=cast(Reason, row.reason),
        strikes=row.strikes,
        first_at=row.first_at.timestamp(),
        last_at=row.last_at.timestamp(),
        until=row.until.timestamp(),
    )

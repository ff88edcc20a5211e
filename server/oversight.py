"""Oversight: what the operator orders, stored, and carried out on every node.

Owns: freezing, closing and opening rooms, sending people out, draining a node; storing what lasts, and the
look every `LOOK_S` at what others have stored. Does not own: queries (db/restraints.py), what a restraint
means in a room (party/restraints.py, party/writer.py), who may order (admin_rooms.py), what can be seen
(overview.py).

Rules: the database is the truth and a note to the other nodes only makes them look at once (promise 6); what
is stored holds here when the order's answer is sent, elsewhere within a second; an order is written to the
log with who gave it. Keeps rules M5-M9.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar, runtime_checkable

import orjson
import structlog
from sqlalchemy import Connection

from db import restraints as stored
from db.database import Database
from db.scopes import as_system
from party.errors import Conflict, KanvasError, KeptOut, RoomClosed
from party.guard import Guard
from party.hub import Hub
from party.restraints import EVERYBODY, Exclusion
from server.audit.notes import Note, note_nothing
from server.auth import Identity
from server.problems import NodeNotFound

log = structlog.get_logger("kanvas.oversight")

LOOK_S: Final = 0.75
"""Between two looks at what is stored: with a read of a few ms, less than a second."""

LAST: Final = "hold"
ONCE: Final = "kick"
DRAIN: Final = "drain"
"""The topics of our notes: look at what is stored; send these out now; end."""

NoteHandler = Callable[[str, bytes], None]
T = TypeVar("T")


@runtime_checkable
class Notes(Protocol):
    """How nodes talk to each other: the hub's verbs. A note may be lost."""

    @property
    def node(self) -> str:
        """This process."""

    def nodes(self) -> list[str]:
        """The live ones, this one included."""

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        """Tell one, or all others."""

    def on_note(self, topic: str, handler: NoteHandler) -> None:
        """Hand what comes to `handler`: the sender, and the data."""


class Oversight:
    """The operator's hand in this process. Make one with `open_oversight`."""

    def __init__(
        self, database: Database, guard: Guard, hub: Hub, notes: Notes, now: Callable[[], datetime]
    ) -> None:
        self._database = as_system(database)
        self._guard = guard
        self._hub = hub
        self._notes = notes
        self._now = now
        self._wake = asyncio.Event()
        # what an older look found must not replace what a newer one did
        self._looking = asyncio.Lock()
        self._has_failed = False
        self.stop: Callable[[], None] | None = None
        """Ends this process gracefully; whoever runs it puts it here."""

        self.frozen: dict[str, datetime] = {}
        """Which rooms are frozen, and since when."""

        notes.on_note(LAST, lambda _sender, _data: self._wake.set())
        notes.on_note(ONCE, self._heard_once)
        notes.on_note(DRAIN, lambda sender, _data: self._drain_here(f"node {sender}"))

    # -- orders ---------------------------------------------------------------------------------

    async def freeze(self, room_id: str, by: Identity, and_note: Note = note_nothing) -> datetime:
        """Take no edits in this room until it is thawed; since when. Raises RoomNotFound, Unavailable.

        `and_note` writes in the transaction of the order; so with all orders.
        """
        now = self._now()
        since = await self._store(lambda conn: stored.freeze_room(conn, room_id, now), and_note)
        await self._has_changed("freeze", by, room_id=room_id)
        return since

    async def thaw(self, room_id: str, by: Identity, and_note: Note = note_nothing) -> None:
        """Take edits again, and ask everybody for what they drew meanwhile. Raises as `freeze` does."""
        await self._store(lambda conn: stored.thaw_room(conn, room_id), and_note)
        await self._has_changed("thaw", by, room_id=room_id)

    async def kick(
        self, room_id: str, user_id: str, for_s: int, by: Identity, and_note: Note = note_nothing
    ) -> int:
        """Send one user out, and keep him out for so long (0: he may come back); how many connections it were
        on this node. Raises as `freeze` does."""
        if for_s:
            until = self._now() + timedelta(seconds=for_s)
            await self._store(lambda conn: stored.exclude(conn, room_id, user_id, until), and_note)
            message = KeptOut.words(until.timestamp())
        else:
            await self._store(lambda conn: stored.check_room(conn, room_id), and_note)
            message = "The operator sent you out of this room; you may open it again."
        gone = self._expel(room_id, user_id, KeptOut(message))
        self._tell_once(room_id, user_id, message)
        await self._has_changed("kick", by, room_id=room_id, user_id=user_id, for_s=for_s)
        return gone

    async def close(self, room_id: str, for_s: int, by: Identity, and_note: Note = note_nothing) -> None:
        """Send everybody out, and let nobody in for so long (0: they may come back). Raises as `freeze`
        does."""
        if for_s:
            until = self._now() + timedelta(seconds=for_s)
            await self._store(lambda conn: stored.exclude(conn, room_id, EVERYBODY, until), and_note)
            message = RoomClosed.words(until.timestamp())
        else:
            await self._store(lambda conn: stored.check_room(conn, room_id), and_note)
            message = "The operator sent everybody out of this room; you may open it again."
        self._expel(room_id, EVERYBODY, RoomClosed(message))
        self._tell_once(room_id, EVERYBODY, message)
        await self._has_changed("close", by, room_id=room_id, for_s=for_s)

    async def open(self, room_id: str, by: Identity, and_note: Note = note_nothing) -> int:
        """Let everybody in again, also those who were kicked; how many restraints that lifts. Raises as
        `freeze` does."""
        lifted = await self._store(lambda conn: stored.let_in(conn, room_id), and_note)
        await self._has_changed("open", by, room_id=room_id)
        return lifted

    async def drain(
        self, node: str, ready: Collection[str], by: Identity, and_note: Note = note_nothing
    ) -> None:
        """End this node gracefully: its people are sent on to the others, of which these are `ready`.

        Raises NodeNotFound, Conflict, Unavailable.
        """
        if node not in self._notes.nodes():
            raise NodeNotFound
        if not set(ready) - {node}:
            raise Conflict(
                "No other node is ready now, and nobody would be left to serve; wait for one, or stop this "
                "one where it runs."
            )
        await self._database.write(and_note)
        log.warning("operator ordered", order="drain", target=node, **_who(by))
        if node == self._notes.node:
            self._drain_here(by.user_id)
        else:
            self._notes.note(DRAIN, b"", to=node)

    async def _store(self, order: Callable[[Connection], T], and_note: Note) -> T:
        def write(connection: Connection) -> T:
            done = order(connection)
            and_note(connection)
            return done

        return await self._database.write(write)

    # -- what others ordered --------------------------------------------------------------------

    async def look(self) -> None:
        """Take in what is stored, and carry out what is new of it. Raises Unavailable."""
        async with self._looking:
            now = self._now()
            held = await self._database.read(lambda conn: stored.read_restraints(conn, now))
            restraints = self._guard.restraints
            before = restraints.frozen
            excluded = [Exclusion(one.room_id, one.user_id, one.until.timestamp()) for one in held.excluded]
            self.frozen = held.frozen
            restraints.replace(held.frozen.keys(), excluded)
            self._carry_out(before, restraints.frozen, excluded)

    async def look_forever(self) -> None:
        """Look every `LOOK_S`, and at once when a note says so."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.look()
            except KanvasError as error:
                # once, not every second: what held goes on holding
                if not self._has_failed:
                    log.warning("restraints can't be read; those known hold on", reason=error.message)
                self._has_failed = True
            except Exception:
                # the border of a background task
                log.exception("restraints can't be read; those known hold on")
            else:
                self._has_failed = False

    def _carry_out(self, before: Collection[str], after: Collection[str], excluded: list[Exclusion]) -> None:
        now = self._hub.now()
        for room_id in set(before) ^ set(after):
            room = self._hub.rooms.get(room_id)
            if room is None:
                continue
            if room_id in after:
                room.tell_frozen(now)
            else:
                room.thaw(now)
        for one in excluded:
            error = RoomClosed if one.user_id == EVERYBODY else KeptOut
            self._expel(one.room_id, one.user_id, error(error.words(one.until)))

    def _expel(self, room_id: str, user_id: str, error: KanvasError) -> int:
        room = self._hub.rooms.get(room_id)
        if room is None or not room.sessions:
            return 0
        if user_id == EVERYBODY:
            gone = len(room.sessions)
            room.send_away(error, self._hub.now())
        else:
            gone = room.expel(user_id, error, self._hub.now())
        if room.has_work:
            # the others see them go
            self._hub.wake(room)
        return gone

    def _tell_once(self, room_id: str, user_id: str, message: str) -> None:
        self._notes.note(ONCE, orjson.dumps([room_id, user_id, message]))

    def _heard_once(self, sender: str, data: bytes) -> None:
        try:
            room_id, user_id, message = orjson.loads(data)
        except (ValueError, TypeError):
            log.warning("a note can't be read", sender=sender, topic=ONCE)
            return
        error = RoomClosed if user_id == EVERYBODY else KeptOut
        self._expel(room_id, user_id, error(message))

    def _drain_here(self, told_by: str) -> None:
        if self.stop is None:
            log.warning("this process can't end itself", told_by=told_by)
            return
        log.warning("draining, then ending", told_by=told_by)
        self.stop()

    async def _has_changed(self, order: str, by: Identity, **what: object) -> None:
        log.warning("operator ordered", order=order, **what, **_who(by))
        await self.look()
        self._notes.note(LAST, b"")


def _who(by: Identity) -> dict[str, str]:
    return {"operator": by.user_id, "operator_name": by.name}


@asynccontextmanager
async def open_oversight(
    database: Database,
    guard: Guard,
    hub: Hub,
    notes: Notes,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AsyncIterator[Oversight]:
    """What is stored holds before anybody is let in. Raises Unavailable."""
    oversight = Oversight(database, guard, hub, notes, now)
    await oversight.look()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(oversight.look_forever())
        try:
            yield oversight
        finally:
            looking.cancel()

"""The committer: batches on their way to the journal.

Owns: appends in flight, the repetition of one that failed, deadlines, and whether somebody else wrote in
between. Does not own: rooms' lives (hub), what is sent when it is durable (room). Every retry is a task of
the hub's TaskGroup; a commit that goes well needs none.
Keeps rules R7, H7, J6.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from party.errors import KanvasError, RoomNotFound, Unavailable
from party.limits import Limits
from party.ports import Journal
from party.room import Room
from party.writer import Batch

log = logging.getLogger("kanvas.hub")

RETRY_FIRST_S: Final = 0.05
RETRY_MOST_S: Final = 2.0

LOOK_LEAST_S: Final = 0.02
"""Between two looks at what is in flight, whatever its deadline says."""


class Rooms(Protocol):
    """What the hub does with the outcome."""

    def is_open(self, room: Room) -> bool:
        """False once it was dropped or unloaded: then nobody waits for the outcome."""

    def committed(self, room: Room, seq: int, *, has_foreign_rows: bool) -> None:
        """The batch in flight is durable up to `seq`."""

    def freeze(self, room: Room) -> None:
        """The commit takes long or failed, and is waited for (R7)."""

    def drop(self, room: Room, error: KanvasError) -> None:
        """The batch can't be saved."""


@dataclass(slots=True, eq=False)
class Flight:
    """One batch on its way. `started_s` on the loop's clock."""

    room: Room
    batch: Batch
    started_s: float
    append: asyncio.Future[int] | None = None
    is_slow: bool = False


class Committer:
    """The batches in flight of all rooms, at most one each (R3)."""

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        rooms: Rooms,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._journal = journal
        self._limits = limits
        self._rooms = rooms
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._flights: dict[Room, Flight] = {}
        """In the order they started."""

        self._watch: asyncio.TimerHandle | None = None
        self.is_draining = False

    def commit(self, room: Room, batch: Batch) -> None:
        """Append the batch; `rooms` is told of the outcome, later."""
        flight = self._flights[room] = Flight(room, batch, self._loop.time())
        self._append(flight)
        if self._watch is None:
            self._watch = self._loop.call_later(self._limits.slow_commit_s, self._look)

    def close(self) -> None:
        """Give up what is in flight: the journal may have it all the same."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for flight in list(self._flights.values()):
            if flight.append is not None:
                flight.append.cancel()
        self._flights.clear()

    def _append(self, flight: Flight) -> None:
        room = flight.room
        flight.append = asyncio.ensure_future(
            self._journal.append(room.id, room.view.epoch, flight.batch.entries)
        )
        flight.append.add_done_callback(lambda append: self._landed(flight, append))

    def _landed(self, flight: Flight, append: asyncio.Future[int]) -> None:
        room = flight.room
        error = None if append.cancelled() else append.exception()
        if self._flights.get(room) is not flight:
            return
        if not self._rooms.is_open(room):
            # dropped while the append went through: the journal has it, the next load shows it
            del self._flights[room]
        elif append.cancelled() or error is not None:
            self._failed(flight, error)
        elif (seq := append.result()) == room.view.seq + len(flight.batch.entries):
            del self._flights[room]
            self._rooms.committed(room, seq, has_foreign_rows=False)
        else:
            self._spawn(self._after_gap(flight, seq))

    def _failed(self, flight: Flight, failure: BaseException | None) -> None:
        room = flight.room
        if isinstance(failure, KanvasError):
            error: KanvasError = failure
        else:
            error = Unavailable()
            error.__cause__ = failure
        if isinstance(error, RoomNotFound):
            del self._flights[room]
            self._rooms.drop(room, error)
            return
        log.warning("commit failed", extra={"room_id": room.id, "reason": repr(error.__cause__ or error)})
        if self.is_draining or self._loop.time() >= flight.started_s + self._limits.commit_deadline_s:
            del self._flights[room]
            self._rooms.drop(room, error)
            return
        flight.append = None
        self._rooms.freeze(room)
        self._spawn(self._repeat(flight, error))

    async def _repeat(self, flight: Flight, error: KanvasError) -> None:
        """Append again and again until it holds or the deadline has passed (R7)."""
        end = flight.started_s + self._limits.commit_deadline_s
        pause_s = RETRY_FIRST_S
        room = flight.room
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, RETRY_MOST_S)
            if self._flights.get(room) is not flight or not self._rooms.is_open(room):
                return
            try:
                async with asyncio.timeout_at(end):
                    seq = await self._journal.append(room.id, room.view.epoch, flight.batch.entries)
            except RoomNotFound as gone:
                error, end = gone, 0.0
            except KanvasError as failed:
                error = failed
            except TimeoutError as deadline:
                # what the journal said before says why: the disk is full
                error.__cause__ = error.__cause__ or deadline
            except Exception as exc:
                error = Unavailable()
                error.__cause__ = exc
            else:
                await self._after_gap(flight, seq)
                return
            log.warning("commit failed", extra={"room_id": room.id, "reason": repr(error.__cause__ or error)})
            if self.is_draining or self._loop.time() >= end:
                if self._flights.get(room) is flight:
                    del self._flights[room]
                    self._rooms.drop(room, error)
                return

    async def _after_gap(self, flight: Flight, seq: int) -> None:
        """Rows lie between: its own, appended twice, or somebody else's (H7)."""
        room = flight.room
        has_foreign_rows = seq != room.view.seq + len(flight.batch.entries) and await self._has_foreign_rows(
            room, flight.batch
        )
        if self._flights.get(room) is not flight:
            return
        del self._flights[room]
        if self._rooms.is_open(room):
            self._rooms.committed(room, seq, has_foreign_rows=has_foreign_rows)

    async def _has_foreign_rows(self, room: Room, batch: Batch) -> bool:
        """True unless all rows since the last commit are the batch's own, some of them twice (J6)."""
        own = {entry.update for entry in batch.entries}
        try:
            async with asyncio.timeout(self._limits.commit_deadline_s):
                stored = await self._journal.load(room.id)
        except Exception as exc:
            # not known, so the room is loaded anew; a journal that is out of order must not end the others
            log.warning("rows can't be compared", extra={"room_id": room.id, "reason": repr(exc)})
            return True
        # a checkpoint beyond what this room knows may hold somebody else's rows
        if stored.checkpoint_seq > room.view.seq:
            return True
        since = stored.updates[max(0, room.view.seq - stored.checkpoint_seq) :]
        return not own.issuperset(since)

    def _look(self) -> None:
        """Freeze rooms whose commit takes long, and give up those past the deadline."""
        self._watch = None
        now = self._loop.time()
        slow_s, deadline_s = self._limits.slow_commit_s, self._limits.commit_deadline_s
        for flight in list(self._flights.values()):
            age_s = now - flight.started_s
            if age_s < slow_s:
                # the others started later
                break
            if not flight.is_slow:
                flight.is_slow = True
                self._rooms.freeze(flight.room)
            if age_s >= deadline_s and flight.append is not None and not flight.append.done():
                # cancelled is failed, and past the deadline that is the end
                flight.append.cancel()
        if self._flights:
            next_s = min(
                flight.started_s + (deadline_s if flight.is_slow else slow_s)
                for flight in self._flights.values()
            )
            self._watch = self._loop.call_at(max(next_s, now + LOOK_LEAST_S), self._look)

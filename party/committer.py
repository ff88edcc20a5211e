"""The committer: batches on their way to the journal.

Owns: appends in flight, the repetition of one that failed, deadlines. Does not own: rooms' lives (hub), what
is sent when it is durable, and behind which rows (shared). Every retry is a task of the hub's TaskGroup; a
commit that goes well needs none. Keeps rules R7, J6.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Protocol

from party.batch import Batch
from party.errors import KanvasError, RoomMoved, RoomNotFound, Unavailable
from party.limits import Limits
from party.ports import Basis, Journal
from party.retry import Retry
from party.shared import SharedRoom
from party.tally import Tally

log = logging.getLogger("kanvas.hub")

LOOK_LEAST_S: Final = 0.02
"""Between two looks at what is in flight, whatever its deadline says."""


class Rooms(Protocol):
    """What the hub does with the outcome."""

    def is_open(self, room: SharedRoom) -> bool:
        """False once it was dropped or unloaded: then nobody waits for the outcome."""

    def landed(self, room: SharedRoom, seq: int) -> None:
        """The batch in flight is durable up to `seq`."""

    def refused(self, room: SharedRoom) -> None:
        """The journal did not take the batch: its authors had not seen rows that they contradict (B6)."""

    def freeze(self, room: SharedRoom) -> None:
        """The commit takes long or failed, and is waited for (R7)."""

    def drop(self, room: SharedRoom, error: KanvasError) -> None:
        """The batch can't be saved."""


@dataclass(slots=True, eq=False)
class Flight:
    """One batch on its way. `started_s` on the loop's clock."""

    room: SharedRoom
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
        tally: Tally | None = None,
    ) -> None:
        self._journal = journal
        self._limits = limits
        self._rooms = rooms
        self._spawn = spawn
        self._tally = tally or Tally()
        self.retry = Retry()
        """For all that the hub asks of the journal."""

        self._loop = asyncio.get_running_loop()
        self._flights: dict[SharedRoom, Flight] = {}
        """In the order they started."""

        self._watch: asyncio.TimerHandle | None = None
        self.is_draining = False

    def commit(self, room: SharedRoom, batch: Batch) -> None:
        """Append the batch; `rooms` is told of the outcome, later."""
        flight = self._flights[room] = Flight(room, batch, self._loop.time())
        self._append(flight)
        if self._watch is None:
            self._watch = self._loop.call_later(self._limits.slow_commit_s, self._look)

    def forget(self, room: SharedRoom) -> None:
        """What became of the batch in flight is known from elsewhere: it was read back."""
        flight = self._flights.pop(room, None)
        if flight is not None and flight.append is not None:
            flight.append.cancel()

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
        room, batch = flight.room, flight.batch
        basis = Basis(room.view.seq, batch.fits)
        flight.append = asyncio.ensure_future(
            self._journal.append(room.id, room.view.epoch, batch.entries, basis)
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
        else:
            del self._flights[room]
            self._note(flight)
            self.retry.answered()
            self._rooms.landed(room, append.result())

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
        if isinstance(error, RoomMoved):
            del self._flights[room]
            self._rooms.refused(room)
            return
        self._tally.commits_failed += 1
        log.warning("commit failed", extra={"room_id": room.id, "reason": repr(error.__cause__ or error)})
        if self.is_draining or self._loop.time() >= flight.started_s + self._limits.commit_deadline_s:
            del self._flights[room]
            self._rooms.drop(room, error)
            return
        flight.append = None
        self._rooms.freeze(room)
        self._spawn(self._repeat(flight, error))

    async def _repeat(self, flight: Flight, error: KanvasError) -> None:
        """Append again and again until it holds or the deadline has passed (R7, R14)."""
        try:
            await self._repeat_until(flight, error)
        finally:
            self.retry.done(flight)

    async def _repeat_until(self, flight: Flight, error: KanvasError) -> None:
        end = flight.started_s + self._limits.commit_deadline_s
        room = flight.room
        for tries in count(1):
            await self.retry.pause(flight, tries)
            if self._flights.get(room) is not flight or not self._rooms.is_open(room):
                return
            try:
                async with asyncio.timeout_at(end):
                    basis = Basis(room.view.seq, flight.batch.fits)
                    seq = await self._journal.append(room.id, room.view.epoch, flight.batch.entries, basis)
            except RoomNotFound as gone:
                error, end = gone, 0.0
            except RoomMoved:
                if self._end(flight):
                    self._rooms.refused(room)
                return
            except KanvasError as failed:
                error = failed
            except TimeoutError as deadline:
                # what the journal said before says why: the disk is full
                error.__cause__ = error.__cause__ or deadline
            except Exception as exc:
                error = Unavailable()
                error.__cause__ = exc
            else:
                self.retry.answered()
                if self._end(flight):
                    self._note(flight)
                    self._rooms.landed(room, seq)
                return
            self._tally.commits_failed += 1
            if self.is_draining or self._loop.time() >= end:
                if self._end(flight):
                    self._rooms.drop(room, error)
                return

    def _end(self, flight: Flight) -> bool:
        """The flight is over; True when somebody waits for its outcome."""
        if self._flights.get(flight.room) is not flight:
            return False
        del self._flights[flight.room]
        return self._rooms.is_open(flight.room)

    def _note(self, flight: Flight) -> None:
        """It is durable: how long that took."""
        took_s = self._loop.time() - flight.started_s
        self._tally.commit.note(took_s)
        if self._tally.on_commit is not None:
            self._tally.on_commit(flight.room.id, took_s, len(flight.batch.entries))

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

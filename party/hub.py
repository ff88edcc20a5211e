"""The hub: the open rooms of one process and the one ticker that drives them.

Owns: single-flight load, the tick, commits and their retries, checkpoints, idle unload, drain.
Does not own: what a room decides (room), sockets, SQL. Every task lives in the hub's TaskGroup.
Keeps rules H1-H7, J1-J6.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from party.document import compact
from party.errors import (
    DocumentBroken,
    KanvasError,
    RoomMoved,
    RoomNotFound,
    ShuttingDown,
    Unavailable,
)
from party.limits import Limits
from party.ports import Connection, Journal, Principal
from party.room import Room
from party.session import Session
from party.writer import Batch

log = logging.getLogger("kanvas.hub")

Compact = Callable[[bytes | None, Sequence[bytes]], Awaitable[bytes]]
"""Replay a checkpoint and updates to a full state; the production one uses a child process."""

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 2.0


async def compact_inline(checkpoint: bytes | None, updates: Sequence[bytes]) -> bytes:
    """Compact on the event loop: right for small documents and tests."""
    return compact(checkpoint, updates)


class Hub:
    """All open rooms of this process. Make one with `open_hub`."""

    def __init__(
        self, journal: Journal, limits: Limits, compact_state: Compact, tasks: asyncio.TaskGroup
    ) -> None:
        self._journal = journal
        self._limits = limits
        self._compact = compact_state
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[str, Room] = {}
        self._opening: dict[str, asyncio.Future[Room]] = {}
        self._ready: deque[Room] = deque()
        self._queued: set[Room] = set()
        self._is_scheduled = False
        self._checkpointing: set[Room] = set()
        self._draining = False

    # -- the public verbs -----------------------------------------------------------------------

    async def join(self, room_id: str, principal: Principal, connection: Connection) -> "Seat":
        """Open the room if need be and take the connection in.

        Raises RoomNotFound, Unavailable, ShuttingDown.
        """
        room = await self._open(room_id)
        session = Session(principal, connection, sent_at_s=self._loop.time())
        room.join(session, self._loop.time())
        return Seat(self, room, session)

    async def submit(self, room_id: str, principal: Principal, update: bytes) -> str:
        """Apply one update and return the room's version once it is durable (R9).

        Raises BadUpdate, IncompleteUpdate (with the state vector), TooLarge, Forbidden, RoomNotFound,
        Unavailable, ShuttingDown. Cancel-safe: a cancelled update may still be applied.
        """
        room = await self._open(room_id)
        answer: asyncio.Future[str] = self._loop.create_future()

        def reply(result: str | KanvasError) -> None:
            if answer.done():
                return
            if isinstance(result, str):
                answer.set_result(result)
            else:
                answer.set_exception(result)

        room.submit(update, principal, reply)
        room.idle_since_s = None if room.sessions else self._loop.time()
        self.wake(room)
        return await answer

    async def state(self, room_id: str) -> tuple[str, bytes]:
        """The committed version `"{epoch}-{seq}"` and the whole document as one update.

        Raises RoomNotFound, Unavailable, ShuttingDown.
        """
        room = await self._open(room_id)
        if not room.sessions:
            room.idle_since_s = self._loop.time()
        return room.state(self._loop.time())

    def present(self, room_id: str) -> list[Principal]:
        """Who is connected to the room in this process, each user once."""
        room = self._rooms.get(room_id)
        return room.present() if room is not None else []

    async def evict(self, room_id: str, error: KanvasError) -> None:
        """Close the room's sessions with `error` and forget it (it was deleted or replaced)."""
        opening = self._opening.get(room_id)
        if opening is not None:
            await asyncio.wait([opening])
        room = self._rooms.get(room_id)
        if room is not None:
            self._drop(room, error)

    def healthy(self) -> bool:
        """False while draining or while a room waits for a failing journal."""
        return not self._draining and not any(room.frozen for room in self._rooms.values())

    def open_rooms(self) -> int:
        return len(self._rooms)

    async def drain(self, deadline_s: float = 8.0) -> None:
        """Stop gracefully: settle what is in flight, send everybody away (1012), checkpoint.

        Takes at most `deadline_s`. Skipping it loses nothing, the next start is only slower. Idempotent.
        """
        if self._draining:
            return
        self._draining = True
        start = self._loop.time()
        end = start + deadline_s
        while self._loop.time() < start + deadline_s / 2:
            if all(room.is_settled for room in self._rooms.values()) and not self._opening:
                break
            await asyncio.sleep(0.01)
        for room in list(self._rooms.values()):
            room.send_away(ShuttingDown(), self._loop.time())
        await self._checkpoint_until(end)
        # a journal that hangs must not hold up the process; what it took is there at the next start
        for room in [room for room in self._rooms.values() if not room.is_settled]:
            self._drop(room, ShuttingDown())
        for task in self._running:
            task.cancel()

    async def _checkpoint_until(self, end: float) -> None:
        due = [room for room in self._rooms.values() if room.rows_since_checkpoint and room.is_settled]
        # the fullest first: they gain most from it when the time runs out
        due.sort(key=lambda room: room.bytes_since_checkpoint, reverse=True)
        for room in due:
            left_s = end - self._loop.time()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    await self._checkpoint(room)
            except TimeoutError:
                break

    # -- opening --------------------------------------------------------------------------------

    async def _open(self, room_id: str) -> Room:
        """The open room, loaded once however many ask (H1)."""
        while not self._draining:
            room = self._rooms.get(room_id)
            if room is not None:
                return room
            opening = self._opening.get(room_id)
            if opening is None:
                opening = self._opening[room_id] = self._loop.create_future()
                self._spawn(self._load(room_id, opening))
            # shielded: one asker that gives up must not take the load from the others
            await asyncio.shield(opening)
            # and looked up again: it may have been evicted before its askers ran
        raise ShuttingDown

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in the hub's TaskGroup; a drain cancels what is left."""
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _load(self, room_id: str, opening: asyncio.Future[Room]) -> None:
        try:
            stored = await self._journal.load(room_id)
            room = self._rooms[room_id] = Room(stored, self._limits, now=self._loop.time())
        except KanvasError as error:
            opening.set_exception(error)
        except Exception as exc:
            log.exception("room could not be loaded", extra={"room_id": room_id})
            unavailable = Unavailable()
            unavailable.__cause__ = exc
            opening.set_exception(unavailable)
        else:
            opening.set_result(room)
        finally:
            del self._opening[room_id]
            if not opening.done():
                opening.set_exception(ShuttingDown())
            # mark it as seen: there may be nobody left who asks
            if opening.done() and not opening.cancelled():
                opening.exception()

    def _drop(self, room: Room, error: KanvasError) -> None:
        """Send everybody away and forget the room; what is committed stays in the journal."""
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]
        room.fail_batch(error)
        room.send_away(error, self._loop.time())
        room.close()

    # -- the ticker -----------------------------------------------------------------------------

    def wake(self, room: Room) -> None:
        """The room has work: visit it in the next run of the ticker (H2)."""
        if room in self._queued:
            return
        self._queued.add(room)
        self._ready.append(room)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        """Visit rooms with work, round robin, for one slice of time; then let the loop breathe."""
        self._is_scheduled = False
        end = self._loop.time() + self._limits.tick_slice_s
        while self._ready:
            room = self._ready.popleft()
            self._queued.discard(room)
            if self._rooms.get(room.id) is room:
                self._tick(room)
            if self._loop.time() >= end:
                break
        if self._ready:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _tick(self, room: Room) -> None:
        now = self._loop.time()
        try:
            room.send_presence(now)
            batch = room.take_batch(now)
        except Exception:
            # the border of the room loop: this room is rebuilt from its journal, the process goes on (R6)
            log.exception("room failed and is rebuilt", extra={"room_id": room.id})
            self._drop(room, DocumentBroken())
            return
        if batch is not None:
            self._spawn(self._commit(room, batch))
        if room.has_work:
            self.wake(room)

    # -- commits --------------------------------------------------------------------------------

    async def _commit(self, room: Room, batch: Batch) -> None:
        """Append until it holds; the room is frozen meanwhile, and dropped at the deadline (R7)."""
        end = self._loop.time() + self._limits.commit_deadline_s
        pause_s = RETRY_FIRST_S
        while True:
            error: KanvasError
            slow = self._loop.call_later(self._limits.slow_commit_s, self._freeze, room)
            try:
                async with asyncio.timeout_at(end):
                    seq = await self._journal.append(room.id, room.view.epoch, batch.entries)
                break
            except RoomNotFound as gone:
                self._drop(room, gone)
                return
            except KanvasError as failed:
                error = failed
            except Exception as exc:
                error = Unavailable()
                error.__cause__ = exc
            finally:
                slow.cancel()
            now = self._loop.time()
            if self._rooms.get(room.id) is not room:
                return
            log.warning("commit failed", extra={"room_id": room.id, "reason": repr(error.__cause__ or error)})
            if now >= end or self._draining:
                self._drop(room, error)
                return
            self._freeze(room)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, RETRY_MOST_S)
        if self._rooms.get(room.id) is not room:
            # it was dropped while the append went through: the journal has it, the next load shows it
            return
        has_gap = seq != room.view.seq + len(batch.entries) and await self._has_foreign_rows(room, batch)
        if self._rooms.get(room.id) is not room:
            return
        try:
            room.commit(seq, self._loop.time())
        except Exception:
            log.exception("room failed and is rebuilt", extra={"room_id": room.id})
            self._drop(room, DocumentBroken())
            return
        if has_gap:
            # somebody else wrote into the journal too; the next load has all of it (H7)
            log.warning("journal has rows of another process", extra={"room_id": room.id})
            self._drop(room, RoomMoved())
            return
        if room.has_work:
            self.wake(room)

    async def _has_foreign_rows(self, room: Room, batch: Batch) -> bool:
        """True unless all rows since the last commit are the batch's own, some of them twice (J6)."""
        own = {entry.update for entry in batch.entries}
        try:
            stored = await self._journal.load(room.id)
        except KanvasError:
            return True
        since = stored.updates[max(0, room.view.seq - stored.checkpoint_seq) :]
        return not own.issuperset(since)

    def _freeze(self, room: Room) -> None:
        if self._rooms.get(room.id) is room and not room.frozen:
            room.freeze(self._loop.time())

    # -- checkpoints and the beat ---------------------------------------------------------------

    async def _checkpoint(self, room: Room) -> bool:
        """Checkpoint from database bytes only (J5). False when it failed; the journal still has all."""
        try:
            stored = await self._journal.load(room.id)
            if stored.updates:
                state = await self._compact(stored.checkpoint, stored.updates)
                if not await self._journal.checkpoint(
                    room.id, stored.epoch, after_seq=stored.checkpoint_seq, seq=stored.seq, state=state
                ):
                    # another process was faster: the next beat sees its checkpoint
                    return True
        except RoomNotFound:
            return True
        except Exception:
            log.exception("checkpoint failed", extra={"room_id": room.id})
            return False
        room.checkpointed(stored.seq, sum(map(len, stored.updates)))
        return True

    async def _checkpoint_in_background(self, room: Room) -> None:
        try:
            done = await self._checkpoint(room)
        finally:
            self._checkpointing.discard(room)
        if not done:
            room.checkpoint_after_s = self._loop.time() + self._limits.idle_s
        # somebody may have come back meanwhile: look again, without an await in between (H3); one that
        # can't be checkpointed is unloaded all the same, the journal has all of it
        if self._is_idle(room) and (not done or room.rows_since_checkpoint == 0):
            self._unload(room)

    def _is_idle(self, room: Room) -> bool:
        since_s = room.idle_since_s
        return (
            since_s is not None
            and not room.sessions
            and room.is_settled
            and self._loop.time() - since_s >= self._limits.idle_s
        )

    def _unload(self, room: Room) -> None:
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]
            room.close()

    def _beat(self) -> None:
        if self._draining:
            return
        now = self._loop.time()
        for room in list(self._rooms.values()):
            room.beat(now)
            if room in self._checkpointing or now < room.checkpoint_after_s:
                continue
            idle = self._is_idle(room)
            full = (
                room.rows_since_checkpoint >= self._limits.checkpoint_rows
                or room.bytes_since_checkpoint >= self._limits.checkpoint_bytes
            )
            if idle and room.rows_since_checkpoint == 0:
                self._unload(room)
            elif idle or full:
                self._checkpointing.add(room)
                self._spawn(self._checkpoint_in_background(room))

    async def beat_forever(self) -> None:
        """Every beat look after quiet connections, laggards, idle and overfull rooms."""
        while True:
            await asyncio.sleep(self._limits.beat_s)
            try:
                self._beat()
            except Exception:
                log.exception("beat failed")


class Seat:
    """A connection's place in a room: what the transport calls. No verb waits."""

    __slots__ = ("_hub", "_room", "_session")

    def __init__(self, hub: Hub, room: Room, session: Session) -> None:
        self._hub = hub
        self._room = room
        self._session = session

    def receive(self, data: bytes) -> None:
        """One complete binary WebSocket message."""
        self._room.receive(self._session, data, asyncio.get_running_loop().time())
        if self._room.has_work:
            self._hub.wake(self._room)

    def drained(self) -> None:
        """The transport's buffer is low again."""
        self._room.drained(self._session, asyncio.get_running_loop().time())

    def leave(self) -> None:
        """The socket is gone. Idempotent."""
        self._room.leave(self._session, asyncio.get_running_loop().time())
        if self._room.has_work:
            self._hub.wake(self._room)


@asynccontextmanager
async def open_hub(
    journal: Journal, limits: Limits | None = None, compact_state: Compact = compact_inline
) -> AsyncIterator[Hub]:
    """A running hub; leaving it drains it."""
    async with asyncio.TaskGroup() as tasks:
        hub = Hub(journal, limits or Limits(), compact_state, tasks)
        beat = tasks.create_task(hub.beat_forever())
        try:
            yield hub
        finally:
            await hub.drain()
            beat.cancel()

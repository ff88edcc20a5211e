"""The hub: the open rooms of one process.

Owns: single-flight load, what a tick does, when a room is checkpointed, idle unload, drain. Does not own:
when a room is visited (ticker), who writes over HTTP (authors), how a batch becomes durable (committer) and a
checkpoint is made (checkpoints), what a room decides (room, shared), what other nodes say (relay), sockets,
SQL. Every task lives in the hub's TaskGroup. Keeps rules H1-H9, J1-J7, C9, B10, G4.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from party import waves
from party.authors import Authors
from party.batch import Chore
from party.checkpoints import Checkpoints, Compact, compact_inline
from party.committer import Committer
from party.document import Document
from party.errors import (
    DocumentBroken,
    KanvasError,
    RoomMoved,
    RoomNotFound,
    ShuttingDown,
    Unavailable,
)
from party.guard import Guard
from party.limits import Limits
from party.memory import MemoryBus
from party.outstanding import Outstanding
from party.ports import Bus, Connection, Journal, Principal, Role, StoredRoom
from party.relay import EVICT, NoteHandler, Relay
from party.seat import Seat
from party.session import Session
from party.shared import SharedRoom
from party.tally import Tally
from party.ticker import Ticker
from party.view import Committed

log = logging.getLogger("kanvas.hub")

SLOW_LOAD_S = 0.02
"""A room that takes longer to load holds up the others noticeably, and the log says so."""


class Hub:
    """All open rooms of this process. Make one with `open_hub`."""

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        compact_state: Compact,
        tasks: asyncio.TaskGroup,
        guard: Guard | None = None,
        bus: Bus | None = None,
        bus_key: bytes = b"",
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._journal = journal
        self._limits = limits
        self._guard = guard or Guard()
        self._checkpoints = Checkpoints(journal, compact_state, self._guard, self.tally)
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[str, SharedRoom] = {}
        self._opening: dict[str, asyncio.Future[SharedRoom]] = {}
        self._ticker = Ticker(self._loop, self._visit, slice_s=limits.tick_slice_s, gap_s=limits.tick_gap_s)
        self._committer = Committer(journal, limits, self, self._spawn, self.tally)
        self.relay = Relay(
            bus or MemoryBus("alone"), journal, limits, self, self._committer, self._spawn, bus_key
        )
        self.relay.on_note(EVICT, self._heard_evict)
        self._authors = Authors(self._open, self.wake, self.relay)
        self._checkpointing: set[SharedRoom] = set()
        self._outstanding = Outstanding(limits.max_answer_bytes)
        self._chores: set[SharedRoom] = set()
        self._draining = False

    # -- the public verbs -----------------------------------------------------------------------

    async def join(
        self,
        room_id: str,
        principal: Principal,
        connection: Connection,
        on_role: Callable[[Role], None] | None = None,
        on_attempt: Callable[[], None] | None = None,
    ) -> Seat:
        """Open the room if need be and take the connection in.

        `on_role` is told its role, now and whenever it changes; `on_attempt` when it draws though that does
        not let it, once for each role.
        Raises RoomNotFound, Unavailable, ShuttingDown, RoomHeld, Quarantined, RoomClosed, KeptOut.
        """
        for user_id in (principal.user_id, *principal.aliases):
            self._guard.check_entry(room_id, user_id)
        room = await self._open(room_id)
        session = Session(
            principal, connection, sent_at_s=self._loop.time(), on_role=on_role, on_attempt=on_attempt
        )
        room.join(session, self._loop.time())
        if room.is_shared:
            self.relay.people_moved(room)
        return Seat(self, room, session)

    async def submit(self, room_id: str, principal: Principal, update: bytes) -> str:
        """Apply one update and return the room's version once it is durable (R9).

        Where the room has to be loaded anew meanwhile (B4) it is repeated: bringing it twice is harmless.
        So it is where something is missing, after a look at the journal: another node may have it (B13).

        Raises BadUpdate, IncompleteUpdate (with the state vector), TooLarge, Forbidden, RoomNotFound,
        Unavailable, ShuttingDown. Cancel-safe: a cancelled update may still be applied.
        """
        for user_id in (principal.user_id, *principal.aliases):
            self._guard.check_kept_out(room_id, user_id)
        return await self._authors.submit(room_id, principal, update)

    def people(self, room_id: str) -> list[Principal]:
        """Whose role matters here now: who is connected at this node, and who writes over HTTP."""
        room = self._rooms.get(room_id)
        sessions = room.sessions if room is not None else ()
        found = [one.principal for one in (*sessions, *self._authors.of(room_id))]
        return list({one.user_id: one for one in found}.values())

    def set_roles(self, room_id: str, people: Mapping[str, Principal | None]) -> None:
        """Who they are from now on at this node, as `Room.change_roles` takes it (G4)."""
        self._authors.change_roles(room_id, people)
        room = self._rooms.get(room_id)
        if room is None:
            return
        room.change_roles(people, self._loop.time())
        if room.is_shared:
            self.relay.people_moved(room)
        if room.has_work:
            self.wake(room)

    async def purge(self, room_id: str, element_ids: Sequence[str] = ()) -> None:
        """Remove these elements for good where they are deleted still, and checkpoint the room (C8, C9).

        Without elements it is only checkpointed. A room that was not open is unloaded at once.
        Raises RoomNotFound, Unavailable, ShuttingDown; then some may be left, for the next time.
        """
        was_open = room_id in self._rooms
        room = await self._open(room_id)
        if room.frozen:
            raise Unavailable
        step = self._limits.purge_elements
        for at in range(0, len(element_ids), step):
            if self._rooms.get(room_id) is room:
                await self._purge(room, element_ids[at : at + step])
        if self._rooms.get(room_id) is not room or room in self._checkpointing:
            return
        if not was_open and room.idle_since_s is not None:
            room.idle_since_s = self._loop.time() - self._limits.idle_s
        self._checkpointing.add(room)
        await self._checkpoint_in_background(room)

    async def _purge(self, room: SharedRoom, element_ids: Sequence[str]) -> None:
        answer: asyncio.Future[str | KanvasError] = self._loop.create_future()

        def reply(told: str | KanvasError) -> None:
            if not answer.done():
                answer.set_result(told)

        room.purge(element_ids, reply)
        self.wake(room)
        if isinstance(told := await answer, KanvasError):
            raise told

    async def state(self, room_id: str) -> tuple[str, bytes]:
        """The committed version `"{epoch}-{seq}"` and the whole document as one update.

        Raises RoomNotFound, Unavailable, ShuttingDown.
        """
        room = await self._open(room_id)
        if not room.sessions:
            room.idle_since_s = self._loop.time()
        return room.state(self._loop.time())

    async def version(self, room_id: str) -> str:
        """The committed version alone: what a conditional read asks for first. Raises what `state` raises."""
        return (await self._open(room_id)).view.version

    async def read(self, room_id: str) -> Committed:
        """The committed state as it lies in memory, for joins over HTTP and reads elsewhere.

        Encodes nothing but an overgrown base, at most every few seconds: a storm costs the loop nothing.
        Raises RoomNotFound, Unavailable, ShuttingDown.
        """
        room = await self._open(room_id)
        now = self._loop.time()
        if not room.sessions:
            room.idle_since_s = now
        view = room.view
        if room.is_settled and view.is_overgrown(now):
            # after an import nothing else would fold the tail until the next edit
            room.state(now)
        frames = tuple(frame for _, frame in view.frames)
        return Committed(room.schema, view.version, view.base_version, view.base, frames)

    def present(self, room_id: str) -> list[Principal]:
        """Who is connected to the room, here if it is open here and at other nodes, each user once (B9)."""
        room = self._rooms.get(room_id)
        return room.present() if room is not None else []

    async def evict(self, room_id: str, error: KanvasError) -> None:
        """Close the room's sessions on all nodes with `error`, and forget it (it was deleted or replaced)."""
        self.note(EVICT, f"{error.code} {room_id} {error.message}".encode())
        await self._evict(room_id, error)

    def _heard_evict(self, _sender: str, data: bytes) -> None:
        code, room_id, words = data.decode().split(" ", 2)
        error = RoomNotFound(words) if code == RoomNotFound.code else RoomMoved(words)
        self._spawn(self._evict(room_id, error))

    async def _evict(self, room_id: str, error: KanvasError) -> None:
        opening = self._opening.get(room_id)
        if opening is not None:
            await asyncio.wait([opening])
        room = self._rooms.get(room_id)
        if room is not None:
            self._drop(room, error)

    # -- other nodes ----------------------------------------------------------------------------

    @property
    def node(self) -> str:
        """This process, unique for each start."""
        return self.relay.node

    def nodes(self) -> list[str]:
        """All processes that are alive, this one included."""
        return sorted((self.node, *self.relay.neighbours.nodes))

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        """Tell the other nodes, or one, something; a hint, which may be lost (B10)."""
        self.relay.note(topic, data, to)

    def on_note(self, topic: str, handler: NoteHandler) -> None:
        """Call `handler(sender, data)` for every note of this topic from another node."""
        self.relay.on_note(topic, handler)

    @property
    def rooms(self) -> Mapping[str, SharedRoom]:
        """Those that are open, as they are now: to be looked at, and to be told by who looks after them."""
        return self._rooms

    @property
    def is_draining(self) -> bool:
        return self._draining

    def healthy(self) -> bool:
        """False while draining or while a room waits for a failing journal."""
        return not self._draining and not any(room.frozen for room in self._rooms.values())

    def open_rooms(self) -> int:
        return len(self._rooms)

    def now(self) -> float:
        """Seconds on the loop's clock."""
        return self._loop.time()

    async def drain(self, deadline_s: float = 8.0) -> None:
        """Stop gracefully: settle what is in flight, send everybody away (1012) in waves, checkpoint.

        Takes at most `deadline_s`. Skipping it loses nothing, the next start is only slower. Idempotent.
        """
        if self._draining:
            return
        self._draining = True
        start = self._loop.time()
        end = start + deadline_s
        await self._send_away_in_waves(deadline_s)
        self._committer.is_draining = True
        settled_by = max(start + deadline_s / 2, self._loop.time() + deadline_s / 8)
        while self._loop.time() < settled_by:
            if all(room.is_settled for room in self._rooms.values()) and not self._opening:
                break
            await asyncio.sleep(0.01)
        for room in list(self._rooms.values()):
            for session in list(room.sessions):
                room.dismiss(session, _farewell(), self._loop.time())
            room.send_away(ShuttingDown(), self._loop.time())
        await self._checkpoints.make_until(self._rooms.values(), end)
        # a journal that hangs must not hold up the process; what it took is there at the next start
        for room in [room for room in self._rooms.values() if not room.is_settled]:
            self._drop(room, ShuttingDown())
        self._ticker.close()
        self._committer.close()
        for task in self._running:
            task.cancel()

    async def _send_away_in_waves(self, deadline_s: float) -> None:
        """All but the last wave (N8), room by room; who is still there draws on meanwhile."""
        seats = [(room, session) for room in self._rooms.values() for session in room.sessions]
        for wave in waves.split(seats)[:-1]:
            now = self._loop.time()
            for room, session in wave:
                if session in room.sessions:
                    room.dismiss(session, _farewell(), now)
            await asyncio.sleep(waves.gap_s(deadline_s, random.random()))

    # -- opening --------------------------------------------------------------------------------

    async def _open(self, room_id: str) -> SharedRoom:
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

    async def _load(self, room_id: str, opening: asyncio.Future[SharedRoom]) -> None:
        try:
            self._guard.check_entry(room_id)
            since_s = self._loop.time()
            stored = await self._journal.load(room_id)
            room = await self._guard.noted(room_id, self._build(stored), "load")
            self.tally.load.note(self._loop.time() - since_s)
            self._rooms[room_id] = room
            self.relay.opened(room)
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

    async def _build(self, stored: StoredRoom) -> SharedRoom:
        """Replay in slices, so that others go on in between; the longest one is told when it is long."""
        document = Document()
        longest_s = 0.0
        start = self._loop.time()
        for _ in document.replaying(stored.checkpoint, stored.updates):
            now = self._loop.time()
            if now - start >= self._limits.tick_slice_s:
                longest_s = max(longest_s, now - start)
                await asyncio.sleep(0)
                start = self._loop.time()
        room = SharedRoom(
            stored,
            self._limits,
            now=self._loop.time(),
            document=document,
            outstanding=self._outstanding,
            guard=self._guard,
            tally=self.tally,
        )
        longest_s = max(longest_s, self._loop.time() - start)
        if longest_s > SLOW_LOAD_S:
            told = {"room_id": room.id, "stalled_s": round(longest_s, 3), "size_bytes": room.view.size_bytes}
            log.warning("room is large, others waited for its load", extra=told)
        return room

    def _drop(self, room: SharedRoom, error: KanvasError) -> None:
        """Send everybody away and forget the room; what is committed stays in the journal."""
        self.tally.rooms_lost.bump(error.code)
        if self.is_open(room):
            del self._rooms[room.id]
            self.relay.closed(room)
        room.fail_batch(error)
        room.send_away(error, self._loop.time())
        room.close()

    # -- the tick -------------------------------------------------------------------------------

    def wake(self, room: SharedRoom) -> None:
        """The room has work: visit it when its pace allows (H2, H8)."""
        self._ticker.wake(room)

    def _visit(self, room: SharedRoom, late_s: float) -> None:
        """One tick of a room: what came in becomes a batch, and presence leaves with it or alone (P4)."""
        if not self.is_open(room):
            return
        now = self._loop.time()
        self.tally.tick_late.note(late_s)
        try:
            batch = room.take_batch(now)
            if batch is None:
                room.send_presence(now)
        except Exception:
            self.fail(room)
            return
        room.set_pace(now, late_s)
        if room.is_shared:
            self.relay.tell(room)
        if batch is not None:
            self._committer.commit(room, batch)
        if room.chore is not None and room not in self._chores:
            self._chores.add(room)
            self._spawn(self._do_chore(room, room.chore))
        if room.has_work:
            self.wake(room)

    async def _do_chore(self, room: SharedRoom, chore: Chore) -> None:
        """In a thread: it is Python, so the others go on in between, 5 ms later at most (H2)."""
        try:
            found = await asyncio.to_thread(chore.work)
            if self.is_open(room):
                room.chore_done(found)
        except Exception:
            self.fail(room)
        finally:
            self._chores.discard(room)
        if self.is_open(room) and room.has_work:
            self.wake(room)

    def fail(self, room: SharedRoom) -> None:
        """The border of the room loop: this room is rebuilt from its journal, the process goes on (R6).

        To be called while the exception is handled.
        """
        log.exception("room failed and is rebuilt", extra={"room_id": room.id})
        self._drop(room, DocumentBroken())

    # -- what becomes of a commit ---------------------------------------------------------------

    def is_open(self, room: SharedRoom) -> bool:
        return self._rooms.get(room.id) is room

    def landed(self, room: SharedRoom, seq: int) -> None:
        try:
            room.landed(seq, self._loop.time())
        except RoomMoved as moved:
            self._drop(room, moved)
            return
        except Exception:
            self.fail(room)
            return
        if room.must_catch_up or room.is_shared:
            self.relay.look(room)
        elif room.has_work:
            self.wake(room)

    def refused(self, room: SharedRoom) -> None:
        try:
            room.put_back(self._loop.time())
        except RoomMoved as moved:
            self._drop(room, moved)
            return
        except Exception:
            self.fail(room)
            return
        self.relay.look(room)

    def freeze(self, room: SharedRoom) -> None:
        if self.is_open(room) and not room.frozen:
            room.freeze(self._loop.time())

    def drop(self, room: SharedRoom, error: KanvasError) -> None:
        self._drop(room, error)

    # -- checkpoints and the beat ---------------------------------------------------------------

    async def _checkpoint_in_background(self, room: SharedRoom) -> None:
        start = self._loop.time()
        try:
            done = await self._checkpoints.make(room)
        finally:
            self._checkpointing.discard(room)
        now = self._loop.time()
        room.full_after_s = now + (now - start) / self._limits.checkpoint_share
        if not done:
            room.checkpoint_after_s = now + self._limits.idle_s
        # somebody may have come back meanwhile: look again, without an await in between (H3); one that
        # can't be checkpointed is unloaded all the same, the journal has all of it
        if self._is_idle(room) and (not done or room.rows_since_checkpoint == 0):
            self._unload(room)

    def _is_idle(self, room: SharedRoom) -> bool:
        since_s = room.idle_since_s
        return (
            since_s is not None
            and not room.sessions
            and room.is_settled
            and self._loop.time() - since_s >= self._limits.idle_s
        )

    def _unload(self, room: SharedRoom) -> None:
        if self._rooms.get(room.id) is room:
            del self._rooms[room.id]
            self.relay.closed(room)
            room.close()

    def _beat(self) -> None:
        if self._draining:
            return
        now = self._loop.time()
        for room in list(self._rooms.values()):
            try:
                room.beat(now)
            except Exception:
                self.fail(room)
                continue
            if room in self._checkpointing or now < room.checkpoint_after_s:
                continue
            idle = self._is_idle(room)
            full = now >= room.full_after_s and (
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


def _farewell() -> ShuttingDown:
    """To one person: everybody comes back at another moment."""
    return ShuttingDown(retry_after_s=waves.retry_s(random.random()))


@asynccontextmanager
async def open_hub(
    journal: Journal,
    limits: Limits | None = None,
    compact_state: Compact = compact_inline,
    guard: Guard | None = None,
    bus: Bus | None = None,
    *,
    bus_key: bytes = b"",
    poll_s: float | None = None,
    tally: Tally | None = None,
) -> AsyncIterator[Hub]:
    """A running hub; leaving it drains it.

    `bus` leads to the other nodes, those with the same `bus_key`; without one there are none. A journal that
    other processes write too is asked every `poll_s` what is new (B5).
    """
    async with asyncio.TaskGroup() as tasks:
        hub = Hub(journal, limits or Limits(), compact_state, tasks, guard, bus, bus_key, tally)
        beats = [tasks.create_task(hub.beat_forever()), tasks.create_task(hub.relay.beat_forever())]
        if poll_s is not None:
            beats.append(tasks.create_task(hub.relay.poll_forever(poll_s)))
        hub.relay.start()
        try:
            yield hub
        finally:
            await hub.drain()
            for beat in beats:
                beat.cancel()

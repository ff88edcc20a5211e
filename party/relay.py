"""The relay: what a hub says to other nodes, and what it does about what they say.

Owns: the bus's receiver, beats and announcements, reading the journal when rows are missing, the poll.
Does not own: the messages' bytes (bus), who has what open (neighbours), the order of rows (shared), the
connection (ports.Bus). Nothing here is needed for what one node shows to be right: messages are hints, the
journal is the truth. Keeps rules B1-B10.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from party import admission, bus
from party.bus import Codec
from party.committer import Committer
from party.errors import BadFrame, BadUpdate, KanvasError, RoomMoved, RoomNotFound, Unavailable
from party.limits import Limits
from party.neighbours import Neighbours
from party.ports import Bus, Head, Journal, Tail
from party.shared import SharedRoom
from party.wire import encode_awareness

log = logging.getLogger("kanvas.hub")

BEAT_S: Final = 1.0
REFRESH_BEATS: Final = 10
"""Every so many beats what is open and who is here is said again: any message may have been lost."""

BUS_WAIT_S: Final = 0.02
"""How long rows that are missing may come by the bus before the journal is read."""

PEOPLE_S: Final = 0.05
"""Who came and went within this time is told together."""

MAX_FRAMES_BYTES: Final = 64 * 1024
"""Frames that are larger do not go by the bus: they are walked beside the loop, when the journal is read."""

STRANGERS_TOLD_S: Final = 60.0
"""So often at most the log has a node that is not understood."""

CHUNK: Final = 500
"""Rooms of one announcement."""

NoteHandler = Callable[[str, bytes], None]
"""Told who said it and what."""

EVICT: Final = "evict"


class Rooms(Protocol):
    """What the relay needs of the hub."""

    @property
    def rooms(self) -> Mapping[str, SharedRoom]:
        """Those that are open."""

    @property
    def is_draining(self) -> bool: ...

    def is_open(self, room: SharedRoom) -> bool: ...

    def wake(self, room: SharedRoom) -> None: ...

    def freeze(self, room: SharedRoom) -> None: ...

    def drop(self, room: SharedRoom, error: KanvasError) -> None: ...

    def fail(self, room: SharedRoom) -> None: ...


class Relay:
    """The bus's receiver of one hub."""

    def __init__(
        self,
        link: Bus,
        journal: Journal,
        limits: Limits,
        rooms: Rooms,
        committer: Committer,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        key: bytes = b"",
    ) -> None:
        self._link = link
        self._journal = journal
        self._limits = limits
        self._rooms = rooms
        self._committer = committer
        self._spawn = spawn
        self._retry = committer.retry
        self._codec = Codec(link.node, key)
        self._loop = asyncio.get_running_loop()
        self.neighbours = Neighbours()
        self._handlers: dict[str, NoteHandler] = {}
        self._reading: set[SharedRoom] = set()
        self._moved: set[SharedRoom] = set()
        """Rooms where somebody came or left."""

        self._is_polling = False
        self._is_journal_down = False
        self._beats = 0
        self._strangers_told_at_s = -STRANGERS_TOLD_S
        self.ignored = 0
        """Messages that were damaged, of another installation, heard before, or made no sense."""
        self.gaps = 0
        """How often rows were missing and the journal was read."""
        self.rows_in = self.rows_out = 0

    @property
    def node(self) -> str:
        return self._link.node

    def start(self) -> None:
        self._link.listen(self)

    def say(self, message: bus.Message, to: str | None = None) -> None:
        self._link.send(self._codec.encode(message), to)

    # -- notes ------------------------------------------------------------------------------------

    def on_note(self, topic: str, handler: NoteHandler) -> None:
        self._handlers[topic] = handler

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        self.say(bus.Note(topic, data), to)

    # -- what this node does ----------------------------------------------------------------------

    def opened(self, room: SharedRoom) -> None:
        """The room is open here now: whoever has it too is to say so."""
        if self.neighbours.nodes:
            self.say(bus.Opened((room.id,)))

    def closed(self, room: SharedRoom) -> None:
        """It is not any more."""
        self._moved.discard(room)
        for node in self.neighbours.of(room.id):
            self.say(bus.Left(room.id), node)
        self.neighbours.forget_room(room.id)

    def tell(self, room: SharedRoom) -> None:
        """Send what was shown here, and whose presence changed, to who has the room open too (B3, B8)."""
        news = room.news
        if news:
            for seq, batch in news:
                rows = self._rows(room, seq, batch)
                self.rows_out += len(batch.entries)
                for node in self.neighbours.of(room.id):
                    self._link.send(rows, node)
            news.clear()
        if room.presence.has_untold:
            self._tell_all(room, bus.Presence(room.id, room.presence.untold()))

    def _rows(self, room: SharedRoom, seq: int, batch: Any) -> bytes:
        first_seq = seq - len(batch.entries) + 1
        if sum(map(len, batch.frames)) > MAX_FRAMES_BYTES:
            return self._codec.encode(bus.Rows(room.id, room.view.epoch, first_seq, seq, is_whole=False))
        return self._codec.encode(
            bus.Rows(room.id, room.view.epoch, first_seq, seq, tuple(batch.frames), batch.claims)
        )

    def _tell_all(self, room: SharedRoom, message: bus.Message) -> None:
        data = self._codec.encode(message)
        for node in self.neighbours.of(room.id):
            self._link.send(data, node)

    def people_moved(self, room: SharedRoom) -> None:
        """Somebody came or left."""
        if not self._moved:
            self._loop.call_later(PEOPLE_S, self._tell_people)
        self._moved.add(room)

    def _tell_people(self) -> None:
        moved, self._moved = self._moved, set()
        for room in moved:
            if room.is_shared:
                self._tell_all(room, bus.Presence(room.id, room.presence.untold(), room.here()))

    # -- the bus ----------------------------------------------------------------------------------

    def rejoined(self) -> None:
        """There is a connection: what was said meanwhile is lost."""
        self._announce(None, asks=True)
        self.poll_soon()

    def _announce(self, to: str | None, *, asks: bool) -> None:
        ids = list(self._rooms.rooms)
        for at in range(0, len(ids), CHUNK):
            self.say(bus.Opened(tuple(ids[at : at + CHUNK]), asks), to)

    def heard(self, sender: str, data: bytes) -> None:
        """A node said something. Never fails: what is no good is counted (B1)."""
        if self._rooms.is_draining:
            return
        try:
            message = self._codec.decode(data, sender)
        except BadFrame as bad:
            self.ignored += 1
            self._tell_of_a_stranger(sender, bad)
            return
        if self.neighbours.heard(sender, self._loop.time()):
            log.info("another node is there", extra={"node": sender})
            self._announce(sender, asks=True)
            self.poll_soon()
        match message:
            case bus.Rows(room=room_id) | bus.Presence(room=room_id) | bus.Here(room=room_id):
                room = self._rooms.rooms.get(room_id)
                if room is None:
                    self.say(bus.Left(room_id), sender)
                else:
                    self._heard_of(room, sender, message)
            case bus.Opened(rooms, asks):
                for room_id in rooms:
                    self._heard_opened(room_id, sender, asks=asks)
            case bus.Left(room_id):
                self._forget(room_id, sender)
            case bus.Note(topic, data):
                self._heard_note(sender, topic, data)

    def _tell_of_a_stranger(self, node: str, bad: BadFrame) -> None:
        """What such a node does is seen late here, and nobody would know why. At most so often: whoever can
        publish makes up as many as he likes."""
        now = self._loop.time()
        if node in self.neighbours.nodes or now < self._strangers_told_at_s + STRANGERS_TOLD_S:
            return
        self._strangers_told_at_s = now
        told = {"node": node, "reason": bad.message}
        log.warning("a node is not understood; its secret, clock or version is not ours", extra=told)

    def _heard_of(self, room: SharedRoom, sender: str, message: bus.Rows | bus.Presence | bus.Here) -> None:
        try:
            match message:
                case bus.Rows():
                    self._heard_rows(room, sender, message)
                case bus.Presence(_, states, people):
                    self._meet(room, sender)
                    self._take_presence(room, sender, states, is_whole=False)
                    if people is not None:
                        room.others[sender] = people
                case bus.Here():
                    self._heard_here(room, sender, message)
        except BadUpdate:
            self.ignored += 1
        except RoomMoved as moved:
            self._rooms.drop(room, moved)
        except Exception:
            self._rooms.fail(room)
            return
        self.look(room)

    def _heard_rows(self, room: SharedRoom, sender: str, rows: bus.Rows) -> None:
        if rows.epoch > room.view.epoch:
            raise RoomMoved
        if rows.epoch < room.view.epoch:
            return
        now = self._loop.time()
        self._meet(room, sender)
        self.rows_in += 1 + rows.last_seq - rows.first_seq
        if not rows.is_whole:
            room.hear(rows.last_seq, now)
            return
        try:
            room.take_rows(rows.first_seq, rows.last_seq, rows.frames, rows.claims, now)
        except BadUpdate:
            room.hear(rows.last_seq, now)
            raise

    def _heard_here(self, room: SharedRoom, sender: str, here: bus.Here) -> None:
        if here.epoch > room.view.epoch:
            raise RoomMoved
        self._meet(room, sender)
        self._take_presence(room, sender, here.states, is_whole=True)
        room.others[sender] = here.people
        if here.epoch == room.view.epoch:
            room.hear(here.seq, self._loop.time())
        if here.asks:
            self.say(self._here(room, asks=False), sender)

    def _take_presence(
        self, room: SharedRoom, sender: str, states: Sequence[bus.State], *, is_whole: bool
    ) -> None:
        now = self._loop.time()
        for session, gone in room.presence.take(sender, states, is_whole=is_whole):
            if not session.is_closed:
                session.send(now, encode_awareness(gone))

    def _heard_opened(self, room_id: str, sender: str, *, asks: bool) -> None:
        room = self._rooms.rooms.get(room_id)
        if room is None:
            return
        if self._meet(room, sender) or asks:
            self.say(self._here(room, asks=True), sender)

    def _here(self, room: SharedRoom, *, asks: bool) -> bus.Here:
        return bus.Here(room.id, room.view.epoch, room.view.seq, room.presence.here(), room.here(), asks)

    def _meet(self, room: SharedRoom, node: str) -> bool:
        room.share(True)
        return self.neighbours.add(room.id, node)

    def _forget(self, room_id: str, node: str) -> None:
        """The node does not have the room open: nobody is there."""
        self.neighbours.remove(room_id, node)
        self._lost(room_id, node)

    def _lost(self, room_id: str, node: str) -> None:
        room = self._rooms.rooms.get(room_id)
        if room is None:
            return
        room.presence.take(node, (), is_whole=True)
        room.others.pop(node, None)
        room.share(bool(self.neighbours.of(room_id)))
        if room.has_work:
            self._rooms.wake(room)

    def _heard_note(self, sender: str, topic: str, data: bytes) -> None:
        handler = self._handlers.get(topic)
        if handler is None:
            # of a newer version, while nodes are replaced one by one
            self.ignored += 1
            return
        try:
            handler(sender, data)
        except Exception:
            log.exception("note failed", extra={"topic": topic, "node": sender})

    # -- the beat ---------------------------------------------------------------------------------

    async def beat_forever(self) -> None:
        """Say every second that this node is there; forget those that do not (B2)."""
        while True:
            self._beats += 1
            self.say(bus.Beat(self._beats))
            now = self._loop.time()
            for node in self.neighbours.silent(now):
                log.warning("a node is silent", extra={"node": node})
                for room_id in self.neighbours.forget(node):
                    self._lost(room_id, node)
            if self._beats % REFRESH_BEATS == 0 and self.neighbours.nodes:
                self._refresh()
            await asyncio.sleep(BEAT_S)

    def _refresh(self) -> None:
        self._announce(None, asks=False)
        for room in list(self._rooms.rooms.values()):
            if room.is_shared:
                self._tell_all(room, self._here(room, asks=False))

    # -- the journal ------------------------------------------------------------------------------

    def look(self, room: SharedRoom) -> None:
        """After anything that may have shown rows or missed some."""
        if not self._rooms.is_open(room):
            return
        if room.must_catch_up and room not in self._reading:
            self._reading.add(room)
            self._spawn(self._catch_up(room))
        if room.is_shared:
            self.tell(room)
        if room.has_work:
            self._rooms.wake(room)

    async def _catch_up(self, room: SharedRoom) -> None:
        """Read what is missing, until nothing is (B4)."""
        try:
            if self.neighbours.of(room.id):
                await asyncio.sleep(BUS_WAIT_S)
            await self._read_until_whole(room)
        except KanvasError as error:
            if self._rooms.is_open(room):
                self._rooms.drop(room, error)
        except Exception:
            if self._rooms.is_open(room):
                self._rooms.fail(room)
        finally:
            self._retry.done(room)
            self._reading.discard(room)

    async def _read_until_whole(self, room: SharedRoom) -> None:
        start = self._loop.time()
        tries = 0
        while self._rooms.is_open(room) and room.must_catch_up:
            self.gaps += 1
            heard_seq = room.begin_read()
            after_seq = room.view.seq
            try:
                async with asyncio.timeout(self._limits.slow_commit_s):
                    tail = await self._journal.read(room.id, room.view.epoch, after_seq)
                    anatomies = await _dissect(tail)
            except RoomMoved:
                # too much to be shown in one go
                raise
            except RoomNotFound as gone:
                # deleted, or its past was replaced: whoever comes back is told
                raise RoomMoved from gone
            except Exception as exc:
                if not tries:
                    log.warning("journal can't be read", extra={"room_id": room.id, "reason": repr(exc)})
                now = self._loop.time()
                room.hear(heard_seq, now)
                if now - start > self._limits.commit_deadline_s:
                    raise Unavailable from exc
                if room.has_batch:
                    self._rooms.freeze(room)
                tries += 1
                await self._retry.pause(room, tries)
                continue
            self._retry.answered()
            if not self._rooms.is_open(room):
                return
            self._fill(room, tail, anatomies, after_seq)
            if room.view.seq > after_seq:
                tries = 0
            elif room.must_catch_up:
                # what is there waits for the answer to our own append (B6)
                tries += 1
                await self._retry.pause(room, tries)

    def _fill(
        self, room: SharedRoom, tail: Tail, anatomies: Sequence[admission.Anatomy], after_seq: int
    ) -> None:
        had_batch = room.has_batch
        room.fill(tail, anatomies, after_seq, self._loop.time())
        if had_batch and not room.has_batch:
            self._committer.forget(room)
        if room.is_shared:
            self.tell(room)
        if room.has_work:
            self._rooms.wake(room)

    def poll_soon(self) -> None:
        """Ask the journal which rooms are ahead of what is shown here, once (B5)."""
        if not self._is_polling and self._rooms.rooms and not self._rooms.is_draining:
            self._is_polling = True
            self._spawn(self._poll())

    async def poll_forever(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self.poll_soon()

    async def _poll(self) -> None:
        try:
            known = {room.id: (room.view.epoch, room.view.seq) for room in self._rooms.rooms.values()}
            async with asyncio.timeout(self._limits.commit_deadline_s):
                heads = await self._journal.heads(known)
        except Exception as exc:
            if not self._is_journal_down:
                log.warning("journal can't be polled", extra={"reason": repr(exc)})
            self._is_journal_down = True
        else:
            self._is_journal_down = False
            self._retry.answered()
            for head in heads:
                self._take_head(head)
        finally:
            self._is_polling = False

    def _take_head(self, head: Head) -> None:
        room = self._rooms.rooms.get(head.room_id)
        if room is None:
            return
        if head.epoch is None:
            self._rooms.drop(room, RoomNotFound())
        elif head.epoch != room.view.epoch:
            self._rooms.drop(room, RoomMoved())
        elif head.seq > room.view.seq:
            room.hear(head.seq, self._loop.time())
            self.look(room)


async def _dissect(tail: Tail) -> list[admission.Anatomy]:
    """What is in each row; many bytes are walked beside the loop (R13). Raises BadUpdate."""
    if sum(map(len, tail.updates)) <= MAX_FRAMES_BYTES:
        return [admission.dissect(update, is_own=True) for update in tail.updates]
    return await asyncio.to_thread(lambda: [admission.dissect(one, is_own=True) for one in tail.updates])

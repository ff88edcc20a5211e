"""Clients of the engine without a network: a recorded connection and a whole Yjs peer behind it.

Owns: `Wire`, a Connection that keeps what it was sent; `Peer`, a y-protocols client over a real pycrdt
document; `TestJournal`, a MemoryJournal that can be told to fail or to wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pycrdt import Doc, Map

from party import wire
from party.admission import dissect
from party.errors import Unavailable
from party.hub import Hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.ports import Basis, Entry, Principal, Schema, StoredRoom
from party.room import Room
from party.seat import Seat
from party.session import Session
from tests.party.contents import content

ANNA = Principal("u-anna", "Anna")
BERT = Principal("u-bert", "Bert")
VERA = Principal("u-vera", "Vera", role="viewer")

NOTICE = b"\x02\x00"


class Wire:
    """The Connection port that keeps everything; `buffered_bytes` is whatever the test says."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.writes: list[tuple[bytes, ...]] = []
        self.closed: tuple[int, str] | None = None
        self.is_paused = False
        self.buffered_bytes = 0

    def send(self, *messages: bytes) -> None:
        if self.closed is None:
            self.sent += messages
            self.writes.append(messages)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            assert len(reason.encode()) <= 123
            self.closed = (code, reason)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def messages(self) -> list[wire.Message]:
        return [wire.decode_message(message) for message in self.sent if not message.startswith(NOTICE)]

    @property
    def notices(self) -> list[str]:
        """The words it was told, as y-protocols' "permission denied"."""
        return [wire.Reader(one[2:]).text() for one in self.sent if one.startswith(NOTICE)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages() if isinstance(message, kind)]

    @property
    def code(self) -> int | None:
        return self.closed[0] if self.closed else None


class TestJournal(MemoryJournal):
    """A journal on command: fails the next appends, holds them, or takes them twice."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.failing = 0
        self.append_then_fail = 0
        self.appends = 0
        self.loads = 0
        self.checkpoints = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.load_gate = asyncio.Event()
        self.load_gate.set()

    def hold(self) -> None:
        """Appends wait until `release`."""
        self.gate.clear()

    def release(self) -> None:
        self.gate.set()

    async def load(self, room_id: str) -> StoredRoom:
        self.loads += 1
        await self.load_gate.wait()
        return await super().load(room_id)

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        self.appends += 1
        await self.gate.wait()
        if self.failing > 0:
            self.failing -= 1
            raise Unavailable
        seq = await super().append(room_id, epoch, entries, basis)
        if self.append_then_fail > 0:
            self.append_then_fail -= 1
            raise Unavailable
        return seq

    async def checkpoint(self, room_id: str, epoch: int, **made: Any) -> bool:
        self.checkpoints += 1
        return await super().checkpoint(room_id, epoch, **made)

    def stored(self, room_id: str) -> StoredRoom:
        return self._rooms[room_id]


class Peer:
    """A y-protocols client. Local edits wait in `outgoing` until `flush`, so a test decides on delays."""

    def __init__(self, principal: Principal = ANNA, client_id: int | None = None) -> None:
        self.principal = principal
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.outgoing: list[bytes] = []
        self.wire = Wire()
        self.states: dict[int, wire.ClientState] = {}
        self.synced = False
        self._read = 0
        self._applying = False
        self._send: Callable[[bytes], None] | None = None
        self._leave: Callable[[], None] | None = None
        self._subscription = self.doc.observe(self._on_update)

    def _on_update(self, event: Any) -> None:
        if not self._applying and event.update != b"\x00\x00":
            self.outgoing.append(event.update)

    @property
    def elements(self) -> Map[Any]:
        return self.doc.get("elements", type=Map)

    # -- the connection -------------------------------------------------------------------------

    async def connect(self, hub: Hub, room_id: str = "r") -> "Peer":
        self._start(Wire())
        seat: Seat = await hub.join(room_id, self.principal, self.wire)
        self._send, self._leave = seat.receive, seat.leave
        self.hello()
        return self

    def enter(self, room: Room, now: float = 0.0) -> Session:
        """Join a bare room, without a hub."""
        self._start(Wire())
        session = Session(self.principal, self.wire, sent_at_s=now)
        room.join(session, now)
        self._send = lambda data: room.receive(session, data, now)
        self._leave = lambda: room.leave(session, now)
        self.hello()
        return session

    def _start(self, connection: Wire) -> None:
        self.wire = connection
        self._read = 0
        self.synced = False
        # what was not sent goes with the answer to the room's step 1
        self.outgoing.clear()

    def hello(self) -> None:
        self.send(wire.encode_step_1(self.doc.get_state()))

    def send(self, data: bytes) -> None:
        assert self._send is not None
        self._send(data)

    def disconnect(self) -> None:
        if self._leave is not None:
            self._leave()
        self._send = self._leave = None

    # -- what a client does ---------------------------------------------------------------------

    def read(self) -> None:
        """Take in and answer what arrived."""
        while self._read < len(self.wire.sent):
            data = self.wire.sent[self._read]
            self._read += 1
            if data.startswith(NOTICE):
                continue
            message = wire.decode_message(data)
            match message:
                case wire.Step1(state_vector):
                    if self.wire.closed is None:
                        self.send(wire.encode_step_2(self.doc.get_update(state_vector)))
                case wire.Step2(update):
                    self.apply(update)
                    self.synced = True
                case wire.Update(update):
                    assert self.synced, "an update came before sync step 2"
                    self.apply(update)
                case wire.Awareness(payload):
                    for state in wire.decode_awareness(payload):
                        self.states[state.client_id] = state

    def apply(self, update: bytes) -> None:
        self._applying = True
        try:
            self.doc.apply_update(update)
        finally:
            self._applying = False

    def flush(self) -> None:
        """Send the local edits."""
        for update in self.outgoing:
            self.send(wire.encode_update(update))
        self.outgoing.clear()

    def draw(self, element_id: str, **geometry: Any) -> None:
        """Create an element with its groups in one transaction."""
        with self.doc.transaction():
            self.elements[element_id] = Map(
                {
                    "kind": {"type": "rectangle", "seed": 1},
                    "geometry": {"x": 0, "y": 0, "width": 1, "height": 1, "angle": 0, **geometry},
                    "z": "a0",
                    "deleted": False,
                }
            )

    def say(self, client_id: int, clock: int, state: Any) -> None:
        """Send one awareness state."""
        payload = wire.encode_awareness_states([wire.ClientState(client_id, clock, state)])
        self.send(wire.encode_awareness(payload))


# -- comparing documents ------------------------------------------------------------------------


def deleted_ranges(doc: Doc[Any]) -> dict[int, list[tuple[int, int]]]:
    """The delete set with adjacent ranges joined."""
    joined: dict[int, list[tuple[int, int]]] = {}
    for client, ranges in dissect(doc.get_update()).deletions.items():
        out: list[tuple[int, int]] = []
        for start, stop in sorted(ranges):
            if out and start <= out[-1][1]:
                out[-1] = (out[-1][0], max(stop, out[-1][1]))
            else:
                out.append((start, stop))
        joined[client] = out
    return joined


def vector(doc: Doc[Any]) -> dict[int, int]:
    return wire.decode_state_vector(doc.get_state())


def everything(doc: Doc[Any]) -> tuple[Any, Any, Any]:
    return content(doc), vector(doc), deleted_ranges(doc)


def doc_of(*updates: bytes) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


# -- rooms without a hub ------------------------------------------------------------------------


def open_room(schema: Schema = "canvas", limits: Limits | None = None, updates: Sequence[bytes] = ()) -> Room:
    stored = StoredRoom("r", schema, 1, len(updates), 0, None, tuple(updates))
    return Room(stored, limits or Limits(), now=0.0)


def settle(room: Room, now: float = 0.0) -> int:
    """Take and commit batches until nothing waits, as a journal that never fails would; how many."""
    batches = 0
    for _ in range(1000):
        room.send_presence(now)
        batch = room.take_batch(now)
        if room.chore is not None:
            room.chore_done(room.chore.work())
        if batch is not None:
            room.commit(room.view.seq + len(batch.entries), now)
            batches += 1
        elif not room.has_work:
            return batches
    raise AssertionError("the room does not come to rest")


async def quiet(*peers: Peer, turns: int = 40) -> None:
    """Let the loop run and the peers answer until nothing moves."""
    for _ in range(turns):
        await asyncio.sleep(0)
        for peer in peers:
            if peer._send is not None and peer.wire.closed is None:
                peer.read()
                peer.flush()
            else:
                peer.read() if peer.wire.closed is None else None

"""The in-memory adapters: what a room needs when nothing else is there, and what tests use.

Owns: MemoryJournal, MemoryRecorder, MemoryBus. Nothing here survives the process.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from party.errors import RoomMoved, RoomNotFound
from party.ports import (
    MOST_TAIL_BYTES,
    MOST_TAIL_ROWS,
    NO_TOMBSTONES,
    Basis,
    BusReceiver,
    Entry,
    Head,
    Owner,
    Schema,
    Stage,
    StoredRoom,
    Tail,
    Tombstones,
)


class MemoryJournal:
    """The Journal port over a dictionary."""

    def __init__(self) -> None:
        self._rooms: dict[str, StoredRoom] = {}
        self.tombstones: dict[str, dict[str, datetime]] = {}
        """By room, what is deleted in its checkpoint and since when."""

    def create(self, room_id: str, schema: Schema = "canvas", epoch: int = 1) -> None:
        """Make an empty room."""
        self._rooms[room_id] = StoredRoom(
            room_id, schema, epoch, seq=0, checkpoint_seq=0, checkpoint=None, updates=()
        )

    def delete(self, room_id: str) -> None:
        self._rooms.pop(room_id, None)
        self.tombstones.pop(room_id, None)

    async def load(self, room_id: str) -> StoredRoom:
        room = self._rooms.get(room_id)
        if room is None:
            raise RoomNotFound
        return room

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        room = self._find(room_id, epoch)
        if basis is not None and room.seq > basis.seq:
            unseen = room.updates[max(0, basis.seq - room.checkpoint_seq) :]
            if room.checkpoint_seq > basis.seq or not basis.fits(unseen):
                raise RoomMoved
        updates = room.updates + tuple(entry.update for entry in entries)
        owners: dict[int, Owner] = dict(room.owners)
        for entry in entries:
            for client, owner in entry.claims.items():
                known = owners.get(client)
                if known is None or known.is_relayed:
                    owners[client] = owner
                elif known.user_id != owner.user_id:
                    raise RoomMoved
        self._rooms[room_id] = replace(room, seq=room.seq + len(entries), updates=updates, owners=owners)
        return room.seq + len(entries)

    def _find(self, room_id: str, epoch: int) -> StoredRoom:
        room = self._rooms.get(room_id)
        if room is None or room.epoch != epoch:
            raise RoomNotFound
        return room

    async def read(self, room_id: str, epoch: int, after_seq: int) -> Tail:
        room = self._find(room_id, epoch)
        is_there = after_seq >= room.checkpoint_seq
        updates = room.updates[after_seq - room.checkpoint_seq :] if is_there else ()
        if len(updates) > MOST_TAIL_ROWS or sum(map(len, updates)) > MOST_TAIL_BYTES:
            raise RoomMoved
        return Tail(room.checkpoint_seq, room.seq, updates, room.owners)

    async def heads(self, known: Mapping[str, tuple[int, int]]) -> list[Head]:
        found = []
        for room_id, (epoch, seq) in known.items():
            room = self._rooms.get(room_id)
            if room is None:
                found.append(Head(room_id, None, 0))
            elif room.epoch != epoch or room.seq > seq:
                found.append(Head(room_id, room.epoch, room.seq))
        return found

    async def checkpoint(
        self,
        room_id: str,
        epoch: int,
        *,
        after_seq: int,
        seq: int,
        state: bytes,
        tombstones: Tombstones = NO_TOMBSTONES,
    ) -> bool:
        room = await self.load(room_id)
        if room.epoch != epoch or room.checkpoint_seq != after_seq or not after_seq < seq <= room.seq:
            return False
        self._rooms[room_id] = replace(
            room, checkpoint=state, checkpoint_seq=seq, updates=room.updates[seq - after_seq :]
        )
        now, before = datetime.now(UTC), self.tombstones.get(room_id, {})
        self.tombstones[room_id] = dict.fromkeys(tombstones.new, now) | {
            element_id: before.get(element_id, now) for element_id in tombstones.old
        }
        return True


class MemoryRecorder:
    """The Recorder port for a process that nobody watches: nothing would read what it wrote."""

    def begin(self, stage: Stage, room_id: str) -> None: ...

    def take(self, user_id: str) -> None: ...

    def name(self, client_ids: Collection[int]) -> None: ...

    def let_go(self) -> None: ...

    def end(self) -> None: ...


class MemoryBus:
    """The Bus port between hubs of one event loop; the first argument of the others is one they share with.

    Alone it is the embedded default: there is nobody to talk to, so nothing costs anything.
    """

    def __init__(self, node: str, other: "MemoryBus | None" = None) -> None:
        self.node = node
        self.is_connected = True
        self._nodes: dict[str, MemoryBus] = other._nodes if other is not None else {}
        self._receiver: BusReceiver | None = None

    def listen(self, receiver: BusReceiver) -> None:
        self._receiver = receiver
        self._nodes[self.node] = self
        receiver.rejoined()

    def send(self, data: bytes, to: str | None = None) -> None:
        if not self.is_connected:
            return
        for node, bus in list(self._nodes.items()):
            if node != self.node and to in (None, node):
                asyncio.get_running_loop().call_soon(bus._hear, self.node, data)

    def cut(self) -> None:
        """From now on nothing gets through, as when the server in between is gone."""
        self.is_connected = False

    def mend(self) -> None:
        """There is a connection again."""
        self.is_connected = True
        if self._receiver is not None:
            self._receiver.rejoined()

    def close(self) -> None:
        """This node is gone."""
        self._nodes.pop(self.node, None)

    def _hear(self, sender: str, data: bytes) -> None:
        if self.is_connected and self._receiver is not None:
            self._receiver.heard(sender, data)

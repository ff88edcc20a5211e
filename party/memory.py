"""The in-memory adapters: what a room needs when nothing else is there, and what tests use.

Owns: MemoryJournal, MemoryRecorder. Nothing here survives the process.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from party.errors import RoomNotFound
from party.ports import NO_TOMBSTONES, Entry, Schema, Stage, StoredRoom, Tombstones


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

    async def append(self, room_id: str, epoch: int, entries: Sequence[Entry]) -> int:
        room = await self.load(room_id)
        if room.epoch != epoch:
            raise RoomNotFound
        updates = room.updates + tuple(entry.update for entry in entries)
        owners = dict(room.owners)
        for entry in entries:
            for client, owner in entry.claims.items():
                if client not in owners or owners[client].is_relayed:
                    owners[client] = owner
        self._rooms[room_id] = replace(room, seq=room.seq + len(entries), updates=updates, owners=owners)
        return room.seq + len(entries)

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

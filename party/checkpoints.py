"""Checkpoints: a room's rows folded into one state, from database bytes only.

Owns: how one is made and installed, and how many fit into the time of a drain. Does not own: when a room is
due (hub), the replay itself, which runs in a child process (server/compactor.py). Keeps rule J5.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from party.document import make_checkpoint
from party.errors import RoomNotFound
from party.guard import Guard
from party.ports import Checkpoint, Journal, StoredRoom
from party.shared import SharedRoom
from party.tally import Tally

log = logging.getLogger("kanvas.hub")

Compact = Callable[[StoredRoom], Coroutine[Any, Any, Checkpoint]]
"""Replay a room to a checkpoint at its `seq`; the production one uses a child process."""


async def compact_inline(stored: StoredRoom) -> Checkpoint:
    """Compact on the event loop: right for small documents and tests."""
    return make_checkpoint(stored)


class Checkpoints:
    """Makes them, one room at a time for each caller."""

    def __init__(self, journal: Journal, compact: Compact, guard: Guard, tally: Tally) -> None:
        self._journal = journal
        self._compact = compact
        self._guard = guard
        self._tally = tally

    async def make(self, room: SharedRoom) -> bool:
        """False when it failed; the journal still has all."""
        try:
            stored = await self._journal.load(room.id)
            if stored.updates:
                made = await self._guard.noted(room.id, self._compact(stored))
                if not await self._journal.checkpoint(
                    room.id,
                    stored.epoch,
                    after_seq=stored.checkpoint_seq,
                    seq=stored.seq,
                    state=made.state,
                    tombstones=made.tombstones,
                ):
                    # another process was faster
                    tail = await self._journal.read(room.id, stored.epoch, stored.seq)
                    room.checkpointed(tail.checkpoint_seq, sum(map(len, stored.updates)))
                    return True
        except RoomNotFound:
            return True
        except Exception:
            log.exception("checkpoint failed", extra={"room_id": room.id})
            self._tally.checkpoints_failed += 1
            return False
        room.checkpointed(stored.seq, sum(map(len, stored.updates)))
        self._tally.checkpoints += 1
        return True

    async def make_until(self, rooms: Iterable[SharedRoom], end_s: float) -> None:
        """Those that are due, until the loop's clock says `end_s`; the others make the next start slower."""
        loop = asyncio.get_running_loop()
        due = [room for room in rooms if room.rows_since_checkpoint and room.is_settled]
        # the fullest first: they gain most from it when the time runs out
        due.sort(key=lambda room: room.bytes_since_checkpoint, reverse=True)
        for room in due:
            left_s = end_s - loop.time()
            if left_s <= 0:
                break
            try:
                async with asyncio.timeout(left_s):
                    await self.make(room)
            except TimeoutError:
                break

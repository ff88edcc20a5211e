"""Checkpoint computation off the event loop.

Owns: which checkpoints are computed at once and which in a child process, and how long one may take.
Does not own: the child (`children.py`), when (hub) and what (party.document.make_checkpoint). Keeps rule J5.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from party.document import make_checkpoint
from party.errors import Unavailable
from party.ports import Checkpoint, StoredRoom
from server.children import Child, ChildEnded, Crowded, Overdue, open_child

INLINE_BYTES: Final = 64 * 1024
"""Below this replaying takes about a millisecond, less than asking a child."""

DEADLINE_S: Final = 60.0
"""For one checkpoint: 5 MB take 0.5 s; one that takes this long hangs."""

MOST_WAITING: Final = 1000
WAIT_S: Final = 600.0


class Compactor:
    """Computes checkpoints: small ones at once, large ones in a child process that starts on first use."""

    def __init__(self, child: Child) -> None:
        self.child = child

    async def __call__(self, stored: StoredRoom) -> Checkpoint:
        """The room's checkpoint at its `seq`. Raises DocumentBroken, Unavailable (not computed this time)."""
        if len(stored.checkpoint or b"") + sum(map(len, stored.updates)) <= INLINE_BYTES:
            return make_checkpoint(stored)
        try:
            return await self.child.run(make_checkpoint, stored)
        except Overdue as exc:
            raise Unavailable("The checkpoint took too long to compute; it is tried again later.") from exc
        except Crowded as exc:
            raise Unavailable("Too many checkpoints wait; this one is tried again later.") from exc
        except ChildEnded as exc:
            raise Unavailable("The process that computes checkpoints ended; it is started anew.") from exc


@asynccontextmanager
async def open_compactor(deadline_s: float = DEADLINE_S) -> AsyncIterator[Compactor]:
    """Ends the child without waiting for what it is doing: a checkpoint can always be made later."""
    async with open_child(deadline_s=deadline_s, most_waiting=MOST_WAITING, wait_s=WAIT_S) as child:
        yield Compactor(child)

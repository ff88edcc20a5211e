"""Reads that walk a whole document, in a child process with a deadline.

Owns: the questions, how long an answer may take, not asking again what was just given up. Does not own: the
child (`children.py`), the answers (party/readings.py), the routes (`documents.py`).
Native code may hang on a document with the GIL held; then the child is killed and nobody else waits (H10).
Measured at 5 MB: a drawing takes about 1 s in the child and stalls the event loop for 15 ms at most.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from party.errors import Unavailable
from party.readings import RootType, read_drawing, read_root
from party.view import Committed
from server.children import Child, ChildEnded, Crowded, Overdue, open_child
from server.problems import Busy, TookTooLong

log = structlog.get_logger("kanvas.readers")

DEADLINE_S: Final = 10.0
MOST_WAITING: Final = 32
WAIT_S: Final = 30.0
GIVEN_UP_FOR_S: Final = 60.0
"""How long the same question about the same state is refused after it was given up."""

MOST_GIVEN_UP: Final = 256


class Readers:
    """Reads documents, one at a time, in the order asked. Make one with `open_readers`."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._given_up: dict[Hashable, float] = {}

    async def drawing(self, room_id: str, committed: Committed, *, source: str, deleted: bool) -> bytes:
        """A canvas room as an `.excalidraw` file. Raises TookTooLong, Busy, DocumentBroken, Unavailable."""
        base, frames = committed.base, committed.frames
        question = (room_id, committed.version, deleted)
        return await self._ask(question, lambda: self.child.run(read_drawing, base, frames, source, deleted))

    async def root(self, room_id: str, committed: Committed, *, name: str, kind: RootType) -> bytes:
        """One root of an open room as JSON. Raises RootNotFound, and as `drawing` does."""
        base, frames = committed.base, committed.frames
        question = (room_id, committed.version, name, kind)
        return await self._ask(question, lambda: self.child.run(read_root, base, frames, name, kind))

    async def _ask(self, question: Hashable, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        now = asyncio.get_running_loop().time()
        until = self._given_up.get(question)
        if until is not None and now < until:
            # else a script that repeats it would keep the child from everybody
            raise TookTooLong
        try:
            return await ask()
        except Overdue as exc:
            self._give_up(question)
            log.warning("reading given up", question=question)
            raise TookTooLong from exc
        except Crowded as exc:
            raise Busy from exc
        except ChildEnded as exc:
            raise Unavailable("The process that reads documents ended; it is started anew.") from exc

    def _give_up(self, question: Hashable) -> None:
        while len(self._given_up) >= MOST_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self._given_up[question] = asyncio.get_running_loop().time() + GIVEN_UP_FOR_S


@asynccontextmanager
async def open_readers(deadline_s: float = DEADLINE_S) -> AsyncIterator[Readers]:
    """Readers and their child, which starts on first use."""
    async with open_child(deadline_s=deadline_s, most_waiting=MOST_WAITING, wait_s=WAIT_S) as child:
        yield Readers(child)

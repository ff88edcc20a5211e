"""Visits: who came to which room, on the way to everybody's "my rooms".

Owns: gathering them and writing many in one transaction. Does not own: the tables (db/), who may come.
Rules: nobody waits for it and nobody is kept out because it could not be written; what is noted twice is
written once. A thousand people who come back at once cost 20 transactions, not a thousand.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from db.database import Database
from db.rooms import record_participant
from db.scopes import as_system
from db.users import put_user
from party.errors import KanvasError, RoomNotFound

log = structlog.get_logger("kanvas.visits")

BATCH: Final = 50
"""Visits in one transaction: 15 ms, for edits wait for the same writer."""

MOST_WAITING: Final = 10_000
CLOSE_S: Final = 2.0


class Visits:
    """What is noted and not yet written. Make one with `open_visits`."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = as_system(database)
        self._now = now
        self._waiting: dict[tuple[str, str], str] = {}
        self._is_noted = asyncio.Event()

    def note(self, room_id: str, user_id: str, name: str) -> None:
        """The user came to the room."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[room_id, user_id] = name
            self._is_noted.set()

    async def write(self) -> None:
        """Write what waits. Cancel-safe: it waits on."""
        while self._waiting:
            batch = list(self._waiting.items())[:BATCH]
            for visit, _ in batch:
                del self._waiting[visit]
            try:
                await self._database.write(partial(self._put, batch))
            except asyncio.CancelledError:
                # it may not have begun; what is written twice is written once
                self._waiting = dict(batch) | self._waiting
                raise
            except KanvasError as error:
                log.warning("visits not noted", visits=len(batch), reason=error.message)
            except Exception:
                # the border of a background task: the next visit must still be noted
                log.exception("visits not noted", visits=len(batch))

    def _put(self, batch: list[tuple[tuple[str, str], str]], conn: Any) -> None:
        now = self._now()
        # in one order, or two processes wait for each other in a circle
        for (room_id, user_id), name in sorted(batch, key=lambda visit: visit[0][::-1]):
            try:
                put_user(conn, user_id, name, now)
                record_participant(conn, room_id, user_id, now)
            except RoomNotFound:
                # it was deleted meanwhile; the others were somewhere
                continue

    async def write_forever(self) -> None:
        """Write whenever something was noted; what comes meanwhile goes together."""
        while True:
            await self._is_noted.wait()
            self._is_noted.clear()
            await self.write()


@asynccontextmanager
async def open_visits(database: Database, now: Callable[[], datetime]) -> AsyncIterator[Visits]:
    """A running writer; leaving it writes the rest."""
    visits = Visits(database, now)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(visits.write_forever())
        try:
            yield visits
        finally:
            writing.cancel()
            try:
                async with asyncio.timeout(CLOSE_S):
                    # what it had in hand waits again
                    await asyncio.wait([writing])
                    await visits.write()
            except TimeoutError:
                log.warning("visits not noted", reason="the database was too slow at the end")

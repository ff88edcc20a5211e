"""Who is an operator by `kanvas admin grant`, as every process knows it.

Owns: the copy in memory of the marks in `users`, its renewal. Does not own: the marks (db/accounts.py), what
an operator may. Keeps rule T10.

Nothing of it is in a token, so that it counts, and ends, for those that are out already: once a second every
process asks who they are, by an index that holds nobody else. It costs 0.1 ms.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import structlog

from db.accounts import list_admin_ids
from db.database import Database
from db.scopes import as_system
from party.errors import KanvasError
from server.auth import Identity

log = structlog.get_logger("kanvas.identity")

POLL_S: Final = 1.0


class Operators:
    """Make one with `open_operators`."""

    def __init__(self, database: Database) -> None:
        self._database = as_system(database)
        self._ids: frozenset[str] = frozenset()
        self._is_failing = False

    def mark(self, identity: Identity) -> Identity:
        """The identity as it counts: an operator's, if that was granted."""
        if identity.user_id not in self._ids or identity.is_admin:
            return identity
        return replace(identity, is_admin=True, is_granted=True)

    async def look(self) -> None:
        """Take in who they are now. Raises KanvasError."""
        self._ids = await self._database.read(list_admin_ids)

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
                self._is_failing = False
            except KanvasError as error:
                if not self._is_failing:
                    log.warning("operators not read; who is known counts", reason=error.message)
                self._is_failing = True
            except Exception:
                # the border of a background task: the next look may succeed
                if not self._is_failing:
                    log.exception("operators not read; who is known counts")
                self._is_failing = True


@asynccontextmanager
async def open_operators(database: Database) -> AsyncIterator[Operators]:
    """Read, and kept up to date. Raises Unavailable."""
    operators = Operators(database)
    await operators.look()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(operators.watch())
        try:
            yield operators
        finally:
            watching.cancel()

"""What the rest of Kanvas sees of a database: closures over a connection, run elsewhere, awaited.

Owns: the Database Protocol and the choice of the adapter by URL. Does not own: any adapter (sqlite.py) or
query.

Query functions are plain functions over a SQLAlchemy Connection (users.py, rooms.py, ...); several of them
in one closure are one transaction:

    room = await database.write(lambda connection: insert_room(connection, id=..., ...))
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from db.sqlite import SqliteDatabase

T = TypeVar("T")


class Database(Protocol):
    """Transactions over one SQL database. Closures return plain values, never open results."""

    url: str

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one snapshot; it can't write. Raises Unavailable, and whatever `work` raises."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction; when this returns, it survives a power cut.

        An error of `work` rolls everything back and is raised as it is; the driver's are raised as
        party.errors.Unavailable, chained (a failed commit may have an unknown outcome). Writes happen in
        the order of the calls. Cancel-safe: a cancelled write either does not start or completes.
        """


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """The database that `url` names, closed at the end. Raises Invalid (not a URL we know), Unavailable.

    Only "sqlite:///<absolute path>". The tables must be there already: db.migrate.upgrade(url).
    """
    async with SqliteDatabase(url) as database:
        yield database

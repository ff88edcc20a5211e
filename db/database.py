"""What the rest of Kanvas sees of a database: closures over a connection, run elsewhere, awaited.

Owns: the Database Protocol and the choice of the adapter by URL. Does not own: any adapter (sqlite.py,
postgres.py) or query.

Query functions are plain functions over a SQLAlchemy Connection (users.py, rooms.py, ...); several of them
in one closure are one transaction:

    room = await database.write(lambda connection: insert_room(connection, id=..., ...))
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from db.chains import Seal
from db.postgres_url import is_postgres
from db.sqlite import SqliteDatabase
from party.errors import Invalid

T = TypeVar("T")


class Database(Protocol):
    """Transactions over one SQL database. Closures return plain values, never open results."""

    @property
    def url(self) -> str:
        """Its address, as it was given."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one snapshot; it can't write. Raises Unavailable, and whatever `work` raises.

        Cancel-safe. On PostgreSQL closures run in the event loop's thread: they never block.
        """

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as one transaction; when this returns, it survives a power cut.

        An error of `work` rolls everything back and is raised as it is; the driver's are raised as
        party.errors.Unavailable, chained (a failed commit may have an unknown outcome). Cancel-safe: a
        cancelled write either does not start or completes.

        A write that was awaited is seen by the next; writes under way together have no order. Who writes
        elsewhere at the same time is kept out by the queries: by the locks they take (db/locks.py), or
        because `work` is run again when another transaction spoilt it. So it changes nothing but what is
        behind its connection.
        """


@asynccontextmanager
async def open_database(
    url: str,
    *,
    pool: int | None = None,
    committers: int | None = None,
    timeout_s: float | None = None,
    seal: Seal | None = None,
) -> AsyncIterator[Database]:
    """The database that `url` names, closed at the end. Raises Invalid (not a URL we know), Unavailable.

    "sqlite:///<absolute path>" or "postgresql://…". The tables must be there already:
    db.migrate.upgrade(url). The numbers are PostgreSQL's: connections for closures and for the journal, and
    how long a transaction may take. Without `seal` nothing can be appended to the audit log.
    """
    if is_postgres(url):
        try:
            # a driver that SQLite needs not wait for
            from db import postgres  # noqa: PLC0415
        except ImportError as error:
            raise Invalid("For PostgreSQL, install the extra: pip install 'kanvas[postgres]'") from error
        async with postgres.PostgresDatabase(
            url,
            pool=pool or postgres.POOL,
            lanes=committers or postgres.LANES,
            timeout_s=timeout_s or postgres.TIMEOUT_S,
            seal=seal,
        ) as server:
            yield server
        return
    async with SqliteDatabase(url, seal=seal) as database:
        yield database

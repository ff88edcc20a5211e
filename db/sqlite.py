"""SQLite as the Database: one writer, a few readers, nothing acknowledged before it is on the disk.

Owns: the engine's settings, the explicit BEGIN, which driver error means what. Does not own: queries,
threads (threads.py), migrations (migrate.py).

Rules kept: one writer thread per process, so transactions never deadlock or starve each other inside it,
and BEGIN IMMEDIATE, so that another process is waited for at the start and never found out about in the
middle; readers get snapshots and cannot write; a driver's error leaves as party.errors.Unavailable with its
cause chained.

Source: sqlite.org/wal.html, sqlite.org/pragma.html (synchronous=FULL fsyncs the WAL at each commit; NORMAL
does not and would lose what was acknowledged), sqlite.org/rescode.html. The driver's legacy isolation
handling starts transactions of its own, before DML only, so a SELECT and the INSERT after it would not be
one transaction; it is switched off with isolation_level=None, and SQLAlchemy's "begin" event says BEGIN
(its commit and rollback go through the driver's, which look at the real state).
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from db.chains import Seal
from db.errors import DatabaseDown
from db.threads import TransactionThreads
from db.walls import guard
from party.errors import Invalid, Unavailable

T = TypeVar("T")

PREFIX = "sqlite:///"
BUSY_S = 5.0
"""How long a transaction waits for another process's before it is Unavailable."""
WAL_PAUSE_S = 0.01
"""Between two attempts to switch a new file to WAL."""
READERS = 2
OLDEST = (3, 35, 0)
"""RETURNING came with 3.35."""
WAL_KEPT_BYTES = 64 * 1024 * 1024
"""The WAL file is cut back to this after a burst."""

# The change itself was refused; another one may well succeed. Everything else concerns the whole database.
_REFUSED = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_ERROR,
}
_MESSAGES = {
    sqlite3.SQLITE_FULL: "The server's disk is full, so edits can't be saved; they are kept, try again soon.",
    sqlite3.SQLITE_BUSY: "Another process is using the database; edits are kept, try again soon.",
    sqlite3.SQLITE_LOCKED: "Another process is using the database; edits are kept, try again soon.",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened; check its folder and permissions.",
    sqlite3.SQLITE_READONLY: "The database file is read-only; check its permissions.",
    sqlite3.SQLITE_NOTADB: "The database file is not a SQLite database.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged; restore it from a backup.",
}


def sqlite_path(url: str) -> Path:
    """The file that `url` names: "sqlite:///" and then an absolute path, taken as it is. Raises Invalid."""
    if not url.startswith(PREFIX):
        # Not the whole URL: it may hold a password.
        scheme = url.partition(":")[0]
        raise Invalid(f"The database URL begins with {scheme!r}; it takes sqlite:///<absolute path>.")
    path = Path(url.removeprefix(PREFIX))
    if not path.is_absolute():
        raise Invalid(
            f"The database URL takes an absolute path after {PREFIX}, so four slashes in all: sqlite:////…"
        )
    return path


def sqlite_engine(
    path: Path,
    *,
    begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
    foreign_keys: bool = True,
    query_only: bool = False,
    busy_s: float = BUSY_S,
    seal: Seal | None = None,
) -> Engine:
    """An engine over one file. Connections are not pooled; transactions start with `begin`."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise Invalid(f"SQLite {sqlite3.sqlite_version} is too old; Kanvas needs 3.35 or newer.")
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={"isolation_level": None, "timeout": busy_s},
        # What people draw does not belong into error texts.
        hide_parameters=True,
        # for db/audit.py, the one that reads it
        execution_options={"audit_seal": seal},
    )
    pragmas = {
        "synchronous": "FULL",
        # Without effect where fsync already reaches the disk; on macOS it does not.
        "fullfsync": "ON",
        "checkpoint_fullfsync": "ON",
        "journal_size_limit": str(WAL_KEPT_BYTES),
        # What is deleted is overwritten: 6 ms of CPU for each MB that a checkpoint replaces.
        "secure_delete": "ON",
        "foreign_keys": "ON" if foreign_keys else "OFF",
        "query_only": "ON" if query_only else "OFF",
    }

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        if _switch_to_wal(connection, busy_s) != "wal":
            raise DatabaseDown("The database's file system can't do WAL; put the data on a local disk.")
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # By the driver itself: 15 us of CPU less for each transaction than exec_driver_sql.
        driver: Any = connection.connection.dbapi_connection
        driver.execute(begin)

    return engine


def _switch_to_wal(connection: sqlite3.Connection, busy_s: float) -> str:
    """The journal mode the file has now. Waits while another process is at it, as at every other lock.

    SQLite itself does not: of two that switch a new file at once one is told at once that it is locked, since
    both read already (sqlite.org/c3ref/busy_handler.html, the deadlock).
    """
    end = monotonic() + busy_s
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
            if code != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
        sleep(WAL_PAUSE_S)


def translate(error: BaseException) -> BaseException:
    """A driver's error as Unavailable or DatabaseDown with its cause chained; any other as it is."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(driver, sqlite3.Error):
        return error
    # Extended codes keep the primary one in the low byte. The driver's own complaints (closed, misuse) have
    # none.
    code = getattr(driver, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    kind = Unavailable if code in _REFUSED else DatabaseDown
    failure = kind(_MESSAGES.get(code))
    failure.__cause__ = error
    return failure


class SqliteDatabase:
    """One SQLite file, opened by `async with`. The contract of read and write is db.database.Database."""

    def __init__(self, url: str, *, busy_s: float = BUSY_S, seal: Seal | None = None) -> None:
        """Raises Invalid for a URL that is not sqlite:///<absolute path>. Opens nothing yet."""
        self.url = url
        path = sqlite_path(url)
        writer = sqlite_engine(path, begin="BEGIN IMMEDIATE", busy_s=busy_s, seal=seal)
        readers = sqlite_engine(path, begin="BEGIN", query_only=True, busy_s=busy_s)
        guard(writer)
        guard(readers)
        self._writer = TransactionThreads(
            writer,
            name="db-writer",
            count=1,
            translate=translate,
            last=_fold_wal,
        )
        self._readers = TransactionThreads(
            readers,
            name="db-reader",
            count=READERS,
            translate=translate,
        )

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._readers.run(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._writer.run(work)

    async def close(self) -> None:
        """Finish what was asked for, then fold the WAL into the file. Idempotent; takes at most 15 s."""
        await self._readers.close()
        await self._writer.close()

    async def __aenter__(self) -> Self:
        self._writer.start()
        self._readers.start()
        try:
            # A file that can't be used is found out about here, not by the first edit.
            await self._writer.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _fold_wal(connection: Connection) -> None:
    # Only tidiness: a WAL left behind (another process still reads) is replayed at the next start.
    raw: Any = connection.connection.dbapi_connection
    with contextlib.suppress(sqlite3.Error):
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

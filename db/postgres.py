"""PostgreSQL as the Database: closures in greenlets over asyncpg, on a few connections of our own.

Owns: connections and what they are set up with, one transaction per closure, deadlines. Does not own:
queries, the journal's hot path (postgres_journal.py), URLs (postgres_url.py), which driver error means what
(postgres_errors.py), migrations (postgres_migrate.py).

Rules kept: a connection that may be broken is closed at once, and with it all that wait idle; every
transaction and every wait has a deadline, kept by closing the connection, for a dead server answers no
polite request; reads are one snapshot and can't write; what another transaction spoilt is run again; no
error shows a password.

Sources: postgresql.org/docs/current/transaction-iso.html; magicstack.github.io/asyncpg.
Why no pool of SQLAlchemy's: it returns a connection by asking the server (a rollback), and ends one politely,
both without a deadline. Measured (tests/bench/journal.py postgresql, on two busy cores, fsync on): a small
read is 0.8 ms and 290 to 360 us CPU of ours, a small write of two statements 5 ms and 1.1 ms CPU.
"""

import asyncio
import contextlib
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncpg
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from db.chains import Seal
from db.deadlines import MORE_TIME
from db.errors import DatabaseDown
from db.eyes import PROGRAM, SYSTEM
from db.postgres_errors import MESSAGES, NO_MORE, READ_ONLY, SPOILT, sqlstate, translate
from db.postgres_url import normal_postgres_url
from db.walls import guard
from party.errors import Invalid

T = TypeVar("T")

POOL = 8
"""Connections for closures, unless told otherwise."""
LANES = 2
"""Connections for the journal's appends, unless told otherwise."""
TIMEOUT_S = 5.0
"""How long a transaction may take, and wait for a connection, unless told otherwise."""
CONNECT_S = 3.0
CLOSE_DEADLINE_S = 5.0
MAX_WAITING = 10_000
"""Closures waiting above which one is refused at once."""
TRUSTED_S = 30.0
"""A connection that was idle for longer is asked first: what is between may have forgotten it."""
PING_S = 1.0
ATTEMPTS = 4
"""Of a transaction that others spoil."""
GIVEN_UP_S = 0.05
"""The server needs a moment to notice that a connection was closed, and on a busy machine several."""
CROWDED_S = 1.0
"""So long after a server had no connection left we do with those we have."""
OLDEST = 130_000


@dataclass(slots=True, eq=False)
class _Slot:
    """A connection of SQLAlchemy's and the driver's own under it. `used_at` on the loop's clock."""

    connection: AsyncConnection
    driver: Any
    adapted: Any
    used_at: float = 0.0
    watchdog: asyncio.TimerHandle | None = None

    def watch(self, timeout_s: float) -> None:
        """From now on it has this long; then it is closed, whatever it does."""
        self.rest()
        self.watchdog = asyncio.get_running_loop().call_later(timeout_s, self.driver.terminate)

    def rest(self) -> None:
        if self.watchdog is not None:
            self.watchdog.cancel()
            self.watchdog = None


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[Connection], Any]
    is_read: bool
    future: asyncio.Future[Any]
    is_started: bool = False

    def expire(self) -> None:
        if not self.is_started and not self.future.done():
            self.future.set_exception(DatabaseDown("Too much is waiting for the database; try again soon."))


class PostgresDatabase:
    """One database on a server, opened by `async with`. The contract of read and write is Database's."""

    def __init__(
        self,
        url: str,
        *,
        pool: int = POOL,
        lanes: int = LANES,
        timeout_s: float = TIMEOUT_S,
        seal: Seal | None = None,
    ) -> None:
        """Raises Invalid for a URL that can't be one. Opens nothing yet."""
        self.url = url
        self.lanes = lanes
        self._dsn = normal_postgres_url(url)
        self._pool = pool
        self._timeout_s = timeout_s
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda *_, **__: connect(self._dsn, timeout_s=timeout_s),
            poolclass=NullPool,
            # What people draw does not belong into error texts.
            hide_parameters=True,
            # for db/audit.py, the one that reads it
            execution_options={"audit_seal": seal},
        )
        guard(self._engine.sync_engine)
        self._idle: list[_Slot] = []
        self._lanes: list[Any | None] = [None] * lanes
        self._waiting: deque[_Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._running = 0
        """Workers that will look at what waits once more."""
        self._crowded_until = 0.0

        self._is_closed = True

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(work, is_read=True)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(work, is_read=False)

    async def run_in_lane(self, lane: int, work: Callable[[Any], Awaitable[T]]) -> T:
        """Run `work` on the driver's own connection of this lane; only one at a time for each.

        Raises what `work` raises, translated; DatabaseDown when it takes too long. Cancelled, the outcome is
        unknown.
        """
        if self._is_closed:
            raise DatabaseDown("The database is closed.")
        driver = self._lanes[lane]
        watchdog: asyncio.TimerHandle | None = None
        try:
            if driver is None or driver.is_closed():
                driver = self._lanes[lane] = await self._connect_lane()
            watchdog = asyncio.get_running_loop().call_later(self._timeout_s, driver.terminate)
            return await work(driver)
        except BaseException as error:
            failure = translate(error)
            is_lost = isinstance(failure, DatabaseDown) or failure is error or sqlstate(error) == READ_ONLY
            if driver is not None and is_lost:
                driver.terminate()
                self._lanes[lane] = None
            if isinstance(failure, DatabaseDown) and sqlstate(error) != NO_MORE:
                self._drop_idle()
            if failure is error:
                raise
            raise failure from error
        finally:
            if watchdog is not None:
                watchdog.cancel()

    async def close(self) -> None:
        """Finish what was asked for, then close the connections. Idempotent; takes at most 10 s."""
        self._is_closed = True
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=CLOSE_DEADLINE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        lanes, self._lanes = self._lanes, [None] * self.lanes
        slots, self._idle = self._idle, []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                for driver in [*(one for one in lanes if one is not None), *(one.driver for one in slots)]:
                    # Politeness only: the server forgets us either way.
                    with contextlib.suppress(Exception):
                        await driver.close(timeout=1.0)
        for driver in lanes:
            if driver is not None:
                driver.terminate()
        for slot in slots:
            await _discard(slot)
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        self._is_closed = False
        try:
            # A server that can't be used is found out about here, not by the first edit.
            version, encoding, is_standby = await self.read(
                lambda connection: connection.exec_driver_sql(
                    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
                    " pg_is_in_recovery()"
                ).one()
            )
            if version < OLDEST:
                raise Invalid(f"PostgreSQL {version // 10_000} is too old; Kanvas needs 13 or newer.")
            if encoding != "UTF8":
                raise Invalid(f"The database is encoded in {encoding}; create it with ENCODING 'UTF8'.")
            if is_standby:
                raise DatabaseDown(MESSAGES[READ_ONLY])
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- closures -------------------------------------------------------------------------------

    async def _run(self, work: Callable[[Connection], T], *, is_read: bool) -> T:
        if self._is_closed:
            raise DatabaseDown("The database is closed.")
        if len(self._waiting) >= MAX_WAITING:
            raise DatabaseDown("Too much is waiting for the database; try again soon.")
        loop = asyncio.get_running_loop()
        job = _Job(work, is_read, loop.create_future())
        self._waiting.append(job)
        is_crowded = loop.time() < self._crowded_until and not self._idle
        if self._running < (1 if is_crowded else self._pool):
            self._running += 1
            worker = loop.create_task(self._serve(), name="db-transactions")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        deadline = loop.call_later(self._timeout_s, job.expire)
        try:
            # The transaction is the worker's: who waits here may be cancelled, it is not.
            result: T = await job.future
            return result
        finally:
            deadline.cancel()

    async def _serve(self) -> None:
        try:
            while self._waiting:
                job = self._waiting.popleft()
                if not await self._answer(job):
                    # others of ours have connections, and take it when they are done with theirs
                    self._waiting.appendleft(job)
                    if not self._idle:
                        return
        finally:
            self._running -= 1

    async def _answer(self, job: _Job) -> bool:
        """False when there is no further connection for it, but others of ours are at work or done by now."""
        if job.future.done():
            return True
        job.is_started = True
        try:
            result = await self._repeat(job)
        except asyncio.CancelledError:
            if not job.future.done():
                job.future.set_exception(DatabaseDown())
            raise
        except BaseException as error:
            if sqlstate(error) == NO_MORE:
                self._crowded_until = asyncio.get_running_loop().time() + CROWDED_S
                if self._running > 1 or self._idle:
                    job.is_started = False
                    return False
            # A worker that ends here would leave callers waiting.
            if not job.future.done():
                job.future.set_exception(error)
        else:
            if not job.future.done():
                job.future.set_result(result)
        return True

    async def _repeat(self, job: _Job) -> Any:
        attempt = 1
        while True:
            try:
                return await self._transact(job)
            except BaseException as error:
                failure = translate(error)
                if attempt == ATTEMPTS or sqlstate(error) not in SPOILT:
                    if failure is error:
                        raise
                    raise failure from error
            # Rolled back for certain, so nothing is done twice. Who waited in a circle lets others finish.
            most_s = 0.2 if sqlstate(failure) == "40P01" else 0.01
            await asyncio.sleep(random.uniform(most_s / 4, most_s) * attempt)
            attempt += 1

    async def _transact(self, job: _Job) -> Any:
        slot = await self._take()
        adapted = slot.adapted
        adapted.isolation_level = "repeatable_read" if job.is_read else "read_committed"
        adapted.readonly = job.is_read
        slot.watch(self._timeout_s)
        try:
            result = await slot.connection.run_sync(_in_transaction, job.work)
        except BaseException as error:
            slot.rest()
            # What can't be written to was the primary once.
            is_standby = not job.is_read and sqlstate(error) == READ_ONLY
            is_down = is_standby or isinstance(translate(error), DatabaseDown)
            if is_down or slot.driver.is_closed() or slot.connection.in_transaction():
                await _discard(slot)
            else:
                self._put_back(slot)
            if is_down:
                self._drop_idle()
            raise
        slot.rest()
        self._put_back(slot)
        return result

    # -- connections ----------------------------------------------------------------------------

    async def _connect_lane(self) -> Any:
        # Plans of statements that stay for weeks, made when the tables were empty perhaps.
        settings = {"enable_seqscan": "off"}
        end: float | None = None
        while True:
            try:
                return await connect(self._dsn, timeout_s=self._timeout_s, **settings)
            except asyncpg.TooManyConnectionsError:
                now = asyncio.get_running_loop().time()
                if self._idle:
                    # what people draw goes before what they read
                    await _discard(self._idle.pop(0))
                    end = end or now + self._timeout_s
                elif end is None or now > end:
                    raise
            await asyncio.sleep(GIVEN_UP_S)

    async def _take(self) -> _Slot:
        while self._idle:
            slot = self._idle.pop()
            idle_s = asyncio.get_running_loop().time() - slot.used_at
            if not slot.driver.is_closed() and (idle_s < TRUSTED_S or await _answers(slot.driver)):
                return slot
            await _discard(slot)
        connection = await self._engine.connect()
        fairy: Any = await connection.get_raw_connection()
        slot = _Slot(connection, fairy.driver_connection, fairy.dbapi_connection)

        def more_time(seconds: float) -> float:
            slot.watch(self._timeout_s + seconds)
            return self._timeout_s + seconds

        fairy.info[MORE_TIME] = more_time
        return slot

    def _put_back(self, slot: _Slot) -> None:
        slot.used_at = asyncio.get_running_loop().time()
        self._idle.append(slot)

    def _drop_idle(self) -> None:
        # What was opened before the server or the way to it went away is not worth a deadline each. Closed
        # ones are recognised and let go of when they are taken.
        for slot in self._idle:
            slot.driver.terminate()


def _in_transaction(connection: Connection, work: Callable[[Connection], T]) -> T:
    with connection.begin():
        return work(connection)


async def connect(dsn: str, *, timeout_s: float, **settings: str) -> Any:
    """A connection of the driver's own, set up. Raises what the driver raises, or DatabaseDown."""
    milliseconds = str(int(timeout_s * 1000))
    try:
        driver = await asyncpg.connect(
            dsn,
            timeout=CONNECT_S,
            server_settings={
                "application_name": PROGRAM,
                # On the server, so that it stops too when we have given up.
                "statement_timeout": milliseconds,
                "lock_timeout": str(int(timeout_s * 600)),
                "idle_in_transaction_session_timeout": milliseconds,
                "timezone": "UTC",
                # Compiling takes longer than any of our queries.
                "jit": "off",
                **settings,
            },
        )
    except ssl.SSLCertVerificationError:
        # A ValueError, too, but the server's.
        raise
    except (TypeError, ValueError) as error:
        # The driver's words may hold a part of the URL.
        raise Invalid("The database URL can't be used; check its host, port and parameters.") from error
    try:
        # The policies of the tables let the server's own work pass; somebody's says whose it is. Not said
        # while connecting, for a pooler in between takes no settings there that it does not know.
        # Promise 1; a server may have it off for everybody.
        await driver.execute(
            f"SELECT set_config('{SYSTEM}', 'on', false);"
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'",
            timeout=CONNECT_S,
        )
    except BaseException:
        driver.terminate()
        raise
    return driver


async def _answers(driver: Any) -> bool:
    try:
        async with asyncio.timeout(PING_S):
            await driver.execute("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        return False
    return True


async def _discard(slot: _Slot) -> None:
    # Whatever goes wrong while giving up a broken connection changes nothing for the caller.
    slot.driver.terminate()
    with contextlib.suppress(Exception):
        await slot.connection.invalidate()
    with contextlib.suppress(Exception):
        await slot.connection.close()

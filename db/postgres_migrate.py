"""Migrations on PostgreSQL: one process at a time, and none that stands in everybody's way.

Owns: the lock, the thread they run in, the look at the present revision. Does not own: the scripts, or when
to run them (migrate.py).

Rules kept: a migration waits for another one, however long that takes up to a deadline, but for a table that
is in use only shortly, since whoever comes after it waits behind it: then it is undone and tried again.
Everything here blocks, in a thread with an event loop of its own, so it may be called from anywhere.
Source: postgresql.org/docs/current/explicit-locking.html sections 13.3.1 and 13.3.5.
"""

import asyncio
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from db.errors import DatabaseDown
from db.postgres import connect
from db.postgres_errors import sqlstate, translate
from db.postgres_url import normal_postgres_url

T = TypeVar("T")

LOCK: Final = 0x6B616E766173
"""The advisory lock of migrations: "kanvas". Each database has its own."""
TABLE_WAIT_S: Final = 3.0
LOOK_S: Final = 10.0


def current_revision(url: str) -> str | None:
    """The revision the database is at; None for one never migrated. Raises Invalid, Unavailable."""

    async def look() -> str | None:
        driver = await connect(normal_postgres_url(url), timeout_s=LOOK_S)
        try:
            async with asyncio.timeout(LOOK_S):
                if await driver.fetchval("SELECT to_regclass('alembic_version')") is None:
                    return None
                found = await driver.fetchval("SELECT version_num FROM alembic_version")
                return None if found is None else str(found)
        finally:
            driver.terminate()

    return _in_thread(look())


def run_alone(url: str, work: Callable[[Connection], None], *, deadline_s: float) -> None:
    """Run `work` in one transaction, alone of its kind in this database. Raises Invalid, Unavailable."""
    dsn = normal_postgres_url(url)
    end = time.monotonic() + deadline_s

    def alone(connection: Connection) -> None:
        with connection.begin():
            # No deadline of the statement's: building an index may take an hour.
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(deadline_s * 1000)}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(TABLE_WAIT_S * 1000)}")
            work(connection)

    async def run() -> None:
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda *_, **__: connect(
                dsn, timeout_s=deadline_s, statement_timeout="0", idle_in_transaction_session_timeout="0"
            ),
            poolclass=NullPool,
            hide_parameters=True,
        )
        async with engine.connect() as connection:
            await connection.run_sync(alone)

    while True:
        try:
            return _in_thread(run())
        except Exception as error:
            is_in_use = sqlstate(error) in ("55P03", "40P01")
            if not is_in_use or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.2, 1.0))


def _in_thread(work: Coroutine[Any, Any, T]) -> T:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="db-migration") as thread:
        try:
            return thread.submit(asyncio.run, work).result()
        except OSError as error:
            # the first that a start asks of it: "edits are kept" would help nobody
            raise DatabaseDown(
                f"The database can't be reached ({_why(error)}); see that it runs, and at the host and port "
                "of KANVAS_DATABASE_URL."
            ) from error
        except Exception as error:
            failure = translate(error)
            if failure is error:
                raise
            raise failure from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        # its number is OpenSSL's, not the system's
        return error.verify_message.lower()
    if isinstance(error, socket.gaierror | ssl.SSLError):
        return (error.strerror or "no such name").lower()
    if "rejected SSL upgrade" in str(error):
        return "it has no TLS, and sslmode asks for it"
    return os.strerror(error.errno).lower() if error.errno else "no answer"

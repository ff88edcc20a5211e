"""Revocations in SQL: the same answers on SQLite and PostgreSQL."""

import importlib.util
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from sqlalchemy import Connection, text

from db.database import Database, open_database
from db.revocations import find_since, is_revoked, purge_revocations, put_token, put_user_until
from db.scopes import as_system
from tests.db.conftest import NOW

if TYPE_CHECKING:
    from tests.backends.postgres import Postgres

T = TypeVar("T")
Run = Callable[[Callable[[Connection], Any]], Any]
SECOND = timedelta(seconds=1)
REVISION = Path(__file__).parents[2] / "alembic" / "versions" / "0007_revocations.py"


@pytest.fixture(params=["sqlite", "postgresql"])
async def run(request: pytest.FixtureRequest) -> AsyncIterator[Run]:
    """Work in one transaction on either."""
    if request.param == "sqlite":
        async with open_database(request.getfixturevalue("url")) as database:
            yield as_system(database).write
        return
    from sqlalchemy.ext.asyncio import create_async_engine

    server: Postgres = request.getfixturevalue("postgres")
    url = server.create().replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)

    async def write(work: Callable[[Connection], T]) -> T:
        async with engine.begin() as connection:
            return await connection.run_sync(work)

    await write(partial(migrate, step="upgrade"))
    yield write
    await write(partial(migrate, step="downgrade"))
    await engine.dispose()


def migrate(connection: Connection, step: str) -> None:
    """The revision alone, by its own file."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    spec = importlib.util.spec_from_file_location("revision", REVISION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with Operations.context(MigrationContext.configure(connection)):
        getattr(module, step)()


def ask(token_id: str = "t", user_id: str = "ada", issued_at: Any = NOW) -> Callable[[Connection], bool]:
    return partial(is_revoked, token_ids={token_id, "other"}, user_id=user_id, signed_in_at=issued_at)


async def test_a_token_ends(run: Run) -> None:
    """I7: twice is harmless, and the first time counts."""
    later = NOW + timedelta(days=90)
    for now in (NOW, NOW + SECOND):
        await run(partial(put_token, token_id="t", user_id="ada", now=now, expires_at=later))
    assert await run(ask()) is True
    assert await run(ask(token_id="T")) is False
    assert await run(ask(token_id="ada")) is False
    rows = await run(lambda conn: find_since(conn, None, 10))
    assert [(row.subject, row.user_id, row.issued_before, row.revoked_at) for row in rows] == [
        ("t", "ada", None, NOW)
    ]


async def test_a_user_ends_up_to_a_time(run: Run) -> None:
    """I7: whoever signs in a millisecond later is in, and a lagging clock gives nothing back."""
    await run(partial(put_user_until, user_id="ada", now=NOW))
    await run(partial(put_user_until, user_id="ada", now=NOW - SECOND))
    assert await run(ask(issued_at=NOW - SECOND)) is True
    assert await run(ask(issued_at=NOW)) is True
    assert await run(ask(issued_at=NOW + timedelta(milliseconds=1))) is False
    assert await run(ask(user_id="bea", issued_at=NOW - SECOND)) is False
    assert await run(ask(token_id="ada", user_id="bea", issued_at=NOW - SECOND)) is False
    await run(partial(put_user_until, user_id="ada", now=NOW + SECOND))
    assert await run(ask(issued_at=NOW + SECOND)) is True
    assert len(await run(lambda conn: find_since(conn, None, 10))) == 1


async def test_what_is_new_is_found_oldest_first(run: Run) -> None:
    for number in range(5):
        now = NOW + number * SECOND
        await run(partial(put_token, token_id=f"t{number}", user_id="ada", now=now, expires_at=now))
    found = await run(lambda conn: find_since(conn, NOW + 2 * SECOND, 10))
    assert [row.subject for row in found] == ["t2", "t3", "t4"]
    assert [row.subject for row in await run(lambda conn: find_since(conn, None, 2))] == ["t3", "t4"]
    assert await run(lambda conn: purge_revocations(conn, NOW + 2 * SECOND)) == 2
    assert len(await run(lambda conn: find_since(conn, None, 10))) == 3


async def test_the_queries_use_their_indexes(database: Database) -> None:
    """Asked twice a second by every process: never a walk over the table."""
    plans = {
        "SELECT * FROM revocations WHERE revoked_at >= '2026' ORDER BY revoked_at DESC LIMIT 9": (
            "ix_revocations_revoked"
        ),
        "DELETE FROM revocations WHERE expires_at < '2026'": "ix_revocations_expires",
    }
    for sql, index in plans.items():
        plan = await database.read(
            lambda conn, sql=sql: str(conn.execute(text(f"EXPLAIN QUERY PLAN {sql}")).all())
        )
        assert index in plan

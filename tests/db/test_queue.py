"""The job queue on SQLite and on PostgreSQL, and what its statements are."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from db import queue
from db.database import Database, open_database
from db.scopes import as_system
from tests.db.queue_contract import QueueContract


class TestSqliteQueue(QueueContract):
    @pytest.fixture
    async def database(self, url: str) -> AsyncIterator[Database]:
        async with open_database(url) as database:
            yield as_system(database)


class TestPostgresQueue(QueueContract):
    @pytest.fixture
    def database(self, server_database: Database) -> Database:
        return server_database


def sql(statement: Any, dialect: Any) -> str:
    return " ".join(str(statement.compile(dialect=dialect)).split())


def test_a_claim_passes_over_what_another_one_takes() -> None:
    """K2: on PostgreSQL by SKIP LOCKED, on SQLite because writers are alone."""
    claimed = sql(queue._CLAIM, postgresql.dialect())
    assert claimed.startswith("WITH due AS MATERIALIZED (SELECT jobs.id AS id FROM jobs WHERE")
    assert "ORDER BY jobs.run_at, jobs.id LIMIT %(most)s FOR UPDATE SKIP LOCKED) UPDATE jobs SET" in claimed
    assert "RETURNING jobs.id" in claimed
    assert sql(queue._LOST, postgresql.dialect()).endswith("FOR UPDATE SKIP LOCKED")
    assert "FOR UPDATE" not in sql(queue._CLAIM, sqlite.dialect())


@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (queue._next(("draw", "print")), {"ix_jobs_claiming", "ix_jobs_leases"}),
        (queue._LOST, {"ix_jobs_leases"}),
        (queue._CLAIM, {"ix_jobs_claiming", "sqlite_autoindex_jobs_1"}),
    ],
    ids=["next", "lost", "claim"],
)
def test_looking_for_jobs_goes_by_index_and_sorts_nothing(
    path: Path, statement: Any, indexes: set[str]
) -> None:
    """K7: by kind first, so that what waits of other kinds is not looked at."""
    text = sql(statement, sqlite.dialect())
    # the values do not matter to the plan: there are no statistics
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", [1] * text.count("?")).fetchall()
    told = [row[3] for row in plan]
    assert not any("TEMP B-TREE" in line or line.startswith("SCAN jobs USING INTEGER") for line in told), told
    assert all("(kind=?" in line for line in told if "ix_jobs_claiming" in line), told
    used = {word for line in told for word in line.split() if word.startswith(("ix_", "uq_", "sqlite_"))}
    assert used == indexes, told

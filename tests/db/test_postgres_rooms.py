"""The tests of rooms once more, on PostgreSQL, each in a transaction that is undone."""

import inspect
from typing import Any

import pytest
from sqlalchemy import Connection

from db.postgres import PostgresDatabase
from db.users import put_user
from tests.db import test_rooms
from tests.db.conftest import NOW, make_room


def cases() -> list[Any]:
    """Every test there that takes a connection, but for the one about SQLite's plans."""
    found = []
    for name, test in vars(test_rooms).items():
        if name.startswith("test_") and name != "test_a_page_is_one_range_of_an_index":
            names = list(inspect.signature(test).parameters)
            assert names[0] == "connection", name
            marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
            rows = marks[0].args[1] if marks else [()]
            found += [
                pytest.param(test, dict(zip(names[1:], row, strict=True)), id=f"{name}-{n}")
                for n, row in enumerate(rows)
            ]
    return found


class Undone(Exception):
    """The end of a test."""


@pytest.mark.parametrize(("test", "values"), cases())
async def test_rooms_on_postgresql(
    server_database: PostgresDatabase, test: Any, values: dict[str, Any]
) -> None:
    """J11."""

    def work(connection: Connection) -> None:
        put_user(connection, "ada", "Ada", NOW)
        put_user(connection, "bob", "Bob", NOW)
        test(connection, **values)
        raise Undone

    with pytest.raises(Undone):
        await server_database.write(work)


async def test_a_page_is_one_range_of_an_index(server_database: PostgresDatabase) -> None:
    """ix_rooms_listing serves the lobby, and what comes after a cursor is neither read nor sorted."""

    def work(connection: Connection) -> str:
        make_room(connection, "r")
        # of a table this small anything else is cheaper, whatever its statistics are by now
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        rows = connection.exec_driver_sql(
            "EXPLAIN SELECT id FROM rooms WHERE visibility = 'public' AND deleted_at IS NULL"
            " AND (created_at, id) < (now(), 'x') ORDER BY created_at DESC, id DESC LIMIT 50"
        )
        return "\n".join(rows.scalars())

    plan = await server_database.write(work)
    assert "Index" in plan
    assert "ix_rooms_listing" in plan
    assert "Sort" not in plan

"""Holds as rows: put, changed, listed, lifted, forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest

from db.database import Database
from db.quarantine import HoldRow, delete_hold, list_holds, purge_holds, put_holds
from tests.db.conftest import NOW

HOLD = HoldRow(
    id="a" * 32,
    kind="client",
    room_id="r",
    user_id="ada",
    client_id=2**53 - 1,
    stage="edit",
    reason="hung",
    strikes=1,
    first_at=NOW,
    last_at=NOW,
    until=NOW + timedelta(seconds=30),
)


@pytest.fixture
def database(both: Database) -> Database:
    return both


async def test_a_hold_is_put_and_changed(database: Database) -> None:
    """Q7: it comes back as it was last, for rooms and users that may not exist."""
    room = replace(HOLD, id="b" * 32, kind="room", user_id=None, client_id=None, stage="load")
    await database.write(lambda conn: put_holds(conn, [HOLD, room]))
    later = replace(HOLD, strikes=2, last_at=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2))
    await database.write(lambda conn: put_holds(conn, [later]))
    assert await database.read(list_holds) == [later, room]


async def test_a_hold_is_lifted_and_forgotten(database: Database) -> None:
    """Q4, Q7: at once, or a quiet day after its end."""
    other = replace(HOLD, id="b" * 32, until=NOW + timedelta(days=1))
    await database.write(lambda conn: put_holds(conn, [HOLD, other]))
    assert await database.write(lambda conn: purge_holds(conn, NOW + timedelta(minutes=1))) == 1
    assert await database.read(list_holds) == [other]
    assert await database.write(lambda conn: delete_hold(conn, other.id))
    assert not await database.write(lambda conn: delete_hold(conn, other.id))
    assert await database.read(list_holds) == []

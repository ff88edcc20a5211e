"""What the operator holds back, in the database."""

from datetime import UTC, datetime, timedelta

import pytest

from db.database import Database
from db.restraints import (
    Excluded,
    exclude,
    freeze_room,
    let_in,
    purge_exclusions,
    read_restraints,
    thaw_room,
)
from db.rooms import find_names, find_room, purge_trash, trash_room
from party.errors import RoomNotFound
from tests.db.conftest import make_room

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_room_is_frozen_since_the_first_time(database: Database) -> None:
    """M5: again is the same; its revision, which is its owner's, does not change."""
    await database.write(lambda conn: make_room(conn, "r"))
    before = await database.read(lambda conn: find_room(conn, "r"))
    assert await database.write(lambda conn: freeze_room(conn, "r", NOW)) == NOW
    assert await database.write(lambda conn: freeze_room(conn, "r", NOW + HOUR)) == NOW
    assert (await database.read(lambda conn: read_restraints(conn, NOW))).frozen == {"r": NOW}
    assert await database.read(lambda conn: find_room(conn, "r")) == before
    await database.write(lambda conn: thaw_room(conn, "r"))
    assert (await database.read(lambda conn: read_restraints(conn, NOW))).frozen == {}


async def test_the_last_word_on_somebody_counts(database: Database) -> None:
    """M7: until it ends, or the room is opened; what has ended is forgotten."""
    await database.write(lambda conn: make_room(conn, "r"))
    await database.write(lambda conn: make_room(conn, "s"))
    for room_id, user_id, hours in (("r", "u", 5), ("r", "u", 1), ("r", "", 2), ("s", "u", 9)):
        await database.write(lambda conn, r=room_id, u=user_id, h=hours: exclude(conn, r, u, NOW + h * HOUR))
    held = await database.read(lambda conn: read_restraints(conn, NOW))
    assert held.excluded == [
        Excluded("r", "", NOW + 2 * HOUR),
        Excluded("r", "u", NOW + HOUR),
        Excluded("s", "u", NOW + 9 * HOUR),
    ]
    later = await database.read(lambda conn: read_restraints(conn, NOW + HOUR))
    assert [one.user_id for one in later.excluded] == ["", "u"]
    assert await database.write(lambda conn: purge_exclusions(conn, NOW + HOUR)) == 1
    assert await database.write(lambda conn: let_in(conn, "r")) == 1
    assert await database.write(lambda conn: let_in(conn, "r")) == 0


async def test_a_room_that_is_gone_has_none(database: Database) -> None:
    """M5, M7: in the trash there is nothing to hold back; purged, it takes all of it along."""
    await database.write(lambda conn: make_room(conn, "r"))
    await database.write(lambda conn: freeze_room(conn, "r", NOW))
    await database.write(lambda conn: exclude(conn, "r", "u", NOW + HOUR))
    await database.write(lambda conn: trash_room(conn, "r", now=NOW))
    assert (await database.read(lambda conn: read_restraints(conn, NOW))).frozen == {}
    assert await database.read(lambda conn: find_names(conn, ["r", "none"])) == {}
    for order in (
        lambda conn: freeze_room(conn, "r", NOW),
        lambda conn: thaw_room(conn, "r"),
        lambda conn: exclude(conn, "none", "u", NOW),
        lambda conn: let_in(conn, "none"),
    ):
        with pytest.raises(RoomNotFound):
            await database.write(order)
    assert await database.write(lambda conn: purge_trash(conn, NOW + HOUR)) == ["r"]
    assert (await database.read(lambda conn: read_restraints(conn, NOW))).excluded == []

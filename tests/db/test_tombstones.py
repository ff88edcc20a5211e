"""What a purge finds: rooms with something that has to leave, and what it is."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from db.database import Database
from db.journal import open_journal
from db.rooms import purge_trash, restore_room, trash_room
from db.tables import tombstones
from db.tombstones import list_rooms_to_purge, list_tombstones, store_tombstones
from party.ports import Entry, Tombstones
from tests.db.conftest import NOW, make_room

DAY = timedelta(days=1)


async def bury(database: Database, room_id: str, *element_ids: str, now: datetime = NOW) -> None:
    found = Tombstones(new=frozenset(element_ids))
    await database.write(partial(store_tombstones, room_id=room_id, found=found, now=now))


async def rooms_to_purge(
    database: Database, deleted_before: datetime, written_before: datetime = NOW - 1000 * DAY
) -> list[str]:
    found = await database.read(
        partial(list_rooms_to_purge, deleted_before=deleted_before, written_before=written_before)
    )
    return sorted(found)


@pytest.fixture
def database(both: Database) -> Database:
    return both


async def test_what_is_due_is_found(database: Database) -> None:
    """C8: by the time of its deletion, room by room, the oldest first."""
    for room_id in ("old", "new", "none"):
        await database.write(partial(make_room, room_id=room_id))
    await bury(database, "old", "b", "a", now=NOW)
    later = Tombstones(old=frozenset("ab"), new=frozenset("c"))
    await database.write(partial(store_tombstones, room_id="old", found=later, now=NOW + DAY))
    await bury(database, "new", "z", now=NOW + 2 * DAY)
    assert await rooms_to_purge(database, NOW) == []
    assert await rooms_to_purge(database, NOW + DAY) == ["old"]
    assert await rooms_to_purge(database, NOW + 9 * DAY) == ["new", "old"]
    for days, limit, expected in ((0, 9, []), (1, 9, ["a", "b"]), (9, 9, ["a", "b", "c"]), (9, 1, ["a"])):
        listed = partial(list_tombstones, room_id="old", deleted_before=NOW + days * DAY, limit=limit)
        assert await database.read(listed) == expected


async def test_rooms_whose_updates_wait_for_a_checkpoint_are_found(database: Database) -> None:
    """J7: nobody has looked yet at what is deleted in them."""
    journal = open_journal(database)
    for room_id in ("waits", "done", "empty"):
        await database.write(partial(make_room, room_id=room_id))
    for room_id in ("waits", "done"):
        await journal.append(room_id, 1, [Entry(b"a", "ada"), Entry(b"b", "ada")])
    await journal.checkpoint("done", 1, after_seq=0, seq=2, state=b"ab")
    now = datetime.now(UTC)
    assert await rooms_to_purge(database, NOW, now - DAY) == []
    assert await rooms_to_purge(database, NOW, now + DAY) == ["waits"]
    await journal.checkpoint("waits", 1, after_seq=0, seq=1, state=b"a")
    assert await rooms_to_purge(database, NOW, now + DAY) == ["waits"]
    await journal.checkpoint("waits", 1, after_seq=1, seq=2, state=b"ab")
    assert await rooms_to_purge(database, NOW, now + DAY) == []


async def test_a_room_in_the_trash_leaves_as_a_whole(database: Database) -> None:
    await database.write(partial(make_room, room_id="r"))
    await bury(database, "r", "a")
    await database.write(partial(trash_room, id="r", now=NOW))
    assert await rooms_to_purge(database, NOW + DAY) == []
    await database.write(partial(restore_room, id="r", now=NOW))
    assert await rooms_to_purge(database, NOW + DAY) == ["r"]
    await database.write(partial(trash_room, id="r", now=NOW))
    await database.write(partial(purge_trash, before=NOW + DAY))
    left = await database.read(lambda connection: connection.execute(tombstones.select()).all())
    assert left == []


async def test_thousands_come_and_go_at_once(database: Database) -> None:
    await database.write(partial(make_room, room_id="r"))
    many = [f"e{number}" for number in range(40_000)]
    await bury(database, "r", *many)
    # what PostgreSQL could not store is left out everywhere
    await bury(database, "r", "one", "\0")
    listed = partial(list_tombstones, room_id="r", deleted_before=NOW + DAY, limit=50_000)
    assert await database.read(listed) == ["one"]

"""What only an encrypted journal does: keys and heads that change under an append, on both databases."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from db.cipher import DataKey, list_keys
from db.database import Database, open_database
from db.errors import Damaged, KeyMissing
from db.journal import SqlJournal, open_journal
from db.keys import change_key, delete_key, insert_first_key
from db.postgres import PostgresDatabase
from db.postgres_journal import _APPEND_SEALED
from db.scopes import as_system
from db.tables import canvas_states, room_updates
from party.ports import Basis, Entry, Owner
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
from tests.db.conftest import NOW, make_room
from tests.db.journal_contract import entries

MASTERS = {"a": b"m" * 32}


async def open_sealed(database: Database, masters: dict[str, bytes] | None = None) -> SqlJournal:
    """The journal of one process, with the keys there are; the first makes one, and the room."""
    made = await database.write(lambda conn: insert_first_key(conn, make_key(MASTERS, NOW)))
    return open_journal(database, VaultCipher(masters or MASTERS, made))


async def change(database: Database, *, to_plain: bool = False) -> str | None:
    now = datetime.now(UTC)
    key = None if to_plain else make_key(MASTERS, now)
    await database.write(lambda conn: change_key(conn, key, now))
    return None if key is None else key.id


async def rows(database: Database) -> list[tuple[int, str | None, bytes]]:
    table = room_updates.c
    asked = select(table.seq, table.key_id, table.update_bytes).order_by(table.seq)
    return await database.read(lambda conn: [(row[0], row[1], row[2]) for row in conn.execute(asked)])


async def test_what_is_written_after_a_change_is_under_the_new_key(both: Database) -> None:
    """Z3 Z4: by processes that were not told, rows and checkpoints; and by one that has to write plain."""
    one, two = await open_sealed(both), await open_sealed(both)
    await both.write(lambda conn: make_room(conn, "r"))
    assert await one.append("r", 1, entries(b"a", b"b")) == 2
    assert await one.append("r", 1, entries(b"c")) == 3
    new = await change(both)
    assert await two.append("r", 1, entries(b"d")) == 4
    assert await one.append("r", 1, [Entry(b"e", "ada", {1: Owner("ada")})]) == 5
    assert [row[1] == new for row in await rows(both)] == [False, False, False, True, True]
    assert (await one.load("r")).updates == (b"a", b"b", b"c", b"d", b"e")
    newer = await change(both)
    assert await one.checkpoint("r", 1, after_seq=0, seq=4, state=b"abcd")
    states = await both.read(lambda conn: list(conn.execute(select(canvas_states.c.key_id)).scalars()))
    assert states == [newer]
    assert (await two.load("r")).checkpoint == b"abcd"
    assert (await two.read("r", 1, 4)).updates == (b"e",)
    await change(both, to_plain=True)
    assert await two.append("r", 1, entries(b"f")) == 6
    assert (await rows(both))[-1] == (6, None, b"f")
    assert (await one.load("r")).updates == (b"e", b"f")


async def test_two_processes_write_one_room_under_their_own_numbers(both: Database) -> None:
    """Z2: each is sealed for the number it gets, whoever was there before, also under changing keys."""
    await both.write(lambda conn: make_room(conn, "r"))
    written = dict.fromkeys((b"x", b"y"), 0)

    async def write(journal: SqlJournal, name: bytes) -> None:
        for number in range(15):
            await journal.append("r", 1, entries(b"%s%d" % (name, number), b"+"))
            written[name] += 1

    async def turn() -> None:
        for _ in range(4):
            await change(both)
            # no more often than KEY_CHANGES says: each writes something in between
            had = dict(written)
            while any(written[name] == had[name] < 15 for name in had):
                await asyncio.sleep(0.001)

    async with open_database(both.url) as other:
        journals = [await open_sealed(both), await open_sealed(as_system(other))]
        await asyncio.gather(*map(write, journals, (b"x", b"y")), turn())
        for journal in journals:
            found = await journal.load("r")
            assert found.seq == 60
            for name in (b"x", b"y"):
                own = [one for one in found.updates if one.startswith(name)]
                assert own == [b"%s%d" % (name, number) for number in range(15)]


async def test_edits_are_looked_at_opened(both: Database) -> None:
    """Z1 Z3: with a key that who looks has not seen."""
    one, two = await open_sealed(both), await open_sealed(both)
    await both.write(lambda conn: make_room(conn, "r"))
    await one.append("r", 1, entries(b"a"))
    await change(both)
    await two.append("r", 1, entries(b"b"))
    seen: list[Sequence[bytes]] = []

    def fits(found: Sequence[bytes]) -> bool:
        seen.append(list(found))
        return True

    assert await one.append("r", 1, entries(b"c"), Basis(0, fits)) == 3
    assert seen == [[b"a", b"b"]]


@pytest.mark.parametrize("column", ["seq", "epoch", "room_id"])
async def test_a_row_that_was_moved_does_not_open(both: Database, column: str) -> None:
    """Z2."""
    journal = await open_sealed(both)
    await both.write(lambda conn: [make_room(conn, room) for room in ("r", "s")])
    await journal.append("r", 1, entries(b"a", b"b"))
    await journal.append("s", 1, entries(b"c"))

    def spoil(conn: Connection) -> None:
        table = room_updates.c
        at = (table.room_id == "r", table.seq == 2)
        if column == "epoch":
            conn.execute(update(room_updates).where(*at).values(epoch=9))
            return
        source = ("r", 1) if column == "seq" else ("s", 1)
        other = select(table.update_bytes).where(table.room_id == source[0], table.seq == source[1])
        data = conn.execute(other).scalar_one()
        conn.execute(update(room_updates).where(*at).values(update_bytes=data))

    await both.write(spoil)
    for attempt in (journal.load("r"), journal.read("r", 1, 0)):
        with pytest.raises(Damaged, match="update 2 of room r"):
            await attempt
    assert (await journal.load("s")).updates == (b"c",)


async def test_without_the_keys_nothing_is_read_or_written(both: Database) -> None:
    """Z3: what one wrote with a key that another can't unwrap; nothing goes plain instead."""
    journal = await open_sealed(both)
    await both.write(lambda conn: make_room(conn, "r"))
    await journal.append("r", 1, entries(b"a"))
    plain, stranger = open_journal(both), await open_sealed(both, {"b": b"z" * 32})
    for other in (plain, stranger):
        with pytest.raises(KeyMissing):
            await other.load("r")
    with pytest.raises(KeyMissing, match="master key a, which is not in"):
        await stranger.append("r", 1, entries(b"b"))
    assert len(await rows(both)) == 1
    with pytest.raises(KeyMissing):
        await stranger.checkpoint("r", 1, after_seq=0, seq=1, state=b"a")


async def test_a_key_in_use_is_not_forgotten(both: Database) -> None:
    """Z7: and of two processes that start at once one makes the first."""
    made = [make_key(MASTERS, NOW + timedelta(seconds=number)) for number in range(4)]
    answers = await asyncio.gather(
        *(both.write(lambda conn, key=key: insert_first_key(conn, key)) for key in made)
    )
    found: list[DataKey] = await both.read(list_keys)
    assert len(found) == 1
    assert answers == [found] * 4
    assert not await both.write(lambda conn: delete_key(conn, found[0].id))
    await change(both)
    assert await both.write(lambda conn: delete_key(conn, found[0].id))
    assert not await both.write(lambda conn: delete_key(conn, found[0].id))


async def test_a_sealed_append_goes_by_the_keys_and_reads_no_table(server_database: PostgresDatabase) -> None:
    """Z4: the look at the key is part of the one statement."""
    journal = await open_sealed(server_database)
    await server_database.write(lambda conn: make_room(conn, "r"))
    await journal.append("r", 1, entries(b"a"))

    async def explain(driver: Any) -> str:
        async with driver.transaction():
            await driver.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            types = (
                "text[], int4[], int8[], int8[], text[], int4[], int8[], text[], bytea[], timestamptz, text"
            )
            await driver.execute(f"PREPARE sealed ({types}) AS {_APPEND_SEALED}")
            found = await driver.fetch(
                "EXPLAIN EXECUTE sealed ('{r}', '{1}', '{1}', '{9}', '{r}', '{1}', '{1}', '{ada}', '{a}',"
                " now(), 'k')"
            )
            await driver.execute("DEALLOCATE sealed")
        return "\n".join(row[0] for row in found)

    plan = await server_database.run_in_lane(0, explain)
    assert "Seq Scan" not in plan, plan
    assert "pk_data_keys" in plan

"""How PostgresJournal groups, who keeps whom out, and what is left when a commit fails for real."""

import asyncio
import os
import random
import signal
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from db import grouping
from db.postgres import PostgresDatabase
from db.postgres_journal import _APPEND, PostgresJournal
from db.scopes import as_system
from db.tails import read_tail
from party.errors import RoomMoved, RoomNotFound, Unavailable
from party.ports import Entry, Owner
from tests.db.conftest import make_room
from tests.db.journal_contract import entries
from tests.db.test_journal_processes import acknowledged, start_appender


@pytest.fixture
def database(server_database: PostgresDatabase) -> PostgresDatabase:
    return server_database


@pytest.fixture
def journal(database: PostgresDatabase) -> PostgresJournal:
    return PostgresJournal(database)


async def make_rooms(database: PostgresDatabase, *names: str) -> None:
    await as_system(database).write(lambda connection: [make_room(connection, name) for name in names])


async def run_sql(database: PostgresDatabase, *statements: str) -> None:
    await as_system(database).write(
        lambda connection: [connection.exec_driver_sql(statement) for statement in statements]
    )


async def test_rooms_that_wait_together_share_a_commit(server_url: str) -> None:
    names = [f"r{n}" for n in range(50)]
    async with PostgresDatabase(server_url, lanes=1) as database:
        await make_rooms(database, *names)
        journal = PostgresJournal(database)
        await journal.append("r0", 1, entries(b"a"))
        count = "SELECT count(DISTINCT xmin::text) FROM room_updates WHERE seq = 2 OR room_id <> 'r0'"
        await asyncio.gather(*(journal.append(name, 1, entries(b"a", b"b")) for name in names))
        assert await as_system(database).read(lambda c: c.exec_driver_sql(count).scalar_one()) == 1


async def test_one_rooms_failure_is_its_own_and_leaves_nothing(server_url: str) -> None:
    """J2."""
    async with PostgresDatabase(server_url, lanes=1) as database:
        journal = PostgresJournal(database)
        await make_rooms(database, "good", "bad", "fine")
        assert await journal.append("bad", 1, entries(b"before")) == 1
        check = "ADD CONSTRAINT broken CHECK (room_id <> 'bad' OR seq % 2 = 1)"
        await run_sql(database, f"ALTER TABLE room_updates {check}")
        try:
            answers = await asyncio.gather(
                journal.append("good", 1, entries(b"a")),
                journal.append("bad", 1, entries(b"b", b"c", b"d")),
                journal.append("fine", 1, entries(b"e", b"f")),
                journal.append("good", 1, entries(b"g")),
                return_exceptions=True,
            )
        finally:
            await run_sql(database, "ALTER TABLE room_updates DROP CONSTRAINT broken")
        assert (answers[0], answers[2], answers[3]) == (1, 2, 2)
        assert type(answers[1]) is Unavailable
        assert (await journal.load("bad")).updates == (b"before",)
        assert await journal.append("bad", 1, entries(b"b", b"c", b"d")) == 4


async def test_a_room_that_somebody_holds_goes_with_the_next_commit(server_url: str) -> None:
    """J8: its neighbours do not wait for it."""
    async with PostgresDatabase(server_url, lanes=1) as database:
        journal = PostgresJournal(database)
        await make_rooms(database, "held", "free")
        holding, go_on = asyncio.Event(), asyncio.Event()

        async def hold(driver: Any) -> None:
            async with driver.transaction():
                await driver.execute("SELECT 1 FROM room_heads WHERE room_id = 'held' FOR UPDATE")
                holding.set()
                await go_on.wait()

        async with PostgresDatabase(server_url) as other:
            holder = asyncio.ensure_future(other.run_in_lane(0, hold))
            await holding.wait()
            first = journal.append("held", 1, entries(b"a", b"b"))
            second = journal.append("held", 1, entries(b"c"))
            assert await journal.append("free", 1, entries(b"d")) == 1
            assert await journal.append("free", 1, entries(b"e")) == 2
            assert not first.done()
            go_on.set()
            await holder
            assert (await first, await second) == (2, 3)
        assert (await journal.load("held")).updates == (b"a", b"b", b"c")


async def test_a_room_that_is_held_for_too_long_is_unavailable(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "PASSED_DEADLINE_S", 0.1)
    async with PostgresDatabase(server_url, lanes=1) as database:
        journal = PostgresJournal(database)
        await make_rooms(database, "held")

        async def hold(driver: Any) -> None:
            async with driver.transaction():
                await driver.execute("SELECT 1 FROM room_heads WHERE room_id = 'held' FOR UPDATE")
                with pytest.raises(Unavailable):
                    await journal.append("held", 1, entries(b"a"))

        async with PostgresDatabase(server_url) as other:
            await other.run_in_lane(0, hold)
        assert await journal.append("held", 1, entries(b"b")) == 1


async def test_somebody_elses_client_id_refuses_the_rooms_part_and_no_other(server_url: str) -> None:
    """J12: before anything is written; a group with claims of several rooms."""
    async with PostgresDatabase(server_url, lanes=1) as database:
        journal = PostgresJournal(database)
        await make_rooms(database, "r", "other")
        ada, bob = Owner("ada"), Owner("bob")
        await journal.append("r", 1, [Entry(b"a", "ada", {1: ada, 2: Owner("ada", is_relayed=True)})])
        answers = await asyncio.gather(
            journal.append("r", 1, [Entry(b"b", "bob", {3: bob})]),
            journal.append("other", 1, [Entry(b"c", "bob", {1: bob})]),
            journal.append("r", 1, [Entry(b"d", "bob", {1: bob, 2: bob})]),
            journal.append("gone", 1, [Entry(b"e", "bob", {1: bob})]),
            return_exceptions=True,
        )
        assert [type(one) for one in answers] == [RoomMoved, int, RoomMoved, RoomNotFound]
        stored = await journal.load("r")
        assert (stored.seq, stored.updates) == (1, (b"a",))
        assert stored.owners == {1: ada, 2: Owner("ada", is_relayed=True)}
        assert (await journal.load("other")).owners == {1: bob}
        # his own again, and the relayed one
        assert await journal.append("r", 1, [Entry(b"f", "ada", {1: ada})]) == 2
        assert await journal.append("r", 1, [Entry(b"g", "bob", {2: bob})]) == 3
        assert (await journal.load("r")).owners == {1: ada, 2: bob}


async def test_two_processes_that_claim_an_id_at_once_do_not_both_get_it(server_url: str) -> None:
    """J12: the second look is under the room's lock."""
    async with PostgresDatabase(server_url) as one, PostgresDatabase(server_url) as two:
        journals = [PostgresJournal(one), PostgresJournal(two)]
        await make_rooms(one, "r")
        # connections first
        await asyncio.gather(*(each.append("r", 1, entries(b"-")) for each in journals))
        taken = 0
        for client_id in range(40):
            answers = await asyncio.gather(
                *(
                    each.append("r", 1, [Entry(b"%d" % client_id, user, {client_id: Owner(user)})])
                    for each, user in zip(journals, ("ada", "bob"), strict=True)
                ),
                return_exceptions=True,
            )
            kinds = {type(answer) for answer in answers}
            assert kinds == {int, RoomMoved}
            taken += 1
        stored = await journals[0].load("r")
        assert stored.seq == taken + 2
        assert len(stored.owners) == 40


async def count_deadlocks(database: PostgresDatabase) -> int:
    asked = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(await database.read(lambda connection: connection.exec_driver_sql(asked).scalar_one()))


async def test_several_processes_write_to_the_same_rooms_in_any_order(server_url: str) -> None:
    """J8: no deadlocks, no gaps, every process's own rows in its order."""
    names = [f"r{n}" for n in range(12)]
    async with PostgresDatabase(server_url, lanes=2) as one, PostgresDatabase(server_url, lanes=1) as two:
        journals = [PostgresJournal(one), PostgresJournal(two)]
        await make_rooms(one, *names)
        # other tests of the same server make some
        before = await count_deadlocks(one)

        async def write(journal: PostgresJournal, who: int) -> None:
            order = random.Random(who).sample(names, len(names))
            for n in range(25):
                waiting = [journal.append(name, 1, entries(b"%d/%d" % (who, n))) for name in order]
                await asyncio.gather(*waiting)

        await asyncio.gather(*(write(journal, who) for who, journal in enumerate(journals)))
        for name in names:
            room = await journals[0].load(name)
            assert room.seq == 50
            for who in (0, 1):
                own = [update for update in room.updates if update.startswith(b"%d/" % who)]
                assert own == [b"%d/%d" % (who, n) for n in range(25)]
        assert await count_deadlocks(one) == before


async def test_of_two_checkpoints_at_once_one_is_taken_and_appends_go_on(
    database: PostgresDatabase, journal: PostgresJournal
) -> None:
    """J5."""
    await make_rooms(database, "r")
    for turn in range(5):
        after = turn * 3
        await journal.append("r", 1, entries(b"a", b"b", b"c"))
        answers = await asyncio.gather(
            *(journal.checkpoint("r", 1, after_seq=after, seq=after + 3, state=b"%d" % n) for n in range(4))
        )
        assert answers.count(True) == 1
        room = await journal.load("r")
        assert (room.checkpoint_seq, room.checkpoint) == (after + 3, b"%d" % answers.index(True))


async def test_what_was_acknowledged_survives_a_kill_of_the_process(
    server_url: str, database: PostgresDatabase, journal: PostgresJournal
) -> None:
    await make_rooms(database, "r")
    children = [await start_appender(server_url, "r", 0, prefix) for prefix in "ab"]
    output = [b"", b""]
    try:
        for n, child in enumerate(children):
            assert child.stdout is not None
            for _ in range(40):
                output[n] += await child.stdout.readline()
    finally:
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
    for n, child in enumerate(children):
        assert child.stdout is not None
        output[n] += await child.stdout.read()
        await child.wait()
    told = acknowledged(output[0]) | acknowledged(output[1])
    room = await journal.load("r")
    stored = dict(enumerate(room.updates, start=1))
    assert {seq: stored.get(seq) for seq in told} == told
    assert room.seq - len(told) in (0, 1, 2)


async def test_an_append_goes_by_the_keys_and_reads_no_table(
    database: PostgresDatabase, journal: PostgresJournal
) -> None:
    """Although statistics say that the tables are small, which would be so until the next ANALYZE."""
    await make_rooms(database, "r1", "r2")
    await journal.append("r1", 1, [Entry(b"a", "ada", {1: Owner("ada")})])
    await run_sql(database, "ANALYZE")

    async def explain(driver: Any) -> str:
        async with driver.transaction():
            await driver.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await driver.execute(
                "PREPARE one (text[], int4[], int8[], int8[], text[], int4[], int8[], text[], bytea[],"
                f" timestamptz) AS {_APPEND}"
            )
            rows = await driver.fetch(
                "EXPLAIN EXECUTE one ('{r1}', '{1}', '{1}', '{9}', '{r1}', '{1}', '{1}', '{ada}', '{a}',"
                " now())"
            )
            await driver.execute("DEALLOCATE one")
        return "\n".join(row[0] for row in rows)

    plan = await database.run_in_lane(0, explain)
    assert "Seq Scan" not in plan, plan
    assert "pk_room_heads" in plan


async def test_a_large_tail_has_more_time(database: PostgresDatabase, journal: PostgresJournal) -> None:
    """B4, J9: a small one does not."""
    await make_rooms(database, "r1")
    await journal.append("r1", 1, entries(bytes(4 * 1024 * 1024), b"small"))

    def limit_after(connection: Connection, after_seq: int) -> timedelta:
        read_tail(connection, "r1", 1, after_seq)
        found = connection.exec_driver_sql("SELECT current_setting('statement_timeout')::interval")
        return found.scalar_one()  # type: ignore[no-any-return]

    usual = await database.read(partial(limit_after, after_seq=1))
    longer = await database.read(partial(limit_after, after_seq=0))
    assert longer >= usual + timedelta(seconds=1)

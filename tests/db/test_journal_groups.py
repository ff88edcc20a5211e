"""How SqlJournal groups, and what is left when a commit fails for real."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from db import grouping
from db.database import Database
from db.errors import DatabaseDown
from db.journal import SqlJournal
from db.scopes import as_system
from db.sqlite import SqliteDatabase
from party.errors import Unavailable
from party.ports import Entry
from tests.db.conftest import PATIENCE_S, make_room
from tests.db.journal_contract import entries

T = TypeVar("T")


class Counted:
    """The database, and how many transactions were asked of it."""

    def __init__(self, database: Database) -> None:
        self.url = database.url
        self.writes = 0
        self._database = database

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.writes += 1
        return await self._database.write(work)


async def make_rooms(database: Database, *names: str) -> None:
    def work(connection: Connection) -> None:
        for name in names:
            make_room(connection, name)

    await as_system(database).write(work)


def run_sql(path: Path, sql: str) -> None:
    """From a second connection, as another process would."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def break_room(path: Path, room_id: str) -> None:
    run_sql(
        path,
        f"CREATE TRIGGER broken BEFORE INSERT ON room_updates WHEN NEW.room_id = '{room_id}'"
        " AND NEW.seq % 2 = 0 BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END",
    )


async def test_rooms_that_wait_together_share_a_commit(database: Database) -> None:
    names = [f"r{n}" for n in range(50)]
    await make_rooms(database, *names)
    counted = Counted(database)
    journal = SqlJournal(counted)
    await asyncio.gather(*(journal.append(name, 1, entries(b"a")) for name in names))
    assert counted.writes == 1


async def test_callers_gather_while_a_commit_runs(database: Database) -> None:
    names = [f"r{n}" for n in range(30)]
    await make_rooms(database, *names)
    counted = Counted(database)
    journal = SqlJournal(counted)
    go_on = threading.Event()
    blocker = asyncio.ensure_future(database.write(lambda _: go_on.wait(PATIENCE_S)))
    first = asyncio.ensure_future(journal.append("r0", 1, entries(b"a")))
    await asyncio.sleep(0.02)
    others = [asyncio.ensure_future(journal.append(name, 1, entries(b"b"))) for name in names]
    await asyncio.sleep(0.02)
    go_on.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2] + [1] * 29
    assert counted.writes == 2
    assert await blocker


async def test_a_group_is_bounded_in_rows_and_bytes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"r{n}" for n in range(6)]
    await make_rooms(database, *names)
    counted = Counted(database)
    journal = SqlJournal(counted)
    await asyncio.gather(*(journal.append(name, 1, entries(*[b"a"] * 500)) for name in names))
    assert counted.writes == 3
    monkeypatch.setattr(grouping, "GROUP_BYTES", 10_000)
    await asyncio.gather(*(journal.append(name, 1, entries(b"b" * 20_000)) for name in names))
    assert counted.writes == 3 + 6


async def test_too_many_waiting_bytes_are_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_rooms(database, "r")
    monkeypatch.setattr(grouping, "WAITING_BYTES", 10)
    journal = SqlJournal(database)
    answers = await asyncio.gather(
        *(journal.append("r", 1, entries(b"a" * 20)) for _ in range(2)), return_exceptions=True
    )
    assert answers[0] == 1
    assert isinstance(answers[1], Unavailable)
    assert await journal.append("r", 1, entries(b"b")) == 2


async def test_an_empty_append_is_a_mistake(database: Database) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await SqlJournal(database).append("r", 1, [])


async def test_one_rooms_failure_is_its_own_and_leaves_nothing(database: Database, path: Path) -> None:
    await make_rooms(database, "good", "bad", "fine")
    journal = SqlJournal(database)
    assert await journal.append("bad", 1, entries(b"before")) == 1
    break_room(path, "bad")
    # The first row of the bad batch is taken by the statement, the second is not: all or none.
    answers = await asyncio.gather(
        journal.append("good", 1, entries(b"a")),
        journal.append("bad", 1, entries(b"b", b"c", b"d")),
        journal.append("fine", 1, entries(b"e", b"f")),
        journal.append("good", 1, entries(b"g")),
        return_exceptions=True,
    )
    assert answers[0] == 1
    assert (answers[2], answers[3]) == (2, 2)
    failure = answers[1]
    assert type(failure) is Unavailable
    assert isinstance(failure.__cause__, sqlite3.IntegrityError)
    bad = await journal.load("bad")
    assert (bad.seq, bad.updates) == (1, (b"before",))
    assert (await journal.load("good")).updates == (b"a", b"g")

    run_sql(path, "DROP TRIGGER broken")
    assert await journal.append("bad", 1, entries(b"b", b"c", b"d")) == 4
    assert (await journal.load("bad")).updates == (b"before", b"b", b"c", b"d")


async def test_a_full_disk_fails_who_needs_room_and_nobody_else(database: Database) -> None:
    await make_rooms(database, "small", "large")
    journal = SqlJournal(database)
    await journal.append("small", 1, entries(b"a"))
    await journal.append("large", 1, entries(b"a"))

    def limit(connection: Connection, spare: int) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + spare}")

    await database.write(lambda connection: limit(connection, 4))
    huge = entries(b"x" * 500_000)
    answers = await asyncio.gather(
        journal.append("large", 1, huge), journal.append("small", 1, entries(b"b")), return_exceptions=True
    )
    assert type(answers[0]) is Unavailable
    assert "full" in str(answers[0])
    assert answers[1] == 2
    large = await journal.load("large")
    assert (large.seq, large.updates) == (1, (b"a",))

    await database.write(lambda connection: limit(connection, 1_000_000))
    assert await journal.append("large", 1, huge) == 2


async def test_a_checkpoint_deletes_exactly_the_rows_it_covers(database: Database, path: Path) -> None:
    await make_rooms(database, "r", "other")
    journal = SqlJournal(database)
    for name in ("r", "other"):
        await journal.append(name, 1, entries(b"a", b"b", b"c"))
    assert await journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
    assert await journal.checkpoint("r", 1, after_seq=2, seq=3, state=b"abc")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT room_id, seq FROM room_updates ORDER BY seq").fetchall()
        states = connection.execute("SELECT room_id, seq, epoch, state FROM canvas_states").fetchall()
    assert rows == [("other", 1), ("other", 2), ("other", 3)]
    assert states == [("r", 3, 1, b"abc")]


async def test_a_failed_checkpoint_leaves_the_rows(database: Database, path: Path) -> None:
    await make_rooms(database, "r")
    journal = SqlJournal(database)
    await journal.append("r", 1, entries(b"a", b"b"))
    run_sql(
        path,
        "CREATE TRIGGER broken BEFORE DELETE ON room_updates BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
    )
    with pytest.raises(Unavailable):
        await journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
    room = await journal.load("r")
    assert (room.checkpoint_seq, room.checkpoint, room.updates) == (0, None, (b"a", b"b"))


async def test_rows_that_are_missing_are_never_passed_off_as_the_room(database: Database, path: Path) -> None:
    await make_rooms(database, "r")
    journal = SqlJournal(database)
    await journal.append("r", 1, entries(b"a", b"b", b"c"))
    run_sql(path, "DELETE FROM room_updates WHERE seq = 2")
    with pytest.raises(Unavailable, match="gap"):
        await journal.load("r")


async def test_a_database_that_is_busy_too_long_fails_the_whole_group_once(url: str, path: Path) -> None:
    async with SqliteDatabase(url, busy_s=0.2) as database:
        names = [f"r{n}" for n in range(20)]
        await make_rooms(database, *names)
        counted = Counted(database)
        journal = SqlJournal(counted)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = await asyncio.gather(
                *(journal.append(name, 1, entries(b"a")) for name in names), return_exceptions=True
            )
            assert {type(answer) for answer in answers} == {DatabaseDown}
            assert counted.writes == 1
            other.execute("ROLLBACK")
        assert await asyncio.gather(*(journal.append(name, 1, entries(b"a")) for name in names)) == [1] * 20


async def test_a_database_that_is_busy_for_a_moment_is_waited_for(database: Database, path: Path) -> None:
    await make_rooms(database, "r")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(SqlJournal(database).append("r", 1, entries(b"a")))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert await waiting == 1


async def test_when_the_database_closes_nobody_waits_for_ever(url: str) -> None:
    async with SqliteDatabase(url) as database:
        await make_rooms(database, "r")
        journal = SqlJournal(database)
        waiting = asyncio.ensure_future(journal.append("r", 1, entries(b"a")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await waiting == 1
    with pytest.raises(Unavailable):
        await journal.append("r", 1, entries(b"b"))


def test_when_the_loop_ends_in_a_commit_the_callers_are_told(url: str) -> None:
    async def main() -> list[asyncio.Task[int]]:
        async with SqliteDatabase(url) as database:
            await make_rooms(database, "r", "s")
            journal = SqlJournal(database)
            go_on = threading.Event()
            blocker = asyncio.ensure_future(as_system(database).write(lambda _: go_on.wait(PATIENCE_S)))
            waiting = [asyncio.ensure_future(journal.append(name, 1, [Entry(b"a", "ada")])) for name in "rs"]
            await asyncio.sleep(0.02)
            (committer,) = (task for task in asyncio.all_tasks() if task.get_name() == "journal-committer")
            committer.cancel()
            await asyncio.wait(waiting, timeout=PATIENCE_S)
            go_on.set()
            await blocker
            assert await journal.append("r", 1, entries(b"b")) in (1, 2)
            return waiting

    for task in asyncio.run(main()):
        assert isinstance(task.exception(), Unavailable)

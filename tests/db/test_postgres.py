"""Transactions, cancelling, deadlines and errors of PostgresDatabase; and a server that goes away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asyncpg import TooManyConnectionsError
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from db.database import Database, open_database
from db.deadlines import allow_time
from db.errors import DatabaseDown
from db.migrate import upgrade
from db.postgres import PostgresDatabase, connect
from db.postgres_journal import PostgresJournal
from db.scopes import as_system
from db.tables import rooms, users
from db.users import find_user, put_user
from party.errors import Conflict, Invalid, Unavailable
from tests.backends.postgres import ROLE, Postgres, open_postgres
from tests.db.conftest import NOW, PATIENCE_S, make_room
from tests.db.journal_contract import entries


@pytest.fixture
def database(server_database: PostgresDatabase) -> PostgresDatabase:
    return server_database


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(users.c.name).order_by(users.c.name)).scalars())


def put(connection: Connection, name: str) -> None:
    put_user(connection, name.lower(), name, NOW)


def pause(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SELECT pg_sleep({seconds})")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def nobody_is_at_work(database: Database) -> None:
    """Wait until no other session has a transaction; one that was left open would be there for ever."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    async with asyncio.timeout(PATIENCE_S / 2):
        while await database.read(lambda connection: connection.exec_driver_sql(query).scalar_one()):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def hasty(url: str, timeout_s: float, *, pool: int = 8) -> AsyncIterator[PostgresDatabase]:
    """A database that gives up soon. It is opened again when the machine was too busy for that already."""
    async with AsyncExitStack() as opened:
        database: PostgresDatabase | None = None
        while database is None:
            with suppress(Unavailable):
                database = await opened.enter_async_context(
                    PostgresDatabase(url, timeout_s=timeout_s, pool=pool)
                )
        yield database


# -- transactions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [Conflict("ours"), ValueError("a bug"), KeyboardInterrupt("not even an Exception")]
)
async def test_an_error_rolls_back_and_passes_as_it_is(
    database: PostgresDatabase, error: BaseException
) -> None:
    def work(connection: Connection) -> None:
        put(connection, "Ada")
        raise error

    with pytest.raises(type(error)) as caught:
        await database.write(work)
    assert caught.value is error
    assert await database.read(names) == []
    await database.write(partial(put, name="Bob"))
    assert await database.read(names) == ["Bob"]


async def test_a_drivers_error_is_unavailable_with_its_cause_and_without_values(
    database: PostgresDatabase,
) -> None:
    def work(connection: Connection) -> None:
        connection.execute(users.insert().values(id="a secret", name=None, created_at=NOW, seen_at=NOW))

    with pytest.raises(Unavailable) as caught:
        await database.write(work)
    assert type(caught.value) is Unavailable
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert "secret" not in str(caught.value)


async def test_a_read_is_one_snapshot_and_cannot_write(database: PostgresDatabase) -> None:
    looked = asyncio.Event()

    def work(connection: Connection) -> tuple[list[str], list[str]]:
        before = names(connection)
        looked.set()
        pause(connection, 0.2)
        return before, names(connection)

    reading = asyncio.ensure_future(database.read(work))
    await looked.wait()
    await database.write(partial(put, name="Ada"))
    assert await reading == ([], [])
    with pytest.raises(Unavailable):
        await database.read(partial(put, name="Bob"))
    assert await database.read(names) == ["Ada"]


async def test_a_cancelled_write_completes_and_one_that_waits_does_not_start(server_url: str) -> None:
    async with PostgresDatabase(server_url, pool=1) as database:
        started = asyncio.Event()

        def slow(connection: Connection) -> None:
            started.set()
            pause(connection, 0.1)
            put(connection, "Started")

        running = asyncio.ensure_future(as_system(database).write(slow))
        waiting = asyncio.ensure_future(as_system(database).write(partial(put, name="Waiting")))
        await started.wait()
        running.cancel()
        waiting.cancel()
        await asyncio.wait([running, waiting])
        await as_system(database).write(partial(put, name="Next"))
        assert await as_system(database).read(names) == ["Next", "Started"]


async def test_cancelling_again_and_again_leaves_no_transaction_open(database: PostgresDatabase) -> None:
    for turn in range(40):
        task = asyncio.ensure_future(database.write(partial(put, name=f"User {turn}")))
        await asyncio.sleep(turn * 0.0002)
        task.cancel()
        await asyncio.wait([task])
    await nobody_is_at_work(database)


async def test_who_waits_too_long_for_a_connection_is_told(server_url: str) -> None:
    async with hasty(server_url, 2, pool=1) as database:
        began, ends = ([asyncio.Event() for _ in range(2)] for _ in range(2))

        def hold(connection: Connection, n: int) -> None:
            # it is the wait for the connection that takes too long, and no transaction
            allow_time(connection, 100 * 1024 * 1024)
            began[n].set()
            await_only(ends[n].wait())

        both = [asyncio.ensure_future(as_system(database).read(partial(hold, n=n))) for n in range(2)]
        third = asyncio.ensure_future(as_system(database).read(names))
        await began[0].wait()
        ends[0].set()
        with pytest.raises(DatabaseDown):
            await third
        assert began[1].is_set()
        ends[1].set()
        await asyncio.gather(*both)
        assert await as_system(database).read(names) == []


async def test_a_statement_that_takes_too_long_ends_on_the_server_too(server_url: str) -> None:
    # who looks has the usual time: on a busy machine a look takes longer than what is given up here
    async with PostgresDatabase(server_url) as other, hasty(server_url, 0.3) as database:
        with pytest.raises(Unavailable):
            await as_system(database).read(partial(pause, seconds=PATIENCE_S))
        await nobody_is_at_work(as_system(other))


async def test_a_large_document_has_more_time(server_url: str) -> None:
    """J9: as long as a slow line needs, on both sides; the next transaction has the usual time again."""
    async with hasty(server_url, 0.3) as database:

        def slow(connection: Connection, size_bytes: int) -> None:
            allow_time(connection, size_bytes)
            pause(connection, 0.6)

        await as_system(database).write(partial(slow, size_bytes=40 * 1024 * 1024))
        with pytest.raises(Unavailable):
            await as_system(database).write(partial(slow, size_bytes=1000))
        with pytest.raises(Unavailable):
            await as_system(database).write(partial(pause, seconds=0.6))


async def test_close_finishes_what_is_queued(server_url: str) -> None:
    async with PostgresDatabase(server_url, pool=2) as database:
        waiting = [
            asyncio.ensure_future(as_system(database).write(partial(put, name=f"User {n:02d}")))
            for n in range(20)
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    with pytest.raises(DatabaseDown):
        await as_system(database).read(names)
    async with PostgresDatabase(server_url) as database:
        assert len(await as_system(database).read(names)) == 20


async def test_what_others_spoil_is_run_again(database: PostgresDatabase) -> None:
    """J10: a look and an insert, with another insert in between; the closure sees it the second time."""
    runs = 0
    looked, spoilt = asyncio.Event(), asyncio.Event()

    def work(connection: Connection) -> str:
        nonlocal runs
        runs += 1
        known = find_user(connection, "ada")
        if known is not None:
            return known.name
        if runs == 1:
            looked.set()
            await_only(spoilt.wait())
        connection.execute(users.insert().values(id="ada", name="Mine", created_at=NOW, seen_at=NOW))
        return "Mine"

    writing = asyncio.ensure_future(database.write(work))
    await looked.wait()
    await database.write(lambda connection: put_user(connection, "ada", "Theirs", NOW))
    spoilt.set()
    assert await writing == "Theirs"
    assert runs == 2


# -- values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 of one"])
async def test_text_that_cannot_be_stored_is_refused(database: PostgresDatabase, text: str) -> None:
    """J11."""
    with pytest.raises(Invalid):
        await database.write(lambda connection: put_user(connection, "ada", text, NOW))
    with pytest.raises(Invalid):
        await database.read(lambda connection: find_user(connection, text))
    assert await database.read(names) == []


async def test_a_number_that_is_too_large_is_refused_alone(database: PostgresDatabase) -> None:
    await database.write(partial(make_room, room_id="r"))
    with pytest.raises(Unavailable) as caught:
        await database.write(lambda c: c.execute(rooms.update().values(epoch=2**40)).close())
    assert type(caught.value) is Unavailable


async def test_text_is_in_the_order_of_its_bytes(database: PostgresDatabase) -> None:
    """J11: whatever the language of the database."""
    ids = ["a", "B", "b", "Z", "é", "_", "-", "aa", "a b", "ä"]
    await database.write(lambda c: [put_user(c, one, one, NOW) for one in ids])
    ordered = select(users.c.id).order_by(users.c.id)
    found = await database.read(lambda connection: connection.execute(ordered).scalars().all())
    assert found == sorted(ids, key=lambda one: one.encode())


# -- opening ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["database", "user", "server"])
async def test_what_cannot_be_opened_is_said_without_a_password(server_url: str, what: str) -> None:
    folder, _, name = server_url.replace("kanvas@", "kanvas:s3cret@").rpartition("/")
    url = {
        "database": f"{folder}/nowhere",
        "user": f"{folder.replace('kanvas:', 'nobody:')}/{name}",
        "server": "postgresql://ada:s3cret@127.0.0.1:1/kanvas",
    }[what]
    with pytest.raises(DatabaseDown) as caught:
        async with open_database(url):
            pass
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert ("no database of the name" in str(caught.value)) == (what == "database")


# -- a server that goes away ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that tests may stop."""
    with open_postgres() as server:
        url = server.create()
        upgrade(url)
        yield server


@pytest.fixture
def fragile_url(server: Postgres) -> str:
    server.sql("DELETE FROM rooms; DELETE FROM users", f"test_{os.getpid()}_{server._made}")
    return server.url(f"test_{os.getpid()}_{server._made}")


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """The whole server hangs: the kernel still takes connections, nobody answers."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    pids = [server.pid, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def back_after_s(database: PostgresDatabase, journal: PostgresJournal) -> float:
    began = time.monotonic()
    while True:
        try:
            await as_system(database).write(partial(put, name="Back"))
            await journal.append("r", 1, entries(b"back"))
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - began


async def test_a_crash_of_the_server_is_unavailable_and_over_when_it_is_back(
    server: Postgres, fragile_url: str
) -> None:
    """J9."""
    async with PostgresDatabase(fragile_url) as database:
        journal = PostgresJournal(database)
        await as_system(database).write(partial(make_room, room_id="r"))
        await asyncio.gather(*(as_system(database).read(names) for _ in range(8)))
        assert await journal.append("r", 1, entries(b"a")) == 1
        started = asyncio.Event()

        def hold(connection: Connection) -> None:
            started.set()
            pause(connection, PATIENCE_S)

        held = asyncio.ensure_future(as_system(database).read(hold))
        await started.wait()
        await asyncio.to_thread(server.crash)
        try:
            answers = await asyncio.gather(
                held,
                as_system(database).write(partial(put, name="Ada")),
                as_system(database).read(names),
                journal.append("r", 1, entries(b"b")),
                return_exceptions=True,
            )
            assert {type(one) for one in answers} == {DatabaseDown}
        finally:
            await asyncio.to_thread(server.start)
        assert await back_after_s(database, journal) < PATIENCE_S
        assert (await journal.load("r")).updates == (b"a", b"back")
        assert await as_system(database).read(names) == ["Ada", "Back"]


async def test_a_server_that_hangs_costs_a_deadline_and_works_when_it_goes_on(
    server: Postgres, fragile_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J9: what was sent meanwhile may have been done, so it is Unavailable, and done twice is harmless."""
    monkeypatch.setattr("db.postgres.CONNECT_S", 3.0)
    async with hasty(fragile_url, 3) as database:
        journal = PostgresJournal(database)
        await as_system(database).write(partial(make_room, room_id="r"))
        assert await journal.append("r", 1, entries(b"a")) == 1
        with stopped(server):
            began = time.monotonic()
            answers = await asyncio.gather(
                *(as_system(database).write(partial(put, name="Ada")) for _ in range(12)),
                journal.append("r", 1, entries(b"b")),
                return_exceptions=True,
            )
            assert {type(one) for one in answers} == {DatabaseDown}
            assert time.monotonic() - began < PATIENCE_S
        assert await back_after_s(database, journal) < PATIENCE_S
        updates = (await journal.load("r")).updates
        assert updates[0] == b"a"
        assert {b"back"} <= set(updates[1:]) <= {b"b", b"back"}


async def test_sessions_that_were_ended_are_replaced_without_a_word(
    server: Postgres, fragile_url: str
) -> None:
    async with PostgresDatabase(fragile_url) as database:
        journal = PostgresJournal(database)
        await as_system(database).write(partial(make_room, room_id="r"))
        await asyncio.gather(*(as_system(database).read(partial(pause, seconds=0.05)) for _ in range(8)))
        await journal.append("r", 1, entries(b"a"))
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kanvas'")
        drivers = [*(slot.driver for slot in database._idle), *filter(None, database._lanes)]
        await until(lambda: all(driver.is_closed() for driver in drivers))
        await asyncio.gather(*(as_system(database).read(names) for _ in range(8)))
        assert await journal.append("r", 1, entries(b"b")) == 2


async def test_a_server_that_became_a_standby_is_left(server_url: str) -> None:
    """J9: its sessions go on, and would refuse every write for ever."""
    demote = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    async with PostgresDatabase(server_url, pool=1, lanes=1) as database:
        journal = PostgresJournal(database)
        await as_system(database).write(partial(make_room, room_id="r"))
        await journal.append("r", 1, entries(b"a"))
        await as_system(database).write(lambda connection: connection.exec_driver_sql(demote).close())
        await database.run_in_lane(0, lambda driver: driver.execute(demote))
        with pytest.raises(Unavailable):
            await as_system(database).write(partial(put, name="Ada"))
        with pytest.raises(Unavailable):
            await journal.append("r", 1, entries(b"b"))
        await as_system(database).write(partial(put, name="Ada"))
        assert await journal.append("r", 1, entries(b"b")) == 2


async def test_a_server_without_synchronous_commit_has_it_for_us(server: Postgres, fragile_url: str) -> None:
    """J1: what was told to be saved is on the disk."""
    server.sql("ALTER DATABASE " + fragile_url.rpartition("/")[2] + " SET synchronous_commit = off")
    async with PostgresDatabase(fragile_url) as database:
        show = "SHOW synchronous_commit"
        assert await as_system(database).read(lambda c: c.exec_driver_sql(show).scalar_one()) == "on"

        async def ask(driver: Any) -> Any:
            return await driver.fetchval(show)

        assert await database.run_in_lane(0, ask) == "on"


async def refuse(*_: object, **__: object) -> None:
    raise TooManyConnectionsError("sorry, too many clients already")


async def test_who_gets_no_connection_takes_one_that_another_is_done_with(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late the server says that it has none left: nobody else may be at work any more by then."""
    async with PostgresDatabase(server_url) as database:
        asked, done = asyncio.Event(), asyncio.Event()

        async def refuse_late(*_: object, **__: object) -> None:
            asked.set()
            await done.wait()
            await refuse()

        monkeypatch.setattr("db.postgres.connect", refuse_late)
        first, second = (asyncio.ensure_future(as_system(database).read(names)) for _ in range(2))
        await asked.wait()
        assert await first == []
        done.set()
        assert await second == []


async def test_edits_wait_for_the_connection_that_a_read_gives_up(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the server takes to notice that it is closed; where there is none they are told at once."""
    async with PostgresDatabase(server_url, lanes=2) as database:
        refusals = 3

        async def refuse_some(*options: Any, **more: Any) -> Any:
            nonlocal refusals
            if refusals:
                refusals -= 1
                await refuse()
            return await connect(*options, **more)

        monkeypatch.setattr("db.postgres.connect", refuse_some)
        assert await database.run_in_lane(0, lambda driver: driver.fetchval("SELECT 1")) == 1
        assert refusals == 0
        refusals = 1
        with pytest.raises(DatabaseDown):
            await database.run_in_lane(1, lambda driver: driver.fetchval("SELECT 1"))
        assert refusals == 0


async def test_a_server_with_few_connections_left_makes_people_wait_and_not_fail(
    postgres: Postgres, server_url: str
) -> None:
    """Two pools that together want more than there are share what there is; edits come before reads."""
    role = "few"
    postgres.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 5")
    url = server_url.replace(f"{ROLE}@", f"{role}@")
    async with PostgresDatabase(url, pool=8) as one, PostgresDatabase(url, pool=8) as other:

        async def read(database: PostgresDatabase) -> None:
            await database.read(partial(pause, seconds=0.002))

        for _ in range(3):
            await asyncio.gather(*(read(database) for database in (one, other) for _ in range(50)))
        assert await one.run_in_lane(0, lambda driver: driver.fetchval("SELECT 1")) == 1
    postgres.sql(f"DROP ROLE {role}")

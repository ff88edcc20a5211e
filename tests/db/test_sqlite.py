"""Transactions, threads and errors of SqliteDatabase."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from db.database import Database, open_database
from db.errors import DatabaseDown
from db.scopes import as_system
from db.sqlite import SqliteDatabase, sqlite_path
from db.tables import users
from db.users import find_user, put_user
from party.errors import Conflict, Invalid, Unavailable
from tests.db.conftest import NOW, PATIENCE_S


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(users.c.name).order_by(users.c.name)).scalars())


def put(connection: Connection, name: str) -> None:
    put_user(connection, name.lower(), name, NOW)


async def test_a_write_is_seen_by_the_next_read_and_by_other_processes(
    database: Database, path: Path
) -> None:
    await database.write(lambda connection: put(connection, "Ada"))
    assert await database.read(names) == ["Ada"]
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM users").fetchall() == [("Ada",)]


@pytest.mark.parametrize(
    "error", [Conflict("ours"), ValueError("a bug"), KeyboardInterrupt("not even an Exception")]
)
async def test_an_error_rolls_back_and_passes_as_it_is(database: Database, error: BaseException) -> None:
    def work(connection: Connection) -> None:
        put(connection, "Ada")
        raise error

    with pytest.raises(type(error)) as caught:
        await database.write(work)
    assert caught.value is error
    assert await database.read(names) == []
    await database.write(lambda connection: put(connection, "Bob"))
    assert await database.read(names) == ["Bob"]


async def test_a_drivers_error_is_unavailable_with_its_cause(database: Database) -> None:
    def work(connection: Connection) -> None:
        put(connection, "Ada")
        connection.exec_driver_sql("INSERT INTO users (id) VALUES ('a secret')")

    with pytest.raises(Unavailable) as caught:
        await database.write(work)
    assert type(caught.value) is Unavailable
    cause = caught.value.__cause__
    assert isinstance(cause, DBAPIError)
    assert isinstance(cause.orig, sqlite3.IntegrityError)
    assert await database.read(names) == []


async def test_error_texts_hold_no_values(database: Database) -> None:
    def work(connection: Connection) -> None:
        for _ in range(2):
            connection.execute(
                users.insert().values(id="a secret", name="secret", created_at=NOW, seen_at=NOW)
            )

    with pytest.raises(Unavailable) as caught:
        await database.write(work)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_select_and_the_insert_after_it_are_one_transaction(url: str, path: Path) -> None:
    """The driver's own handling would begin at the INSERT only, and another process could come between."""
    async with SqliteDatabase(url) as database:

        def work(connection: Connection) -> str:
            assert names(connection) == []
            with (
                closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
                pytest.raises(sqlite3.OperationalError, match="locked") as locked,
            ):
                other.execute("BEGIN IMMEDIATE")
            put(connection, "Ada")
            return str(locked.value)

        assert "locked" in await as_system(database).write(work)


async def test_a_read_is_one_snapshot(database: Database) -> None:
    looked, written = threading.Event(), threading.Event()

    def work(connection: Connection) -> tuple[list[str], list[str]]:
        before = names(connection)
        looked.set()
        assert written.wait(PATIENCE_S)
        return before, names(connection)

    reading = asyncio.ensure_future(database.read(work))
    assert await asyncio.to_thread(looked.wait, PATIENCE_S)
    await database.write(lambda connection: put(connection, "Ada"))
    written.set()
    assert await reading == ([], [])
    assert await database.read(names) == ["Ada"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.read(lambda connection: put(connection, "Ada"))
    assert await database.read(names) == []


async def test_writes_run_in_order_and_one_at_a_time(database: Database) -> None:
    seen: list[tuple[int, int]] = []

    def work(connection: Connection, n: int) -> None:
        seen.append((n, len(names(connection))))
        put(connection, f"User {n:02d}")

    await asyncio.gather(*(database.write(lambda c, n=n: work(c, n)) for n in range(30)))  # type: ignore[misc]
    assert seen == [(n, n) for n in range(30)]


async def test_a_cancelled_write_does_not_start_or_completes(database: Database) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        started.set()
        assert go_on.wait(PATIENCE_S)
        put(connection, "Started")

    running = asyncio.ensure_future(database.write(slow))
    waiting = asyncio.ensure_future(database.write(lambda connection: put(connection, "Waiting")))
    assert await asyncio.to_thread(started.wait, PATIENCE_S)
    running.cancel()
    waiting.cancel()
    await asyncio.wait([running, waiting])
    go_on.set()
    await database.write(lambda connection: put(connection, "Next"))
    assert await database.read(names) == ["Next", "Started"]


async def test_a_connection_that_broke_is_replaced(database: Database) -> None:
    def work(connection: Connection) -> None:
        names(connection)
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.close()

    for _ in range(3):
        with pytest.raises(DatabaseDown):
            await database.write(work)
        with pytest.raises(DatabaseDown):
            await database.read(work)
    await database.write(lambda connection: put(connection, "Bob"))
    assert await database.read(names) == ["Bob"]


async def test_close_finishes_what_is_queued_and_folds_the_wal(url: str, path: Path) -> None:
    async with SqliteDatabase(url) as database:
        waiting = [
            asyncio.ensure_future(as_system(database).write(lambda c, n=n: put(c, f"User {n:02d}")))  # type: ignore[misc]
            for n in range(20)
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert not path.with_name("kanvas.db-wal").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (20,)
    with pytest.raises(DatabaseDown, match="closed"):
        await as_system(database).write(lambda connection: put(connection, "Late"))
    await database.close()


async def test_the_settings_are_the_durable_ones(database: Database) -> None:
    def settings(connection: Connection) -> dict[str, object]:
        wanted = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "query_only")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}

    durable = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert await database.write(settings) == durable | {"query_only": 0}
    assert await database.read(settings) == durable | {"query_only": 1}


async def test_an_over_full_queue_refuses_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.threads.MAX_WAITING", 2)
    started, go_on = threading.Event(), threading.Event()

    def slow(_: Connection) -> None:
        started.set()
        assert go_on.wait(PATIENCE_S)

    running = asyncio.ensure_future(database.write(slow))
    assert await asyncio.to_thread(started.wait, PATIENCE_S)
    waiting = [asyncio.ensure_future(database.write(names)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(DatabaseDown, match="waiting"):
        await database.write(names)
    go_on.set()
    await asyncio.gather(running, *waiting)


async def test_what_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    no_database = tmp_path / "notes.txt"
    no_database.write_text("these are my notes, and they are quite long " * 100)
    for path, words in [
        (no_database, "not a SQLite database"),
        (tmp_path / "nowhere" / "k.db", "can't be opened"),
    ]:
        with pytest.raises(DatabaseDown, match=words):
            async with open_database(f"sqlite:///{path}"):
                raise AssertionError("opened")


@pytest.mark.parametrize(
    "url",
    ["", "postgresql://user:hush@host/db", "sqlite://", "sqlite:///:memory:", "sqlite:///k.db", "/tmp/k.db"],
)
def test_other_urls_are_refused_without_telling_their_secrets(url: str) -> None:
    with pytest.raises(Invalid, match="sqlite:///") as caught:
        sqlite_path(url)
    assert "hush" not in str(caught.value)


async def test_a_new_file_that_somebody_else_writes_to_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that start at once: SQLite waits for no lock while it switches to WAL."""
    path = tmp_path / "k.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN IMMEDIATE")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            if not pauses:
                other.execute("ROLLBACK")
            pauses.append(seconds)

        monkeypatch.setattr("db.sqlite.sleep", pause)
        async with SqliteDatabase(f"sqlite:///{path}") as database:
            assert await as_system(database).read(find_nothing) is None
        assert pauses
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "what? 100%20 & so#on.db"
    async with SqliteDatabase(f"sqlite:///{path}") as database:
        await as_system(database).write(
            lambda connection: connection.exec_driver_sql("CREATE TABLE t (a)").close()
        )
        assert await as_system(database).read(find_nothing) is None
    assert path.exists()


def find_nothing(connection: Connection) -> object:
    return connection.exec_driver_sql("SELECT * FROM t").first()


async def test_users_keep_their_first_day(database: Database) -> None:
    later = NOW.replace(year=2027)
    first = await database.write(lambda connection: put_user(connection, "ada", "Ada", NOW))
    second = await database.write(lambda connection: put_user(connection, "ada", "Ada L.", later))
    assert (first.name, first.created_at, first.seen_at) == ("Ada", NOW, NOW)
    assert (second.name, second.created_at, second.seen_at) == ("Ada L.", NOW, later)
    assert await database.read(lambda connection: find_user(connection, "ada")) == second
    assert await database.read(lambda connection: find_user(connection, "bob")) is None

"""A migrated database for each test, on SQLite or on both, and the rooms most of them start with."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db import grouping, postgres, threads
from db.chains import Seal
from db.database import Database, open_database
from db.migrate import upgrade
from db.postgres import PostgresDatabase
from db.rooms import insert_room
from db.scopes import Scoped, as_system
from db.sqlite import SqliteDatabase
from db.users import put_user
from party.ports import Schema

PATIENCE_S = 30.0
"""For whatever a test does not give a deadline of its own: on a busy machine all wait for each other."""
SEAL = Seal(b"a secret of thirty-two bytes ....")
NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up because the machine is busy."""
    for module, names in (
        (postgres, ("TIMEOUT_S", "CONNECT_S", "CLOSE_DEADLINE_S")),
        (threads, ("CLOSE_DEADLINE_S",)),
        (grouping, ("PASSED_DEADLINE_S",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, PATIENCE_S)
    for make, name in ((PostgresDatabase.__init__, "timeout_s"), (SqliteDatabase.__init__, "busy_s")):
        assert make.__kwdefaults__ is not None
        monkeypatch.setitem(make.__kwdefaults__, name, PATIENCE_S)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "kanvas.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def path(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "kanvas.db"))


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with open_database(url, seal=SEAL) as database:
        yield as_system(database)


@pytest.fixture
async def server_database(server_url: str) -> AsyncIterator[Scoped]:
    async with PostgresDatabase(server_url, seal=SEAL) as database:
        yield as_system(database)


@pytest.fixture(params=["url", "server_url"], ids=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """The test runs twice, on SQLite and on PostgreSQL."""
    url = request.getfixturevalue(request.param)
    async with open_database(url, seal=SEAL) as database:
        yield as_system(database)


def make_room(
    connection: Connection, room_id: str, *, schema: Schema = "canvas", creator_id: str = "ada"
) -> None:
    put_user(connection, creator_id, creator_id.title(), NOW)
    insert_room(
        connection,
        id=room_id,
        title=f"Room {room_id}",
        visibility="public",
        schema=schema,
        creator_id=creator_id,
        now=NOW,
    )

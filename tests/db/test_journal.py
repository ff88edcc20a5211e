"""The contract suite over all journals."""

from datetime import datetime

import pytest
from sqlalchemy import select

from db.database import Database
from db.journal import open_journal
from db.rooms import trash_room
from db.tables import rooms, tombstones
from party.memory import MemoryJournal
from party.ports import Schema
from tests.db.conftest import NOW, make_room
from tests.db.journal_contract import House, JournalContract


class MemoryHouse:
    def __init__(self) -> None:
        self.journal = MemoryJournal()

    async def create(self, room_id: str, schema: Schema = "canvas", epoch: int = 1) -> None:
        self.journal.create(room_id, schema, epoch)

    async def delete(self, room_id: str) -> None:
        self.journal.delete(room_id)

    async def tombstones(self, room_id: str) -> dict[str, datetime]:
        return self.journal.tombstones.get(room_id, {})


class SqlHouse:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.journal = open_journal(database)

    async def create(self, room_id: str, schema: Schema = "canvas", epoch: int = 1) -> None:
        await self.database.write(lambda connection: make_room(connection, room_id, schema=schema))
        await self.database.write(
            lambda connection: connection.execute(
                rooms.update().where(rooms.c.id == room_id).values(epoch=epoch)
            ).close()
        )

    async def delete(self, room_id: str) -> None:
        await self.database.write(lambda connection: trash_room(connection, room_id, now=NOW))

    async def tombstones(self, room_id: str) -> dict[str, datetime]:
        statement = select(tombstones.c.element_id, tombstones.c.deleted_at).where(
            tombstones.c.room_id == room_id
        )
        rows = await self.database.read(lambda connection: connection.execute(statement).all())
        return {row.element_id: row.deleted_at for row in rows}


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def house(self) -> House:
        return MemoryHouse()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def house(self, database: Database) -> House:
        return SqlHouse(database)


class TestPostgresJournal(JournalContract):
    @pytest.fixture
    def house(self, server_database: Database) -> House:
        return SqlHouse(server_database)

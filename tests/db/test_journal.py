"""The contract suite over all journals."""

from datetime import datetime

import pytest
from sqlalchemy import select

from db.cipher import Cipher
from db.database import Database
from db.journal import NO_CIPHER, open_journal
from db.keys import insert_first_key
from db.rooms import trash_room
from db.tables import rooms, tombstones
from party.memory import MemoryJournal
from party.ports import Schema
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
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
    def __init__(self, database: Database, cipher: Cipher = NO_CIPHER) -> None:
        self.database = database
        self.journal = open_journal(database, cipher)

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


async def sealed_house(database: Database) -> SqlHouse:
    masters = {"a": b"m" * 32}
    keys = await database.write(lambda connection: insert_first_key(connection, make_key(masters, NOW)))
    return SqlHouse(database, VaultCipher(masters, keys))


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


class TestSealedSqliteJournal(JournalContract):
    """Z1: encrypted, it is the same journal."""

    @pytest.fixture
    async def house(self, database: Database) -> House:
        return await sealed_house(database)


class TestSealedPostgresJournal(JournalContract):
    """Z1."""

    @pytest.fixture
    async def house(self, server_database: Database) -> House:
        return await sealed_house(server_database)

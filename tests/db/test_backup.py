"""Backups: consistent while somebody writes, complete or absent, never over anything."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.backup import backup_sqlite, publish
from db.database import Database, open_database
from db.journal import SqlJournal
from party.errors import Conflict, Unavailable
from tests.db.conftest import make_room
from tests.db.journal_contract import entries


async def test_a_backup_during_writes_is_a_database_with_a_whole_journal(
    database: Database, url: str, tmp_path: Path
) -> None:
    await database.write(lambda connection: make_room(connection, "r"))
    journal = SqlJournal(database)
    await journal.append("r", 1, entries(b"first"))
    stop = asyncio.Event()

    async def keep_writing() -> int:
        while not stop.is_set():
            await journal.append("r", 1, entries(b"x" * 2_000, b"y"))
        return (await journal.load("r")).seq

    writing = asyncio.ensure_future(keep_writing())
    target = tmp_path / "copy.db"
    await asyncio.to_thread(backup_sqlite, url, target)
    stop.set()
    written = await writing
    assert written > 1

    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]
    assert target.stat().st_mode & 0o077 == 0
    async with open_database(f"sqlite:///{target}") as copy:
        room = await SqlJournal(copy).load("r")
        # Batches of two after the first: never half of one.
        assert room.seq % 2 == 1
        assert 1 <= room.seq <= written
        assert await SqlJournal(copy).append("r", 1, entries(b"on")) == room.seq + 1


def test_nothing_is_overwritten(url: str, tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("mine")
    with pytest.raises(Conflict, match="never overwrites"):
        backup_sqlite(url, target)
    assert target.read_text() == "mine"
    dangling = tmp_path / "link.db"
    dangling.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(Conflict):
        backup_sqlite(url, dangling)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_target_that_appears_during_the_copy_is_kept(tmp_path: Path) -> None:
    copy, target = tmp_path / "copy.part", tmp_path / "copy.db"
    copy.write_text("copy")
    target.write_text("mine")
    with pytest.raises(Conflict):
        publish(copy, target)
    assert target.read_text() == "mine"
    target.unlink()
    publish(copy, target)
    assert target.read_text() == "copy"


def test_a_misspelt_database_is_no_empty_backup(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        backup_sqlite(f"sqlite:///{tmp_path / 'typo.db'}", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_not_copied_in_silence(path: Path, url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        # Fold the WAL, so that the damage below is what is read.
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(path.read_bytes())
    content[page_size : 3 * page_size] = b"\xa5" * (2 * page_size)
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="damaged"):
        backup_sqlite(url, tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == []


def test_a_folder_that_is_not_there_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="can't be written to"):
        backup_sqlite(url, tmp_path / "nowhere" / "copy.db")

"""server.visits: who came to which room, written together and on nobody's time."""

import asyncio
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db.database import open_database
from db.rooms import insert_room, list_participants, trash_room
from db.scopes import as_system
from db.users import find_user, put_user
from party.errors import Unavailable
from server.visits import open_visits

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def make_room(conn: Any, room_id: str) -> None:
    insert_room(
        conn, id=room_id, title="", visibility="unlisted", schema="canvas", creator_id="owner", now=NOW
    )


async def test_what_is_noted_is_there_at_the_end_and_a_deleted_room_keeps_nobody_out(
    tmp_path: Path, empty_database: Path
) -> None:
    """R1: one visit that can't be written is its own."""
    path = tmp_path / "kanvas.db"
    shutil.copy(empty_database, path)
    async with open_database(f"sqlite:///{path}") as database:
        await as_system(database).write(lambda conn: put_user(conn, "owner", "Owner", NOW))
        await as_system(database).write(lambda conn: make_room(conn, "kept"))
        await as_system(database).write(lambda conn: make_room(conn, "gone"))
        await as_system(database).write(lambda conn: trash_room(conn, "gone", now=NOW))
        writes = 0

        class Counted:
            """The database, counting."""

            read = database.read

            async def write(self, work):  # type: ignore[no-untyped-def]
                nonlocal writes
                writes += 1
                if writes == 1:
                    raise Unavailable
                return await as_system(database).write(work)

        async with open_visits(Counted(), lambda: NOW) as visits:  # type: ignore[arg-type]
            visits.note("kept", "lost", "Lost")
            await visits.write()
            for number in range(120):
                visits.note("gone" if number % 3 == 0 else "kept", f"u{number}", f"User {number}")
                visits.note("kept", "twice", "Twice")
        assert writes == 1 + 3
        there = await as_system(database).read(lambda conn: list_participants(conn, "kept"))
        assert len(there) == 80 + 1 + 1
        assert await as_system(database).read(lambda conn: find_user(conn, "lost")) is None


async def test_what_waits_for_its_turn_at_the_end_is_written(tmp_path: Path, empty_database: Path) -> None:
    """R1: the end cancels the writer while the database is busy with something else."""
    path = tmp_path / "kanvas.db"
    shutil.copy(empty_database, path)
    async with open_database(f"sqlite:///{path}") as database:
        await as_system(database).write(lambda conn: put_user(conn, "owner", "Owner", NOW))
        await as_system(database).write(lambda conn: make_room(conn, "kept"))
        is_asked, is_idle = asyncio.Event(), threading.Event()
        busy = asyncio.create_task(as_system(database).write(lambda _: is_idle.wait()))

        class Noticed:
            """The database, saying when it is asked."""

            read = database.read

            async def write(self, work):  # type: ignore[no-untyped-def]
                asyncio.get_running_loop().call_soon(is_asked.set)
                return await as_system(database).write(work)

        async with open_visits(Noticed(), lambda: NOW) as visits:  # type: ignore[arg-type]
            visits.note("kept", "ada", "Ada")
            await is_asked.wait()
            asyncio.get_running_loop().call_later(0.05, is_idle.set)
        await busy
        there = await as_system(database).read(lambda conn: list_participants(conn, "kept"))
        assert "ada" in {one.user_id for one in there}

"""Several processes on one file, and a process that ends at any instant (promises 1 and 7)."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import closing
from pathlib import Path

import pytest

from db.database import Database, open_database
from db.journal import SqlJournal
from db.scopes import as_system
from tests.db.conftest import make_room

ROOT = Path(__file__).parents[2]


async def start_appender(url: str, room_id: str, count: int, prefix: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.db.appender", url, room_id, str(count), prefix, cwd=ROOT, stdout=PIPE
    )


def acknowledged(output: bytes) -> dict[int, bytes]:
    """Whole lines only: of the last one a kill may have left a piece."""
    lines = output.split(b"\n")[:-1]
    return {int(seq): update for seq, update in (line.split(b" ") for line in lines)}


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_acknowledged_survives_a_kill(url: str, path: Path, seed: int) -> None:
    async with open_database(url) as database:
        await as_system(database).write(lambda connection: make_room(connection, "r"))
    lines = random.Random(seed).randrange(5, 300)
    child = await start_appender(url, "r", 0, "update-")
    assert child.stdout is not None
    output = b""
    try:
        for _ in range(lines):
            output += await child.stdout.readline()
    finally:
        os.kill(child.pid, signal.SIGKILL)
    output += await child.stdout.read()
    assert await child.wait() == -signal.SIGKILL

    told = acknowledged(output)
    assert len(told) >= lines
    async with open_database(url) as database:
        room = await SqlJournal(database).load("r")
        stored = dict(enumerate(room.updates, start=1))
        assert {seq: stored.get(seq) for seq in told} == told
        # At most the one append in flight was not told, and it is there whole or not at all.
        assert room.seq - len(told) in (0, 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_two_processes_append_to_one_room(url: str, database: Database) -> None:
    await database.write(lambda connection: make_room(connection, "r"))
    children = [await start_appender(url, "r", 150, prefix) for prefix in "ab"]
    outputs = await asyncio.gather(*(child.communicate() for child in children))
    assert [child.returncode for child in children] == [0, 0]
    told = [acknowledged(output) for output, _ in outputs]
    assert not told[0].keys() & told[1].keys()
    everything = told[0] | told[1]
    room = await SqlJournal(database).load("r")
    assert room.seq == 300
    assert dict(enumerate(room.updates, start=1)) == everything
    for prefix, own in zip((b"a", b"b"), told, strict=True):
        assert [own[seq] for seq in sorted(own)] == [b"%s%d" % (prefix, n) for n in range(150)]

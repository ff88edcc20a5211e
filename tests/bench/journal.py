"""What an append costs on disk: `python -m tests.bench.journal`.

Prints milliseconds to durable (p50, p99) and CPU microseconds per append, over rounds in which 1, 10 and 100
rooms append one row of 60 bytes each and wait together; threads, the server's event loop and fsync included.
The SQLite file is a fresh one in the temporary folder: TMPDIR says whose disk is measured.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from db.database import Database, open_database
from db.journal import SqlJournal
from db.migrate import upgrade
from party.ports import Entry
from tests.db.conftest import make_room

ENTRIES = (Entry(b"x" * 60, "ada"),)
ROOMS = 100
ROUNDS = {1: 2000, 10: 800, 100: 200}


async def measure(database: Database, waiting: int, rounds: int) -> str:
    """`rounds` times as many rooms as `waiting` append at once."""
    journal = SqlJournal(database)
    took_ms = []
    cpu = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        await asyncio.gather(*(journal.append(f"room-{room}", 1, ENTRIES) for room in range(waiting)))
        took_ms.append((time.perf_counter() - began) * 1e3)
    cpu_us = (time.process_time() - cpu) * 1e6 / (rounds * waiting)
    p50, p99 = statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]
    return f"{waiting:3} rooms waiting: p50 {p50:5.2f} ms, p99 {p99:5.2f} ms, CPU {cpu_us:5.0f} us an append"


async def main(folder: Path) -> None:
    url = f"sqlite:///{folder / 'kanvas.db'}"
    upgrade(url)
    async with open_database(url) as database:
        for room in range(ROOMS):
            await database.write(lambda connection, room=room: make_room(connection, f"room-{room}"))
        for waiting, rounds in ROUNDS.items():
            sys.stdout.write(f"{await measure(database, waiting, rounds)}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(Path(folder)))

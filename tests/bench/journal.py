"""What an append costs on disk: `python -m tests.bench.journal`.

Prints milliseconds to durable (p50, p99) and CPU microseconds per append, over rounds in which 1, 10 and 100
rooms append one row of 60 bytes each and wait together; threads, the server's event loop and fsync included.
The SQLite file is a fresh one in the temporary folder: TMPDIR says whose disk is measured.

`python -m tests.bench.journal postgresql` measures a server of its own, with fsync and as many writers, each
of which waits for nobody but itself; and what a small closure costs. CPU is this process's, not the server's.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from db.database import Database, open_database
from db.journal import open_journal
from db.migrate import upgrade
from db.scopes import as_system
from db.users import find_user, put_user
from party.ports import Entry
from tests.db.conftest import make_room

ENTRIES = (Entry(b"x" * 60, "ada"),)
ROOMS = 100
ROUNDS = {1: 2000, 10: 800, 100: 200}


async def measure(database: Database, waiting: int, rounds: int) -> str:
    """`rounds` times as many rooms as `waiting` append at once."""
    journal = open_journal(database)
    took_ms = []
    cpu = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        await asyncio.gather(*(journal.append(f"room-{room}", 1, ENTRIES) for room in range(waiting)))
        took_ms.append((time.perf_counter() - began) * 1e3)
    cpu_us = (time.process_time() - cpu) * 1e6 / (rounds * waiting)
    p50, p99 = statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]
    return f"{waiting:3} rooms waiting: p50 {p50:5.2f} ms, p99 {p99:5.2f} ms, CPU {cpu_us:5.0f} us an append"


async def measure_writers(database: Database, writers: int, rounds: int) -> str:
    """As many rooms as `writers` append `rounds` times, each as soon as its last one is durable."""
    journal = open_journal(database)
    took_ms = []

    async def write(room: int) -> None:
        for _ in range(rounds):
            began = time.perf_counter()
            await journal.append(f"room-{room}", 1, ENTRIES)
            took_ms.append((time.perf_counter() - began) * 1e3)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(write(room) for room in range(writers)))
    cpu_us = (time.process_time() - cpu) * 1e6 / len(took_ms)
    per_s = len(took_ms) / (time.perf_counter() - began)
    p50, p99 = statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]
    return (
        f"{writers:3} writers: p50 {p50:5.2f} ms, p99 {p99:5.2f} ms, {per_s:6.0f} appends/s, "
        f"CPU {cpu_us:5.0f} us an append"
    )


async def measure_closures(database: Database, rounds: int = 500) -> str:
    """A read of one row and a write of one, one after another."""
    told = []
    now = datetime.now(UTC)
    for name, run in (
        ("read", lambda: database.read(lambda connection: find_user(connection, "ada"))),
        ("write", lambda: database.write(lambda connection: put_user(connection, "ada", "Ada", now))),
    ):
        cpu, began = time.process_time(), time.perf_counter()
        for _ in range(rounds):
            await run()
        took_ms = (time.perf_counter() - began) * 1e3 / rounds
        cpu_us = (time.process_time() - cpu) * 1e6 / rounds
        told.append(f"a small {name}: {took_ms:.2f} ms, CPU {cpu_us:.0f} us")
    return "; ".join(told)


async def measure_server(url: str) -> None:
    upgrade(url)
    async with open_database(url) as database:
        for room in range(ROOMS):
            await as_system(database).write(
                lambda connection, room=room: make_room(connection, f"room-{room}")
            )
        for waiting, rounds in ROUNDS.items():
            sys.stdout.write(f"{await measure_writers(database, waiting, rounds // 2)}\n")
        sys.stdout.write(f"{await measure_closures(database)}\n")


async def main(folder: Path) -> None:
    url = f"sqlite:///{folder / 'kanvas.db'}"
    upgrade(url)
    async with open_database(url) as database:
        for room in range(ROOMS):
            await as_system(database).write(
                lambda connection, room=room: make_room(connection, f"room-{room}")
            )
        for waiting, rounds in ROUNDS.items():
            sys.stdout.write(f"{await measure(database, waiting, rounds)}\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["postgresql"]:
        from tests.backends.postgres import open_postgres

        with open_postgres(is_durable=True) as server:
            uvloop.run(measure_server(server.create()))
    else:
        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(main(Path(folder)))

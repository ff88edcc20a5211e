"""What encryption costs: `python -m tests.bench.vault`, and with PostgreSQL `... vault postgresql`.

Prints for one row of 60 bytes and for 1 MiB what sealing and opening cost in CPU, then appends to the journal
without and with encryption in turns (CPU and p50 of one waiting room and of a hundred), then a file of 100 MB
through the storage without and with it. Threads, event loop and disk included; CPU is this process's.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from db.cipher import Cipher, Slot
from db.database import Database, open_database
from db.journal import NO_CIPHER, open_journal
from db.keys import insert_first_key
from db.migrate import upgrade
from db.scopes import as_system
from party.ports import Entry
from server.blobs.base import Blobs
from server.blobs.files import FileBlobs
from server.blobs.sealed import SealedBlobs
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
from server.vault.opening import Vault
from tests.db.conftest import make_room

MASTERS = {"bench": bytes(range(32))}
ENTRIES = (Entry(b"x" * 60, "ada"),)
ROOMS = 100
ROUNDS = {1: 600, 100: 40}
TURNS = 4
FILE_BYTES = 100_000_000
PIECE = bytes(64 * 1024)
SECRET = b"s" * 32


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def measure(work: Callable[[], object], rounds: int) -> float:
    """Microseconds of CPU a time, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, (time.process_time() - began) * 1e6 / rounds)
    return best


def measure_rows(cipher: VaultCipher, key_id: str) -> None:
    slot = Slot("update", "room-1", 1, 1)
    for size_bytes, rounds in ((60, 20_000), (1024 * 1024, 50)):
        plain = bytes(size_bytes)
        sealed = cipher.seal(key_id, slot, plain)
        sealing = measure(lambda: cipher.seal(key_id, slot, plain), rounds)  # noqa: B023 - called at once
        opening = measure(lambda: cipher.open(key_id, slot, sealed), rounds)  # noqa: B023
        say(f"{size_bytes:8} bytes: sealed with {sealing:7.1f} us of CPU, opened with {opening:7.1f} us")


async def append(database: Database, cipher: Cipher, waiting: int, rounds: int) -> tuple[list[float], float]:
    """Milliseconds to durable, and CPU microseconds for each append."""
    journal = open_journal(database, cipher)
    await asyncio.gather(*(journal.append(f"room-{room}", 1, ENTRIES) for room in range(waiting)))
    took_ms = []
    cpu = time.process_time()
    for _ in range(rounds):
        began = time.perf_counter()
        await asyncio.gather(*(journal.append(f"room-{room}", 1, ENTRIES) for room in range(waiting)))
        took_ms.append((time.perf_counter() - began) * 1e3)
    return took_ms, (time.process_time() - cpu) * 1e6 / (rounds * waiting)


async def measure_journal(database: Database, cipher: Cipher) -> None:
    for room in range(ROOMS):
        await database.write(lambda connection, room=room: make_room(connection, f"room-{room}"))
    for waiting, rounds in ROUNDS.items():
        for name, one in (("plain", NO_CIPHER), ("sealed", cipher)):
            took_ms, cpu_us = [], []
            for _ in range(TURNS):
                some_ms, some_us = await append(database, one, waiting, rounds)
                took_ms += some_ms
                cpu_us.append(some_us)
            p50, p99 = statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]
            say(
                f"{waiting:3} rooms waiting, {name:6}: p50 {p50:5.2f} ms, p99 {p99:5.2f} ms, "
                f"CPU {min(cpu_us):4.0f} us an append"
            )


async def file_of(size_bytes: int) -> AsyncIterator[bytes]:
    for at in range(0, size_bytes, len(PIECE)):
        yield PIECE[: size_bytes - at]


async def measure_files(blobs: Blobs, name: str) -> None:
    cpu, began = time.process_time(), time.perf_counter()
    await blobs.put("big", file_of(FILE_BYTES), size_bytes=FILE_BYTES, content_type="video/mp4")
    put_s, put_cpu = time.perf_counter() - began, time.process_time() - cpu
    cpu, began = time.process_time(), time.perf_counter()
    seen = 0
    async with aclosing(blobs.read("big")) as chunks:
        async for chunk in chunks:
            seen += len(chunk)
    assert seen == FILE_BYTES
    read_s, read_cpu = time.perf_counter() - began, time.process_time() - cpu
    megabytes = FILE_BYTES / 1e6
    say(
        f"a file of 100 MB, {name:6}: stored in {put_s:.2f} s, CPU {put_cpu * 1e3 / megabytes:.2f} ms/MB; "
        f"read in {read_s:.2f} s, CPU {read_cpu * 1e3 / megabytes:.2f} ms/MB"
    )


async def main(url: str, folder: Path) -> None:
    upgrade(url)
    async with open_database(url) as adapter:
        database = as_system(adapter)
        key = make_key(MASTERS, datetime.now(UTC))
        cipher = VaultCipher(MASTERS, await database.write(lambda conn: insert_first_key(conn, key)))
        measure_rows(cipher, key.id)
        await measure_journal(database, cipher)
        await measure_files(FileBlobs(folder / "plain", SECRET), "plain")
        sealed = SealedBlobs(FileBlobs(folder / "sealed", SECRET), Vault(database, cipher), SECRET)
        await measure_files(sealed, "sealed")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        if sys.argv[1:] == ["postgresql"]:
            from tests.backends.postgres import open_postgres

            with open_postgres(is_durable=True) as server:
                uvloop.run(main(server.create(), Path(name)))
        else:
            uvloop.run(main(f"sqlite:///{Path(name) / 'kanvas.db'}", Path(name)))

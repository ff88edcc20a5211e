"""What a job costs: `python -m tests.bench.jobs`.

Prints CPU microseconds per job for each step of the queue (each in a transaction of its own, threads and
fsync included), for a job from its enqueueing through the runner to its end, alone and with many waiting; the
milliseconds from a wake-up to the handler; and the CPU of a runner that finds nothing. The SQLite file is a
fresh one in the temporary folder: TMPDIR says whose disk is measured.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import uvloop

from db import queue
from db.database import Database
from db.migrate import upgrade
from db.scopes import as_system
from server.jobs.base import JobCall
from server.jobs.runner import Runner, open_jobs
from server.services import Services, open_services
from server.settings import Settings

JOBS = 2000
WAKES = 300
IDLE_S = 20.0
BACKLOG = 50_000


def now() -> datetime:
    return datetime.now(UTC)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def put(database: Database) -> str:
    return await database.write(
        lambda conn: queue.enqueue(conn, kind="draw", payload={"asset_id": "a" * 26}, now=now(), room_id="r")
    )


async def measure(name: str, work: Callable[[], Awaitable[object]], times: int) -> None:
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(times):
        await work()
    cpu_us = (time.process_time() - cpu) * 1e6 / times
    say(f"{name}: CPU {cpu_us:5.0f} us, {(time.perf_counter() - began) * 1e3 / times:5.2f} ms")


async def steps(database: Database) -> None:
    """The queue alone."""
    taken: list[str] = []

    async def take() -> None:
        jobs = await database.write(
            lambda conn: queue.claim(conn, kinds=["draw"], now=now(), lease_s=30, limit=1, holder="h")
        )
        taken.extend(job.id for job in jobs)

    async def finish() -> None:
        job_id = taken.pop()
        await database.write(partial(queue.finish, id=job_id, holder="h", result=None, now=now()))

    await measure("an empty transaction", partial(database.write, lambda _conn: None), JOBS)
    await measure(
        "look, nothing there  ", partial(database.read, partial(queue.find_next, kinds=["draw"])), JOBS
    )
    await measure("enqueue              ", partial(put, database), JOBS)
    await measure(
        "look, something there", partial(database.read, partial(queue.find_next, kinds=["draw"])), JOBS
    )
    await measure("claim one            ", take, JOBS)
    await measure("finish one           ", finish, JOBS)


async def backlog(database: Database) -> None:
    """A claim while many wait and many are done."""

    def fill(conn: object) -> None:
        for _ in range(BACKLOG):
            queue.enqueue(conn, kind="draw", payload={}, now=now())  # type: ignore[arg-type]

    await database.write(fill)

    async def take() -> None:
        await database.write(
            lambda conn: queue.claim(conn, kinds=["draw"], now=now(), lease_s=30, limit=1, holder="h")
        )

    await measure(f"claim one of {BACKLOG:,} ", take, 500)


async def through(services: Services) -> None:
    """The runner as well."""
    begun = asyncio.Event()
    left = 0
    took_ms: list[float] = []
    start = 0.0

    async def draw(_call: JobCall) -> None:
        nonlocal left
        took_ms.append((time.perf_counter() - start) * 1e3)
        left -= 1
        if left == 0:
            begun.set()

    runner = Runner(services.database, {"draw": draw}, at_once=2, now=now)
    async with open_jobs(runner, services):
        await asyncio.sleep(1)
        cpu = time.process_time()
        for _ in range(WAKES):
            begun.clear()
            left = 1
            await put(as_system(services.database))
            start = time.perf_counter()
            runner.wake()
            await begun.wait()
            await asyncio.sleep(0.005)
        cpu_us = (time.process_time() - cpu) * 1e6 / WAKES
        p50, p99 = statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98]
        say(f"enqueue to end, alone: CPU {cpu_us:5.0f} us; wake to begin p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        begun.clear()
        left = JOBS
        cpu, began = time.process_time(), time.perf_counter()
        for _ in range(JOBS):
            await put(as_system(services.database))
        runner.wake()
        await begun.wait()
        cpu_us, took_s = (time.process_time() - cpu) * 1e6 / JOBS, time.perf_counter() - began
        say(f"enqueue to end, {JOBS:,} waiting, 2 at once: CPU {cpu_us:.0f} us, {JOBS / took_s:.0f} jobs/s")
        # long enough for the pauses to have grown
        await asyncio.sleep(8)
        cpu = time.process_time()
        await asyncio.sleep(IDLE_S)
        say(f"idle: CPU {(time.process_time() - cpu) / IDLE_S * 1e6:.0f} us a second, all services included")
    cpu = time.process_time()
    await asyncio.sleep(IDLE_S)
    say(f"the same without: CPU {(time.process_time() - cpu) / IDLE_S * 1e6:.0f} us a second")


async def main(folder: Path) -> None:
    settings = Settings(data_dir=folder, jobs=False)
    upgrade(settings.effective_database_url)
    async with open_services(settings) as services:
        await steps(as_system(services.database))
        await through(services)
        await backlog(as_system(services.database))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(Path(folder)))

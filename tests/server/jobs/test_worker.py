"""`kanvas worker` as a process: killed, stopped, and two of them beside each other."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from db import queue
from server import worker as program
from server.services import Services, open_services
from server.settings import Settings
from tests.server.edge import copy_database
from tests.server.jobs.works import Works, eventually, open_works

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def works(tmp_path: Path, empty_database: Path) -> AsyncIterator[Works]:
    async with open_works(tmp_path, empty_database) as works:
        yield works


@contextmanager
def worker(works: Works, lease_s: float = 30.0, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    settings: Settings = works.services.settings
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    own = {"KANVAS_DATA_DIR": str(settings.data_dir), "TEST_LEASE_S": str(lease_s), "PYTHONPATH": str(ROOT)}
    with (settings.data_dir / "worker.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.jobs.composed", "worker"],
            env=clean | own | env,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Told:
    """What the handlers told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "told"

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    async def until(self, what: str, times: int = 1) -> None:
        async def is_told() -> bool:
            return sum(line[0] == what for line in self.lines()) >= times

        await eventually(is_told)


async def test_a_killed_workers_job_is_taken_over(works: Works, tmp_path: Path) -> None:
    """K1 K2 K3: SIGKILL in the middle; another process does it when the lease has run out, not before."""
    told = Told(tmp_path)
    job_id = await works.put(payload={"file": str(told.path), "takes_s": [60, 0]})
    with worker(works, 2.0) as first:
        await told.until("begin")
        first.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.wait)
    killed = await works.find(job_id)
    assert (killed.state, killed.attempts) == ("running", 1)
    assert killed.lease_until is not None
    with worker(works, 2.0):
        job = await works.until(job_id, "done")
    assert job.attempts == 2
    assert job.finished_at is not None
    assert job.finished_at >= killed.lease_until
    begun = [line[2] for line in told.lines() if line[0] == "begin"]
    assert len(begun) == len(set(begun)) == 2


async def test_a_job_that_kills_its_worker_is_dead_in_the_end(works: Works, tmp_path: Path) -> None:
    """K3: with words that say so."""
    told = Told(tmp_path)
    job_id = await works.put(payload={"file": str(told.path), "takes_s": [60]}, max_attempts=1)
    with worker(works, 1.0) as first:
        await told.until("begin")
        first.kill()
    with worker(works, 1.0):
        job = await works.until(job_id, "dead")
    assert job.error == queue.LOST
    assert len(told.lines()) == 1


async def test_two_workers_share_jobs_and_none_is_run_twice(works: Works, tmp_path: Path) -> None:
    """K2: also those that take longer than a lease."""
    told, gate, clock = Told(tmp_path), tmp_path / "gate", tmp_path / "clock"
    works.clock.stop()

    def tell_time() -> None:
        written = tmp_path / "clock.new"
        written.write_text(works.clock().isoformat())
        written.replace(clock)

    tell_time()
    short = [await works.put(payload={"file": str(told.path), "takes_s": [0.05]}) for _ in range(40)]
    wait = {"file": str(told.path), "for": str(gate)}
    long = [await works.put("wait", payload=wait) for _ in range(2)]
    env = {"KANVAS_JOBS_AT_ONCE": "3", "TEST_CLOCK": str(clock)}
    with worker(works, 3.0, **env), worker(works, 3.0, **env):
        for job_id in short:
            await works.until(job_id, "done")
        for _ in range(2):
            works.clock.move(2)
            tell_time()
            for job_id in long:
                await works.until_held(job_id, 3)
        gate.touch()
        for job_id in short + long:
            assert (await works.until(job_id, "done")).attempts == 1
    begun = Counter(line[1] for line in told.lines() if line[0] == "begin")
    assert begun == Counter(short + long)


async def test_a_stopped_worker_puts_its_job_back(works: Works, tmp_path: Path) -> None:
    """K6: SIGTERM ends it with 0, and the attempt is not counted."""
    told = Told(tmp_path)
    job_id = await works.put(payload={"file": str(told.path), "takes_s": [60]})
    with worker(works) as process:
        await told.until("begin")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 120) == 0
    job = await works.find(job_id)
    assert (job.state, job.attempts) == ("queued", 0)
    log = (tmp_path / "worker.log").read_text()
    assert "Kanvas does jobs, 2 at once." in log
    assert log.endswith("Kanvas has stopped.\n")


async def test_a_handler_that_never_ends_does_not_keep_its_worker(works: Works, tmp_path: Path) -> None:
    """K6."""
    told = Told(tmp_path)
    await works.put("ignore", payload={"file": str(told.path)})
    with worker(works) as process:
        await told.until("begin")
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 120) == 1
    assert time.monotonic() - start < 100


async def test_an_order_to_drain_ends_it_as_a_signal_does(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M9: it is one of the nodes; and it says that it serves nobody."""
    copy_database(tmp_path, empty_database)
    opened: list[Services] = []

    @asynccontextmanager
    async def open_noted(settings: Settings, **how: Any) -> AsyncIterator[Services]:
        async with open_services(settings, **how) as services:
            opened.append(services)
            yield services

    monkeypatch.setattr(program, "open_services", open_noted)
    monkeypatch.setattr(program, "SIGNALS", ())
    started = asyncio.Event()
    working = asyncio.create_task(program.work(Settings(data_dir=tmp_path), started.set))
    await started.wait()
    (services,) = opened
    (told,) = (await services.overview.look()).nodes
    assert not told.serves
    assert services.oversight.stop is not None
    services.oversight.stop()
    await working


def test_wrong_settings_are_told(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "server", "worker"],
        env={**os.environ, "KANVAS_DATA_DIR": str(tmp_path), "KANVAS_JOBS_AT_ONCE": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "KANVAS_JOBS_AT_ONCE=0 is not valid; it takes a whole number from 1 to 64." in ended.stderr


async def test_workers_killed_at_random_lose_nothing(works: Works, tmp_path: Path) -> None:
    """K1: whatever was enqueued is done in the end, although workers are killed again and again."""
    told = Told(tmp_path)
    ids = [
        await works.put(payload={"file": str(told.path), "takes_s": [0.2]}, max_attempts=20)
        for _ in range(12)
    ]
    for n in range(3):
        with worker(works, 1.0):
            await told.until("end", times=2 + 3 * n)
            await asyncio.sleep(0.1 * n)
    with worker(works, 1.0, KANVAS_JOBS_AT_ONCE="8"):
        for job_id in ids:
            await works.until(job_id, "done")
    ended = Counter(line[1] for line in told.lines() if line[0] == "end")
    assert set(ended) == set(ids)

"""A runner over a real database, with handlers and times of the test's own."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from db import queue
from db.database import Database
from db.queue import Job, State
from db.scopes import as_system
from server.jobs.base import JobHandler
from server.jobs.runner import Runner, open_jobs
from server.jobs.timing import Timing
from server.services import Services, open_services
from server.settings import Settings

QUICK = Timing(
    lease_s=20.0,
    poll_s=0.05,
    poll_most_s=0.1,
    progress_s=0.1,
    grace_s=0.3,
    cancel_s=0.2,
    settle_s=60.0,
    retry_s=60.0,
)
PATIENCE_S = 120.0


@dataclass
class Clock:
    """The time of the database's rows; the test moves it ahead, and may have it stand still otherwise."""

    ahead: timedelta = field(default_factory=timedelta)
    stands_at: datetime | None = None

    def __call__(self) -> datetime:
        return (self.stands_at or datetime.now(UTC)) + self.ahead

    def stop(self) -> None:
        """No lease runs out from now on because a machine is late."""
        self.stands_at = datetime.now(UTC)

    def move(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class Works:
    """Services without jobs of their own, and runners beside them."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.database: Database = services.database
        self.clock = Clock()

    @asynccontextmanager
    async def running(
        self, handlers: Mapping[str, JobHandler], at_once: int = 2, **timing: Any
    ) -> AsyncIterator[Runner]:
        runner = Runner(
            self.database, handlers, at_once=at_once, now=self.clock, timing=replace(QUICK, **timing)
        )
        async with open_jobs(runner, self.services):
            yield runner

    async def put(self, kind: str = "draw", **more: Any) -> str:
        more = {"payload": {}} | more
        return await as_system(self.database).write(
            lambda conn: queue.enqueue(conn, kind=kind, now=self.clock(), **more)
        )

    async def find(self, job_id: str) -> Job:
        job = await as_system(self.database).read(lambda conn: queue.find_job(conn, job_id))
        assert job is not None
        return job

    async def until(self, job_id: str, state: State, attempts: int | None = None) -> Job:
        """The job as soon as it is in that state, at that attempt."""
        found: list[Job] = []

        async def look() -> bool:
            found[:] = [await self.find(job_id)]
            return found[0].state == state and attempts in (None, found[0].attempts)

        await eventually(look)
        return found[0]

    async def until_held(self, job_id: str, lease_s: float) -> None:
        """Until its lease lasts so long from now on, by a clock that stands still."""

        async def is_held() -> bool:
            until = (await self.find(job_id)).lease_until
            return until is not None and until >= self.clock() + timedelta(seconds=lease_s)

        await eventually(is_held)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Until `look` says yes."""
    end = time.monotonic() + PATIENCE_S
    while not await look():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def open_works(data_dir: Path, empty_database: Path) -> AsyncIterator[Works]:
    shutil.copy(empty_database, data_dir / "kanvas.db")
    async with open_services(Settings(data_dir=data_dir, jobs=False), handlers={}) as services:
        yield Works(services)

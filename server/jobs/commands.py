"""`kanvas jobs`: jobs as lines for a person, straight from the database; the server need not run.

Owns: the lines. Does not own: the commands' options (cli.py), the queue (db/queue.py).
"""

import asyncio
from datetime import UTC, datetime

from sqlalchemy import Connection

from db import queue
from db.audit import OPERATOR, Event, append
from db.queue import Job, State
from db.scopes import as_system
from server.direct import open_direct
from server.problems import JobNotDead, JobNotFound
from server.settings import Settings


def show_jobs(settings: Settings, state: State | None, kind: str | None, limit: int) -> list[str]:
    """A line for each job, the newest first, and one with how many there are. Raises Unavailable."""
    return asyncio.run(_show(settings, state, kind, limit))


def revive_job(settings: Settings, job_id: str) -> None:
    """Queue a dead job again. Raises JobNotFound, JobNotDead, Unavailable."""
    asyncio.run(_revive(settings, job_id))


async def _show(settings: Settings, state: State | None, kind: str | None, limit: int) -> list[str]:
    def look(connection: Connection) -> tuple[list[Job], dict[State, int]]:
        found = queue.list_jobs(connection, state=state, kind=kind, limit=limit)
        return found, queue.count_jobs(connection)

    async with open_direct(settings) as database:
        jobs, counts = await as_system(database).read(look)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return [*map(_line, jobs), f"There are {told}." if told else "There are no jobs."]


async def _revive(settings: Settings, job_id: str) -> None:
    def revive(connection: Connection) -> None:
        now = datetime.now(UTC)
        if not queue.revive(connection, job_id, now=now):
            raise JobNotFound if queue.find_job(connection, job_id) is None else JobNotDead
        append(connection, Event(now, *OPERATOR, "job.revive", target=job_id))

    async with open_direct(settings) as database:
        await as_system(database).write(revive)


def _line(job: Job) -> str:
    at = job.lease_until or job.finished_at or job.run_at
    told = job.error or job.words
    line = f"{job.id}  {job.state:7}  {job.attempts}/{job.max_attempts}  {at:%Y-%m-%d %H:%M:%S}Z  {job.kind}"
    # an error may quote what somebody uploaded
    return line + (f"  {''.join(char if char.isprintable() else ' ' for char in told)}" if told else "")

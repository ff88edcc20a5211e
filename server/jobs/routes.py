"""The status of jobs: one of yours, and for the operator all of them.

Owns: /api/v1/jobs and /api/v1/admin/jobs. Does not own: the queue (db/queue.py), running jobs (runner.py).
Rule: a job is found by who enqueued it and by an operator; to everybody else there is none.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from sqlalchemy import Connection
from starlette.responses import Response

from db import queue
from db.queue import Job
from server.admin import check_admin
from server.problems import AdminsOnly, JobNotDead, JobNotFound
from server.registry import Api, Call, Out, Path, Query, Reply, answer
from server.text import whole_number

api = Api()

JOB_ID_PATTERN: Final = r"^[0-7][0-9a-hjkmnp-tv-z]{25}$"
KIND_PATTERN: Final = r"^[a-z][a-z0-9_.]{0,63}$"
MAX_PAGE: Final = 100


class JobPath(Path):
    """Which job."""

    missing = JobNotFound
    job_id: Annotated[str, Field(pattern=JOB_ID_PATTERN)]


class JobQuery(Query):
    """Which jobs to list."""

    state: Literal["queued", "running", "done", "dead"] | None = None
    kind: str | None = Field(default=None, pattern=KIND_PATTERN, examples=["asset.render"])
    cursor: str | None = Field(
        default=None, pattern=JOB_ID_PATTERN, description="next_cursor of the page before"
    )
    limit: Annotated[int, BeforeValidator(whole_number)] = Field(default=50, ge=1, le=MAX_PAGE)


class JobOut(Out):
    """Work that is done after the answer.

    `queued` (perhaps to be tried again: then `error` says what went wrong), `running`, `done` or `dead`.
    """

    id: str
    kind: str
    state: Literal["queued", "running", "done", "dead"]
    progress: float = Field(ge=0, le=1)
    words: str = Field(description="What it is doing")
    attempts: int = Field(ge=0)
    max_attempts: int = Field(ge=1)
    result: dict[str, Any] | None = Field(description="Depends on the kind")
    error: str | None = Field(description="How the last attempt failed")
    room_id: str | None
    created_at: datetime
    run_at: datetime = Field(description="When it was due, or is due to be tried again")
    finished_at: datetime | None


class JobList(Out):
    """A page of jobs, newest first."""

    items: list[JobOut]
    next_cursor: str | None


def job_out(job: Job) -> JobOut:
    """The job as people see it: its payload stays inside."""
    return JobOut(**{name: getattr(job, name) for name in JobOut.model_fields})


@api.route(
    "GET",
    "/api/v1/jobs/{job_id}",
    summary="How far a job is",
    tag="jobs",
    replies=[Reply(200, "The job", JobOut)],
)
async def get_job(call: Call, path: JobPath) -> Response:
    """For who asked for it, and for operators. A job that is done is forgotten after 7 days, a dead one after
    90."""
    job = await call.database.read(lambda conn: queue.find_job(conn, path.job_id))
    if job is None or (job.user_id != call.identity.user_id and not call.identity.is_admin):
        raise JobNotFound
    return answer(job_out(job))


@api.route(
    "GET",
    "/api/v1/admin/jobs",
    summary="List jobs",
    tag="admin",
    replies=[Reply(200, "One page", JobList)],
    errors=[AdminsOnly],
)
async def list_jobs(call: Call, query: JobQuery) -> Response:
    """Newest first. The dead ones are those that somebody has to look at."""
    check_admin(call)
    found = await call.database.read(
        lambda conn: queue.list_jobs(
            conn, state=query.state, kind=query.kind, before=query.cursor, limit=query.limit + 1
        )
    )
    page = found[: query.limit]
    return answer(
        JobList(
            items=[job_out(job) for job in page],
            next_cursor=page[-1].id if len(found) > len(page) else None,
        )
    )


@api.route(
    "POST",
    "/api/v1/admin/jobs/{job_id}/revive",
    summary="Revive a dead job",
    tag="admin",
    replies=[Reply(200, "It is queued", JobOut)],
    errors=[AdminsOnly, JobNotDead],
    audit="job.revive",
)
async def revive_job(call: Call, path: JobPath) -> Response:
    """It is tried again at once, with all its attempts."""
    check_admin(call)
    now = call.services.now()

    def revive(conn: Connection) -> Job:
        is_revived = queue.revive(conn, path.job_id, now=now)
        job = queue.find_job(conn, path.job_id)
        if job is None:
            raise JobNotFound
        if not is_revived:
            raise JobNotDead
        call.record(conn, "job.revive", target=path.job_id, details={"kind": job.kind})
        return job

    job = await call.database.write(revive)
    call.services.jobs.wake()
    return answer(job_out(job))

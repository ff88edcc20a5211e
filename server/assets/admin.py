"""The operator's sweep: asked for over HTTP, or from the command line.

Owns: POST /api/v1/admin/assets/sweep, the words of `kanvas assets sweep`. Does not own: the sweep
(`sweep.py`), the job (`server/jobs`).
"""

from collections.abc import Iterator
from functools import partial

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from db.queue import enqueue, find_job
from db.scopes import as_system
from server.admin import check_admin
from server.assets.keeping import SWEEP
from server.assets.sweep import UNREFERENCED_KEPT, Report, sweep
from server.direct import check_version
from server.jobs.routes import JobOut, job_out
from server.problems import AdminsOnly, JobNotFound
from server.registry import Api, Body, Call, Reply, answer
from server.services import open_services
from server.settings import Settings

api = Api()


class SweepOrder(Body):
    """How to sweep."""

    dry_run: bool = Field(default=True, description="true: change nothing, say what would go")


@api.route(
    "POST",
    "/api/v1/admin/assets/sweep",
    summary="Sweep assets",
    tag="admin",
    replies=[Reply(202, "A job; its result is the report", JobOut, headers={"Location": "The job"})],
    errors=[AdminsOnly],
    audit="asset.sweep",
)
async def sweep_now(call: Call, body: SweepOrder) -> Response:
    """Assets that nobody has referred to for 7 days, uploads never completed, and bytes without a row. It
    happens every day by itself; here it can be asked for, and with `dry_run` looked at first."""
    check_admin(call)
    services = call.services

    def order(conn: Connection) -> str:
        job_id = enqueue(
            conn,
            kind=SWEEP,
            payload={"is_dry": body.dry_run},
            now=services.now(),
            user_id=call.identity.user_id,
            key="dry" if body.dry_run else "now",
        )
        call.record(conn, "asset.sweep", target=job_id, details={"dry_run": body.dry_run})
        return job_id

    job_id = await as_system(services.database).write(order)
    services.jobs.wake()
    job = await as_system(services.database).read(partial(find_job, id=job_id))
    if job is None:
        raise JobNotFound
    return answer(job_out(job), status=202, headers={"Location": f"/api/v1/jobs/{job_id}"})


async def sweep_alone(settings: Settings, *, is_dry: bool) -> list[str]:
    """A sweep outside of the server, beside it or without it, and what came of it. Raises Unavailable."""
    check_version(settings)
    async with open_services(settings, role="worker", handlers={}) as services:
        return list(describe(await sweep(services, is_dry=is_dry)))


def describe(report: Report) -> Iterator[str]:
    """The report in lines for a person."""
    went = "would go" if report.is_dry else "went"
    for asset in report.assets:
        yield f"{asset['id']}  {asset['size_bytes']:>12} bytes  {asset['room_id']}  {asset['filename']}"
    yield f"{report.asset_count} assets {went}, {report.asset_bytes} bytes."
    days = UNREFERENCED_KEPT.days
    yield f"{report.waiting_count} more are referred to by nobody, for less than {days} days."
    yield f"{report.upload_count} uploads that were never completed {went}."
    yield f"{report.unknown_count} stored files without a row {went}, {report.unknown_bytes} bytes."
    if report.older_count:
        yield f"{report.older_count} stored files are older than this database and stay."
    for room_id in report.failed_rooms:
        yield f"Room {room_id} could not be looked at; the log says why."

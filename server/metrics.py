"""/metrics: who may read them.

Owns: the routes and their guard. Does not own: what is told (exposition.py), which worker a connection gets
to (placement.py). Keeps rules M3, N10.
Source: RFC 9110 sections 15.4.1 and 15.5.20 (300, 421).
"""

import asyncio
import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from party.errors import Unauthenticated
from server.auth import bearer_token
from server.problems import WorkerNotFound, WrongWorker
from server.rates.addresses import is_forwarded
from server.registry import Api, Call, Path, Reply
from server.services import Services

api = Api()

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


def check_reader(request: Request, services: Services) -> None:
    """Who is on this machine may read, unless there is a token; then who has it. Raises Unauthenticated."""
    wanted = services.settings.metrics_token
    if wanted is not None:
        given = bearer_token(request.headers)
        if given is None or not hmac.compare_digest(given.encode(), wanted.get_secret_value().encode()):
            raise Unauthenticated("Send KANVAS_METRICS_TOKEN as: Authorization: Bearer.")
        return
    # a proxy's own address says nothing of who asks
    if is_forwarded(request.headers) or not _is_here(request):
        raise Unauthenticated(
            "Metrics are read from this machine only; set KANVAS_METRICS_TOKEN and send it as a bearer token."
        )


def _is_here(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


@api.route(
    "GET",
    "/metrics",
    summary="Metrics of this process",
    tag="server",
    needs_user=False,
    replies=[
        Reply(200, "In Prometheus' text format", media=("text/plain",)),
        Reply(300, "There are several workers; where each one's metrics are", media=("text/plain",)),
    ],
    errors=[Unauthenticated],
)
async def read_metrics(call: Call) -> Response:
    """For Prometheus. Readable from the machine itself; from elsewhere, and through a proxy, with the bearer
    token KANVAS_METRICS_TOKEN. Each process tells of itself alone: with several workers on this port their
    metrics are at /metrics/0, /metrics/1 and so on."""
    check_reader(call.request, call.services)
    count = call.services.settings.workers
    if count == 1:
        return await _tell(call.services)
    lines = [
        f"# {count} workers serve this port, and each counts what it does itself: read each one's metrics.",
        *(f"# /metrics/{slot}" for slot in range(count)),
    ]
    return _plain("\n".join(lines) + "\n", 300)


class WorkerPath(Path):
    """Which worker."""

    missing = WorkerNotFound
    slot: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,2})$")]


@api.route(
    "GET",
    "/metrics/{slot}",
    summary="Metrics of one worker",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "In Prometheus' text format", media=("text/plain",))],
    errors=[Unauthenticated, WorkerNotFound, WrongWorker],
)
async def read_worker_metrics(call: Call, path: WorkerPath) -> Response:
    """As /metrics, of one of several workers on this port; they are counted from 0. The connection is closed
    behind the answer, since the next request on it may be meant for another worker."""
    check_reader(call.request, call.services)
    slot = int(path.slot)
    if slot >= call.services.settings.workers:
        raise WorkerNotFound
    if slot != call.services.post.slot:
        # it is being replaced, or the connection was opened for something else
        raise WrongWorker
    return await _tell(call.services)


async def _tell(services: Services) -> Response:
    scrape = await asyncio.to_thread(_load)
    return _plain(scrape(services), 200)


def _plain(body: str | bytes, status: int) -> Response:
    headers = {"Content-Type": TEXT, "Cache-Control": "no-store", "Connection": "close"}
    return Response(body, status, headers)


def _load() -> Callable[[Services], bytes]:
    """To be called in a thread: the library takes a while, and most processes are never asked."""
    from server.exposition import scrape  # noqa: PLC0415

    return scrape

"""/metrics: who may read them.

Owns: the route and its guard. Does not own: what is told (exposition.py). Keeps rule M3.
"""

import asyncio
import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from party.errors import Unauthenticated
from server.auth import bearer_token
from server.registry import Api, Call, Reply
from server.services import Services

api = Api()

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers a proxy adds: then the connection's own address says nothing of who asks."""


def check_reader(request: Request, services: Services) -> None:
    """Who is on this machine may read, unless there is a token; then who has it. Raises Unauthenticated."""
    wanted = services.settings.metrics_token
    if wanted is not None:
        given = bearer_token(request.headers)
        if given is None or not hmac.compare_digest(given.encode(), wanted.get_secret_value().encode()):
            raise Unauthenticated("Send KANVAS_METRICS_TOKEN as: Authorization: Bearer.")
        return
    if any(name in request.headers for name in FORWARDED) or not _is_here(request):
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
    replies=[Reply(200, "In Prometheus' text format", media=("text/plain",))],
    errors=[Unauthenticated],
)
async def read_metrics(call: Call) -> Response:
    """For Prometheus. Readable from the machine itself; from elsewhere, and through a proxy, with the bearer
    token KANVAS_METRICS_TOKEN. Each process tells of itself alone."""
    check_reader(call.request, call.services)
    scrape = await asyncio.to_thread(_load)
    return Response(scrape(call.services), headers={"Content-Type": TEXT, "Cache-Control": "no-store"})


def _load() -> Callable[[Services], bytes]:
    """To be called in a thread: the library takes a while, and most processes are never asked."""
    from server.exposition import scrape  # noqa: PLC0415

    return scrape

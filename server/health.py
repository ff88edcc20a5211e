"""Health: is the process alive, and does it want traffic.

Owns: /healthz and /readyz. Does not own: phases (`services.Readiness`), the hub's own judgement.
Rules: /healthz looks at nothing (a restart cures nothing it could find); /readyz asks every part it needs and
names each that fails, within 2 s; what can be done without (Redis) makes it degraded and leaves it ready.
"""

import asyncio
from typing import Final, Literal

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from db.rooms import find_room
from db.scopes import as_system
from db.standby import takes_writes
from party.errors import KanvasError
from server.problems import NotReady
from server.registry import Api, Call, Out, Reply, answer
from server.services import Services

api = Api()

DEADLINE_S: Final = 2.0


class Health(Out):
    """All is well."""

    status: Literal["ok"] = "ok"


class ReadyOut(Out):
    """It is ready; degraded when it does without something that it was set up with."""

    status: Literal["ok", "degraded"]
    reasons: list[str] = Field(description="What is missing, in words; empty when all is well")


@api.route(
    "GET",
    "/healthz",
    summary="Is the process alive",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "It is", Health)],
)
async def read_health(call: Call) -> Response:  # noqa: ARG001 - every handler takes a call
    """For a supervisor that restarts what hangs."""
    return answer(Health())


@api.route(
    "GET",
    "/readyz",
    summary="Does the process want traffic",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "It does", ReadyOut)],
    errors=[NotReady],
)
async def read_readiness(call: Call) -> Response:
    """For a balancer. `detail` names every reason against."""
    reasons = await find_reasons(call.services)
    if reasons:
        raise NotReady("Not ready: " + "; ".join(reasons) + ".")
    missing = find_missing(call.services)
    return answer(ReadyOut(status="degraded" if missing else "ok", reasons=missing))


def find_missing(services: Services) -> list[str]:
    """What this process does without at the moment, and what that means; empty when all is well."""
    missing = []
    if (trouble := services.directory.trouble) is not None:
        missing.append(f"Redis is away: {trouble}; edits reach other processes later")
    if services.rates.is_degraded:
        missing.append(
            "rate limits can't be counted in Redis: each process counts alone, and signing in is refused"
        )
    return missing


async def find_reasons(services: Services) -> list[str]:
    """Why this process should get no traffic; empty when it should."""
    reasons = []
    if services.readiness.phase != "ready":
        reasons.append(f"the process is {services.readiness.phase}")
    # anybody may ask, as often as they like: those who ask at once are answered by one look
    look = services.readiness.look
    if look is None or look.done():
        look = services.readiness.look = asyncio.create_task(_look(services), name="readiness")
    if (why := await asyncio.shield(look)) is not None:
        reasons.append(why)
    # rooms that drain are no reason of their own
    if services.readiness.phase == "ready" and not services.hub.healthy():
        reasons.append("a room waits for its journal")
    return reasons


async def _look(services: Services) -> str | None:
    """What is wrong with the database."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            is_writable = await as_system(services.database).read(_ask)
    except TimeoutError:
        return f"the database did not answer within {DEADLINE_S:g} s"
    except KanvasError as error:
        return f"the database fails ({error.message.rstrip('.')})"
    return None if is_writable else "the database only reads; it is a standby, or was made so"


def _ask(conn: Connection) -> bool:
    # any query will do that needs the tables
    find_room(conn, "-")
    return takes_writes(conn)

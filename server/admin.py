"""The operator's routes: what is in quarantine, and lifting it.

Owns: /api/v1/admin/*. Does not own: the quarantine (`keeper.py`), who is an operator (`auth.py`).
Rule: only a token with the claim `admin` gets in, and `kanvas token --admin` is what makes one.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from party.ports import Stage
from party.quarantine import Hold, Kind, Reason
from server.problems import AdminsOnly, HoldNotFound
from server.registry import Api, Call, Out, Path, Reply, answer, no_content

api = Api()


class HoldPath(Path):
    """Which hold."""

    missing = HoldNotFound
    hold_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class HoldOut(Out):
    """One entry of the quarantine.

    `client`: edits that this user makes under this Yjs client id; `user`: all edits of this user in the room;
    `room`: the room is not opened; `care`: nobody is held, the room takes one edit at a time.
    """

    id: str
    kind: Kind
    room_id: str
    user_id: str | None
    client_id: int | None = Field(description="A Yjs client id; null for all of the user's, or the room")
    stage: Stage = Field(description="What the server was doing for it")
    reason: Reason = Field(description="How it ended; killed: from outside; panic: without a restart")
    strikes: int = Field(ge=1)
    held_until: datetime
    is_held: bool
    first_seen_at: datetime
    last_seen_at: datetime


class HoldList(Out):
    """Everything the quarantine remembers, the latest first."""

    items: list[HoldOut]
    next_cursor: str | None


def check_admin(call: Call) -> None:
    """Raises AdminsOnly."""
    if not call.identity.is_admin:
        raise AdminsOnly


def _hold_out(hold: Hold, now: datetime) -> HoldOut:
    until = _at(hold.until)
    return HoldOut(
        id=hold.id,
        kind=hold.kind,
        room_id=hold.room_id,
        user_id=hold.user_id,
        client_id=hold.client_id,
        stage=hold.stage,
        reason=hold.reason,
        strikes=hold.strikes,
        held_until=until,
        is_held=now < until,
        first_seen_at=_at(hold.first_at),
        last_seen_at=_at(hold.last_at),
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@api.route(
    "GET",
    "/api/v1/admin/quarantine",
    summary="List the quarantine",
    tag="admin",
    replies=[Reply(200, "All of it", HoldList)],
    errors=[AdminsOnly],
)
async def list_quarantine(call: Call) -> Response:
    """Whose edits made the server hang or crash, or the document library fail, and until when none of theirs
    are taken. An entry is kept for a day after it ended, because the next time it holds for longer."""
    check_admin(call)
    now = call.services.now()
    return answer(
        HoldList(items=[_hold_out(one, now) for one in call.services.keeper.holds()], next_cursor=None)
    )


@api.route(
    "DELETE",
    "/api/v1/admin/quarantine/{hold_id}",
    summary="Lift a quarantine",
    tag="admin",
    replies=[Reply(204, "It is lifted and forgotten")],
    errors=[AdminsOnly],
    audit="quarantine.lift",
)
async def lift_quarantine(call: Call, path: HoldPath) -> Response:
    """From now on what it held back is taken again."""
    check_admin(call)

    def note(conn: Connection) -> None:
        call.record(conn, "quarantine.lift", target=path.hold_id)

    if not await call.services.keeper.lift(path.hold_id, note):
        raise HoldNotFound
    return no_content()

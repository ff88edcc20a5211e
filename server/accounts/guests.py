"""A guest who signs in keeps what he made: whose guest a request is, and moving it.

Owns: that, its end for the guest's tokens, and the job that looks again. Does not own: what is moved
(db/adoption.py). Keeps rules T4, T5.

A request of the guest's that was under way at that moment may write once more under the guest's id: the job
`account.settle` moves that a minute later.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from db.adoption import adopt
from db.members import list_rooms_of
from db.queue import enqueue
from db.revocations import put_user_until
from db.scopes import as_system
from party.errors import OriginRefused, Unauthenticated
from server.auth import Identity, check_cookie_origin, find_token
from server.jobs.base import JobCall
from server.registry import Call
from server.services import Services

SETTLE: Final = "account.settle"
SETTLE_AFTER: Final = timedelta(minutes=1)


async def find_guest(call: Call, token: str | None = None) -> Identity | None:
    """The guest whose token comes with the request, or is given; None for anybody else.

    An expired one counts as long as it could be renewed. Raises Unavailable.
    """
    try:
        if token is None:
            found = find_token(call.request)
            if found is None:
                return None
            token, is_cookie = found
            if is_cookie:
                check_cookie_origin(call.request.headers, call.services.settings)
        identity = await call.services.tokens.verify_for_refresh(token)
    except (Unauthenticated, OriginRefused):
        # signing in needs no token, so a wrong one does no harm
        return None
    return identity if identity.is_guest else None


def adopt_guest(
    connection: Connection, call: Call, guest: Identity, account_id: str, now: datetime
) -> list[str] | None:
    """Make the guest the account's, and end his tokens, in this transaction; None: it was not done.

    Else the rooms where roles changed, for `tell_adopted` after the commit.
    """
    room_ids = list_rooms_of(connection, guest.user_id)
    if not adopt(connection, guest.user_id, account_id, now):
        return None
    put_user_until(connection, guest.user_id, now)
    enqueue(
        connection,
        kind=SETTLE,
        payload={"guest_id": guest.user_id, "account_id": account_id},
        now=now,
        run_at=now + SETTLE_AFTER,
        user_id=account_id,
    )
    call.record(connection, "account.adopt", by=(account_id, guest.name), target=guest.user_id)
    return room_ids


async def tell_adopted(services: Services, guest_id: str, room_ids: Collection[str], now: datetime) -> None:
    """It is committed: his sockets end, and those in his rooms learn who owns them. Never fails."""
    services.revocations.take_note(guest_id, now)
    await _tell_rooms(services, room_ids)


async def _tell_rooms(services: Services, room_ids: Collection[str]) -> None:
    # what is open elsewhere is looked at there, for the change is noted with the rooms
    here = [one for one in room_ids if one in services.hub.rooms]
    await asyncio.gather(*map(services.access.changed, here))
    for room_id in here:
        services.people.tell(room_id)


async def settle_account(call: JobCall) -> None:
    """The handler: what a guest's last requests wrote is the account's, too."""
    guest_id, account_id = call.job.payload["guest_id"], call.job.payload["account_id"]

    def move(connection: Connection) -> list[str]:
        room_ids = list_rooms_of(connection, guest_id)
        adopt(connection, guest_id, account_id, call.services.now())
        return room_ids

    await _tell_rooms(call.services, await as_system(call.services.database).write(move))

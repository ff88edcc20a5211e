"""Who is in which room, over all processes: what the hub knows here, and the directory of the others.

Owns: putting the two together. Does not own: either; who may know (the routes ask the database first).
Rule: Redis only adds people; without it what is here is shown, at once.
"""

from collections.abc import Sequence

from party.ports import Principal
from server.redis.address import RedisAway
from server.services import Services


async def find_people(services: Services, room_ids: Sequence[str]) -> dict[str, list[Principal]]:
    """For each of these rooms, who is in it now: those of this process first, each once."""
    here = {one: services.hub.present(one) for one in room_ids}
    directory = services.directory
    if not room_ids or not directory.is_shared or directory.trouble is not None:
        return here
    try:
        elsewhere = await directory.people(room_ids, others_only=True)
    except RedisAway:
        return here
    for room_id, people in elsewhere.items():
        known = {one.user_id for one in here[room_id]}
        here[room_id] = here[room_id] + [Principal(one.id, one.name) for one in people if one.id not in known]
    return here


async def find_active(services: Services, limit: int) -> list[str]:
    """Ids of rooms that were public a moment ago and have people in them, most people first."""
    try:
        if services.directory.trouble is None:
            return [one for one, _ in await services.directory.active(limit)]
    except RedisAway:
        pass
    here = sorted(services.hub.rooms.values(), key=lambda room: -len(room.sessions))
    return [room.id for room in here[:limit] if room.sessions]

"""The purge of deleted elements: 30 days after its deletion an element leaves its room for good.

Owns: how long they are kept, and the order in which rooms are visited. Does not own: what is deleted and
since when (db/tombstones.py), the removal (party/hub.py), when it is time to look (services.py).

One room after another: a first pass after long may concern every room there is. What fails is left for the
next pass.
"""

import random
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from db.database import Database
from db.scopes import as_system
from db.tombstones import list_rooms_to_purge, list_tombstones
from party.errors import KanvasError, RoomFrozen, RoomNotFound
from party.hub import Hub

log = structlog.get_logger("kanvas.purging")

ELEMENTS_KEPT: Final = timedelta(days=30)
"""Sooner an edit made offline would be inside of what is gone."""

UNSEEN_MOST: Final = timedelta(days=1)
"""Deletions are noticed by checkpoints: a room without one for so long gets it."""

ELEMENTS_PER_ROOM: Final = 10_000
"""Most elements of one room in one pass."""

FAILURES_MOST: Final = 3
"""A pass ends after as many rooms in a row that failed: then it is not the rooms."""


async def purge_elements(database: Database, hub: Hub, now: datetime) -> int:
    """Remove what was deleted 30 days before `now`; return in how many rooms. Raises Unavailable."""
    deleted_before = now - ELEMENTS_KEPT
    find_rooms = partial(list_rooms_to_purge, deleted_before=deleted_before, written_before=now - UNSEEN_MOST)
    purged = failures = 0
    room_ids = await as_system(database).read(find_rooms)
    # rooms that fail again and again must not be the first of every pass
    random.shuffle(room_ids)
    for room_id in room_ids:
        find_elements = partial(
            list_tombstones, room_id=room_id, deleted_before=deleted_before, limit=ELEMENTS_PER_ROOM
        )
        try:
            # a checkpoint first: what was brought back and deleted again is deleted since the second time
            await hub.purge(room_id)
            element_ids = await as_system(database).read(find_elements)
            await hub.purge(room_id, element_ids)
        except (RoomNotFound, RoomFrozen):
            continue
        except KanvasError as error:
            log.warning("purge failed; it is tried again", room_id=room_id, reason=error.message)
            failures += 1
            if failures >= FAILURES_MOST:
                break
        else:
            failures = 0
            purged += bool(element_ids)
    return purged

"""What the clean-up does with the audit log: old entries leave it, rooms that go for good are told of.

Owns: in which steps. Does not own: the cut (db/audit.py), when (services.py). Keeps rule Y6.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from db.audit import SERVER, Event, append, cut, list_cut, list_expiring, purge_cut
from db.scopes import Transactions

log = structlog.get_logger("kanvas.audit")

CHAINS: Final = 1000
ROWS: Final = 1000
"""In one transaction, for edits wait for the same writer."""


async def keep_recent(database: Transactions, kept: timedelta, now: datetime) -> int:
    """Let entries older than that leave the log; how many. Killed in between, the next time goes on."""
    before = now - kept
    gone = 0
    for chain in await database.read(partial(list_expiring, before=before, limit=CHAINS)):
        gone += await database.write(partial(cut, chain=chain, before=before, now=now))
    while chains := await database.read(partial(list_cut, limit=CHAINS)):
        for chain in chains:
            while await database.write(partial(purge_cut, chain=chain, limit=ROWS)) == ROWS:
                pass
    if gone:
        log.info("audit log cut", entries=gone)
    return gone


def note_purged(connection: Connection, room_ids: Sequence[str], now: datetime) -> None:
    """The trash is emptied of these rooms; their chains outlive them."""
    for room_id in sorted(room_ids):
        append(connection, Event(now, *SERVER, "room.purge", room_id, target=room_id))

"""Pages of the audit log, and the whole of it as a stream. Owns: cursors, the order of an export, its end.

Does not own: routes, who may read (routes.py), queries (db/audit.py). Keeps rules Y5, Y9.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from db.audit import Position, Wanted, list_entries
from db.chains import Entry
from db.scopes import Transactions
from server.cursors import decode_cursor, encode_cursor

PAGE: Final = 500
"""Entries in memory at once, about 1 MB."""

_PLACE: Final = r"^[0-7][0-9a-hjkmnp-tv-z]{25}\.[0-9]{1,18}$"


def make_cursor(entry: Entry) -> str:
    """Where the page after this entry begins."""
    return encode_cursor(entry.at, f"{entry.id}.{entry.seq}")


def read_cursor(cursor: str) -> Position:
    """Raises InvalidFields."""
    at, place = decode_cursor(cursor, _PLACE)
    entry_id, _, seq = place.partition(".")
    return Position(at, entry_id, int(seq))


async def stream(database: Transactions, wanted: Wanted, now: datetime) -> AsyncIterator[list[Entry]]:
    """All that is wanted, the oldest first, page by page, up to now. Raises Unavailable between two pages."""
    until = min(now, wanted.until) if wanted.until is not None else now
    ended = replace(wanted, until=until)
    past: Position | None = None
    while True:
        page = await database.read(
            partial(list_entries, wanted=ended, past=past, limit=PAGE, oldest_first=True)
        )
        if page:
            yield page
            past = Position.of(page[-1])
        if len(page) < PAGE:
            return

"""The audit log as JSON and as files: entries, JSON Lines, CSV.

Owns: what of an entry whom it is shown to, and cells that no spreadsheet runs. Does not own: reading
(routes.py). Keeps rules Y5, Y9. Sources: RFC 4180 (CSV), jsonlines.org, OWASP "CSV Injection".
"""

import csv
import io
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from pydantic import Field

from db.audit import SERVER_CHAIN
from db.chains import Entry
from server.audit.actions import words_of
from server.registry import Out
from server.sign_in import UserOut

COLUMNS: Final = (
    "id",
    "at",
    "actor_id",
    "actor_name",
    "action",
    "target",
    "result",
    "address",
    "room_id",
    "details",
)
SIGNS: Final = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""What a formula begins with, also in full width, which some spreadsheets read as the same."""
PARTING: Final = ";|\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029"
"""What parts cells or rows for readers that don't part them at commas; to those our quotes are none."""
FORMULA: Final = re.compile(rf"\A(?=[\t\r\n]|[\s\"]*[{SIGNS}])|([{PARTING}][\s\"]*)(?=[{SIGNS}])")
"""Where one would begin: at the beginning and behind what parts, spaces and quotes before it or not."""


class EntryOut(Out):
    """Something that was done, or refused."""

    id: str
    at: datetime
    actor: UserOut | None = Field(description="null: somebody who had not signed in")
    action: str = Field(examples=["room.change"])
    words: str = Field(description="The action after a name", examples=["changed the room"])
    target: str = Field(description="What it was done to: an id, or a few words")
    result: Literal["done", "refused"]
    address: str | None = Field(
        description="Where it came from; null when that is not for you, or it came from here"
    )
    room_id: str | None
    details: dict[str, Any] = Field(description="Depends on the action")


class EntryList(Out):
    """A page of entries, the newest first."""

    items: list[EntryOut]
    next_cursor: str | None


def is_address_shown(entry: Entry, viewer_id: str, *, is_admin: bool) -> bool:
    """An owner of a room learns what happened in it, not where its people live."""
    return is_admin or entry.actor_id == viewer_id


def entry_out(entry: Entry, viewer_id: str, *, is_admin: bool) -> EntryOut:
    """The entry as somebody may see it."""
    shows = is_address_shown(entry, viewer_id, is_admin=is_admin)
    return EntryOut(
        id=entry.id,
        at=entry.at,
        actor=UserOut(id=entry.actor_id, name=entry.actor_name) if entry.actor_id else None,
        action=entry.action,
        words=words_of(entry.action, is_refused=entry.result == "refused"),
        target=entry.target,
        result="refused" if entry.result == "refused" else "done",
        address=entry.address or None if shows else None,
        room_id=None if entry.chain == SERVER_CHAIN else entry.chain,
        details=orjson.loads(entry.details),
    )


def to_lines(entries: Sequence[EntryOut]) -> bytes:
    """JSON Lines."""
    return b"".join(one.model_dump_json().encode() + b"\n" for one in entries)


def to_rows(entries: Sequence[EntryOut], *, has_head: bool) -> bytes:
    """CSV in UTF-8, with the names of the columns above when it is the beginning."""
    told = io.StringIO()
    writer = csv.writer(told)
    if has_head:
        writer.writerow(COLUMNS)
    for one in entries:
        actor = one.actor or UserOut(id="", name="")
        details = orjson.dumps(one.details).decode() if one.details else ""
        row = (
            one.id,
            one.at.isoformat(),
            actor.id,
            actor.name,
            one.action,
            one.target,
            one.result,
            one.address or "",
            one.room_id or "",
            details,
        )
        writer.writerow([to_cell(cell) for cell in row])
    return told.getvalue().encode()


def to_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, whole or cut at another sign than the comma."""
    return FORMULA.sub(r"\1'", text)

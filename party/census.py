"""The census: what an operator may know of an open room without opening what is drawn in it.

Owns: the shape of a reading, and taking it. Does not own: what is done with it (server/overview.py,
server/exposition.py). It costs nothing while nobody asks. Keeps rule M4.
"""

from dataclasses import dataclass

from party.ports import Role
from party.room import Room


@dataclass(frozen=True, slots=True)
class Reading:
    """One open room of this process; `rows` are the journal's since the checkpoint."""

    room_id: str
    schema: str
    version: str
    seq: int
    connections: int
    people: int
    lagging: int
    document_bytes: int
    rows: int
    row_bytes: int
    waits_for_journal: bool


@dataclass(frozen=True, slots=True)
class PersonReading:
    """Somebody in a room, with as many connections (tabs, devices) as he has there."""

    user_id: str
    name: str
    role: Role
    connections: int


def read_room(room: Room) -> Reading:
    """The room as it is now."""
    return Reading(
        room_id=room.id,
        schema=room.schema,
        version=room.view.version,
        seq=room.view.seq,
        connections=len(room.sessions),
        people=len({session.principal.user_id for session in room.sessions}),
        lagging=room.lagging,
        document_bytes=room.view.size_bytes,
        rows=room.rows_since_checkpoint,
        row_bytes=room.bytes_since_checkpoint,
        waits_for_journal=room.frozen,
    )


def read_people(room: Room) -> list[PersonReading]:
    """Who is in it, in the order they came."""
    found: dict[str, PersonReading] = {}
    for session in room.sessions:
        who = session.principal
        before = found.get(who.user_id)
        count = 1 if before is None else before.connections + 1
        found[who.user_id] = PersonReading(who.user_id, who.name, who.role, count)
    return list(found.values())

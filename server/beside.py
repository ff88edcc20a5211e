"""Messages to our own clients about what changed beside a room's document: type 65.

Owns: their bytes, and handing one to those in a room here who may see it. Does not own: what is told and when
(comments/live.py), the other nodes. Keeps rule X5.
Only sockets with the subprotocol `kanvas` have them; a stock client would not know what to do with one.

    server -> client   65 text(JSON)     an object with `kind`: comment, people
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from party.hub import Hub
from party.policy import can
from party.room import Room
from party.session import Joining, Live, Session
from party.wire import encode_buffer
from server.line import HIGH_WATER_BYTES, Line

BESIDE: Final = 65


def encode_event(event: Mapping[str, Any]) -> bytes:
    """One message. `event` has a `kind`."""
    return bytes((BESIDE,)) + encode_buffer(orjson.dumps(event))


def find_listeners(room: Room | None) -> list[Session]:
    """Those in the room here who are told: our own clients whose role may see, and who keep up.

    Who does not keep up is told nothing: it asks when it looks again.
    """
    if room is None:
        return []
    return [
        session
        for session in room.sessions
        if isinstance(session.connection, Line)
        and session.connection.is_ours
        and type(session.state) in (Live, Joining)
        and can(session.principal.role, "see")
        and session.connection.buffered_bytes <= HIGH_WATER_BYTES
    ]


def tell_room(hub: Hub, room_id: str, event: Mapping[str, Any]) -> int:
    """Send it to those who are told, here; how many that were. Never waits."""
    listeners = find_listeners(hub.rooms.get(room_id))
    if listeners:
        message, now = encode_event(event), hub.now()
        for session in listeners:
            session.send(now, message)
    return len(listeners)

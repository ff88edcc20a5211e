"""A seat: a connection's place in a room, as the transport has it.

Owns: what follows for the hub from what a connection did: the room is woken, or fails. Does not own: what it
means (room), who is let in (hub). No verb waits. Keeps rule H6.
"""

from typing import TYPE_CHECKING

from party.session import Session
from party.shared import SharedRoom

if TYPE_CHECKING:
    from party.hub import Hub


class Seat:
    """A connection's place in a room: what the transport calls. No verb waits."""

    __slots__ = ("_hub", "_room", "_session")

    def __init__(self, hub: "Hub", room: SharedRoom, session: Session) -> None:
        self._hub = hub
        self._room = room
        self._session = session

    def receive(self, data: bytes) -> None:
        """One complete binary WebSocket message."""
        hub, room = self._hub, self._room
        try:
            room.receive(self._session, data, hub.now())
        except Exception:
            hub.fail(room)
            return
        if room.has_work:
            hub.wake(room)

    def drained(self) -> None:
        """The transport's buffer is low again."""
        try:
            self._room.drained(self._session, self._hub.now())
        except Exception:
            self._hub.fail(self._room)

    def leave(self) -> None:
        """The socket is gone. Idempotent."""
        self._room.leave(self._session, self._hub.now())
        if self._room.is_shared:
            self._hub.relay.people_moved(self._room)
        if self._room.has_work:
            self._hub.wake(self._room)

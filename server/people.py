"""The people of a room changed: told to those of our own clients who look at it, here and at the other nodes.

Owns: when it is told, and how often. Does not own: the bytes (beside.py), roles, which take effect by
themselves (access.py), what is asked anew (members.py, invitations.py, links.py, rooms.py). Keeps rule E11.

A hint without contents: who hears it asks for what they show. So one that comes within `PAUSE_S` of another
waits, and takes with it all that come meanwhile: a hundred people who enter by a link at once make
everybody ask twice, not a hundred times. Never waits, never fails; a hint may be lost.
"""

import asyncio
from typing import Final

from party.hub import Hub
from server.beside import find_listeners, tell_room

TOPIC: Final = "people"
EVENT: Final = {"kind": TOPIC}
PAUSE_S: Final = 1.0


class People:
    """The hints of one process; a loop has to run. Whoever makes it calls `close`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        """Rooms that were told something just now."""

        self._again: set[str] = set()
        """Of these, those where something changed since."""

        self._is_closed = False
        hub.on_note(TOPIC, lambda _sender, data: self._tell(data.decode()))

    def tell(self, room_id: str) -> None:
        """Members, invitations, links or settings of this room changed, and that is committed."""
        self._hub.note(TOPIC, room_id.encode())
        self._tell(room_id)

    def _tell(self, room_id: str) -> None:
        if self._is_closed:
            return
        if room_id in self._pauses:
            self._again.add(room_id)
        elif find_listeners(self._hub.rooms.get(room_id)):
            tell_room(self._hub, room_id, EVENT)
            self._pauses[room_id] = asyncio.get_running_loop().call_later(PAUSE_S, self._go_on, room_id)

    def _go_on(self, room_id: str) -> None:
        del self._pauses[room_id]
        if room_id in self._again:
            self._again.discard(room_id)
            self._tell(room_id)

    def close(self) -> None:
        """Nobody is told any more."""
        self._is_closed = True
        for pause in self._pauses.values():
            pause.cancel()

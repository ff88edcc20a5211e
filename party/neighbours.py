"""Neighbours: which other nodes there are, and which of them have a room of ours open.

Owns: who was heard of when, and who has what open. Does not own: what is said to them (relay). Keeps rule B2.
Pure: time is passed in.
"""

from collections.abc import Collection
from typing import Final

SILENT_S: Final = 3.5
"""A node not heard of for this long is gone: it says something every second."""

NOBODY: Final[frozenset[str]] = frozenset()


class Neighbours:
    """The other nodes, by name, and the rooms shared with them."""

    def __init__(self) -> None:
        self._heard_at_s: dict[str, float] = {}
        self._rooms: dict[str, set[str]] = {}

    @property
    def nodes(self) -> list[str]:
        """Those alive, by name."""
        return sorted(self._heard_at_s)

    def heard(self, node: str, now: float) -> bool:
        """It said something; True when it was not known."""
        is_new = node not in self._heard_at_s
        self._heard_at_s[node] = now
        return is_new

    def add(self, room_id: str, node: str) -> bool:
        """It has the room open; True when that was not known."""
        nodes = self._rooms.setdefault(room_id, set())
        if node in nodes:
            return False
        nodes.add(node)
        return True

    def remove(self, room_id: str, node: str) -> bool:
        """It does not have the room open; True when that was not known."""
        nodes = self._rooms.get(room_id)
        if nodes is None or node not in nodes:
            return False
        nodes.remove(node)
        if not nodes:
            del self._rooms[room_id]
        return True

    def forget_room(self, room_id: str) -> None:
        """The room is not open here any more."""
        self._rooms.pop(room_id, None)

    def of(self, room_id: str) -> Collection[str]:
        """The nodes that have it open too."""
        return self._rooms.get(room_id, NOBODY)

    def silent(self, now: float) -> list[str]:
        """The nodes not heard of for too long."""
        return [node for node, at_s in self._heard_at_s.items() if now - at_s > SILENT_S]

    def forget(self, node: str) -> list[str]:
        """It is gone; the rooms it had open."""
        self._heard_at_s.pop(node, None)
        return [room_id for room_id in list(self._rooms) if self.remove(room_id, node)]

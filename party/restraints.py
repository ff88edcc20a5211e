"""Restraints: what the operator holds back in this installation, as this process last heard of it.

Owns: which rooms are frozen, which are closed, and whom they keep out until when. Does not own: where that is
stored and how other nodes hear of it (server/oversight.py), who may order it (server/admin_rooms.py).
Pure: the time is passed in, the wall's, because a restraint outlives the process. Keeps rules M5-M8.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from party.errors import KeptOut, RoomClosed

EVERYBODY: Final = ""
"""Stands where a user id would: the room is closed. Nobody has an empty id."""

FROZEN: Final = "The operator froze this room: you may look; what you draw stays with you until it is thawed."
THAWED: Final = "The operator thawed this room: what you drew meanwhile is taken now."


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Who is kept out of a room, and until when (seconds since 1970). `EVERYBODY`: the room is closed."""

    room_id: str
    user_id: str
    until: float


class Restraints:
    """What is held back now. Replaced as a whole, so that it never shows half of a change."""

    def __init__(self) -> None:
        self.frozen: frozenset[str] = frozenset()
        self._excluded: dict[tuple[str, str], float] = {}

    def replace(self, frozen: Collection[str], exclusions: Iterable[Exclusion]) -> None:
        """From now on exactly these hold."""
        self.frozen = frozenset(frozen)
        self._excluded = {(one.room_id, one.user_id): one.until for one in exclusions}

    @property
    def exclusions(self) -> list[Exclusion]:
        """All of them, also those that have ended since the last `replace`."""
        return [Exclusion(room_id, user_id, until) for (room_id, user_id), until in self._excluded.items()]

    def check_entry(self, room_id: str, user_id: str, now: float) -> None:
        """Before somebody joins or writes. Raises RoomClosed, KeptOut, which say until when."""
        if not self._excluded:
            return
        for who, error in ((EVERYBODY, RoomClosed), (user_id, KeptOut)):
            until = self._excluded.get((room_id, who), 0.0)
            if until > now:
                raise error(error.words(until))

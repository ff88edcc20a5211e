"""Contention: whose edits the journal refused, because they had one Yjs client id at two nodes.

Owns: how often that was within some time, for each user of a room. Does not own: who is closed for it
(shared). Keeps rule B11. Pure: time is passed in.

It happens to the honest, once, when a page moves to another node before its last edit got there. Each time
the document is loaded anew, so whoever makes it happen again and again has to go.
"""

from typing import Final

MOST: Final = 3
"""So many at once are forgiven."""

FORGIVEN_S: Final = 20.0
"""After this time it is one less."""

MOST_USERS: Final = 1_024


class Contention:
    """The refusals of one room."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}
        """When the last one of each user is forgiven."""

    def add(self, user_id: str, now: float) -> bool:
        """One more; True when that is too many."""
        until_s = max(self._until_s.pop(user_id, now), now) + FORGIVEN_S
        too_many = until_s - now > MOST * FORGIVEN_S
        # whoever comes back is closed at the next one, not for ever
        self._until_s[user_id] = min(until_s, now + MOST * FORGIVEN_S)
        if len(self._until_s) > MOST_USERS:
            del self._until_s[next(iter(self._until_s))]
        return too_many

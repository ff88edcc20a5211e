"""Places for connections: how many one user and one room may have in this process.

Owns: the two counts. Does not own: sockets, who a user is, how a refusal looks (parties.py).
No I/O. Keeps rule S8: a place is taken once it is known who comes, and free when the socket is gone,
whichever way it went.
"""

from collections import Counter

from party.errors import TooManyConnections


class Place:
    """One connection's place. `free` it when the socket is gone."""

    __slots__ = ("_places", "_room_id", "_user_id")

    def __init__(self, places: "Places", user_id: str, room_id: str) -> None:
        self._places: Places | None = places
        self._user_id = user_id
        self._room_id = room_id

    def free(self) -> None:
        """Give it back. Idempotent."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._user_id, self._room_id)


class Places:
    """The places of one process."""

    def __init__(self, per_user: int, per_room: int) -> None:
        self._per_user = per_user
        self._per_room = per_room
        self._users: Counter[str] = Counter()
        self._rooms: Counter[str] = Counter()

    def take(self, user_id: str, room_id: str) -> Place:
        """A place for one more connection. Raises TooManyConnections, and takes nothing then."""
        if self._users[user_id] >= self._per_user:
            raise TooManyConnections(
                f"You have {self._per_user} connections, which is the limit; close some, then it works again."
            )
        if self._rooms[room_id] >= self._per_room:
            raise TooManyConnections(
                f"The room has {self._per_room} connections, which is the limit; try again later."
            )
        self._users[user_id] += 1
        self._rooms[room_id] += 1
        return Place(self, user_id, room_id)

    def give_back(self, user_id: str, room_id: str) -> None:
        """Called by the place."""
        for counts, name in ((self._users, user_id), (self._rooms, room_id)):
            counts[name] -= 1
            if counts[name] <= 0:
                del counts[name]

    def taken(self) -> int:
        """How many places are taken in all."""
        return self._users.total()

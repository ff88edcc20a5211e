"""The directory: who is where on all nodes, as far as they told.

Owns: its shapes, its port, and the one of a process alone. Does not own: telling it (reporter.py), Redis
(server/redis/directory.py), who may see what (the routes ask the database first).
Rule: all of it is a hint of the last seconds, kept by nobody for long: the database says which rooms there
are and whose they are, and the hub who is in a room here.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

PRESENCE_S: Final = 60
"""How long it is known where somebody was last."""

MOST_ACTIVE: Final = 500
"""Public rooms that are compared to find the fullest."""

MOST_PEOPLE: Final = 1000
"""Of one room that are told."""

MOST_KNOWN: Final = 10_000
"""Whereabouts that one process remembers."""


class PersonHere(NamedTuple):
    """Somebody who is in a room."""

    id: str
    name: str


class Whereabouts(NamedTuple):
    """The room somebody is in, None for none any more, and when that was known. Times are aware, in UTC."""

    room_id: str | None
    seen_at: datetime


class Latest(NamedTuple):
    """The newest committed version of a room, and a digest of its clients and clocks.

    Two nodes that show the same version must have the same digest.
    """

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class RoomStats:
    """One room on one node."""

    people: int
    connections: int
    version: str
    size_bytes: int
    rows: int
    """Of the journal since the last checkpoint."""


@dataclass(frozen=True, slots=True)
class NodeStats:
    """One process: where it runs, since when (seconds since 1970), and how much it has."""

    host: str
    pid: int
    started_at: float
    rooms: int
    connections: int


@dataclass(frozen=True, slots=True)
class RoomNews:
    """A room with people in it on this node, in full; `left` were told before and are not here any more."""

    people: tuple[PersonHere, ...]
    is_public: bool
    stats: RoomStats
    latest: Latest
    left: tuple[PersonHere, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What one node has to tell: of some rooms, of rooms that are empty here now with who was told to be in
    them, of people who are in a room (by user id) or in none any more, and of itself."""

    node: NodeStats
    rooms: Mapping[str, RoomNews] = field(default_factory=dict)
    empty: Mapping[str, tuple[PersonHere, ...]] = field(default_factory=dict)
    whereabouts: Mapping[str, str | None] = field(default_factory=dict)


class Directory(Protocol):
    """What the nodes told of the last seconds. Every verb but `trouble` raises RedisAway within a second."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes tell it, too."""

    @property
    def trouble(self) -> str | None:
        """Why others can't be reached now, in words; None when all is well."""

    async def publish(self, news: News) -> list[str]:
        """Tell what happened here; returns rooms that others show otherwise at the same version.

        What is not repeated is forgotten: people and statistics after 90 s, public rooms after 300.
        """

    async def leave(self) -> None:
        """This node ends: what it told counts no more."""

    async def active(self, limit: int) -> list[tuple[str, int]]:
        """Ids of public rooms with people in them and how many, most people first.

        Which rooms are public was true some seconds ago: ask the database.
        """

    async def people(
        self, room_ids: Sequence[str], *, others_only: bool = False
    ) -> dict[str, tuple[PersonHere, ...]]:
        """Who is in these rooms, each once, `MOST_PEOPLE` of each at most; an empty room is missing.

        `others_only` leaves out who is in by this node: the hub knows that better.
        """

    async def whereabouts(self, user_id: str) -> Whereabouts | None:
        """Where the user was last, within `PRESENCE_S`."""

    async def latest(self, room_id: str) -> Latest | None:
        """The newest version that was told."""

    async def nodes(self) -> dict[str, NodeStats]:
        """The living nodes."""

    async def room_stats(self, room_ids: Collection[str]) -> dict[str, dict[str, RoomStats]]:
        """Of each of these rooms, what its living nodes told, by node; a room nobody has open is missing."""


class MemoryDirectory:
    """The directory of a process alone."""

    is_shared = False
    trouble: str | None = None

    def __init__(self, node: str) -> None:
        self._node = node
        self._stats: NodeStats | None = None
        self._rooms: dict[str, RoomNews] = {}
        self._whereabouts: OrderedDict[str, tuple[str | None, float]] = OrderedDict()

    async def publish(self, news: News) -> list[str]:
        self._stats = news.node
        self._rooms.update(news.rooms)
        for room_id in news.empty:
            self._rooms.pop(room_id, None)
        now = time.time()
        for user_id, where in news.whereabouts.items():
            self._whereabouts[user_id] = (where, now)
            self._whereabouts.move_to_end(user_id)
        while self._whereabouts and (
            len(self._whereabouts) > MOST_KNOWN
            or next(iter(self._whereabouts.values()))[1] < now - PRESENCE_S
        ):
            self._whereabouts.popitem(last=False)
        return []

    async def leave(self) -> None:
        self._stats = None
        self._rooms.clear()

    async def active(self, limit: int) -> list[tuple[str, int]]:
        found = [(one, len(news.people)) for one, news in self._rooms.items() if news.is_public]
        return fullest(found, limit)

    async def people(
        self, room_ids: Sequence[str], *, others_only: bool = False
    ) -> dict[str, tuple[PersonHere, ...]]:
        if others_only:
            return {}
        return {
            one: self._rooms[one].people[:MOST_PEOPLE]
            for one in room_ids
            if one in self._rooms and self._rooms[one].people
        }

    async def whereabouts(self, user_id: str) -> Whereabouts | None:
        room_id, at = self._whereabouts.get(user_id, (None, 0.0))
        if at < time.time() - PRESENCE_S:
            return None
        return Whereabouts(room_id, datetime.fromtimestamp(at, UTC))

    async def latest(self, room_id: str) -> Latest | None:
        news = self._rooms.get(room_id)
        return news.latest if news is not None else None

    async def nodes(self) -> dict[str, NodeStats]:
        return {self._node: self._stats} if self._stats is not None else {}

    async def room_stats(self, room_ids: Collection[str]) -> dict[str, dict[str, RoomStats]]:
        return {one: {self._node: self._rooms[one].stats} for one in room_ids if one in self._rooms}


def fullest(found: Sequence[tuple[str, int]], limit: int) -> list[tuple[str, int]]:
    """Those with anybody in them, most people first, then by id."""
    return sorted((one for one in found if one[1]), key=lambda one: (-one[1], one[0]))[:limit]

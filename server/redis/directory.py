"""The directory in Redis.

Owns: how it is kept in the keys of keys.py, giving up on a Redis that does not answer. Does not own: when
something is told (server/reporter.py).
Rules: every key expires by itself; what a node told counts only while its heartbeat does; a Redis that fails
is left alone for `REST_S`, so that a dead one costs one deadline and not one for each request; what can't be
read is as if it were not there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, TypeVar

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from party.tally import Meter
from server.directory import (
    MOST_ACTIVE,
    MOST_PEOPLE,
    Latest,
    News,
    NodeStats,
    PersonHere,
    RoomNews,
    RoomStats,
    Whereabouts,
    fullest,
)
from server.metered import REDIS, metered
from server.redis.address import RedisAway, explain
from server.redis.client import heeding_cancellation
from server.redis.keys import LATEST_S, NODE_S, PARTICIPANTS_S, PRESENCE_S, REGISTRY_S, STATS_S

DEADLINE_S: Final = 0.5
TELLING_S: Final = 2.0
"""In the background nobody waits for it."""

REST_S: Final = 1.0
MOST_ASKING: Final = 32
"""At once, of this process: the client has 100 connections, of which the rate limits take as many."""

AT_ONCE: Final = 50
"""Commands in one pipeline: writing and reading them holds the loop for a millisecond."""

ROOMS_AT_ONCE: Final = 5
"""Each is told in up to ten commands."""

ACTIVE_KEPT_S: Final = 1.0
"""So long everybody who looks for active rooms gets the same answer."""

NODES_KEPT_S: Final = 1.0

MOST_NODES: Final = 256

T = TypeVar("T")


class Patience:
    """Whether Redis is worth asking, and by how many at once: shared by all who ask in this process."""

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter or Meter()
        self._rests_until_s = 0.0
        self._missed_s = 0.0
        """The longest deadline that was missed: who has more time may ask meanwhile."""
        self._turns = asyncio.Semaphore(MOST_ASKING)
        self.trouble: str | None = None

    @asynccontextmanager
    async def asking(self, operation: str, deadline_s: float | None = None) -> AsyncIterator[None]:
        """Around commands, which are metered as `operation` and may take `DEADLINE_S` unless told otherwise.
        Raises RedisAway at once while Redis rests, when no turn comes, and for every failure inside."""
        deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        self._check(deadline_s)
        # that others ask too is not Redis's fault: nothing rests for it
        try:
            async with asyncio.timeout(deadline_s):
                await self._turns.acquire()
        except TimeoutError as error:
            raise RedisAway from error
        began_s = time.monotonic()
        try:
            self._check(deadline_s)
            with metered(self._meter, REDIS, operation):
                async with asyncio.timeout(deadline_s):
                    with heeding_cancellation():
                        yield
        except (RedisError, OSError) as error:
            is_slow = isinstance(error, TimeoutError)
            # nor is it that our own loop came back late
            if not is_slow or time.monotonic() - began_s < 2 * deadline_s:
                self._rest(deadline_s if is_slow else inf, error)
            raise RedisAway from error
        else:
            self.trouble = None
        finally:
            self._turns.release()

    def _check(self, deadline_s: float) -> None:
        if time.monotonic() < self._rests_until_s and deadline_s <= self._missed_s:
            raise RedisAway

    def _rest(self, missed_s: float, error: Exception) -> None:
        now = time.monotonic()
        self._missed_s = max(missed_s, self._missed_s if now < self._rests_until_s else 0.0)
        self._rests_until_s = now + REST_S
        # who was in a hurry says nothing about Redis
        if missed_s >= DEADLINE_S:
            self.trouble = explain(error)


class RedisDirectory:
    """The Directory port. `link_trouble` is that of the bus, which notices a loss first."""

    is_shared = True

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        node: str,
        patience: Patience | None = None,
        link_trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._node = node
        self._patience = patience or Patience()
        self._link_trouble = link_trouble
        self._nodes: tuple[float, dict[str, NodeStats]] = (float("-inf"), {})
        self._active: tuple[float, list[tuple[str, int]]] = (float("-inf"), [])
        self._asking: asyncio.Lock = asyncio.Lock()
        self._living: set[str] = set()
        self._dead: dict[str, float] = {}
        """Nodes that ended, and when they need not be cleaned up after any more."""

    @property
    def trouble(self) -> str | None:
        return self._link_trouble() or self._patience.trouble

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    # -- telling ----------------------------------------------------------------------------------

    async def publish(self, news: News) -> list[str]:
        now = time.time()
        async with self._patience.asking("tell_node", TELLING_S):
            names = self._key("nodes", "registry")
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(self._key("nodes", self._node), _dump(asdict(news.node)), ex=NODE_S)
                pipe.zadd(names, {self._node: now + REGISTRY_S})
                pipe.zremrangebyscore(names, "-inf", now)
                pipe.expire(names, REGISTRY_S)
                await pipe.execute()
        self._note_nodes(set(await self.nodes()), now)
        differing: list[str] = []
        for some in _slices(news.rooms.items(), ROOMS_AT_ONCE):
            differing += await self._tell_rooms(some, now)
        for emptied in _slices(news.empty.items()):
            async with (
                self._patience.asking("tell_empty", TELLING_S),
                self._redis.pipeline(transaction=False) as pipe,
            ):
                for room_id, people in emptied:
                    if people:
                        pipe.zrem(self._key("rooms", room_id, "participants"), *self._members(people))
                    pipe.hdel(self._key("rooms", room_id, "stats"), self._node)
                await pipe.execute()
        for places in _slices(news.whereabouts.items()):
            await self._tell_whereabouts(places, now)
        return differing

    async def leave(self) -> None:
        async with self._patience.asking("leave", TELLING_S):
            await self._redis.delete(self._key("nodes", self._node))

    async def _tell_rooms(self, rooms: Sequence[tuple[str, RoomNews]], now: float) -> list[str]:
        registry = self._key("rooms", "registry")
        async with (
            self._patience.asking("tell_rooms", TELLING_S),
            self._redis.pipeline(transaction=False) as pipe,
        ):
            for room_id, news in rooms:
                participants = self._key("rooms", room_id, "participants")
                if news.left:
                    pipe.zrem(participants, *self._members(news.left))
                if news.people:
                    pipe.zadd(participants, dict.fromkeys(self._members(news.people), now + PARTICIPANTS_S))
                pipe.zremrangebyscore(participants, "-inf", now)
                pipe.expire(participants, PARTICIPANTS_S)
                stats = self._key("rooms", room_id, "stats")
                if self._dead:
                    pipe.hdel(stats, *self._dead)
                pipe.hset(stats, self._node, _dump(asdict(news.stats)))
                pipe.expire(stats, STATS_S)
                if news.is_public:
                    pipe.zadd(registry, {room_id: now + REGISTRY_S})
                else:
                    pipe.zrem(registry, room_id)
                # a pipeline's answers are in order: the ones of `get` are those that are no numbers
                pipe.set(
                    self._key("canvas", room_id, "latest"), _dump(list(news.latest)), ex=LATEST_S, get=True
                )
            pipe.zremrangebyscore(registry, "-inf", now)
            pipe.expire(registry, REGISTRY_S)
            told = await pipe.execute()
        before = [one for one in told if one is None or isinstance(one, bytes)]
        differing = []
        for (room_id, news), one in zip(rooms, before, strict=True):
            latest = _latest(one)
            if latest and latest.version == news.latest.version and latest.digest != news.latest.digest:
                differing.append(room_id)
        return differing

    async def _tell_whereabouts(self, places: Sequence[tuple[str, str | None]], now: float) -> None:
        keys = {user_id: self._key("presence", user_id) for user_id, _ in places}
        async with self._patience.asking("tell_whereabouts", TELLING_S):
            # who left here may have come in elsewhere meanwhile
            gone = [user_id for user_id, room_id in places if room_id is None]
            found = await self._redis.mget([keys[one] for one in gone]) if gone else []
            elsewhere = {
                user_id for user_id, one in zip(gone, found, strict=True) if self._is_of_another(one)
            }
            async with self._redis.pipeline(transaction=False) as pipe:
                for user_id, room_id in places:
                    if user_id not in elsewhere:
                        pipe.set(keys[user_id], _dump([room_id, now, self._node]), ex=PRESENCE_S)
                await pipe.execute()

    def _is_of_another(self, told: object) -> bool:
        where = _load(told, list)
        return bool(where and len(where) == 3 and where[0] is not None and where[2] != self._node)

    def _members(self, people: Iterable[PersonHere]) -> list[bytes]:
        return [orjson.dumps([one.id, one.name, self._node]) for one in people]

    def _note_nodes(self, living: set[str], now: float) -> None:
        for node in self._living - living:
            self._dead[node] = now + 2 * STATS_S
        self._living = living
        self._dead = {one: end for one, end in self._dead.items() if end > now and one not in living}

    # -- asking -----------------------------------------------------------------------------------

    async def active(self, limit: int) -> list[tuple[str, int]]:
        async with self._asking:
            if time.monotonic() - self._active[0] > ACTIVE_KEPT_S:
                self._active = (time.monotonic(), await self._find_active())
        return self._active[1][:limit]

    async def _find_active(self) -> list[tuple[str, int]]:
        now = time.time()
        async with self._patience.asking("active"):
            found = await self._redis.zrangebyscore(
                self._key("rooms", "registry"), now, "+inf", start=0, num=MOST_ACTIVE
            )
        ids = [_text(one) for one in found]
        counts: list[tuple[str, int]] = []
        for some in _slices(ids):
            async with self._patience.asking("active"), self._redis.pipeline(transaction=False) as pipe:
                for one in some:
                    pipe.zcount(self._key("rooms", one, "participants"), now, "+inf")
                counts += zip(some, await pipe.execute(), strict=True)
        # somebody who is in twice counts once; only of the fullest are all of them looked at
        candidates = [one for one, _ in fullest(counts, 100)]
        people = await self.people(candidates)
        return fullest([(one, len(people.get(one, ()))) for one in candidates], len(candidates))

    async def people(
        self, room_ids: Sequence[str], *, others_only: bool = False
    ) -> dict[str, tuple[PersonHere, ...]]:
        living = set(await self._living_nodes())
        if others_only:
            living.discard(self._node)
        now = time.time()
        found: dict[str, tuple[PersonHere, ...]] = {}
        for some in _slices(room_ids):
            async with self._patience.asking("people"), self._redis.pipeline(transaction=False) as pipe:
                for one in some:
                    key = self._key("rooms", one, "participants")
                    pipe.zrangebyscore(key, now, "+inf", start=0, num=MOST_PEOPLE)
                answers = await pipe.execute()
            for room_id, members in zip(some, answers, strict=True):
                people: dict[str, PersonHere] = {}
                for member in members:
                    told = _load(member, list)
                    if told and list(map(type, told)) == [str, str, str] and told[2] in living:
                        people[told[0]] = PersonHere(told[0], told[1])
                if people:
                    found[room_id] = tuple(people.values())
        return found

    async def whereabouts(self, user_id: str) -> Whereabouts | None:
        async with self._patience.asking("whereabouts"):
            told = _load(await self._redis.get(self._key("presence", user_id)), list)
        if (
            not told
            or len(told) != 3
            or not isinstance(told[0], str | None)
            or not isinstance(told[1], float)
        ):
            return None
        room_id, at, node = told
        if room_id is not None and node not in await self._living_nodes():
            room_id = None
        return Whereabouts(room_id, datetime.fromtimestamp(at, UTC))

    async def latest(self, room_id: str) -> Latest | None:
        async with self._patience.asking("latest"):
            return _latest(await self._redis.get(self._key("canvas", room_id, "latest")))

    async def nodes(self) -> dict[str, NodeStats]:
        begin = self._key("nodes", "")
        async with self._patience.asking("nodes"):
            members = await self._redis.zrevrangebyscore(
                begin + "registry", "+inf", time.time(), start=0, num=MOST_NODES
            )
            names = [_text(one) for one in members]
            told = await self._redis.mget([begin + one for one in names]) if names else []
        found = {
            name: stats for name, one in zip(names, told, strict=True) if (stats := _make(NodeStats, one))
        }
        self._nodes = (time.monotonic(), found)
        return found

    async def _living_nodes(self) -> Collection[str]:
        """As of a moment ago."""
        if time.monotonic() - self._nodes[0] > NODES_KEPT_S:
            await self.nodes()
        return self._nodes[1]

    async def room_stats(self, room_ids: Collection[str]) -> dict[str, dict[str, RoomStats]]:
        living = await self._living_nodes()
        found: dict[str, dict[str, RoomStats]] = {}
        for some in _slices(room_ids):
            async with self._patience.asking("room_stats"), self._redis.pipeline(transaction=False) as pipe:
                for one in some:
                    pipe.hgetall(self._key("rooms", one, "stats"))
                answers = await pipe.execute()
            for room_id, told in zip(some, answers, strict=True):
                by_node = {
                    _text(node): stats
                    for node, one in told.items()
                    if _text(node) in living and (stats := _make(RoomStats, one))
                }
                if by_node:
                    found[room_id] = by_node
        return found


def _slices(items: Iterable[T], size: int = AT_ONCE) -> Iterable[list[T]]:
    every = list(items)
    return (every[at : at + size] for at in range(0, len(every), size))


def _dump(value: Any) -> bytes:
    return orjson.dumps(value)


def _text(told: object) -> str:
    return told.decode(errors="replace") if isinstance(told, bytes) else ""


def _load(told: object, kind: type[T]) -> T | None:
    """What a key holds; None when it holds nothing or something else."""
    if not isinstance(told, bytes):
        return None
    try:
        value = orjson.loads(told)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, kind) else None


def _make(kind: type[T], told: object) -> T | None:
    """Of a process that is newer or older, what we know of; None when something is missing."""
    found = _load(told, dict)
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: found[name] for name in names}) if found and names.keys() <= found.keys() else None


def _latest(told: object) -> Latest | None:
    found = _load(told, list)
    return Latest(*found) if found and len(found) == 2 else None

"""The reporter: tells the directory who is in the rooms of this process, every few seconds.

Owns: what changed since it was told, when it is repeated, which rooms are public. Does not own: the
directory, the rooms. Never in a room's loop: it looks at committed views and sessions from outside, a few
rooms at a time.
Rules: what fails is told again in full the next time; nothing that a directory keeps is true for longer than
its time there.
"""

import asyncio
import hashlib
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from db.database import Database
from db.rooms import list_public
from db.scopes import as_system
from party.errors import KanvasError
from party.hub import Hub
from party.room import Room
from party.session import Session
from party.wire import encode_state_vector
from server.directory import Directory, Latest, News, NodeStats, PersonHere, RoomNews, RoomStats
from server.redis.address import RedisAway

log = structlog.get_logger("kanvas.reporter")

EVERY_S: Final = 2.0
ALONE_S: Final = 5.0
"""The same where nobody else listens."""

AFTER_FAILURE_S: Final = 5.0
REPEAT_S: Final = 30.0
"""A third of how long the directory keeps who is in a room."""

PRESENCE_REPEAT_S: Final = 30.0
VISIBLE_S: Final = 30.0
"""How long what the database said of a room's visibility is taken for true; routes ask it again."""

AT_ONCE: Final = 100
"""Rooms looked at without a pause."""


class Reporter:
    """What was told and when. Make one with `open_reporter`."""

    def __init__(self, hub: Hub, database: Database, directory: Directory) -> None:
        self._hub = hub
        self._database = as_system(database)
        self._directory = directory
        self._told: dict[str, tuple[float, RoomNews]] = {}
        self._sat: dict[str, list[Session]] = {}
        """Who sat in a room when it was read last: where it is the same nobody came or went."""
        self._seen: dict[str, tuple[float, str]] = {}
        """By user, when it was told which room they are in."""
        self._public: dict[str, tuple[float, bool]] = {}
        self._host, self._pid, self._started_at = socket.gethostname(), os.getpid(), time.time()

    async def tell(self) -> None:
        """Tell what changed, and repeat what is due.

        Raises RedisAway, Unavailable; then everything is due the next time.
        """
        try:
            news = await self._gather()
            differing = await self._directory.publish(news)
        except BaseException:
            self._told.clear()
            self._seen.clear()
            raise
        for room_id in differing:
            told = self._told.get(room_id)
            version = told[1].latest.version if told is not None else ""
            log.error("processes show a room differently", room_id=room_id, version=version)

    async def _gather(self) -> News:
        rooms = {room.id: room for room in self._hub.rooms.values() if room.sessions}
        await self._look_up(rooms)
        now = time.monotonic()
        told: dict[str, RoomNews] = {}
        present: dict[str, str] = {}
        for number, room in enumerate(rooms.values(), 1):
            news = self._read_if_due(room, now)
            if news is not None:
                told[room.id] = news
            people = self._told[room.id][1].people
            present.update(dict.fromkeys((one.id for one in people), room.id))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        empty = {one: self._told.pop(one)[1].people for one in list(self._told) if one not in rooms}
        self._sat = {one: self._sat[one] for one in self._told}
        return News(
            node=NodeStats(
                host=self._host,
                pid=self._pid,
                started_at=self._started_at,
                rooms=self._hub.open_rooms(),
                connections=sum(len(room.sessions) for room in rooms.values()),
            ),
            rooms=told,
            empty=empty,
            whereabouts=self._whereabouts(present, now),
        )

    def _whereabouts(self, present: dict[str, str], now: float) -> dict[str, str | None]:
        gone = [one for one in self._seen if one not in present]
        due: dict[str, str | None] = {}
        for one, room_id in present.items():
            at, before = self._seen.get(one, (float("-inf"), ""))
            if room_id != before or now - at >= PRESENCE_REPEAT_S:
                due[one] = room_id
                self._seen[one] = (now, room_id)
        for one in gone:
            del self._seen[one]
        return {**due, **dict.fromkeys(gone)}

    def _read_if_due(self, room: Room, now: float) -> RoomNews | None:
        sat = list(room.sessions)
        at, before = self._told.get(room.id, (float("-inf"), None))
        is_due = before is None or now - at >= REPEAT_S
        is_same = before is not None and before.is_public == self._public.get(room.id, (0.0, False))[1]
        if not is_due and is_same and self._sat.get(room.id) == sat:
            return None
        self._sat[room.id] = sat
        news = self._read(room)
        if not is_due and is_same and before is not None and news.people == before.people:
            return None
        # what was told at once is not repeated at once
        self._told[room.id] = (now - random.uniform(0, REPEAT_S / 3), news)
        return news

    def _read(self, room: Room) -> RoomNews:
        people = tuple(PersonHere(one.user_id, one.name) for one in room.present())
        view = room.view
        before = self._told.get(room.id, (0.0, None))[1]
        if before is not None and before.latest.version == view.version:
            latest = before.latest
        else:
            vector = encode_state_vector(dict(sorted(view.vector.items())))
            latest = Latest(view.version, hashlib.sha256(vector).hexdigest())
        left: tuple[PersonHere, ...] = ()
        if before is not None and before.people != people:
            here = set(people)
            left = tuple(one for one in before.people if one not in here)
        return RoomNews(
            people=people,
            is_public=self._public.get(room.id, (0.0, False))[1],
            stats=RoomStats(
                people=len(people),
                connections=len(room.sessions),
                version=view.version,
                size_bytes=view.size_bytes,
                rows=room.rows_since_checkpoint,
            ),
            latest=latest,
            left=left,
        )

    async def _look_up(self, rooms: Iterable[str]) -> None:
        now = time.monotonic()
        self._public = {one: self._public[one] for one in rooms if one in self._public}
        due = [one for one in rooms if now - self._public.get(one, (float("-inf"),))[0] >= VISIBLE_S]
        for at in range(0, len(due), AT_ONCE):
            some = due[at : at + AT_ONCE]
            public = {room.id for room in await self._database.read(partial(list_public, ids=some))}
            self._public.update({one: (now, one in public) for one in some})

    async def run(self) -> None:
        """Tell every few seconds, for good."""
        is_failing = False
        every_s = EVERY_S if self._directory.is_shared else ALONE_S
        while True:
            await asyncio.sleep(AFTER_FAILURE_S if is_failing else every_s)
            try:
                await self.tell()
            except KanvasError as error:
                if not is_failing:
                    log.warning("the directory was not told", reason=error.message)
                is_failing = True
            except Exception:
                # the border of a background task: the next round may go well
                log.exception("the directory was not told")
                is_failing = True
            else:
                is_failing = False


@asynccontextmanager
async def open_reporter(hub: Hub, database: Database, directory: Directory) -> AsyncIterator[Reporter]:
    """A running reporter."""
    reporter = Reporter(hub, database, directory)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reporter.run())
        try:
            yield reporter
        finally:
            running.cancel()
            try:
                await directory.leave()
            except RedisAway as error:
                log.info("the directory was not told of the end", reason=error.message)

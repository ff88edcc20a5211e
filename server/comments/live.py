"""Comments as they come: told to who is in the room, here and at the other nodes.

Owns: sending a changed thread to our own clients here, hinting it to other nodes, reading what they hint at.
Does not own: the bytes (`beside.py`), who changed what (`routes.py`), the shapes.

Rules: nothing is told before it is committed; a hint may be lost, so each message says the room's revision
and who sees a gap asks; a thread too large for a message is only pointed at. Keeps rules X5, X6.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import orjson
import structlog

from db.comments import Thread, find_threads
from db.database import Database
from db.scopes import as_system
from party.errors import KanvasError
from party.hub import Hub
from server.beside import find_listeners, tell_room
from server.comments.plain import thread_fields

log = structlog.get_logger("kanvas.comments")

TOPIC: Final = "comment"

MOST_EVENT_BYTES: Final = 64 * 1024
"""A larger thread is fetched by those who look at it."""

MOST_AT_ONCE: Final = 20
"""Threads of one room that wait to be read; of more, only the revision is told."""

MOST_ROOMS: Final = 2_000
"""Rooms that wait; a flood of hints costs no more memory, and clients look again by themselves."""


class Comments:
    """Tells. Make one with `open_comments`."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = as_system(database)
        self._hub = hub
        self._waiting: dict[str, dict[str, int]] = {}
        self._is_hinted = asyncio.Event()
        hub.on_note(TOPIC, self._heard)

    def tell(self, thread: Thread) -> None:
        """A thread changed, and that is committed. Never waits."""
        self._tell_here([thread])
        self._hub.note(TOPIC, orjson.dumps([thread.room_id, thread.id, thread.revision]))

    def _tell_here(self, threads: Sequence[Thread]) -> None:
        for thread in threads:
            if not find_listeners(self._hub.rooms.get(thread.room_id)):
                continue
            body = orjson.dumps(thread_fields(thread), option=orjson.OPT_UTC_Z)
            fits = len(body) <= MOST_EVENT_BYTES
            told = {
                "kind": TOPIC,
                "revision": thread.revision,
                "thread": orjson.Fragment(body) if fits else None,
            }
            tell_room(self._hub, thread.room_id, told)

    def _heard(self, sender: str, data: bytes) -> None:
        try:
            room_id, thread_id, revision = orjson.loads(data)
        except (ValueError, TypeError):
            log.warning("a note can't be read", sender=sender, topic=TOPIC)
            return
        if not find_listeners(self._hub.rooms.get(room_id)):
            return
        if room_id in self._waiting or len(self._waiting) < MOST_ROOMS:
            self._waiting.setdefault(room_id, {})[thread_id] = revision
            self._is_hinted.set()

    async def _read(self) -> None:
        while self._waiting:
            room_id, hinted = self._waiting.popitem()
            if len(hinted) > MOST_AT_ONCE:
                tell_room(
                    self._hub, room_id, {"kind": TOPIC, "revision": max(hinted.values()), "thread": None}
                )
                continue
            try:
                threads = await self._database.read(lambda conn: find_threads(conn, room_id, list(hinted)))  # noqa: B023
            except KanvasError as error:
                log.warning("comments of another node not told", room_id=room_id, reason=error.message)
            except Exception:
                # the border of a background task: the next hint must still be followed
                log.exception("comments of another node not told", room_id=room_id)
            else:
                self._tell_here(threads)

    async def read_forever(self) -> None:
        """Read and tell whenever another node hinted at something; what comes meanwhile goes together."""
        while True:
            await self._is_hinted.wait()
            self._is_hinted.clear()
            await self._read()


@asynccontextmanager
async def open_comments(database: Database, hub: Hub) -> AsyncIterator[Comments]:
    """Comments that hear the other nodes."""
    comments = Comments(database, hub)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(comments.read_forever())
        try:
            yield comments
        finally:
            reading.cancel()

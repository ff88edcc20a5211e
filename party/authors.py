"""Who writes over HTTP: one update each, and who they are until it is durable.

Owns: bringing an update to its room, again where the room has to be loaded anew, and the list of those under
way. Does not own: rooms (hub), what is let in (writer). Keeps rules R9, B13, G4. Cancel-safe.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Protocol

from party.batch import Author
from party.errors import IncompleteUpdate, KanvasError, RoomMoved, Unavailable
from party.ports import Principal
from party.shared import SharedRoom

TRIES: Final = 3


class Looker(Protocol):
    """What is needed of the relay."""

    def look(self, room: SharedRoom) -> None: ...


class Authors:
    """Those of one hub."""

    def __init__(
        self,
        open_room: Callable[[str], Awaitable[SharedRoom]],
        wake: Callable[[SharedRoom], None],
        relay: Looker,
    ) -> None:
        self._open = open_room
        self._wake = wake
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._rooms: dict[str, set[Author]] = {}

    def of(self, room_id: str) -> list[Author]:
        """Who waits for an answer from this room: their role may change meanwhile."""
        return list(self._rooms.get(room_id, ()))

    def change_roles(self, room_id: str, people: Mapping[str, Principal | None]) -> None:
        """As `Room.change_roles`: what is not applied yet is judged by the role of then (G4)."""
        for author in self.of(room_id):
            before = author.principal
            author.principal = people.get(before.user_id, before) or replace(before, role="viewer")

    async def submit(self, room_id: str, principal: Principal, update: bytes) -> str:
        """As `Hub.submit`."""
        with self._noted(room_id, principal) as author:
            has_read = False
            for tries_left in reversed(range(TRIES)):
                try:
                    return await self._submit(room_id, author, update)
                except RoomMoved:
                    if not tries_left:
                        raise
                except IncompleteUpdate:
                    if has_read or not tries_left:
                        raise
                    has_read = True
                    room = await self._open(room_id)
                    room.read_first()
                    self._relay.look(room)
        raise Unavailable

    async def _submit(self, room_id: str, author: Author, update: bytes) -> str:
        room = await self._open(room_id)
        answer: asyncio.Future[str] = self._loop.create_future()

        def reply(result: str | KanvasError) -> None:
            if answer.done():
                return
            if isinstance(result, str):
                answer.set_result(result)
            else:
                answer.set_exception(result)

        room.submit(update, author, reply)
        room.idle_since_s = None if room.sessions else self._loop.time()
        self._wake(room)
        return await answer

    @contextmanager
    def _noted(self, room_id: str, principal: Principal) -> Iterator[Author]:
        author = Author(principal)
        authors = self._rooms.setdefault(room_id, set())
        authors.add(author)
        try:
            yield author
        finally:
            authors.discard(author)
            if not authors and self._rooms.get(room_id) is authors:
                del self._rooms[room_id]

"""Who may be in which room of this process, and as what: at the door, and whenever that changes.

Owns: the role somebody comes in with, looking again at who is in a room when roles changed there, here or at
another process. Does not own: queries (db/standing.py), what a role allows (party/policy.py), what becomes of
a session (party/room.py), who changes roles (the routes).

Rules: the database is the truth; a note only makes others look at once, and where none comes the look every
`LOOK_S` finds what changed. Whoever changes roles calls `touch_access` in that transaction, and `changed`
after it. Nobody slips through between the read of a role and the seat: who is on the way while roles change
is looked at again. Keeps rules G2-G4, G6-G9.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from db.scopes import Transactions
from db.standing import Standings, find_changed, find_standings
from party.errors import Forbidden, KanvasError, RoomNotFound, Unavailable
from party.hub import Hub
from party.policy import Action, can, lower
from party.ports import Connection, Principal, Role
from party.seat import Seat
from server.auth import Identity

log = structlog.get_logger("kanvas.access")

LOOK_S: Final = 0.75
"""Between two looks at what changed: with a read of a few ms, less than a second."""

OVERLAP: Final = timedelta(seconds=10)
WIDE_OVERLAP: Final = timedelta(minutes=5)
WIDE_EVERY: Final = 20
"""Clocks differ, and what is written first may be committed last: what is this old is read again, at each
look or at each twentieth."""

CHANGED_S: Final = 2.0
"""How long an answer waits for the look at its room; a database that hangs is looked at later."""

MOST_KNOWN: Final = 10_000
"""People in rooms whose role is remembered for when the database is away."""

TOPIC: Final = "roles"


class Arrival:
    """Somebody on the way into a room. `is_stale`: roles changed there meanwhile, perhaps his."""

    __slots__ = ("is_stale",)

    def __init__(self) -> None:
        self.is_stale = False


class RoleKeeper:
    """The roles of one process. Whoever makes it runs `look_forever` in a task of his, and calls `close`."""

    def __init__(self, database: Transactions, hub: Hub, now: Callable[[], datetime]) -> None:
        self._database = database
        self._hub = hub
        self._now = now
        self._wake = asyncio.Event()
        self._due: dict[str, list[asyncio.Future[None]]] = {}
        """Rooms to look at, and who waits for that."""

        self._arrivals: dict[str, set[Arrival]] = {}
        self._known: OrderedDict[str, dict[str, Standings]] = OrderedDict()
        """By room and user, the room used longest ago first."""
        self._known_count = 0

        self._seen_to = now() - OVERLAP
        self._handled: dict[str, datetime] = {}
        """Rooms of the last looks, and which change of theirs was seen."""

        self._polls = 0
        self._is_failing = False
        self._is_closed = False
        hub.on_note(TOPIC, lambda _sender, data: self._ask(data.decode()))

    # -- at the door ----------------------------------------------------------------------------

    async def seat(
        self,
        room_id: str,
        identity: Identity,
        connection: Connection,
        on_role: Callable[[Role], None] | None = None,
        most_role: Role = "owner",
        on_attempt: Callable[[], None] | None = None,
    ) -> tuple[Seat, Principal]:
        """Take a connection in, with the role it has by then, and as who.

        `on_role` is told the role, now and whenever it changes; its token allows `most_role` at most;
        `on_attempt` is told when it draws though its role does not let it.
        Raises RoomNotFound, Forbidden, Unavailable,
        and whatever `Hub.join` raises.
        """
        with self._arriving(room_id) as arrival:
            own = await self.check(room_id, identity, "see")
            principal = replace(own, role=lower(own.role, most_role), most_role=most_role)
            seat = await self._hub.join(room_id, principal, connection, on_role, on_attempt)
            if arrival.is_stale:
                # not awaited: a seat that nobody takes would stay in the room
                self._ask(room_id)
        return seat, principal

    async def author(self, room_id: str, identity: Identity) -> Principal:
        """Who may edit the room, which is open then: to be handed to `Hub.submit` at once.

        Raises RoomNotFound, Forbidden, Unavailable, ShuttingDown.
        """
        with self._arriving(room_id) as arrival:
            while True:
                arrival.is_stale = False
                principal = await self.check(room_id, identity, "edit")
                await self._hub.version(room_id)
                if not arrival.is_stale:
                    return principal

    async def check(self, room_id: str, identity: Identity, action: Action) -> Principal:
        """Who it is in this room, if he may do this there. Raises RoomNotFound, Forbidden, Unavailable."""
        found = await self._find(room_id, identity.user_id)
        one = found.people[identity.user_id] if found is not None else None
        if found is None or one is None:
            raise RoomNotFound
        principal = principal_of(found, identity.user_id, identity.name, is_admin=identity.is_admin)
        if principal is not None and can(one.role, action, is_admin=identity.is_admin):
            return principal
        raise RoomNotFound if principal is None and not found.is_public else Forbidden

    async def _find(self, room_id: str, user_id: str) -> Standings | None:
        try:
            found = await self._database.read(partial(find_standings, room_id=room_id, user_ids=[user_id]))
        except Unavailable:
            # nobody can change a role meanwhile, and joins go on (R7)
            known = self._known.get(room_id, {}).get(user_id)
            if known is None:
                raise
            return known
        if found is not None:
            self._remember(room_id, user_id, found)
        return found

    def _remember(self, room_id: str, user_id: str, found: Standings) -> None:
        people = self._known.setdefault(room_id, {})
        self._known_count += user_id not in people
        people[user_id] = found
        self._known.move_to_end(room_id)
        while self._known_count > MOST_KNOWN:
            self._forget(next(iter(self._known)))

    def _forget(self, room_id: str) -> None:
        self._known_count -= len(self._known.pop(room_id, ()))

    @contextmanager
    def _arriving(self, room_id: str) -> Iterator[Arrival]:
        arrival = Arrival()
        arrivals = self._arrivals.setdefault(room_id, set())
        arrivals.add(arrival)
        try:
            yield arrival
        finally:
            arrivals.discard(arrival)
            if not arrivals and self._arrivals.get(room_id) is arrivals:
                del self._arrivals[room_id]

    # -- when roles change ----------------------------------------------------------------------

    async def changed(self, room_id: str) -> None:
        """Roles changed in this room: when it returns that holds here, elsewhere within a second.

        To be called after the commit; never fails for it. Cancel-safe: it is looked at all the same.
        """
        self._hub.note(TOPIC, room_id.encode())
        if self._is_closed:
            return
        seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due.setdefault(room_id, []).append(seen)
        self._wake.set()
        try:
            async with asyncio.timeout(CHANGED_S):
                await seen
        except TimeoutError:
            log.warning("roles changed, and the database does not say how; tried again", room_id=room_id)

    def _ask(self, room_id: str) -> None:
        """Look at it soon."""
        self._due.setdefault(room_id, [])
        self._wake.set()

    async def look(self, room_id: str) -> None:
        """Look again at everybody in the room here. Raises Unavailable."""
        self._forget(room_id)
        for arrival in self._arrivals.get(room_id, ()):
            arrival.is_stale = True
        people = self._hub.people(room_id)
        if not people:
            return
        ids = [one.user_id for one in people]
        found = await self._database.read(partial(find_standings, room_id=room_id, user_ids=ids))
        if found is None:
            # deleted: they are sent away by who did that, or by the hub's own look
            return
        self._hub.set_roles(
            room_id,
            {
                one.user_id: principal_of(found, one.user_id, one.name, is_admin=one.is_admin)
                for one in people
            },
        )

    async def poll(self) -> None:
        """Look at the rooms where others changed roles. Raises Unavailable."""
        self._polls += 1
        is_wide = self._polls % WIDE_EVERY == 0
        since = self._seen_to - (WIDE_OVERLAP if is_wide else OVERLAP)
        found = await self._database.read(partial(find_changed, since=since))
        for room_id, at in found.items():
            if self._handled.get(room_id) != at:
                self._handled[room_id] = at
                self._due.setdefault(room_id, [])
        if is_wide:
            self._handled = {one: at for one, at in self._handled.items() if one in found}
        # a clock that is ahead must not hide what others write
        now = self._now()
        newest = min(max(found.values()), now) if found else now - OVERLAP
        self._seen_to = max(self._seen_to, newest)

    async def look_around(self) -> None:
        """Look at every room that is due; one that fails is due again. Raises Unavailable."""
        due, self._due = self._due, {}
        failed: KanvasError | None = None
        for room_id, waiting in due.items():
            try:
                await self.look(room_id)
            except KanvasError as error:
                failed = error
                self._due.setdefault(room_id, []).extend(waiting)
            else:
                for one in waiting:
                    if not one.done():
                        one.set_result(None)
        if failed is not None:
            raise failed

    async def look_forever(self) -> None:
        """Look every `LOOK_S`, and at once where somebody asked for it."""
        loop = asyncio.get_running_loop()
        polled_at_s = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(polled_at_s + LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                if loop.time() >= polled_at_s + LOOK_S:
                    polled_at_s = loop.time()
                    await self.poll()
                await self.look_around()
                self._is_failing = False
            except KanvasError as error:
                # once, not every second: roles that are known go on holding
                if not self._is_failing:
                    log.warning("roles can't be read; those known hold on", reason=error.message)
                self._is_failing = True
            except Exception:
                # the border of a background task
                log.exception("roles can't be read; those known hold on")

    def close(self) -> None:
        """Nobody looks any more: whoever waits for it goes on."""
        self._is_closed = True
        for waiting in self._due.values():
            for one in waiting:
                if not one.done():
                    one.set_result(None)


def principal_of(found: Standings, user_id: str, name: str, *, is_admin: bool) -> Principal | None:
    """Who somebody is in a room; None when he may not see it."""
    one = found.people[user_id]
    if not can(one.role, "see", is_admin=is_admin):
        return None
    # an operator who only looks after it is shown to nobody
    role: Role = one.role or "viewer"
    is_shown = can(one.role, "present") and (role != "viewer" or found.shows_viewers)
    return Principal(user_id, name, role, one.aliases, is_shown, is_admin)

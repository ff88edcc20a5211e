"""Refusals on their way into the audit log.

Owns: which refusal is worth an entry, merging floods, writing what waits. Does not own: refusing (handlers,
parties.py), the log (db/audit.py). Keeps rule Y8.

Nobody waits for it: a note is a change in memory. The first of a kind is written within a second, those of
the same kind in the minute after it together, so that somebody who tries a thousand times costs two rows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson
import structlog
from sqlalchemy import Connection
from starlette.requests import HTTPConnection

from db.audit import SERVER_CHAIN, Event, append, find_rooms
from db.scopes import Transactions
from party.errors import (
    Forbidden,
    KanvasError,
    NotFound,
    OriginRefused,
    RoomFrozen,
    RoomNotFound,
    Unauthenticated,
)
from server.auth import Identity, host_of
from server.blobs.errors import BlobUrlExpired, BlobUrlRefused
from server.identity.revocations import SignedOut
from server.problems import ScopeMissing
from server.rates.actions import ACTIONS as RATES
from server.rates.base import RateLimited

if TYPE_CHECKING:
    from server.registry import Operation

log = structlog.get_logger("kanvas.audit")

MERGED_S: Final = 60.0
TURN_S: Final = 1.0
MOST_KINDS: Final = 1000
BATCH: Final = 100
CLOSE_S: Final = 2.0
MAX_TARGET: Final = 128

OVERFLOW: Final = "audit.overflow"
ROOM_READ: Final = "room.read"


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes two refusals the same. Who has not signed in is told by address."""

    actor_id: str
    address: str
    action: str
    room_id: str | None
    code: str


@dataclass(slots=True)
class Held:
    """Refusals of one kind: `times` of them are not written yet. `written_s` on the monotonic clock."""

    actor_name: str
    address: str
    request_id: str
    target: str
    status: int
    first_at: datetime
    last_at: datetime
    times: int = 0
    written_s: float | None = None


def action_of(
    error: KanvasError, operation: "Operation", *, is_known: bool, room_id: str | None
) -> str | None:
    """The action that was refused; None: the error is no refusal, or one that tells nothing."""
    audit = operation.audit
    if isinstance(error, RateLimited):
        rate = RATES.get(operation.action or "")
        if rate is not None and rate.is_auth:
            return audit or "sign_in.token"
        return None if is_known else "sign_in.token"
    if isinstance(error, RoomFrozen):
        # nobody's rights: nobody may
        return None
    if isinstance(error, BlobUrlRefused):
        # one that has expired was ours
        is_ours = isinstance(error, BlobUrlExpired)
        return None if is_ours else "asset.add" if operation.method == "PUT" else "asset.read"
    if isinstance(error, Forbidden):
        if operation.tag == "admin":
            return audit or "admin.read"
        nowhere = "sign_in.token" if isinstance(error, ScopeMissing) else None
        return audit or (ROOM_READ if room_id is not None else nowhere)
    if isinstance(error, Unauthenticated):
        # a missing token is no attempt; one that has ended is somebody's
        return (audit or "sign_in.token") if is_known or not operation.needs_user else None
    if isinstance(error, NotFound) and operation.tag != "admin":
        if room_id is None:
            return audit
        # of a room everything that is not there looks like what one may not see
        return (audit or ROOM_READ) if isinstance(error, RoomNotFound) else None
    return None


class Refusals:
    """What was refused and is not written yet. Make one with `open_refusals`."""

    def __init__(
        self,
        database: Transactions,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._now = now
        self._clock = clock
        self._held: dict[Kind, Held] = {}
        self._is_noted = asyncio.Event()
        self._is_failing = False
        # what one writes the other must not write too
        self._writing = asyncio.Lock()

    def note_answer(
        self,
        operation: "Operation",
        connection: HTTPConnection,
        identity: Identity | None,
        error: KanvasError,
    ) -> None:
        """An operation of the API is about to be answered with this error, which may know who was refused
        what: `identity`, `room_id` and `target`, where the request does not say so."""
        identity = identity or getattr(error, "identity", None)
        named = dict(connection.path_params)
        room_id = named.pop("room_id", None) or getattr(error, "room_id", None)
        action = action_of(error, operation, is_known=identity is not None, room_id=room_id)
        if action is not None:
            target = next((str(one) for one in named.values()), getattr(error, "target", ""))
            self.note(action, connection, identity, error, room_id=room_id, target=target)

    def note_join(self, connection: HTTPConnection, identity: Identity | None, error: KanvasError) -> None:
        """A socket is about to be closed with this error, before it got into its room."""
        room_id = connection.path_params.get("room_id")
        if identity is not None and isinstance(error, Forbidden | RoomNotFound):
            self.note("room.join", connection, identity, error, room_id=room_id)
        elif isinstance(error, OriginRefused | SignedOut):
            who = identity or getattr(error, "identity", None)
            self.note("sign_in.token", connection, who, error)

    def watch(self, connection: HTTPConnection, identity: Identity, room_id: str) -> Callable[[], None]:
        """To be called when somebody in the room draws though they may not; it keeps none of the request."""
        origin = (host_of(connection), _request_id(connection))
        return partial(self._hold, "document.edit", origin, identity, Forbidden(), room_id, "")

    def note(
        self,
        action: str,
        connection: HTTPConnection,
        identity: Identity | None,
        error: KanvasError,
        *,
        room_id: str | None = None,
        target: str = "",
    ) -> None:
        """Somebody was refused this. Never fails, never waits."""
        origin = (host_of(connection), _request_id(connection))
        self._hold(action, origin, identity, error, room_id, target)

    def _hold(
        self,
        action: str,
        origin: tuple[str, str],
        identity: Identity | None,
        error: KanvasError,
        room_id: str | None,
        target: str,
    ) -> None:
        """`origin` is where it came from: address and request id."""
        now = self._now()
        address, request_id = origin
        actor_id, name = (identity.user_id, identity.name) if identity is not None else ("", "")
        kind = Kind(actor_id, "" if actor_id else address, action, _tame(room_id), error.code)
        held = self._held.get(kind)
        if held is None:
            if len(self._held) >= MOST_KINDS:
                kind, name, address, target = Kind("", "", OVERFLOW, None, "overflow"), "", "", ""
                held = self._held.get(kind)
            if held is None:
                held = Held(name, address, "", "", error.status, now, now)
                self._held[kind] = held
        if held.times == 0:
            held.first_at = now
        held.times += 1
        held.last_at, held.address, held.actor_name = now, address, name
        held.request_id = request_id
        held.target = _tame(target) or ""
        self._is_noted.set()

    async def write(self, *, is_last: bool = False) -> None:
        """Write what is due: what is new of its kind, and what has waited for a minute; at the end all."""
        async with self._writing:
            await self._write(is_last=is_last)

    async def _write(self, *, is_last: bool) -> None:
        now_s = self._clock()
        due: list[tuple[Kind, Held]] = []
        for kind, held in list(self._held.items()):
            is_ripe = held.written_s is None or now_s - held.written_s >= MERGED_S
            if held.times and (is_ripe or is_last):
                due.append((kind, held))
            elif not held.times and is_ripe:
                del self._held[kind]
        for at in range(0, len(due), BATCH):
            batch = [(kind, replace(held)) for kind, held in due[at : at + BATCH]]
            mistakes: set[Kind] = set()
            try:
                mistakes = await self._database.write(partial(_put, batch))
            except KanvasError as error:
                # they are kept; once, not every second
                if not self._is_failing:
                    log.warning("refusals not noted; it is tried again", reason=error.message)
                self._is_failing = True
                return
            except Exception:
                # the border of a background task: the next refusal must still be noted
                log.exception("refusals not noted", kinds=len(batch))
            self._is_failing = False
            for (kind, held), (_, written) in zip(due[at : at + BATCH], batch, strict=True):
                # more may have come while it was written
                held.times -= written.times
                held.first_at = held.last_at
                held.written_s = now_s
                if kind in mistakes and not held.times:
                    del self._held[kind]

    async def write_forever(self) -> None:
        """Look every second while there is something to look at."""
        while True:
            await self._is_noted.wait()
            await self.write()
            if not self._held:
                self._is_noted.clear()
            await asyncio.sleep(TURN_S)


def _request_id(connection: HTTPConnection) -> str:
    return str((connection.scope.get("state") or {}).get("request_id") or "")


def _put(batch: list[tuple[Kind, Held]], connection: Connection) -> set[Kind]:
    """Write them down, but for those that were mistakes, which are returned."""
    there = find_rooms(connection, {kind.room_id for kind, _ in batch if kind.room_id is not None})
    merged: dict[Kind, Held] = {}
    mistakes: set[Kind] = set()
    for kind, held in batch:
        chain = kind
        is_look = kind.action == ROOM_READ and kind.code == RoomNotFound.code
        if is_look and not there.get(kind.room_id or ""):
            # an address with a typo in it, or whoever was in the room when it was put into the trash
            mistakes.add(kind)
            continue
        if kind.room_id is not None and kind.room_id not in there:
            # a room that never was has no log: else made-up names would make as many
            chain = replace(kind, room_id=None)
            held.target = kind.room_id
        known = merged.get(chain)
        if known is None:
            merged[chain] = held
        else:
            known.times += held.times
            known.first_at, known.last_at = (
                min(known.first_at, held.first_at),
                max(known.last_at, held.last_at),
            )
    # in one order, or two processes wait for each other in a circle
    for kind, held in sorted(merged.items(), key=lambda one: one[0].room_id or SERVER_CHAIN):
        append(connection, _event(kind, held))
    return mistakes


def _event(kind: Kind, held: Held) -> Event:
    details: dict[str, object] = {"code": kind.code, "status": held.status}
    if held.times > 1:
        details |= {"times": held.times, "since": held.first_at.isoformat()}
    return Event(
        at=held.last_at,
        actor_id=kind.actor_id,
        actor_name=held.actor_name,
        action=kind.action,
        room_id=kind.room_id,
        target=held.target,
        result="refused",
        address=held.address,
        request_id=held.request_id,
        details=orjson.dumps(details).decode(),
    )


def _tame(text: str | None) -> str | None:
    """What came in an address and perhaps names nothing, as it may be stored."""
    if text is None:
        return None
    return "".join(one if one.isprintable() else "?" for one in text[:MAX_TARGET])


@asynccontextmanager
async def open_refusals(database: Transactions, now: Callable[[], datetime]) -> AsyncIterator[Refusals]:
    """A running writer; leaving it writes the rest."""
    refusals = Refusals(database, now)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(refusals.write_forever())
        try:
            yield refusals
        finally:
            try:
                # before the writer ends: what it has in hand is not written twice
                async with asyncio.timeout(CLOSE_S):
                    await refusals.write(is_last=True)
            except TimeoutError:
                log.warning("refusals not noted", reason="the database was too slow at the end")
            writing.cancel()

"""Quarantine: whose edits are not taken for a while, because the document library failed on them.

Owns: strikes, how long each holds, what a crash says about its cause, whom that lets through. Does not own:
noticing a crash (server/supervisor.py), calling at the right moment (guard), keeping it (db/quarantine.py).
Keeps rules Q3-Q7. Pure: time is passed in, in seconds since 1970, because holds outlive the process.

What is held is (room, principal, client id): a client sends a refused edit again in other bytes, so the bytes
can't be recognised, and a page that is loaded anew has another client id. Where no client id is known, or one
principal fails with client id after client id, it is all of the principal's in this room; where the room
itself can't be opened, it is the room.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from typing import Final, Literal

from party.errors import Quarantined, RoomHeld
from party.ports import Stage

Kind = Literal["client", "user", "room", "care"]
"""What is held. "care" holds nobody: the room takes one edit at a time, so that a crash names its cause."""

Reason = Literal["hung", "crashed", "killed", "panic"]
"""killed: by somebody else's SIGKILL, be it the kernel's for want of memory, so perhaps nobody's fault."""

FIRST_S: Final = 30.0
MOST_S: Final = 86_400.0
QUIET_S: Final = 86_400.0
"""A hold that ended this long ago is forgotten with its strikes."""

CARE_S: Final = 600.0
SAME_S: Final = 0.001
"""A database keeps microseconds, so a crash told again may be a little later than it was."""

MANY_CLIENTS: Final = 3
"""When one principal's edits failed under so many client ids in one room, the principal is held."""

MANY_IDS: Final = 64
"""An edit with more client ids than these is the principal's: 2,000 of them in 20 KB made as many holds."""

MOST_HOLDS: Final = 1_000
"""Above this the one that ends first is forgotten: one of a client id, which cost nothing, while there is."""

STALE_ENDS: Final = 4 * MOST_HOLDS
"""Entries of a heap from which on those of holds that changed since are thrown out."""

Key = tuple[Kind, str, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Hold:
    """One entry of the quarantine. Times are seconds since 1970."""

    kind: Kind
    room_id: str
    user_id: str | None
    client_id: int | None
    stage: Stage
    reason: Reason
    strikes: int
    first_at: float
    last_at: float
    until: float

    @property
    def key(self) -> Key:
        return self.kind, self.room_id, self.user_id, self.client_id

    @property
    def id(self) -> str:
        """The same for the same key in every process."""
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Crash:
    """What was in hand when a process ended that should not have. `is_exact`: nobody else was the cause."""

    at: float
    reason: Reason
    stage: Stage
    room_id: str
    user_id: str | None = None
    client_ids: tuple[int, ...] = ()
    is_exact: bool = True


def hold_s(strikes: int) -> float:
    """How long after so many strikes: 30 s, doubled with each, at most a day."""
    return min(FIRST_S * 2.0 ** min(strikes - 1, 32), MOST_S)


class Quarantine:
    """All holds of one process."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self._rooms: dict[str, dict[Key, Hold]] = {}
        self._count = 0
        self._ends: dict[bool, list[tuple[float, int, Hold]]] = {True: [], False: []}
        """Heaps of what ends first, client ids' holds and all others'; some are not held any more."""

        self._nth = 0
        for hold in holds:
            self._put(hold)

    # -- what comes in --------------------------------------------------------------------------

    def blame(self, crash: Crash) -> list[Hold]:
        """Take in a crash; what changed (Q3, Q5). Told of one twice, it counts once."""
        careful = self.is_careful(crash.room_id, crash.at)
        certain = crash.is_exact and (crash.reason != "killed" or careful)
        if not certain:
            care: Key = ("care", crash.room_id, None, None)
            return [self._strike(care, crash, CARE_S)]
        if crash.user_id is None:
            return [self._strike(("room", crash.room_id, None, None), crash)]
        return self._strike_edit(crash, crash.user_id)

    def _strike_edit(self, crash: Crash, user_id: str) -> list[Hold]:
        if len(crash.client_ids) > MANY_IDS:
            return [self._strike(("user", crash.room_id, user_id, None), crash)]
        changed = [
            self._strike(("client", crash.room_id, user_id, client_id), crash)
            for client_id in crash.client_ids
        ]
        # one sync step 2 may name many at once, so failures are counted and not ids
        failures = {
            hold.first_at
            for hold in self._rooms.get(crash.room_id, {}).values()
            if hold.kind == "client" and hold.user_id == user_id
        }
        if not changed or len(failures) >= MANY_CLIENTS:
            changed.append(self._strike(("user", crash.room_id, user_id, None), crash))
        return changed

    def _strike(self, key: Key, crash: Crash, for_s: float | None = None) -> Hold:
        known = self._rooms.get(crash.room_id, {}).get(key)
        if known is not None and known.until + QUIET_S <= crash.at:
            known = None
        if known is not None and crash.at <= known.last_at + SAME_S:
            return known
        strikes = 1 if known is None else known.strikes + 1
        until = crash.at + (hold_s(strikes) if for_s is None else for_s)
        if known is None:
            kind, room_id, user_id, client_id = key
            hold = Hold(
                kind,
                room_id,
                user_id,
                client_id,
                crash.stage,
                crash.reason,
                strikes,
                first_at=crash.at,
                last_at=crash.at,
                until=until,
            )
        else:
            hold = replace(
                known,
                stage=crash.stage,
                reason=crash.reason,
                strikes=strikes,
                last_at=crash.at,
                until=until,
            )
        self._put(hold)
        return hold

    def _put(self, hold: Hold) -> None:
        room = self._rooms.setdefault(hold.room_id, {})
        self._count += hold.key not in room
        room[hold.key] = hold
        ends = self._ends[hold.kind == "client"]
        self._nth += 1
        heappush(ends, (hold.until, self._nth, hold))
        if len(ends) > STALE_ENDS:
            ends[:] = [one for one in ends if self._is_live(one[2])]
            heapify(ends)
        if self._count > MOST_HOLDS:
            self._evict(hold)

    def _evict(self, new: Hold) -> None:
        """Forget what ends first, but no room and no principal for a client id."""
        for is_client in (True, False):
            ends = self._ends[is_client]
            kept: list[tuple[float, int, Hold]] = []
            gone: Hold | None = None
            while ends and gone is None:
                first = heappop(ends)
                if first[2] is new:
                    kept.append(first)
                elif self._is_live(first[2]):
                    gone = first[2]
            for one in kept:
                heappush(ends, one)
            if gone is None and new.kind == "client":
                gone = new
            if gone is not None:
                self._remove(gone)
                return

    def _is_live(self, hold: Hold) -> bool:
        return self._rooms.get(hold.room_id, {}).get(hold.key) is hold

    def _remove(self, hold: Hold) -> None:
        room = self._rooms[hold.room_id]
        del room[hold.key]
        self._count -= 1
        if not room:
            del self._rooms[hold.room_id]

    def take(self, hold: Hold) -> None:
        """As another process knows it (Q7)."""
        self._put(hold)

    # -- who gets through -----------------------------------------------------------------------

    def check(self, room_id: str, user_id: str, client_ids: Collection[int], now: float) -> None:
        """An edit that advances these ids (Q4). Raises Quarantined.

        0.1 µs where nothing of the room is held.
        """
        holds = self._rooms.get(room_id)
        if holds is None:
            return
        self._check_user(holds, room_id, user_id, now)
        for client_id in client_ids:
            hold = holds.get(("client", room_id, user_id, client_id))
            if hold is not None and now < hold.until:
                raise Quarantined(
                    f"Edits of this client made the room fail; none are taken until {_clock(hold.until)}. "
                    "Reload for a fresh client id."
                )

    def check_entry(self, room_id: str, user_id: str | None, now: float) -> None:
        """Somebody (None: nobody known) wants the room open. Raises RoomHeld (Q6), Quarantined."""
        holds = self._rooms.get(room_id)
        if holds is None:
            return
        hold = holds.get(("room", room_id, None, None))
        if hold is not None and now < hold.until:
            raise RoomHeld(
                f"This room made the server fail; it stays closed until {_clock(hold.until)}.",
                retry_after_s=hold.until - now,
            )
        if user_id is not None:
            self._check_user(holds, room_id, user_id, now)

    def _check_user(self, holds: dict[Key, Hold], room_id: str, user_id: str, now: float) -> None:
        hold = holds.get(("user", room_id, user_id, None))
        if hold is not None and now < hold.until:
            raise Quarantined(
                f"Edits of yours made this room fail; you can't come back until {_clock(hold.until)}."
            )

    def is_careful(self, room_id: str, now: float) -> bool:
        """Whether the room takes one edit at a time (Q3)."""
        holds = self._rooms.get(room_id)
        if holds is None:
            return False
        hold = holds.get(("care", room_id, None, None))
        return hold is not None and now < hold.until

    # -- the list -------------------------------------------------------------------------------

    def holds(self, now: float) -> list[Hold]:
        """Everything that is remembered, the latest first; what is past its quiet day is forgotten."""
        everything = [hold for room in self._rooms.values() for hold in room.values()]
        for hold in everything:
            if hold.until + QUIET_S <= now:
                self._remove(hold)
        kept = [hold for hold in everything if hold.until + QUIET_S > now]
        return sorted(kept, key=lambda hold: (-hold.last_at, hold.id))

    def lift(self, hold_id: str) -> Hold | None:
        """Forget one hold and its strikes; None when there is no such (Q7)."""
        for room in self._rooms.values():
            for hold in room.values():
                if hold.id == hold_id:
                    self._remove(hold)
                    return hold
        return None


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

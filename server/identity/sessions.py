"""The open sockets of one process by whose they are and when their tokens end.

Owns: the warning before a token ends and the close when it does, closing what was revoked. Does not own:
sockets (`line.py`), renewals (`desk.py`), what is revoked (`revocations.py`). Keeps rules I6, I8.

One wheel for all: a socket lies in the set of the second in which something is due for it, and one task
turns the wheel once a second. A socket costs 0.6 KiB here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Protocol

import structlog

from party.errors import KanvasError, Unauthenticated
from server.auth import LEEWAY_S, Identity
from server.identity.revocations import SIGNED_OUT, Voidable
from server.identity.signal import encode_ending

log = structlog.get_logger("kanvas.identity")

WARN_S: Final = 60.0
TURN_S: Final = 1.0
WIDE_S: Final = 1000
"""After a jump of the clock the sets are looked through instead of the seconds."""

EXPIRED: Final = "Your sign-in has ended; renew it with POST /api/v1/auth/refresh and connect again."


class Wire(Protocol):
    """A socket."""

    def send(self, *messages: bytes) -> None: ...

    def fail(self, error: KanvasError) -> None: ...


class Ending(Protocol):
    """What ends with a socket: its place."""

    def free(self) -> None: ...


class Sitting:
    """One open socket and the token it stands on. `free` it when the socket is gone."""

    __slots__ = (
        "_place",
        "_sessions",
        "due_s",
        "expires_at_s",
        "is_admin",
        "scopes",
        "session_id",
        "signed_in_at",
        "token_id",
        "user_id",
        "wants_warning",
        "wire",
    )

    def __init__(
        self, sessions: "Sessions", identity: Identity, wire: Wire, place: Ending, *, wants_warning: bool
    ) -> None:
        self._sessions = sessions
        self._place = place
        self.wire = wire
        self.wants_warning = wants_warning
        self.due_s = 0
        # what it may is settled when it opens, so these stay
        self.is_admin, self.scopes = identity.is_admin, identity.scopes
        self.user_id: str
        self.token_id: str
        self.session_id: str
        self.signed_in_at: datetime
        self.expires_at_s: float
        self.stand_on(identity)

    def stand_on(self, identity: Identity) -> None:
        """From now on this token counts."""
        self.user_id, self.signed_in_at = identity.user_id, identity.signed_in_at
        self.token_id, self.session_id = identity.token_id, identity.session_id
        self.expires_at_s = identity.expires_at.timestamp()

    def free(self) -> None:
        """The socket is gone. Idempotent."""
        self._sessions.remove(self)
        self._place.free()


class Sessions:
    """All sittings. Make them with `open_sessions`."""

    def __init__(
        self, is_void: Callable[[Voidable], bool], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._is_void = is_void
        self._clock = clock
        self._users: dict[str, set[Sitting]] = {}
        self._wheel: dict[int, set[Sitting]] = {}
        self._turned_to = int(clock())

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    def open(self, identity: Identity, wire: Wire, place: Ending, *, wants_warning: bool) -> Sitting:
        """Watch a socket. Raises Unauthenticated when its token ended meanwhile; then `place` is free."""
        sitting = Sitting(self, identity, wire, place, wants_warning=wants_warning)
        self._users.setdefault(sitting.user_id, set()).add(sitting)
        self._schedule(sitting)
        # after it is in: a revocation finds it there, or is found here
        if self._is_void(sitting):
            sitting.free()
            raise Unauthenticated(SIGNED_OUT)
        return sitting

    def renew(self, sitting: Sitting, identity: Identity) -> int:
        """Let the socket stand on a fresh token of the same user, good for the same; returns for how many
        seconds.

        Raises Unauthenticated: the socket goes on with what it had.
        """
        if identity.user_id != sitting.user_id:
            raise Unauthenticated("The token is somebody else's; connect anew to come as another person.")
        if identity.scopes != sitting.scopes or (sitting.is_admin and not identity.is_admin):
            raise Unauthenticated(
                "The token is not good for the same as the one before; connect anew with it."
            )
        if self._is_void(identity):
            raise Unauthenticated(SIGNED_OUT)
        # a socket that is gone already is not watched again
        if sitting in self._users.get(sitting.user_id, ()):
            self._unschedule(sitting)
            sitting.stand_on(identity)
            if self.seconds_left(sitting) > WARN_S:
                self._schedule(sitting)
            else:
                # it was warned just now; another warning would be answered with another renewal
                self._put(sitting, sitting.expires_at_s + LEEWAY_S)
        return self.seconds_left(sitting)

    def remove(self, sitting: Sitting) -> None:
        """Called by the sitting. Idempotent."""
        own = self._users.get(sitting.user_id)
        if own is None:
            return
        own.discard(sitting)
        if not own:
            del self._users[sitting.user_id]
        self._unschedule(sitting)

    def seconds_left(self, sitting: Sitting) -> int:
        return max(0, int(sitting.expires_at_s - self._clock()))

    # -- revocation -----------------------------------------------------------------------------

    def close_void(self, user_ids: Collection[str]) -> None:
        """Something of these users ended: close what stands on it."""
        for user_id in user_ids:
            for sitting in list(self._users.get(user_id, ())):
                if self._is_void(sitting):
                    sitting.wire.fail(Unauthenticated(SIGNED_OUT))

    # -- expiry ---------------------------------------------------------------------------------

    def _schedule(self, sitting: Sitting) -> None:
        """For the warning while that is ahead, or just missed; then for the end."""
        now = self._clock()
        due = sitting.expires_at_s + LEEWAY_S
        if sitting.wants_warning and now < sitting.expires_at_s:
            due = max(now, sitting.expires_at_s - WARN_S)
        self._put(sitting, due)

    def _put(self, sitting: Sitting, due: float) -> None:
        sitting.due_s = max(int(due), self._turned_to) + 1
        self._wheel.setdefault(sitting.due_s, set()).add(sitting)

    def _unschedule(self, sitting: Sitting) -> None:
        others = self._wheel.get(sitting.due_s)
        if others is not None:
            others.discard(sitting)
            if not others:
                del self._wheel[sitting.due_s]

    def turn(self) -> None:
        """Do what is due by now."""
        now = int(self._clock())
        if self._turned_to - now > WARN_S:
            self._set_back(now)
        if now - self._turned_to <= WIDE_S:
            seconds = list(range(self._turned_to + 1, now + 1))
        else:
            seconds = sorted(second for second in self._wheel if second <= now)
        self._turned_to = max(self._turned_to, now)
        for second in seconds:
            for sitting in self._wheel.pop(second, ()):
                try:
                    self._call(sitting)
                except Exception:
                    # the border of a connection: the others of this second still have their turn
                    log.exception("turn failed")

    def _set_back(self, now: int) -> None:
        """The clock was ahead and is right again: nobody waits until it is that late once more."""
        self._turned_to = now
        self._wheel.clear()
        for sitting in [one for own in self._users.values() for one in own]:
            self._schedule(sitting)

    def _call(self, sitting: Sitting) -> None:
        if self._clock() < sitting.expires_at_s:
            sitting.wire.send(encode_ending(self.seconds_left(sitting)))
            self._put(sitting, sitting.expires_at_s + LEEWAY_S)
        else:
            sitting.wire.fail(Unauthenticated(EXPIRED))

    async def watch(self) -> None:
        """Turn for ever."""
        while True:
            await asyncio.sleep(TURN_S)
            self.turn()


@asynccontextmanager
async def open_sessions(is_void: Callable[[Voidable], bool]) -> AsyncIterator[Sessions]:
    """A turning wheel."""
    sessions = Sessions(is_void)
    async with asyncio.TaskGroup() as tasks:
        turning = tasks.create_task(sessions.watch())
        try:
            yield sessions
        finally:
            turning.cancel()

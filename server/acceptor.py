"""The acceptor: takes connections from the port and hands each to the worker of the room it is for.

Owns: the listening sockets of a service with several workers, connections between `accept` and a worker.
Does not own: which worker a room has (placement.py), the workers (supervisor.py), what a worker does with a
socket (adoption.py). It runs in the supervisor's loop: nothing here waits, and it imports next to nothing.
Rules: what is looked at stays in the socket (MSG_PEEK), so a worker reads the whole request; a connection
whose request does not come goes to any worker after `HEAD_S`; at most `MOST_WAITING` are held; when nobody
takes them, or file handles are short, nothing is accepted, and the kernel's queue holds what comes. TLS is
the proxy's. Keeps rules N1, N3, N4, N10.

Measured: 0.1 ms of a core for each connection, by which its first request takes 0.15 ms longer; later ones
take nothing.
"""

import errno
import select
import socket
from collections.abc import Callable, Sequence
from typing import Final

from server.placement import HEAD_BYTES, find_room, find_slot, rank

HEAD_S: Final = 0.5
"""For the first bytes of a request; a browser that connects ahead of need sends none for a while."""

LOOK_S: Final = 0.02
"""Between two looks at what could not be handed on: half a request line, a room whose worker is away."""

IDLE_LOOK_S: Final = 0.05
"""Between two looks for a worker while there is none."""

PATIENCE_S: Final = 30.0
"""For a worker that takes it; then the connection is closed, and its client tries again."""

MOST_WAITING: Final = 512
AT_ONCE: Final = 64
"""Connections taken in one turn, so that signals and hearts are looked at in between."""

PAUSE_S: Final = 0.1
"""After file handles or memory ran short."""

SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
GONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("ECONNABORTED", "ECONNRESET", "EPROTO", "EPERM", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN"),
        *("EHOSTUNREACH", "ENOPROTOOPT", "ENONET", "EOPNOTSUPP", "ETIMEDOUT", "EINTR"),
    )
    if hasattr(errno, name)
)
"""What accept tells of a connection that has ended already (Linux passes on the network's own errors)."""


class _Waiting:
    """A connection nobody has yet. `room` is None until enough came to tell; `slot` is a worker that the
    request names."""

    __slots__ = ("connection", "is_watched", "room", "since_s", "slot")

    def __init__(self, connection: socket.socket, room: bytes | None, now: float) -> None:
        self.connection = connection
        self.room = room
        self.slot: int | None = None
        self.since_s = now
        self.is_watched = False


class Acceptor:
    """Connections on their way to a worker.

    `takers()` are the numbers of the workers that take some now; `hand(number, connection)` is False when
    that one can't take more. `poll` is the loop's; it calls `ready` for each descriptor that is `mine`.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        poll: "select.poll",
        takers: Callable[[], list[int]],
        hand: Callable[[int, socket.socket], bool],
    ) -> None:
        self._listeners = {one.fileno(): one for one in listeners}
        for one in listeners:
            one.setblocking(False)
        self._poll = poll
        self._takers = takers
        self._hand = hand
        self._is_open = False
        self._paused_until_s = 0.0
        self._turn = 0
        self._looked_at_s = 0.0
        self._waiting: dict[int, _Waiting] = {}
        self._held: dict[bytes, tuple[int, float]] = {}

    def mine(self, handle: int) -> bool:
        return handle in self._listeners or handle in self._waiting

    def hold(self, room: bytes, slot: int, until_s: float) -> None:
        """Until then nobody else gets this room: what ended its worker would end the next one, too."""
        self._held[room] = (slot, until_s)

    def ready(self, handle: int, now: float) -> None:
        """There is something to accept or to look at."""
        if (listener := self._listeners.get(handle)) is not None:
            self._accept(listener, now)
        elif (waiting := self._waiting.get(handle)) is not None:
            self._look(waiting, now)

    def due_s(self, now: float) -> float | None:
        """Seconds until `tick` has something to do; None while only the poll can tell."""
        due = [self._paused_until_s - now] if self._paused_until_s > now else []
        if not self._is_open:
            due.append(IDLE_LOOK_S)
        for one in self._waiting.values():
            due.append(one.since_s + HEAD_S - now if one.is_watched else LOOK_S)
        return max(0.0, min(due)) if due else None

    def tick(self, now: float) -> None:
        """Look again at what waits, and whether more can be taken."""
        if self._waiting and now - self._looked_at_s >= LOOK_S:
            self._looked_at_s = now
            for waiting in list(self._waiting.values()):
                if not waiting.is_watched or now - waiting.since_s >= HEAD_S:
                    self._look(waiting, now)
        if self._held:
            self._held = {room: held for room, held in self._held.items() if held[1] > now}
        has_room = len(self._waiting) < MOST_WAITING or self._oldest() is not None
        self._open(now >= self._paused_until_s and has_room and bool(self._takers()))

    def close(self) -> None:
        """Close the port and what waits; in a fork, only its copies of them."""
        # a closed descriptor left in the poll would wake it for ever
        self._open(False)
        for listener in self._listeners.values():
            listener.close()
        for waiting in list(self._waiting.values()):
            self._drop(waiting)

    # -- one connection -------------------------------------------------------------------------

    def _open(self, should: bool) -> None:
        if should is self._is_open:
            return
        self._is_open = should
        for handle in self._listeners:
            if should:
                self._poll.register(handle, select.POLLIN)
            else:
                self._poll.unregister(handle)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(AT_ONCE):
            if len(self._waiting) >= MOST_WAITING and not self._make_room(now):
                self._open(False)
                return
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORT:
                    self._paused_until_s = now + PAUSE_S
                    self._open(False)
                    return
                if error.errno not in GONE:
                    raise
                continue
            connection.setblocking(False)
            waiting = _Waiting(connection, None, now)
            self._waiting[connection.fileno()] = waiting
            self._look(waiting, now)

    def _make_room(self, now: float) -> bool:
        """Hand on the oldest one whose request did not come; False when that is not possible."""
        waiting = self._oldest()
        if waiting is not None:
            waiting.since_s = now - HEAD_S
            self._look(waiting, now)
        return len(self._waiting) < MOST_WAITING

    def _oldest(self) -> _Waiting | None:
        return next((one for one in self._waiting.values() if one.room is None), None)

    def _look(self, waiting: _Waiting, now: float) -> None:
        """Hand it on, or note what it waits for."""
        if waiting.room is None:
            try:
                head = waiting.connection.recv(HEAD_BYTES, socket.MSG_PEEK)
            except BlockingIOError:
                head = None
            except OSError:
                self._drop(waiting)
                return
            if head == b"":
                self._drop(waiting)
                return
            waiting.room = find_room(head) if head else None
            if head and waiting.room == b"":
                waiting.slot = find_slot(head)
            if waiting.room is None and now - waiting.since_s >= HEAD_S:
                waiting.room = b""
            if waiting.room is None:
                # half a line stays readable: it is looked at again by the clock
                self._watch(waiting, head is None)
                return
        if self._place(waiting, now) or now - waiting.since_s >= PATIENCE_S:
            self._drop(waiting)
        else:
            self._watch(waiting, False)

    def _place(self, waiting: _Waiting, now: float) -> bool:
        room = waiting.room
        slots = self._takers()
        if waiting.slot in slots:
            # no other one: a worker's own numbers are of no use from another
            slots = [waiting.slot]
        elif not room:
            self._turn += 1
            at = self._turn % len(slots) if slots else 0
            slots = slots[at:] + slots[:at]
        elif (held := self._held.get(room)) is not None and held[1] > now:
            slots = [slot for slot in slots if slot == held[0]]
        else:
            slots = rank(room, slots)
        return any(self._hand(slot, waiting.connection) for slot in slots)

    def _watch(self, waiting: _Waiting, should: bool) -> None:
        if should is waiting.is_watched:
            return
        waiting.is_watched = should
        if should:
            self._poll.register(waiting.connection, select.POLLIN)
        else:
            self._poll.unregister(waiting.connection)

    def _drop(self, waiting: _Waiting) -> None:
        """Close our copy of it."""
        self._watch(waiting, False)
        del self._waiting[waiting.connection.fileno()]
        waiting.connection.close()

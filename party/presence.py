"""Presence: who is here, by awareness client id.

Owns: the last state of each client id, which session owns it, and what changed since the last tick.
Does not own: sending. Never touches the journal. Keeps rules P1-P7. Pure.
Source: y-protocols awareness.js (clock rules, a null state means gone).
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from party.errors import BadFrame
from party.ports import Principal
from party.session import Session
from party.wire import MAX_SAFE_INTEGER, ClientState, decode_awareness, encode_state, join_awareness

RECENT: Final = 32
"""How many sent payloads are remembered to recognise relays of them."""

DEPARTED: Final = 1024
"""How many departed client ids are remembered with their clock."""


GONE: Final = b"null"
"""The encoded state of a client that left."""


@dataclass(slots=True)
class Entry:
    """One client's presence; `state` is encoded and stamped."""

    session: Session
    clock: int
    state: bytes


class Presence:
    """The presence of one room."""

    def __init__(self, *, max_state_bytes: int, max_clients: int) -> None:
        self._max_state_bytes = max_state_bytes
        self._max_clients = max_clients
        self._entries: dict[int, Entry] = {}
        self._departed: dict[int, int] = {}
        self._changed: set[int] = set()
        self._recent: deque[bytes] = deque(maxlen=RECENT)
        self.ignored = 0

    @property
    def is_dirty(self) -> bool:
        return bool(self._changed)

    def receive(self, session: Session, payload: bytes) -> bytes | None:
        """Take in an awareness payload. Raises BadFrame.

        States of client ids that another session owns are relays: ignored and counted (P3). The answer,
        if there is one, is for the sender alone: who of those it named has left (P7). A stock client that
        finds itself there raises its clock and says again that it is here, so somebody who comes back
        with the clock he left with is seen at once and not after his next renewals, up to 30 s later.
        """
        if payload in self._recent:
            self.ignored += 1
            return None
        gone: list[tuple[int, int, bytes]] = []
        for one in decode_awareness(payload):
            if one.client_id not in self._entries and one.state is not None:
                left_at = self._departed.get(one.client_id, -1)
                if one.clock <= left_at:
                    gone.append((one.client_id, left_at, GONE))
            if not self._accept(session, one):
                self.ignored += 1
        return join_awareness(gone) if gone else None

    def _accept(self, session: Session, one: ClientState) -> bool:
        known = self._entries.get(one.client_id)
        if known is None:
            if one.state is None or one.clock <= self._departed.get(one.client_id, -1):
                return False
            if sum(entry.session is session for entry in self._entries.values()) >= self._max_clients:
                return False
        else:
            # the same person may come back on a new socket before the old one is known to be dead
            if known.session is not session and (
                known.session.principal.user_id != session.principal.user_id or one.clock <= known.clock
            ):
                return False
            if one.clock < known.clock or (one.clock == known.clock and one.state is not None):
                return False
        if one.state is None:
            self._remove(one.client_id, one.clock)
            return True
        state = self._encode(one.state, session)
        if state is None:
            session.dropped_presence += 1
            return False
        self._entries[one.client_id] = Entry(session, one.clock, state)
        self._changed.add(one.client_id)
        return True

    def _encode(self, state: Any, session: Session) -> bytes | None:
        """The stamped state in bytes, None when it is no object, too large or too deep (P5)."""
        stamped = stamp(state, session.principal)
        if stamped is None:
            return None
        try:
            encoded = encode_state(stamped)
        except BadFrame:
            return None
        return encoded if len(encoded) <= self._max_state_bytes else None

    def leave(self, session: Session) -> None:
        """The session is gone: so are its clients."""
        for client_id, entry in list(self._entries.items()):
            if entry.session is session:
                self._remove(client_id, entry.clock + 1)

    def _remove(self, client_id: int, clock: int) -> None:
        del self._entries[client_id]
        self._departed.pop(client_id, None)
        # a peer cannot read a larger number (W2)
        self._departed[client_id] = min(clock, MAX_SAFE_INTEGER)
        if len(self._departed) > DEPARTED:
            del self._departed[next(iter(self._departed))]
        self._changed.add(client_id)
        # he may come back with the very bytes we sent last, and has to be answered then
        self._recent.clear()

    def drain(self) -> bytes | None:
        """The payload of what changed since the last call, each client's last state only (P4)."""
        if not self._changed:
            return None
        payload = join_awareness([self._state(client_id) for client_id in sorted(self._changed)])
        self._changed.clear()
        self._recent.append(payload)
        return payload

    def _state(self, client_id: int) -> tuple[int, int, bytes]:
        entry = self._entries.get(client_id)
        if entry is None:
            return client_id, self._departed.get(client_id, 0), GONE
        return client_id, entry.clock, entry.state

    def everybody(self) -> bytes | None:
        """The payload for somebody who joins; None when nobody is here."""
        if not self._entries:
            return None
        return join_awareness([self._state(client_id) for client_id in sorted(self._entries)])


def stamp(state: Any, principal: Principal) -> Any:
    """The state with the verified identity in `user.id` and `user.name` (P1); None if it is no object."""
    if not isinstance(state, dict):
        return None
    user = state.get("user")
    if not isinstance(user, dict):
        user = {}
    return {**state, "user": {**user, "id": principal.user_id, "name": principal.name}}

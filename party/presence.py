"""Presence: who is here, by awareness client id.

Owns: the last state of each client id, which session owns it, and what changed since the last tick.
Does not own: sending. Never touches the journal. Keeps rules P1-P8, G7. Pure.
Source: y-protocols awareness.js (clock rules, a null state means gone).
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from party.bus import State
from party.ports import Principal
from party.session import Session
from party.tint import tint
from party.wire import (
    MAX_SAFE_INTEGER,
    count_awareness,
    decode_state,
    encode_state,
    encode_uint,
    join_awareness,
    split_awareness,
)

RECENT: Final = 32
"""How many sent payloads are remembered to recognise relays of them."""

DEPARTED: Final = 1024
"""How many departed client ids are remembered, with their clock and whose they were."""


GONE: Final = b"null"
"""The encoded state of a client that left."""

Owners = Callable[[int], str | None]
"""The user id that has edited under a client id; None when nobody has."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another node, where some of the clients are (B8)."""

    node: str


@dataclass(slots=True)
class Entry:
    """One client's presence; `state` is encoded and stamped."""

    session: Session | Elsewhere
    clock: int
    state: bytes
    user_id: str


class Departed(NamedTuple):
    """A client that left: its last clock and whose it was."""

    clock: int
    user_id: str


@dataclass(slots=True)
class Sent:
    """A payload that went to everybody, and where in it each client's entry lies."""

    payload: bytes
    head_bytes: int
    places: dict[int, tuple[int, int]]


class Presence:
    """The presence of one room."""

    def __init__(
        self,
        *,
        max_state_bytes: int,
        max_clients: int,
        max_depth: int = 16,
        max_entries: int = 4_096,
        owners: Owners = lambda _: None,
    ) -> None:
        self._max_state_bytes = max_state_bytes
        self._max_clients = max_clients
        self._max_depth = max_depth
        self._max_entries = max_entries
        self._owners = owners
        self._entries: dict[int, Entry] = {}
        self._departed: dict[int, Departed] = {}
        self._changed: set[int] = set()
        self._recent: deque[Sent] = deque(maxlen=RECENT)
        self._own: dict[Session | Elsewhere, list[int]] = {}
        """The client ids of each session and of each other node, in the order they came."""

        self.is_shared = False
        """Other nodes are told of it."""

        self._untold: set[int] = set()
        """Clients here, or that were, whose change they were not told of yet."""

        self.ignored = 0

    @property
    def is_dirty(self) -> bool:
        return bool(self._changed)

    def announcer(self, client_id: int) -> str | None:
        """Whose presence a client id shows, or showed last; None when nobody's that is remembered."""
        entry = self._entries.get(client_id)
        if entry is not None:
            return entry.user_id
        departed = self._departed.get(client_id)
        return departed.user_id if departed is not None else None

    def receive(self, session: Session, payload: bytes) -> bytes | None:
        """Take in an awareness payload. Raises BadFrame.

        States of client ids that another session owns are relays: ignored and counted (P3). The answer,
        if there is one, is for the sender alone: who of those it named has left (P7). A stock client that
        finds itself there raises its clock and says again that it is here, so somebody who comes back
        with the clock he left with is seen at once and not after his next renewals, up to 30 s later.
        """
        if not session.principal.is_shown or self._is_relay(session, payload):
            self.ignored += 1
            return None
        if count_awareness(payload) > self._max_entries:
            # 349,000 of three bytes are a legal message and half a second of everybody's time
            self.ignored += 1
            return None
        gone: list[tuple[int, int, bytes]] = []
        for client_id, clock, text in split_awareness(payload):
            if client_id not in self._entries and text != GONE:
                departed = self._departed.get(client_id)
                if departed is not None and clock <= departed.clock:
                    gone.append((client_id, departed.clock, GONE))
            if not self._accept(session, client_id, clock, text):
                self.ignored += 1
        return join_awareness(gone) if gone else None

    def _is_relay(self, session: Session, payload: bytes) -> bool:
        """True when it is what we sent, whole or without the sender's own entry, as stock clients say it.

        With 100 moving cursors each relay has 99 entries: 1.5 µs here, 110 µs entry by entry.
        """
        own = self._own.get(session)
        for sent in self._recent:
            if payload == sent.payload:
                return True
            place = sent.places.get(own[0]) if own else None
            if place is None:
                continue
            start, stop = place
            head = encode_uint(len(sent.places) - 1)
            if (
                len(payload) == len(sent.payload) - sent.head_bytes - (stop - start) + len(head)
                and payload.startswith(head)
                and payload[len(head) :] == sent.payload[sent.head_bytes : start] + sent.payload[stop:]
            ):
                return True
        return False

    def _accept(self, session: Session, client_id: int, clock: int, text: bytes) -> bool:
        known = self._entries.get(client_id)
        is_gone = text == GONE
        principal = session.principal
        if known is None:
            departed = self._departed.get(client_id)
            if is_gone or (
                departed is not None and (clock <= departed.clock or not principal.goes_by(departed.user_id))
            ):
                # an id stays his who showed it first, also after he left (O4)
                return False
            if len(self._own.get(session, ())) >= self._max_clients:
                return False
            owner = self._owners(client_id)
            if owner is not None and not principal.goes_by(owner):
                return False
        else:
            # the same person may come back on a new socket before the old one is known to be dead
            if known.session is not session and (
                not principal.goes_by(known.user_id) or clock <= known.clock
            ):
                return False
            if clock < known.clock or (clock == known.clock and not is_gone):
                return False
        if is_gone:
            self._remove(client_id, clock)
            return True
        state = self._encode(text, session)
        if state is None:
            session.dropped_presence += 1
            return False
        if known is not None and known.session is session:
            known.clock = clock
            known.state = state
        else:
            if known is not None:
                self._disown(client_id, known)
            self._entries[client_id] = Entry(session, clock, state, principal.user_id)
            self._own.setdefault(session, []).append(client_id)
        self._changed.add(client_id)
        if self.is_shared:
            self._untold.add(client_id)
        return True

    def _encode(self, text: bytes, session: Session) -> bytes | None:
        """The stamped state in bytes, None when it is no object, too large or too deep (P5)."""
        if len(text) > self._max_state_bytes:
            return None
        stamped = stamp(decode_state(text), session.principal)
        if stamped is None or is_deeper(text, stamped, self._max_depth):
            return None
        encoded = encode_state(stamped)
        # the stamp is the server's own: what counts is what the client wrote
        return encoded if len(encoded) <= self._max_state_bytes + STAMP_BYTES else None

    def leave(self, session: Session | Elsewhere) -> None:
        """The session, or the other node, is gone: so are its clients."""
        for client_id in list(self._own.get(session, ())):
            self._remove(client_id, self._entries[client_id].clock + 1)

    def _remove(self, client_id: int, clock: int) -> None:
        gone = self._entries.pop(client_id)
        own = self._own[gone.session]
        own.remove(client_id)
        if not own:
            del self._own[gone.session]
        self._depart(client_id, clock, gone.user_id)
        if self.is_shared and type(gone.session) is Session:
            self._untold.add(client_id)
        self._changed.add(client_id)
        # he may come back with the very bytes we sent last, and has to be answered then
        self._recent.clear()

    # -- other nodes ------------------------------------------------------------------------------

    def take(
        self, node: str, states: Iterable[State], *, is_whole: bool = False
    ) -> list[tuple[Session, bytes]]:
        """What another node says of the clients there; when it `is_whole`, who is not named is gone (B8).

        The answers are for sessions of ours that were shown over there as well until now, and left: their
        clients have to raise their clock to be seen (P7).
        """
        there = Elsewhere(node)
        named: set[int] = set()
        answers: list[tuple[Session, bytes]] = []
        for client_id, clock, state, user_id in states:
            named.add(client_id)
            known = self._entries.get(client_id)
            if state == GONE:
                if known is None or known.session == there:
                    self._take_gone(client_id, max(clock, known.clock if known else 0), user_id)
                elif type(known.session) is Session and known.user_id == user_id and clock >= known.clock:
                    answers.append((known.session, join_awareness([(client_id, clock, GONE)])))
            elif self._is_news(known, client_id, clock, user_id):
                if known is not None and known.session != there:
                    self._disown(client_id, known)
                    known = None
                if known is None:
                    self._own.setdefault(there, []).append(client_id)
                self._entries[client_id] = Entry(there, clock, state, user_id)
                self._changed.add(client_id)
            else:
                self.ignored += 1
        if is_whole:
            for client_id in [one for one in self._own.get(there, ()) if one not in named]:
                self._remove(client_id, self._entries[client_id].clock + 1)
        return answers

    def _is_news(self, known: Entry | None, client_id: int, clock: int, user_id: str) -> bool:
        if known is None:
            departed = self._departed.get(client_id)
            return departed is None or (clock > departed.clock and departed.user_id == user_id)
        return known.user_id == user_id and clock > known.clock

    def _take_gone(self, client_id: int, clock: int, user_id: str) -> None:
        if client_id in self._entries:
            self._remove(client_id, clock)
            return
        departed = self._departed.get(client_id)
        if departed is None or (departed.user_id == user_id and clock > departed.clock):
            self._depart(client_id, clock, user_id)
            self._changed.add(client_id)

    def _depart(self, client_id: int, clock: int, user_id: str) -> None:
        self._departed.pop(client_id, None)
        # a peer cannot read a larger number (W2)
        self._departed[client_id] = Departed(min(clock, MAX_SAFE_INTEGER), user_id)
        if len(self._departed) > DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _disown(self, client_id: int, entry: Entry) -> None:
        own = self._own[entry.session]
        own.remove(client_id)
        if not own:
            del self._own[entry.session]

    @property
    def has_untold(self) -> bool:
        return bool(self._untold)

    def untold(self) -> tuple[State, ...]:
        """What other nodes have to be told: what changed here since the last call (B8)."""
        states = []
        for client_id in sorted(self._untold):
            entry = self._entries.get(client_id)
            if entry is None:
                departed = self._departed.get(client_id)
                if departed is not None:
                    states.append(State(client_id, departed.clock, GONE, departed.user_id))
            elif type(entry.session) is Session:
                states.append(State(client_id, entry.clock, entry.state, entry.user_id))
        self._untold.clear()
        return tuple(states)

    def here(self) -> tuple[State, ...]:
        """All clients of this node."""
        return tuple(
            State(client_id, entry.clock, entry.state, entry.user_id)
            for client_id, entry in sorted(self._entries.items())
            if type(entry.session) is Session
        )

    # -- what goes out ----------------------------------------------------------------------------

    def drain(self) -> bytes | None:
        """The payload of what changed since the last call, each client's last state only (P4)."""
        if not self._changed:
            return None
        states = [self._state(client_id) for client_id in sorted(self._changed)]
        self._changed.clear()
        payload = join_awareness(states)
        places: dict[int, tuple[int, int]] = {}
        head = start = len(encode_uint(len(states)))
        for client_id, clock, state in states:
            stop = start + sum(len(encode_uint(one)) for one in (client_id, clock, len(state))) + len(state)
            places[client_id] = start, stop
            start = stop
        self._recent.append(Sent(payload, head, places))
        return payload

    def _state(self, client_id: int) -> tuple[int, int, bytes]:
        entry = self._entries.get(client_id)
        if entry is None:
            departed = self._departed.get(client_id)
            return client_id, departed.clock if departed is not None else 0, GONE
        return client_id, entry.clock, entry.state

    def everybody(self) -> bytes | None:
        """The payload for somebody who joins; None when nobody is here."""
        if not self._entries:
            return None
        return join_awareness([self._state(client_id) for client_id in sorted(self._entries)])


STAMP_BYTES: Final = 1024
"""Room for the stamp: an id and a name, as long as the edge lets them be, and a colour."""


def stamp(state: Any, principal: Principal) -> Any:
    """The state with the verified `user.id`, `user.name` and `user.color` (P1); None if it is no object."""
    if not isinstance(state, dict):
        return None
    user = state.get("user")
    if not isinstance(user, dict):
        user = {}
    user_id = principal.user_id
    return {**state, "user": {**user, "id": user_id, "name": principal.name, "color": tint(user_id)}}


def is_deeper(text: bytes, state: Any, depth: int) -> bool:
    """True when the JSON value `state`, written as `text`, is nested more than `depth` deep (P5)."""
    # every level opens with a bracket: most states have too few of them to be looked at
    if text.count(b"[") + text.count(b"{") <= depth:
        return False
    level = [state]
    for _ in range(depth):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, dict | list) for one in level)

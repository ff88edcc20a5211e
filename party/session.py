"""A session: one connection in one room, and the states it goes through.

Owns: who it is, how far it has been synced, what it still has in the mailbox. Does not own: the socket
(ports.Connection) and what a message means (room). Keeps rules S1-S6, G6.

    Joining -> Live <-> Lagging -> Closed        (Closed from anywhere)
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from party.errors import KanvasError
from party.ports import Connection, Principal, Role

MAX_REASON_BYTES = 123
"""RFC 6455: a control frame carries 125 bytes, two of them the code."""


@dataclass(frozen=True, slots=True)
class Joining:
    """No sync step 2 sent yet; `wants` is the state vector of a step 1 that waits, since `since_s`, for a
    commit or for the connection to drain; it `knows_nothing` when it names no client of the room."""

    wants: bytes | None = None
    knows_nothing: bool = False
    since_s: float | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """Gets every frame."""


@dataclass(frozen=True, slots=True)
class Lagging:
    """Fell behind: has every frame up to `seq`, the state of `vector`, and gets none until it drains.

    `since_s` starts the deadline.
    """

    seq: int
    vector: bytes
    since_s: float


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing is sent any more; `by_us` is True when its waiting mail is void."""

    by_us: bool


LIVE = Live()

State = Joining | Live | Lagging | Closed


@dataclass(slots=True, eq=False)
class Session:
    """One client in one room."""

    principal: Principal
    connection: Connection
    state: State = field(default_factory=Joining)
    asked: bool = False
    """A sync step 1 of ours is unanswered: ask for missing edits only once (S4)."""

    asks_when_drained: bool = False
    """It takes nothing just now: it is asked when it does."""

    waiting_messages: int = 0
    waiting_bytes: int = 0
    paused: bool = False
    sent_at_s: float = 0.0
    answer_after_s: float = 0.0
    """A further step 1 is answered from then on."""

    repairs: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    dropped_presence: int = 0
    notices: set[str] = field(default_factory=set)
    """What it was told once already."""
    unsent_bytes: int = 0
    """What was unsent when `has_drained` last looked."""

    on_role: Callable[[Role], None] | None = None
    """Tells its client which role it has: our own ones know what to do with that."""

    on_attempt: Callable[[], None] | None = None
    """Notes that it drew though its role does not let it."""

    has_tried: bool = False
    """That was noted, of the role it has now."""

    @property
    def is_closed(self) -> bool:
        return isinstance(self.state, Closed)

    @property
    def is_void(self) -> bool:
        """We closed it: what it still has in the mailbox does not count."""
        state = self.state
        return type(state) is Closed and state.by_us

    def send(self, now: float, *messages: bytes) -> None:
        """Hand messages to the socket, in one write."""
        self.sent_at_s = now
        self.connection.send(*messages)

    def tell_role(self) -> None:
        """Its role, at the beginning and when it changes (G6)."""
        if self.on_role is not None:
            self.on_role(self.principal.role)

    def note_attempt(self) -> None:
        """It drew though its role does not let it: once for each time the role changed (G5)."""
        if not self.has_tried:
            self.has_tried = True
            if self.on_attempt is not None:
                self.on_attempt()

    def has_drained(self, least_bytes: int) -> bool:
        """True when at least so many bytes left since this was last true; slow is not stuck."""
        drained = self.unsent_bytes - self.connection.buffered_bytes
        if 0 <= drained < least_bytes:
            return False
        self.unsent_bytes -= drained
        return drained > 0

    def close(self, error: KanvasError) -> None:
        """End the session with the error's close code and words. Idempotent."""
        if self.is_closed:
            return
        self.state = Closed(by_us=True)
        self.connection.close(error.close_code, shorten(error.message))


def shorten(reason: str) -> str:
    """At most 123 bytes of UTF-8, cut between characters."""
    raw = reason.encode()
    if len(raw) <= MAX_REASON_BYTES:
        return reason
    return raw[: MAX_REASON_BYTES - 3].decode(errors="ignore") + "…"

"""The tally: what this process has done so far, in plain numbers.

Owns: the counters and the buckets, and nothing of what they are called outside (server/exposition.py).
Whoever does something is handed the tally and bumps a number: 30 ns for an `int`, 0.2 µs for a bucket, and no
library in between. All of it is bumped on the event loop, but for the meters, whose work is awaited there
too.
Rules: a number only grows; a key of a dictionary comes from a table of ours, never from a person, so that
there is a bounded number of them; whoever reads does not stop who counts. Keeps rules M1, M2.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

MOST_KEYS: Final = 64
"""Of one family; what comes after is counted under `OTHER`."""

OTHER: Final = "other"

COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LATE_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LOAD_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BUS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BACKEND_S: Final = (*COMMIT_S, 30.0)


class Buckets:
    """A histogram of seconds: `counts[i]` values were at most `bounds[i]`, the last ones more than all."""

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def note(self, seconds: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds

    @property
    def count(self) -> int:
        return sum(self.counts)


class Family(defaultdict[str, int]):
    """Counters by a word, such as an error's code. A word too many is `OTHER`."""

    def __init__(self) -> None:
        super().__init__(int)

    def bump(self, word: str, by: int = 1) -> None:
        """Count under this word."""
        if word not in self and len(self) >= MOST_KEYS:
            word = OTHER
        self[word] += by


class Operation:
    """One kind of thing asked of a backend: how long it took, and how it failed."""

    __slots__ = ("errors", "took")

    def __init__(self) -> None:
        self.took = Buckets(BACKEND_S)
        self.errors = Family()
        """By the backend's own status, such as SQLITE_BUSY or 503."""


class Meter:
    """A backend, by what it is asked: the names are those of its port's verbs."""

    __slots__ = ("operations",)

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}

    def operation(self, name: str) -> Operation:
        """The account of one verb."""
        if name not in self.operations and len(self.operations) >= MOST_KEYS:
            name = OTHER
        return self.operations.setdefault(name, Operation())


class BusCounts:
    """What went over the bus of this process since the start."""

    __slots__ = (
        "dropped",
        "heard",
        "heard_bytes",
        "joins",
        "lag",
        "losses",
        "sent",
        "sent_bytes",
        "unheard",
    )

    def __init__(self) -> None:
        self.sent = 0
        self.sent_bytes = 0
        self.heard = 0
        self.heard_bytes = 0
        self.dropped = 0
        """Not sent: there was no connection, too much waited, or it was too large."""
        self.unheard = 0
        """Nonsense, or of a connection that its node has left."""
        self.losses = 0
        """Connections that ended by themselves."""
        self.joins = 0
        """Connections."""
        self.lag = Buckets(BUS_S)
        """From saying something to all until it comes back to us: both ways through what carries it."""

    @property
    def rejoins(self) -> int:
        """Connections after the first one."""
        return max(0, self.joins - 1)


class Tally:
    """Everything that is counted in one process."""

    __slots__ = (
        "bus",
        "catch_ups",
        "checkpoints",
        "checkpoints_failed",
        "commit",
        "commits_failed",
        "deliveries",
        "disconnects",
        "dropped",
        "entries",
        "held_back",
        "joins",
        "load",
        "messages_in",
        "meters",
        "on_commit",
        "received_bytes",
        "refused",
        "rejected",
        "rooms_created",
        "rooms_lost",
        "sent_bytes",
        "stored_bytes",
        "tick_late",
        "updates",
    )

    def __init__(self) -> None:
        # the way of an edit
        self.messages_in = 0
        """Complete messages that rooms were handed."""
        self.updates = 0
        """Updates that came in, by socket and over HTTP."""
        self.entries = 0
        """Rows made durable."""
        self.deliveries = 0
        """Frames handed to sockets: one for each connection and batch."""
        self.refused = Family()
        """Updates that were not taken, by the error's code."""
        self.tick_late = Buckets(LATE_S)
        """How long after it was due a room was visited; one for each visit."""
        self.commit = Buckets(COMMIT_S)
        """From the apply to the answer of the journal; repeated ones in full."""
        self.commits_failed = 0
        """Appends that failed; each is repeated."""
        self.on_commit: Callable[[str, float, int], None] | None = None
        """Told the room, the seconds and the rows of each commit; for traces, else None."""

        # bytes
        self.sent_bytes = Family()
        """By what they were: updates, presence, sync."""
        self.received_bytes = 0
        """From sockets after their handshake."""
        self.stored_bytes = Family()
        """Of blobs, by direction: in, out."""

        # connections
        self.joins = 0
        self.rejected = Family()
        """Sockets that got no seat, by the error's code."""
        self.disconnects = Family()
        """Sockets that ended, by close code."""
        self.dropped = Family()
        """What slow readers did not get, by what it was: presence, frames (they lag from then on)."""
        self.held_back = Family()
        """Times a connection that sent more than its pace was read more slowly, by the action's name."""
        self.catch_ups = Family()
        """How those who lagged came back: frames (from the ring), state (a difference)."""

        # rooms
        self.rooms_created = 0
        self.load = Buckets(LOAD_S)
        self.rooms_lost = Family()
        """Rooms whose people were all sent away, by the error's code."""
        self.checkpoints = 0
        self.checkpoints_failed = 0

        # between nodes
        self.bus = BusCounts()

        # in front of it all
        self.meters: dict[str, Meter] = {}
        """Backends, by service: database, blobs, redis."""

    def meter(self, service: str) -> Meter:
        """The account of one backend."""
        return self.meters.setdefault(service, Meter())

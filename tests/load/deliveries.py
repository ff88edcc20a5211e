"""Counting: which edit reached which other client, and how long it took.

Owns: authors and when they sent what, what each client has, the histogram of latencies. Does not own: bytes
of the wire (client) and when a measurement begins and ends (crowd).

Everybody in a room hears the same bytes in the same order. So a piece of what arrived is read once (a
Digest), what a client has is one shared value (Knowledge), and the step from one to the next by a digest is
worked out once for all: a client's share is two look-ups, and an edit that comes twice is counted once.
"""

from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

BINS_PER_S: Final = 100_000
"""Latencies are counted in steps of 10 µs."""

FEW: Final = 32
"""Edits of one digest that are timed by 10 µs; of more, each by 0.1 ms."""

COARSE: Final = 10


@dataclass(slots=True, eq=False)
class Author:
    """One writer in one room. `first_clock` is the clock of the first edit that counts."""

    room: "Room"
    index: int
    client_id: int
    first_clock: int
    sent: list[float] = field(default_factory=list)
    """When each edit left, by clock from `first_clock` on."""


@dataclass(slots=True, eq=False)
class Digest:
    """What a piece of bytes says: the edits of known authors, and the presence in it."""

    ranges: list[tuple[Author, int, int]]
    cursors: list[tuple[bytes, list[tuple[int, int, int, int]]]]


@dataclass(slots=True, eq=False)
class Gain:
    """What a digest brings to somebody who knows less."""

    stamps: list[tuple[int, int]]
    """In which bin of time edits left, and how many."""
    count: int
    own: dict[Author, list[float]]


Holes = frozenset[tuple[int, int]]
"""Edits that were overtaken and did not come yet: index of the author, clock."""


class Knowledge:
    """Each author's next clock, and the holes below; one object for all clients that have the same."""

    __slots__ = ("__weakref__", "after", "clocks", "holes")

    def __init__(self, clocks: tuple[int, ...], holes: Holes) -> None:
        self.clocks = clocks
        self.holes = holes
        self.after: dict[Digest, tuple[Knowledge, Gain | None]] = {}


class Room:
    """One room's authors and what can be known of them."""

    def __init__(self) -> None:
        self.authors: list[Author] = []
        self.listeners = 0
        """Clients of whom it is expected that they hear everything; the author is one of them."""
        self._known: WeakValueDictionary[tuple[tuple[int, ...], Holes], Knowledge] = WeakValueDictionary()

    def start(self) -> Knowledge:
        """What somebody has who has no edit yet."""
        return self._intern(tuple(author.first_clock for author in self.authors), frozenset())

    def _intern(self, clocks: tuple[int, ...], holes: Holes) -> Knowledge:
        known = self._known.get((clocks, holes))
        if known is None:
            known = self._known[clocks, holes] = Knowledge(clocks, holes)
        return known

    def learn(self, known: Knowledge, digest: Digest) -> tuple[Knowledge, Gain | None]:
        """What a client that has `known` gains by `digest`, and what it has then."""
        step = known.after.get(digest)
        if step is None:
            step = known.after[digest] = self._step(known, digest)
        return step

    def _step(self, known: Knowledge, digest: Digest) -> tuple[Knowledge, Gain | None]:
        clocks, holes = list(known.clocks), known.holes
        own: dict[Author, list[float]] = {}
        for author, start, stop in digest.ranges:
            index, first = author.index, author.first_clock
            have = clocks[index]
            if holes and start < have:
                filled = holes & {(index, clock) for clock in range(start, min(stop, have))}
                holes -= filled
                own.setdefault(author, []).extend(author.sent[clock - first] for _, clock in filled)
            if stop <= have:
                continue
            if start > have:
                holes |= {(index, clock) for clock in range(have, start)}
            own.setdefault(author, []).extend(author.sent[max(start, have) - first : stop - first])
            clocks[index] = stop
        stamps = [one for times in own.values() for one in times]
        if not stamps:
            return known, None
        return self._intern(tuple(clocks), holes), Gain(thin(stamps), len(stamps), own)


def thin(stamps: list[float]) -> list[tuple[int, int]]:
    """Send times as bins with their number."""
    found: dict[int, int] = {}
    grain = COARSE if len(stamps) > FEW else 1
    for one in stamps:
        bin_ = int(one * BINS_PER_S) // grain * grain
        found[bin_] = found.get(bin_, 0) + 1
    return list(found.items())


class Ledger:
    """All deliveries of one crowd since the last reset."""

    def __init__(self) -> None:
        self.authors: dict[int, Author] = {}
        self.reset()

    def reset(self) -> None:
        self.expected = 0
        self.delivered = 0
        self.cursors = 0
        self._bins: dict[int, int] = {}

    def receive(self, gain: Gain, now: float, author: Author | None) -> None:
        """A client, who may be an author, got these edits at `now` (perf_counter)."""
        bins = self._bins
        count = gain.count
        now_bin = int(now * BINS_PER_S)
        for sent_bin, number in gain.stamps:
            bin_ = now_bin - sent_bin
            bins[bin_] = bins.get(bin_, 0) + number
        if author is not None and (mine := gain.own.get(author)) is not None:
            # the echo of an own edit is none
            count -= len(mine)
            grain = COARSE if gain.count > FEW else 1
            for sent in mine:
                bins[now_bin - int(sent * BINS_PER_S) // grain * grain] -= 1
        self.delivered += count

    def note(self, seconds: float) -> None:
        """A latency that was measured elsewhere."""
        bin_ = int(seconds * BINS_PER_S)
        self._bins[bin_] = self._bins.get(bin_, 0) + 1

    def quantile_ms(self, part: float) -> float | None:
        """The latency that this part of all deliveries stayed below; None without any."""
        total = sum(self._bins.values())
        if total <= 0:
            return None
        left = part * total
        for bin_ in sorted(self._bins):
            left -= self._bins[bin_]
            if left <= 0:
                return (bin_ + 1) * 1000 / BINS_PER_S
        return None

"""Freshness: whether a message of another node is heard for the first time.

Owns: which numbers were heard of whom. Does not own: who vouches for sender and number (bus: its digest).
Keeps rule B12. Pure: time is passed in.

A node numbers what it sends: the microseconds of its clock, and always more than before. Of a node that is
known only what is new counts, with a little room for messages that overtake each other, also after it was
forgotten as silent. Of one that is not known nothing counts that is older than clocks may differ: whoever can
write to the bus, and recorded it, can't have it heard again.
Source: RFC 4303 section 3.4.3 (a window against replays); there the counters are a connection's.
"""

from collections import deque
from typing import Final

WINDOW: Final = 64
"""So many messages may be overtaken."""

OLDEST_US: Final = 600 * 1_000_000
"""Clocks of two machines differ by less."""

MOST_NODES: Final = 1_024


class _Heard:
    """The numbers of one node."""

    __slots__ = ("floor", "order", "recent")

    def __init__(self, number: int) -> None:
        self.floor = number
        self.order: deque[int] = deque()
        self.recent: set[int] = set()

    def is_new(self, number: int) -> bool:
        if number <= self.floor or number in self.recent:
            return False
        self.order.append(number)
        self.recent.add(number)
        if len(self.order) > WINDOW:
            oldest = self.order.popleft()
            self.recent.remove(oldest)
            self.floor = max(self.floor, oldest)
        return True


class Freshness:
    """What was heard of the other nodes."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Heard] = {}

    def is_new(self, node: str, number: int, now_us: int) -> bool:
        """Whether the message counts; from then on it does no more."""
        heard = self._nodes.get(node)
        if heard is not None:
            return heard.is_new(number)
        if number < now_us - OLDEST_US:
            return False
        if len(self._nodes) >= MOST_NODES:
            del self._nodes[next(iter(self._nodes))]
        self._nodes[node] = _Heard(number)
        return True

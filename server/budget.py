"""The budget for large messages that are still coming in: one number of bytes for the whole process.

Owns: who holds a share, who waits in line. Does not own: sockets (line.py), when somebody has waited too
long (traffic.py). No I/O, no clock: time is passed in. Keeps rule W9.

A share is asked for once per message, and for all of it: who holds one never waits for more, so there is no
deadlock, and the first in line always comes to its turn.
"""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """Who asks for a share."""

    def granted(self) -> None:
        """The share you waited for is yours."""


H = TypeVar("H", bound=Holder)


class Budget(Generic[H]):
    """Shares of `total_bytes`, first come, first served."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self._held: dict[H, int] = {}
        self._waiting: dict[H, tuple[int, float]] = {}

    def __contains__(self, holder: H) -> bool:
        return holder in self._held

    def take(self, holder: H, size: int, now: float) -> bool:
        """Ask for a share. False: wait in line until `granted` is called."""
        if self._waiting or not self._fits(size):
            self._waiting[holder] = (size, now)
            return False
        self._give(holder, size)
        return True

    def give_back(self, holder: H) -> None:
        """Let go of the share, or of the place in line. Idempotent."""
        self._waiting.pop(holder, None)
        self.held_bytes -= self._held.pop(holder, 0)
        while self._waiting:
            first, (size, _) = next(iter(self._waiting.items()))
            if not self._fits(size):
                break
            del self._waiting[first]
            self._give(first, size)
            first.granted()

    def waiting_since(self, before_s: float) -> Iterator[H]:
        """Who has waited since before then."""
        return iter([holder for holder, (_, since_s) in self._waiting.items() if since_s < before_s])

    def _fits(self, size: int) -> bool:
        # a message larger than the whole budget goes through when it is alone
        return not self._held or self.held_bytes + size <= self.total_bytes

    def _give(self, holder: H, size: int) -> None:
        self._held[holder] = size
        self.held_bytes += size

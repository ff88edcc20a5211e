"""The sockets of one process together: what is watched over time, with one ticker for all of them.

Owns: the ticker that pings the silent, ends the dead, and holds messages that dribble to a rate; the budget
for large messages. Does not own: frames and sockets (line.py). Keeps rules W8, W9, S10.

One ticker, not two timers per connection: it visits a twentieth of the connections each second (1 µs each),
and those with a message half read, which are few.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from party.errors import KanvasError, TooSlow, Unavailable
from party.tally import Tally
from server.bounds import Bounds
from server.budget import Budget
from server.rates.pace import Holds

log = structlog.get_logger("kanvas.traffic")

BEAT_S: Final = 1.0


class Watched(Protocol):
    """A connection as the ticker sees it."""

    @property
    def is_held(self) -> bool:
        """We do not read it now, so that it can't make progress."""

    def look(self) -> None:
        """Ping it if it is silent, end it if it is dead."""

    def fail(self, error: KanvasError) -> None:
        """Close it with the error's code and words."""

    def granted(self) -> None:
        """The share of the budget it waited for is its own."""


class Progress:
    """A message that has begun: what came of it since the window began."""

    __slots__ = ("came_bytes", "since_s")

    def __init__(self, now: float) -> None:
        self.since_s = now
        self.came_bytes = 0


class Traffic:
    """All connections after their handshake. Make one with `open_traffic`."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float], tally: Tally | None = None) -> None:
        self.bounds = bounds
        self.tally = tally or Tally()
        self.clock = clock
        self.budget: Budget[Watched] = Budget(bounds.inflight_bytes)
        self.unfinished: dict[Watched, Progress] = {}
        """Connections in the middle of a message."""
        self.held_back: dict[Watched, Holds] = {}
        """Connections that sent more than their pace allows."""

        turns = max(1, round(bounds.silent_after_s / BEAT_S))
        self._turns: list[set[Watched]] = [set() for _ in range(turns)]
        self._turn = 0

    def add(self, line: Watched) -> None:
        """Watch it from now on."""
        self._turns[id(line) // 64 % len(self._turns)].add(line)

    def remove(self, line: Watched) -> None:
        """It is gone. Idempotent."""
        self._turns[id(line) // 64 % len(self._turns)].discard(line)
        self.unfinished.pop(line, None)
        self.held_back.pop(line, None)
        self.budget.give_back(line)

    def __len__(self) -> int:
        return sum(map(len, self._turns))

    def beat(self) -> None:
        """Once a second."""
        self._turn = (self._turn + 1) % len(self._turns)
        for line in list(self._turns[self._turn]):
            line.look()
        self.hold_to_rate()

    def hold_to_rate(self) -> None:
        """End what dribbles, and what has waited too long for its share of the budget."""
        now, bounds = self.clock(), self.bounds
        for line, progress in list(self.unfinished.items()):
            if line.is_held:
                progress.since_s, progress.came_bytes = now, 0
            elif now - progress.since_s >= bounds.rate_window_s:
                is_large = line in self.budget
                rate = bounds.large_rate_bytes_per_s if is_large else bounds.rate_bytes_per_s
                if progress.came_bytes < rate * (now - progress.since_s):
                    line.fail(
                        TooSlow(f"A message must come in whole or at {rate} bytes/s; reconnect and resend.")
                    )
                progress.since_s, progress.came_bytes = now, 0
        for line in self.budget.waiting_since(now - bounds.inflight_wait_s):
            line.fail(
                Unavailable(
                    "Too many large messages are under way here; they are taken one by one, try again."
                )
            )

    async def watch(self) -> None:
        """Beat for ever."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                self.beat()
            except Exception:
                # the border of a background task: one bad beat must not end the process
                log.exception("beat failed")


@asynccontextmanager
async def open_traffic(bounds: Bounds, tally: Tally | None = None) -> AsyncIterator[Traffic]:
    """A running ticker."""
    traffic = Traffic(bounds, asyncio.get_running_loop().time, tally)
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(traffic.watch())
        try:
            yield traffic
        finally:
            beating.cancel()

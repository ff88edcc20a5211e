"""The limiter of one process: counts in its memory.

Owns: the slices of each key, and how many keys there may be. Does not own: anything beyond this process.
Keeps rules L1, L8. A take has no await in it, so takes of one loop can't meet. A take costs about 3 µs, a
key about 260 bytes; it goes when its window has passed and others take, or when there are too many.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from server.rates.base import SLICES, Rate, Verdict

MAX_KEYS: Final = 50_000
"""Of one window length. Who comes with more addresses than that has as many limits anyway."""

SWEPT: Final = 2
"""Keys looked at by each take, oldest first: more than a take can add, so that what has passed goes."""


class MemoryLimiter:
    """The Limiter port in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self._max_keys = max_keys
        # a plain dict looks for its first key past all that were removed before it
        self._windows: dict[float, OrderedDict[str, list[int]]] = {}
        """Window to key to slice, count, slice, count...; the key used last comes last."""

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        return self.take_now(key, rate, cost)

    def take_now(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        """`take`, at once."""
        width_s = rate.window_s / SLICES
        now_s = self._clock()
        current = int(now_s / width_s)
        first = current - SLICES
        keys = self._windows.get(rate.window_s)
        if keys is None:
            keys = self._windows[rate.window_s] = OrderedDict()
        slices = keys.get(key) or []
        while slices and slices[0] < first:
            del slices[:2]
        taken = sum(slices[1::2])
        is_allowed = taken + cost <= rate.limit
        if is_allowed:
            taken += cost
            # a clock that was set back must not put a slice before an older one
            if slices and slices[-2] >= current:
                slices[-1] += cost
            else:
                slices += (current, cost)
        if slices:
            keys[key] = slices
            keys.move_to_end(key)
        else:
            keys.pop(key, None)
        self._sweep(keys, first)
        ends_s = (slices[-2] + SLICES + 1) * width_s - now_s if slices else 0.0
        return Verdict(
            is_allowed=is_allowed,
            limit=rate.limit,
            remaining=max(0, rate.limit - taken),
            retry_after_s=0.0
            if is_allowed
            else _wait_s(slices, taken + cost - rate.limit, rate, width_s, now_s),
            reset_s=max(0.0, ends_s),
        )

    def _sweep(self, keys: OrderedDict[str, list[int]], first: int) -> None:
        # in the order of their last takes, so what has passed is at the front
        for _ in range(SWEPT):
            oldest = next(iter(keys), None)
            if oldest is None or (keys[oldest][-2] >= first and len(keys) <= self._max_keys):
                return
            del keys[oldest]


def _wait_s(slices: list[int], excess: int, rate: Rate, width_s: float, now_s: float) -> float:
    """Until so many of the takes are forgotten; the whole window for what never fits."""
    for at in range(0, len(slices), 2):
        excess -= slices[at + 1]
        if excess <= 0:
            return max(0.0, (slices[at] + SLICES + 1) * width_s - now_s)
    return rate.window_s

"""The port of the rate limits: what a rate is, what a take answers, and the refusals.

Owns: `Limiter`, `Rate`, `Verdict`, how a window is cut. Does not own: counting (memory.py, redis.py), which
action has which rate (actions.py), when the edge asks (guard.py). Keeps rule L1.

A window is cut into slices and a slice is counted until its youngest take is older than the window. So no
window of that length, wherever it begins, ever holds more than the limit: the price is that a take comes
back up to 1/60 of the window late, and the gain that a key costs the same whatever its limit is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

from party.errors import KanvasError, Unavailable

SLICES: Final = 60


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` takes in any `window_s` seconds."""

    limit: int
    window_s: float

    def __str__(self) -> str:
        return f"{self.limit}/{self.window_s:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a take. `retry_after_s` is 0 for one that is allowed; else the same take fits after it,
    if no others come first. After `reset_s` nothing of what is counted now counts any more."""

    is_allowed: bool
    limit: int
    remaining: int
    retry_after_s: float
    reset_s: float


class Limiter(Protocol):
    """Counts takes under keys."""

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        """Count `cost` under `key` if it fits in the window, else nothing. Atomic: of takes at one moment no
        more than the limit are allowed. Cancelled, it may or may not have counted. Raises Unavailable."""


class RateLimited(KanvasError):
    """Too many requests of this kind came; wait as long as Retry-After says, then it works again."""

    code = "rate_limited"
    status = 429
    # not 4429: who connects too often is to come back, with back-off
    close_code = 1013

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_s: float = 1.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})


class Flooding(KanvasError):
    """This page sent far more than a drawing needs, for minutes; reload it, and tell us if you only drew."""

    code = "flooding"
    status = 429
    close_code = 4429


class AuthUnavailable(Unavailable):
    """Signing in is not possible just now, because attempts can't be counted; try again in a moment."""

    code = "auth_unavailable"


def whole_seconds(seconds: float) -> int:
    """As Retry-After wants it: whole, never too early, never 0 for who has to wait."""
    return max(1, ceil(seconds))

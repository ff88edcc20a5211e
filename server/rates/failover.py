"""What happens when Redis is away, and how refusals stay cheap while it is there.

Owns: the breaker, the local twin, the refusals that are remembered. Does not own: either way of counting.
Keeps rule L7: a Redis that does not answer costs one deadline for each pause of the breaker, not one for each
request; what is for signing in is refused meanwhile, everything else is counted in this process alone. A
pause is over when the bus, which looks by itself all the time, has reached Redis again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from party.errors import Unavailable
from party.tally import Meter
from server.metered import REDIS, metered
from server.rates.base import AuthUnavailable, Limiter, Rate, Verdict
from server.rates.memory import MemoryLimiter

log = structlog.get_logger("kanvas.rates")

DEADLINE_S: Final = 1.0
"""For one take; people wait behind it."""

FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 15.0
MAX_REFUSED: Final = 10_000


class Failover:
    """A Limiter that prefers `shared` and goes on without it."""

    def __init__(
        self,
        shared: Limiter,
        local: MemoryLimiter,
        clock: Callable[[], float] = time.monotonic,
        meter: Meter | None = None,
        joins: Callable[[], int] = lambda: 0,
    ) -> None:
        """`joins` is how often the bus has reached Redis so far."""
        self.fallbacks = 0
        """Takes that were decided without `shared`, those that were refused for it among them."""
        self._meter = meter or Meter()
        self._shared = shared
        self._local = local
        self._clock = clock
        self._joins = joins
        self._joins_then = 0
        """As it was when Redis was last found away."""
        self._pause_s = 0.0
        self._closed_until_s = 0.0
        self._refused: dict[str, tuple[float, Verdict]] = {}
        """Keys that were refused one take, until when that holds: a flood must not reach Redis."""

    @property
    def is_away(self) -> bool:
        """Whether Redis did not answer the last time it was asked."""
        return self._pause_s > 0

    @property
    def is_resting(self) -> bool:
        """Whether Redis did not answer a moment ago and is not asked now; after the pause nobody knows until
        somebody takes."""
        return self._rests(self._clock())

    def _rests(self, now_s: float) -> bool:
        return now_s < self._closed_until_s and self._joins() == self._joins_then

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        """As the port says, counted here while Redis is away. Never raises."""
        verdict = await self._ask(key, rate, cost)
        if verdict is not None:
            return verdict
        self.fallbacks += 1
        return self._local.take_now(key, rate, cost)

    async def take_strictly(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        """The same for signing in. Raises AuthUnavailable while Redis is away."""
        verdict = await self._ask(key, rate, cost)
        if verdict is None:
            self.fallbacks += 1
            raise AuthUnavailable
        return verdict

    async def _ask(self, key: str, rate: Rate, cost: int) -> Verdict | None:
        now_s = self._clock()
        if self._refused and (known := self._known_refusal(key, rate, now_s)) is not None:
            return known
        if self._rests(now_s):
            return None
        is_trial = self.is_away
        if is_trial:
            joins = self._joins()
            if joins != self._joins_then:
                self._joins_then, self._pause_s = joins, FIRST_PAUSE_S
            # this one finds out for all; the others do not wait for it
            self._closed_until_s = now_s + self._pause_s
        try:
            verdict = await self._take_shared(key, rate, cost)
        except (Unavailable, TimeoutError) as error:
            self._fail(error, is_trial=is_trial)
            return None
        if self.is_away:
            self._pause_s = self._closed_until_s = 0.0
            log.info("rate limits are counted in Redis again")
        if not verdict.is_allowed and cost == 1:
            self._remember(key, rate, now_s, verdict)
        return verdict

    async def _take_shared(self, key: str, rate: Rate, cost: int) -> Verdict:
        began_s = self._clock()
        try:
            return await self._take_once(key, rate, cost)
        except (Unavailable, TimeoutError):
            # our own loop came back late, which says nothing about Redis: it is asked again, once
            if self._clock() - began_s < 2 * DEADLINE_S:
                raise
        return await self._take_once(key, rate, cost)

    async def _take_once(self, key: str, rate: Rate, cost: int) -> Verdict:
        with metered(self._meter, REDIS, "take"):
            async with asyncio.timeout(DEADLINE_S):
                return await self._shared.take(key, rate, cost)

    def _fail(self, error: Exception, *, is_trial: bool) -> None:
        if is_trial:
            self._pause_s = min(LAST_PAUSE_S, self._pause_s * 2)
        elif not self.is_away:
            log.warning("rate limits are counted here alone", reason=str(error) or "Redis took too long")
            self._pause_s = FIRST_PAUSE_S
            self._joins_then = self._joins()
        else:
            # it was under way already when the first one failed
            return
        self._closed_until_s = self._clock() + self._pause_s

    def _known_refusal(self, key: str, rate: Rate, now_s: float) -> Verdict | None:
        name = f"{key}:{rate}"
        known = self._refused.get(name)
        if known is None:
            return None
        until_s, verdict = known
        if now_s >= until_s:
            del self._refused[name]
            return None
        left_s = until_s - now_s
        passed_s = verdict.retry_after_s - left_s
        return Verdict(
            False, verdict.limit, verdict.remaining, left_s, max(left_s, verdict.reset_s - passed_s)
        )

    def _remember(self, key: str, rate: Rate, now_s: float, verdict: Verdict) -> None:
        if len(self._refused) >= MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[f"{key}:{rate}"] = (now_s + verdict.retry_after_s, verdict)

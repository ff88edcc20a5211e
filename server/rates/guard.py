"""The rate limits of one process, as the edge asks for them.

Owns: who is counted under which key, the order of the questions at a connection, the count of refusals.
Does not own: counting (memory.py, redis.py), the table (actions.py), answers (registry.py, parties.py).
Keeps rules L2, L3, L5, L10.
"""

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from party.tally import Meter
from server.rates.actions import ACTIONS, AUTH_FAILED, BYTES, CONNECT, JOIN, MESSAGES, Table, read_table
from server.rates.addresses import site_of
from server.rates.base import Rate, RateLimited, Verdict, whole_seconds
from server.rates.failover import Failover
from server.rates.headers import refusal
from server.rates.memory import MemoryLimiter
from server.rates.pace import Pace, make_pace

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_WHO: Final = 128
MAX_BLOCKED: Final = 10_000


class RatedSettings(Protocol):
    """What of the settings is about rates."""

    @property
    def rate_limits(self) -> str: ...
    @property
    def rate_plans(self) -> str: ...
    @property
    def redis_prefix(self) -> str: ...


def key_of_user(user_id: str) -> str:
    """A user as a part of a key: never an address, never long."""
    if len(user_id) <= MAX_WHO and not user_id.startswith(("@", "#")):
        return user_id
    return "#" + hashlib.sha256(user_id.encode()).hexdigest()


def key_of_address(host: str) -> str:
    """An address as a part of a key."""
    return "@" + site_of(host)


class Rates:
    """Asks the limiter, and says no in words."""

    def __init__(
        self,
        table: Table,
        limiter: MemoryLimiter | Failover,
        most_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = table
        self.refusals: Counter[str] = Counter()
        """Action to how often it was refused since the start."""
        self._limiter = limiter
        self._most_bytes = most_bytes
        self._paces: dict[str, Pace] = {}
        self._clock = clock
        self._blocked: dict[str, float] = {}
        """Sites that sent too many wrong tokens, and until when their wrong ones are answered from here."""

    @property
    def is_degraded(self) -> bool:
        """Whether Redis was away a moment ago, so that each process counts alone."""
        return isinstance(self._limiter, Failover) and self._limiter.is_resting

    @property
    def fallbacks(self) -> int:
        """Takes that were decided without Redis, because it was away."""
        return self._limiter.fallbacks if isinstance(self._limiter, Failover) else 0

    async def take(
        self, action: str, *, host: str, user_id: str | None = None, plan: str = "", cost: int = 1
    ) -> tuple[Rate, Verdict] | None:
        """Count one of `action` by its address or its user (of mailboxes, what stands for one); None when it
        is not limited.

        What is counted by link takes the link's id in the place of the user's.

        Raises RateLimited, and AuthUnavailable for signing in while Redis is away.
        """
        known = ACTIONS[action]
        rate = self.table.rate(action, plan)
        if rate is None:
            return None
        by_user = known.who in ("user", "link", "mailbox") and user_id is not None
        who = key_of_user(user_id) if by_user and user_id is not None else key_of_address(host)
        key = f"{who}:{action}"
        limiter = self._limiter
        if isinstance(limiter, MemoryLimiter):
            verdict = limiter.take_now(key, rate, cost)
        elif known.is_auth:
            verdict = await limiter.take_strictly(key, rate, cost)
        else:
            verdict = await limiter.take(key, rate, cost)
        if not verdict.is_allowed:
            self.refusals[action] += 1
            raise refusal(action, rate, verdict)
        return rate, verdict

    async def note_failure(self, host: str) -> None:
        """A token from this address was wrong, or missing. Raises RateLimited when it was one too many.

        Only wrong ones are refused: a right token costs 0.1 ms to check, and its owner may share the address
        with somebody whose stale pages try again and again.
        """
        site, now = key_of_address(host), self._clock()
        wait_s = self._blocked.get(site, 0.0) - now
        if wait_s > 0:
            # what is known already asks nobody
            self.refusals[AUTH_FAILED] += 1
            raise RateLimited(
                f"Too many wrong tokens came from your address. Try again in {whole_seconds(wait_s)} s.",
                retry_after_s=whole_seconds(wait_s),
            )
        self._blocked.pop(site, None)
        try:
            await self.take(AUTH_FAILED, host=host)
        except RateLimited as error:
            if len(self._blocked) >= MAX_BLOCKED:
                del self._blocked[next(iter(self._blocked))]
            self._blocked[site] = now + error.retry_after_s
            raise

    async def connect(self, host: str) -> None:
        """One attempt to connect from this address, before anything is looked at. Raises RateLimited."""
        await self.take(CONNECT, host=host)

    async def join(self, host: str, user_id: str, plan: str) -> None:
        """One attempt of a user whose token is right. Raises RateLimited."""
        await self.take(JOIN, host=host, user_id=user_id, plan=plan)

    def pace_of(self, plan: str) -> Pace:
        """What a connection of who has this plan may send."""
        known = self._paces.get(plan)
        if known is None:
            made = make_pace(self.table.rate(MESSAGES, plan), self.table.rate(BYTES, plan), self._most_bytes)
            # plans come from tokens: one object for all that are none
            known = self._paces.setdefault(plan if self._has(plan) else "", made)
        return known

    def _has(self, plan: str) -> bool:
        return plan in self.table.factors or any(plan == one for one, _ in self.table.plans)


@asynccontextmanager
async def open_rates(
    settings: RatedSettings,
    redis: "Redis | None",
    most_bytes: int = 0,
    meter: Meter | None = None,
    joins: Callable[[], int] = lambda: 0,
) -> AsyncIterator[Rates]:
    """The limits as the settings say: counted in Redis where there is one (`meter` is its account, `joins`
    how often the bus has reached it), else in this process."""
    table = read_table(settings.rate_limits, settings.rate_plans)
    local = MemoryLimiter()
    if redis is None:
        yield Rates(table, local, most_bytes)
        return
    # the script and its driver are nothing to a process alone
    from server.rates.redis import RedisLimiter  # noqa: PLC0415

    shared = RedisLimiter(redis, settings.redis_prefix)
    yield Rates(table, Failover(shared, local, meter=meter, joins=joins), most_bytes)

"""The Limiter port: one contract for the limiter in memory and the one in Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from server.rates import redis as redis_limiter
from server.rates.base import SLICES, Limiter, Rate
from server.rates.memory import MemoryLimiter
from server.rates.redis import AT_ONCE, RedisLimiter
from server.redis.client import open_redis

if TYPE_CHECKING:
    from tests.backends.valkey import Valkey

MINUTE = Rate(10, 60)
pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    if request.param == "memory":
        yield MemoryLimiter()
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    async with open_redis(valkey.url()) as redis:
        yield RedisLimiter(redis, f"{uuid4()}:")


class Clock:
    """Set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(frozen=True, slots=True)
class Timed:
    """A limiter whose time passes as the test says."""

    limiter: Limiter
    pass_s: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
async def timed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Timed]:
    clock = Clock()

    async def turn(seconds: float) -> None:
        clock.now_s += seconds

    if request.param == "memory":
        yield Timed(MemoryLimiter(clock), turn)
        return
    valkey: Valkey = request.getfixturevalue("valkey")
    prefix = f"{uuid4()}:"
    asked, told = "redis.call('TIME')", f"{{redis.call('GET', '{prefix}now'), 0}}"
    assert asked in redis_limiter.SCRIPT
    monkeypatch.setattr(redis_limiter, "SCRIPT", redis_limiter.SCRIPT.replace(asked, told))
    async with open_redis(valkey.url()) as redis:

        async def tell(seconds: float) -> None:
            await turn(seconds)
            await redis.set(f"{prefix}now", clock.now_s)

        await tell(0)
        yield Timed(RedisLimiter(redis, prefix), tell)


async def test_of_a_hundred_at_one_moment_ten_pass(limiter: Limiter) -> None:
    """L1"""
    begin = time.monotonic()
    verdicts = await asyncio.gather(*(limiter.take("ada:act", MINUTE) for _ in range(100)))
    least_s = 60 - (time.monotonic() - begin)
    assert sum(one.is_allowed for one in verdicts) == 10
    assert sorted(one.remaining for one in verdicts if one.is_allowed) == list(range(10))
    refused = [one for one in verdicts if not one.is_allowed]
    # up to a slice late, and never early
    assert all(least_s < one.retry_after_s <= 61 and one.remaining == 0 for one in refused)
    assert all(least_s < one.reset_s <= 61 and one.limit == 10 for one in verdicts)


async def test_no_window_holds_more_than_the_limit_wherever_it_begins(limiter: Limiter) -> None:
    """L1: twice as many at a boundary is what counting by the clock's minutes would let through."""
    rate = Rate(5, 0.2)
    allowed: list[tuple[float, float]] = []
    # in four windows or more
    while len(allowed) <= 4 * rate.limit:
        before = time.monotonic()
        verdict = await limiter.take("ada:act", rate)
        if verdict.is_allowed:
            allowed.append((before, time.monotonic()))
        await asyncio.sleep(0)
    # the earliest that the first can have been counted, and the latest for the one after the limit
    spans = [late[1] - early[0] for early, late in zip(allowed, allowed[rate.limit :], strict=False)]
    assert min(spans) >= rate.window_s


async def test_who_waits_as_long_as_told_gets_in(timed: Timed) -> None:
    """L1, L4: and a refused take counts nothing, so asking again in vain does not make it longer."""
    rate, limiter = Rate(2, 60), timed.limiter
    await limiter.take("ada:act", rate)
    await timed.pass_s(15)
    await limiter.take("ada:act", rate)
    told = []
    for _ in range(20):
        await timed.pass_s(0.1)
        told.append(await limiter.take("ada:act", rate))
    assert not any(one.is_allowed for one in told)
    assert 0 < told[-1].retry_after_s < told[0].retry_after_s < rate.window_s
    assert told[0].retry_after_s < told[0].reset_s
    await timed.pass_s(told[-1].retry_after_s - 0.01)
    assert not (await limiter.take("ada:act", rate)).is_allowed
    await timed.pass_s(0.02)
    after = await limiter.take("ada:act", rate)
    assert after.is_allowed
    assert after.retry_after_s == 0


async def test_keys_actions_and_windows_do_not_touch_each_other(limiter: Limiter) -> None:
    one = Rate(1, 60)
    for key, rate in (("ada:a", one), ("ada:b", one), ("bob:a", one), ("ada:a", Rate(1, 30))):
        assert (await limiter.take(key, rate)).is_allowed
        assert not (await limiter.take(key, rate)).is_allowed


async def test_a_take_may_cost_more_and_all_or_nothing_is_counted(limiter: Limiter) -> None:
    assert (await limiter.take("ada:act", MINUTE, 8)).remaining == 2
    refused = await limiter.take("ada:act", MINUTE, 3)
    assert (refused.is_allowed, refused.remaining) == (False, 2)
    assert (await limiter.take("ada:act", MINUTE, 2)).is_allowed
    never = await limiter.take("ada:act", MINUTE, 11)
    assert not never.is_allowed
    assert never.retry_after_s > 58


async def test_a_higher_limit_on_the_same_key_counts_what_was_taken(limiter: Limiter) -> None:
    """A plan that changes does not forget."""
    for _ in range(10):
        await limiter.take("ada:act", MINUTE)
    assert (await limiter.take("ada:act", Rate(20, 60))).remaining == 9
    assert (await limiter.take("ada:act", Rate(5, 60))).remaining == 0


async def test_the_keys_of_redis_have_their_names_and_go_by_themselves(valkey: "Valkey") -> None:
    """L1: `rate_limit:{user}:{action}:{window}` behind the prefix, few fields, gone after the window."""
    prefix = f"{uuid4()}:"
    async with open_redis(valkey.url()) as redis:
        limiter = RedisLimiter(redis, prefix)
        begin = time.monotonic()
        await limiter.take("ada:rooms.create", Rate(30, 60))
        key = f"{prefix}rate_limit:ada:rooms.create:60"
        assert [name.decode() async for name in redis.scan_iter(f"{prefix}*")] == [key]
        left_ms = await redis.pttl(key)
        assert 62_000 - (time.monotonic() - begin) * 1000 - 1 <= left_ms <= 62_000
        rate = Rate(100_000, 0.3)
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            await limiter.take("ada:busy", rate)
        assert await redis.hlen(f"{prefix}rate_limit:ada:busy:0.3") <= SLICES + 1
        await asyncio.sleep(0.4)
        assert await redis.exists(f"{prefix}rate_limit:ada:busy:0.3") == 0
        # a refusal creates nothing
        await limiter.take("bob:act", Rate(1, 60), 2)
        assert await redis.exists(f"{prefix}rate_limit:bob:act:60") == 0


async def test_two_processes_share_one_limit(valkey: "Valkey") -> None:
    """L1: whoever counts in Redis counts together, also after it forgot the script."""
    prefix = f"{uuid4()}:"
    async with open_redis(valkey.url()) as one, open_redis(valkey.url()) as other:
        limiters = [RedisLimiter(one, prefix), RedisLimiter(other, prefix)]
        takes = [limiters[at % 2].take("ada:act", MINUTE) for at in range(60)]
        assert sum(verdict.is_allowed for verdict in await asyncio.gather(*takes)) == 10
        await one.script_flush()
        assert not (await limiters[0].take("ada:act", MINUTE)).is_allowed
        opened = len(one.connection_pool._available_connections)
        assert opened <= AT_ONCE


async def test_a_million_addresses_take_bounded_memory() -> None:
    """L8: the oldest are forgotten, and what has passed goes while others take."""
    clock = Clock()
    limiter = MemoryLimiter(clock, max_keys=1000)
    for at in range(100_000):
        limiter.take_now(f"@{at}:connect", MINUTE)
        clock.now_s += 0.001
    assert len(limiter) == 1000
    # who came lately is remembered
    assert limiter.take_now("@99999:connect", MINUTE).remaining == 8
    clock.now_s += 62
    for _ in range(600):
        limiter.take_now("@1:connect", MINUTE)
    assert len(limiter) == 1


async def test_a_key_that_was_only_refused_is_not_kept() -> None:
    """L8"""
    limiter = MemoryLimiter()
    for at in range(100):
        assert not limiter.take_now(f"@{at}:act", Rate(1, 60), 2).is_allowed
    assert len(limiter) == 0
    clock = Clock()
    limiter = MemoryLimiter(clock)
    limiter.take_now("ada:act", MINUTE)
    clock.now_s += 120
    assert not limiter.take_now("ada:act", MINUTE, 11).is_allowed
    assert len(limiter) == 0


async def test_a_clock_that_is_set_back_lets_nobody_through_twice() -> None:
    """L1"""
    clock = Clock()
    limiter = MemoryLimiter(clock)
    for _ in range(10):
        limiter.take_now("ada:act", MINUTE)
    clock.now_s -= 30
    assert not limiter.take_now("ada:act", MINUTE).is_allowed
    clock.now_s += 92
    assert limiter.take_now("ada:act", MINUTE).is_allowed

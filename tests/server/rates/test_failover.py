"""What happens when Redis is away: a breaker, a local count, and no signing in."""

import asyncio
import contextlib
import os
import random
import signal
import time
from uuid import uuid4

import pytest

from party.errors import Unavailable
from server.rates.base import AuthUnavailable, Rate, Verdict
from server.rates.failover import DEADLINE_S, FIRST_PAUSE_S, LAST_PAUSE_S, Failover
from server.rates.memory import MemoryLimiter
from server.rates.redis import RedisLimiter
from server.redis.client import open_redis
from tests.backends.valkey import open_valkey

RATE = Rate(3, 60)


class Shared(MemoryLimiter):
    """A limiter that others count with, and that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_up = True

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        self.asked += 1
        if not self.is_up:
            raise Unavailable
        return self.take_now(key, rate, cost)


class Setting:
    def __init__(self) -> None:
        self.now_s = 10.0
        self.shared = Shared()
        self.joins = 1
        self.limiter = Failover(self.shared, MemoryLimiter(), lambda: self.now_s, joins=lambda: self.joins)


async def test_while_it_is_away_each_process_counts_alone() -> None:
    """L7: the limit holds, and Redis is asked once for each pause of the breaker."""
    one = Setting()
    one.shared.is_up = False
    verdicts = [await one.limiter.take("ada:read", RATE) for _ in range(50)]
    assert sum(verdict.is_allowed for verdict in verdicts) == 3
    assert one.shared.asked == 1
    assert one.limiter.is_away
    assert one.limiter.is_resting
    pauses = []
    for _ in range(8):
        before = one.now_s
        while one.shared.asked == len(pauses) + 1:
            one.now_s += 0.5
            await one.limiter.take("ada:read", RATE)
        pauses.append(one.now_s - before)
    assert pauses[:4] == [FIRST_PAUSE_S, 2, 4, 8]
    assert set(pauses[4:]) == {LAST_PAUSE_S}
    one.shared.is_up = True
    one.now_s += LAST_PAUSE_S
    # nobody has asked since, so nobody knows
    assert not one.limiter.is_resting
    assert (await one.limiter.take("bob:read", RATE)).is_allowed
    assert not one.limiter.is_away
    await one.limiter.take("bob:read", RATE)
    assert one.shared.asked == 11


async def test_signing_in_is_refused_meanwhile() -> None:
    """L7: attempts that nobody counts are what guessing needs."""
    one = Setting()
    assert (await one.limiter.take_strictly("@1.2.3.4:auth", RATE)).is_allowed
    one.shared.is_up = False
    for _ in range(3):
        with pytest.raises(AuthUnavailable) as told:
            await one.limiter.take_strictly("@1.2.3.4:auth", RATE)
        assert (told.value.status, told.value.close_code) == (503, 1013)
    assert one.shared.asked == 2


async def test_a_pause_ends_when_the_bus_has_reached_redis_again() -> None:
    """L7: who signs in does not wait for the rest of it; what comes of that is one question for each time."""
    one = Setting()
    one.shared.is_up = False
    while one.limiter._pause_s < LAST_PAUSE_S:
        await one.limiter.take("ada:read", RATE)
        one.now_s += LAST_PAUSE_S
    await one.limiter.take("ada:read", RATE)
    asked = one.shared.asked
    one.joins += 1
    assert not one.limiter.is_resting
    # it listens and does not answer: that is found out once, and the pauses begin anew
    for _ in range(5):
        with pytest.raises(AuthUnavailable):
            await one.limiter.take_strictly("@1.2.3.4:auth", RATE)
    assert one.shared.asked == asked + 1
    assert one.limiter._pause_s == 2 * FIRST_PAUSE_S
    one.joins += 1
    one.shared.is_up = True
    assert (await one.limiter.take_strictly("@1.2.3.4:auth", RATE)).is_allowed
    assert not one.limiter.is_away


async def test_a_flood_of_refusals_does_not_reach_redis() -> None:
    """L5: what was refused is refused here until then, and not for longer."""
    one = Setting()
    for _ in range(4):
        verdict = await one.limiter.take("@1.2.3.4:connect", RATE)
    assert not verdict.is_allowed
    asked = one.shared.asked
    one.now_s += 20
    again = await one.limiter.take("@1.2.3.4:connect", RATE)
    assert again.retry_after_s == pytest.approx(verdict.retry_after_s - 20)
    assert again.reset_s == pytest.approx(verdict.reset_s - 20)
    assert one.shared.asked == asked
    # another rate under the same key is another question
    assert (await one.limiter.take("@1.2.3.4:connect", Rate(9, 60))).is_allowed
    one.now_s += verdict.retry_after_s
    await one.limiter.take("@1.2.3.4:connect", RATE)
    assert one.shared.asked == asked + 2


async def test_a_loop_that_was_late_is_no_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """L7: a process that stood still for a while lets people in as soon as it goes on."""
    one = Setting()
    take = one.shared.take

    async def take_late(key: str, rate: Rate, cost: int = 1) -> Verdict:
        one.now_s += 2 * DEADLINE_S
        monkeypatch.setattr(one.shared, "take", take)
        raise TimeoutError

    monkeypatch.setattr(one.shared, "take", take_late)
    assert (await one.limiter.take_strictly("@1.2.3.4:auth", RATE)).remaining == 2
    assert not one.limiter.is_away
    # and who is late each time has found out all the same
    one.shared.is_up = False
    monkeypatch.setattr(one.shared, "take", take_late)
    with pytest.raises(AuthUnavailable):
        await one.limiter.take_strictly("@1.2.3.4:auth", RATE)
    assert one.limiter.is_away


async def test_refusals_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8"""
    monkeypatch.setattr("server.rates.failover.MAX_REFUSED", 10)
    one = Setting()
    for at in range(100):
        await one.limiter.take(f"@{at}:act", Rate(0, 60))
    assert len(one.limiter._refused) == 10


async def test_a_real_redis_that_stops_dies_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """L7: one that hangs costs one deadline in all, whatever was under way; one that is back is used."""

    def give(seconds: float) -> None:
        """Long where it answers: a machine that is late must not look like a Redis that hangs."""
        monkeypatch.setattr("server.rates.failover.DEADLINE_S", seconds)

    # where redis-py loses a cancellation, it is this long until that is noticed
    monkeypatch.setattr("server.redis.client.DEADLINE_S", 2.0)
    monkeypatch.setattr("server.rates.failover.FIRST_PAUSE_S", 0.2)
    give(60)
    with open_valkey() as valkey:
        async with open_redis(valkey.url()) as redis:
            limiter = Failover(RedisLimiter(redis, f"{uuid4()}:"), MemoryLimiter())
            for _ in range(2):
                assert (await limiter.take("ada:read", RATE)).is_allowed
            os.kill(valkey.pid, signal.SIGSTOP)
            give(0.4)
            begin = time.monotonic()
            verdicts = await asyncio.gather(*(limiter.take("ada:read", RATE) for _ in range(40)))
            for _ in range(200):
                await limiter.take("ada:read", RATE)
            # one deadline each would be 96 s
            assert time.monotonic() - begin < 60
            assert sum(one.is_allowed for one in verdicts) == 3
            os.kill(valkey.pid, signal.SIGCONT)
            give(60)
            await _until_back(limiter)
            # the two of before, perhaps some of those it got to see late, and the ones that asked
            assert (await limiter.take("ada:read", RATE)).remaining <= 1
            valkey.stop()
            assert (await limiter.take("bob:read", RATE)).is_allowed
            assert limiter.is_away
            valkey.start()
            await _until_back(limiter)
            assert (await limiter.take_strictly("bob:read", RATE)).remaining == 2


async def test_a_request_that_is_cancelled_ends() -> None:
    """L7: the library now and then takes a cancellation for its own and goes on."""
    chance = random.Random(7)
    with open_valkey() as valkey:
        async with open_redis(valkey.url()) as redis:
            limiter = Failover(RedisLimiter(redis, f"{uuid4()}:"), MemoryLimiter())
            for _ in range(300):
                taking = asyncio.create_task(limiter.take("ada:read", Rate(10_000, 60)))
                await asyncio.sleep(chance.uniform(0, 0.0015))
                if taking.cancel():
                    with contextlib.suppress(asyncio.CancelledError):
                        await taking
                    assert taking.cancelled()


async def _until_back(limiter: Failover) -> None:
    async with asyncio.timeout(120):
        while limiter.is_away:
            await limiter.take("carl:read", Rate(1000, 60))
            await asyncio.sleep(0.05)

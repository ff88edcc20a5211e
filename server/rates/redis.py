"""The limiter of several processes: counts in Redis, one script for each take.

Owns: the script and the keys `{prefix}rate_limit:{who}:{action}:{window}`. Does not own: the connection, and
what happens when Redis is away (failover.py). Keeps rule L1: Redis runs a script alone, and its clock is
everybody's. A key is a hash of slice to count, at most 61 fields, and expires with its window.
Source: Redis's documentation of EVALSHA, TIME and effects replication (Redis 5 and later).
"""

import asyncio
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from party.errors import Unavailable
from server.rates.base import SLICES, Rate, Verdict
from server.redis.address import explain
from server.redis.client import heeding_cancellation

AT_ONCE: Final = 32
"""Connections the limiter uses at most; a storm of requests must not become one of connections."""

SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, width, slices, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local current = math.floor(now / width)
local fields = redis.call('HGETALL', KEYS[1])
local kept, gone, taken, last = {}, {}, 0, -1
for at = 1, #fields, 2 do
  local slice, count = tonumber(fields[at]), tonumber(fields[at + 1])
  if slice < current - slices then
    gone[#gone + 1] = fields[at]
  else
    kept[#kept + 1] = {slice, count}
    taken = taken + count
    if slice > last then last = slice end
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
local wait, allowed = 0, 0
if taken + cost <= limit then
  allowed = 1
  if cost > 0 then
    taken = taken + cost
    -- a clock that was set back must not put a slice before an older one
    if current > last then last = current end
    redis.call('HINCRBY', KEYS[1], string.format('%.0f', last), cost)
    redis.call('PEXPIRE', KEYS[1], math.ceil(width * (slices + 2) / 1000))
  end
else
  local excess = taken + cost - limit
  wait = width * slices
  table.sort(kept, function(one, other) return one[1] < other[1] end)
  for _, slice in ipairs(kept) do
    excess = excess - slice[2]
    if excess <= 0 then
      wait = (slice[1] + slices + 1) * width - now
      break
    end
  end
end
local reset = 0
if last >= 0 then reset = (last + slices + 1) * width - now end
return {allowed, math.max(0, limit - taken), math.ceil(wait), math.ceil(reset)}
"""


class RedisLimiter:
    """The Limiter port in Redis."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._script = redis.register_script(SCRIPT)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def take(self, key: str, rate: Rate, cost: int = 1) -> Verdict:
        width_us = max(1, round(rate.window_s * 1_000_000 / SLICES))
        try:
            async with self._turns:
                with heeding_cancellation():
                    allowed, remaining, wait_us, reset_us = await self._script(
                        keys=[f"{self._prefix}rate_limit:{key}:{rate.window_s:g}"],
                        args=[rate.limit, width_us, SLICES, cost],
                    )
        except (RedisError, OSError) as error:
            raise Unavailable(f"Requests can't be counted in Redis: {explain(error)}.") from error
        return Verdict(
            is_allowed=bool(allowed),
            limit=rate.limit,
            remaining=int(remaining),
            retry_after_s=max(0, int(wait_us)) / 1_000_000,
            reset_s=max(0, int(reset_us)) / 1_000_000,
        )

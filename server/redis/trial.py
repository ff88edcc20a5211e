"""One try of Redis: every kind of thing Kanvas does there, on keys of its own that are removed.

Owns: the trial and its words. Does not own: who asks (`kanvas check`).
"""

import asyncio
import time
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError
from ulid import ULID

from server.redis.address import RedisAway, explain, read_address
from server.redis.bus import open_redis_bus
from server.redis.client import open_redis

DEADLINE_S: Final = 2.0


class _Ear:
    """Waits for one message."""

    def __init__(self) -> None:
        self.has_joined = asyncio.Event()
        self.has_heard = asyncio.Event()

    def heard(self, sender: str, data: bytes) -> None:  # noqa: ARG002 - who else may be there does not matter
        self.has_heard.set()

    def rejoined(self) -> None:
        self.has_joined.set()


async def try_redis(url: str, prefix: str) -> str:
    """What was found, in words. Raises RedisAway, with what to do."""
    place = read_address(url).shown
    try:
        async with open_redis(url) as redis, asyncio.timeout(DEADLINE_S):
            took_ms = await _try_keys(redis, prefix)
    except (RedisError, OSError) as error:
        raise RedisAway(f"Redis at {place} can't be used: {explain(error)}.") from error
    if (why := await _try_messages(url, prefix)) is not None:
        raise RedisAway(f"Redis at {place} can't be used for messages: {why}.")
    return f"{place} answers in {took_ms:.1f} ms and carries messages"


async def _try_messages(url: str, prefix: str) -> str | None:
    """What is wrong with them, in words."""
    node = str(ULID()).lower()
    async with (
        open_redis_bus(url, prefix, f"{node}a") as bus,
        open_redis_bus(url, prefix, f"{node}b") as other,
    ):
        mouth, ear = _Ear(), _Ear()
        bus.listen(mouth)
        other.listen(ear)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await mouth.has_joined.wait()
                await ear.has_joined.wait()
                bus.send(b"", f"{node}b")
                await ear.has_heard.wait()
        except TimeoutError:
            return bus.trouble or other.trouble or "one did not come"
    return None


async def _try_keys(redis: Redis, prefix: str) -> float:
    """Milliseconds of one answer."""
    key = f"{prefix}check:{ULID()}".lower()
    start = time.monotonic()
    await redis.set(key, b"kanvas", ex=60, get=True)
    took_ms = (time.monotonic() - start) * 1000
    try:
        script = "redis.call('TIME') return redis.call('GET', KEYS[1])"
        if await redis.eval(script, 1, key) != b"kanvas":
            raise RedisAway("Redis gave back something else than it was given.")
    finally:
        await redis.delete(key)
    return took_ms

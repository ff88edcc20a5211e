"""What the database knows of a file, kept in front of it.

Owns: `{prefix}assets:{id}:meta`, for 300 s. Does not own: who may see it: every reader asks the database for
the room first, with the cache as without.
Rules: the row is the truth; who changes or removes it says so afterwards, and for `GONE_S` nobody puts back
what was read before; a Redis that fails is as one that holds nothing.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Final

import orjson
import structlog
from redis.asyncio import Redis

from db.assets import Asset, Rendition
from server.redis.address import RedisAway
from server.redis.directory import Patience
from server.redis.keys import META_S

log = structlog.get_logger("kanvas.redis")

GONE_S: Final = 60
GONE: Final = b"-"
DEADLINE_S: Final = 0.1
"""The database answers in less, most of the time."""


class AssetCache:
    """Rows of assets. No verb raises; `hits` and `misses` count."""

    def __init__(self, redis: Redis, prefix: str, patience: Patience) -> None:
        self._redis = redis
        self._prefix = prefix
        self._patience = patience
        self.hits = 0
        self.misses = 0

    def _key(self, asset_id: str) -> str:
        return f"{self._prefix}assets:{asset_id}:meta"

    async def find(self, asset_id: str) -> Asset | None:
        """The row as it was at most five minutes ago, or nothing."""
        try:
            async with self._patience.asking("cache_find", DEADLINE_S):
                told = await self._redis.get(self._key(asset_id))
        except RedisAway:
            told = None
        found = _read(told)
        if found is None or found.id != asset_id:
            self.misses += 1
            return None
        self.hits += 1
        return found

    async def keep(self, asset: Asset) -> None:
        """It was just read from the database; does nothing where something is kept, or was changed."""
        try:
            async with self._patience.asking("cache_keep", DEADLINE_S):
                await self._redis.set(self._key(asset.id), orjson.dumps(asdict(asset)), ex=META_S, nx=True)
        except RedisAway:
            return

    async def forget(self, *asset_ids: str) -> None:
        """These rows were changed or removed; call it after the commit."""
        try:
            for at in range(0, len(asset_ids), 25):
                async with (
                    self._patience.asking("cache_forget"),
                    self._redis.pipeline(transaction=False) as pipe,
                ):
                    for asset_id in asset_ids[at : at + 25]:
                        pipe.set(self._key(asset_id), GONE, ex=GONE_S)
                    await pipe.execute()
        except RedisAway:
            log.warning("old metadata of files may be shown for a while", assets=len(asset_ids), for_s=META_S)


def _read(told: object) -> Asset | None:
    if not isinstance(told, bytes) or told == GONE:
        return None
    try:
        fields = orjson.loads(told)
        for name in ("created_at", "unreferenced_at"):
            if fields[name] is not None:
                fields[name] = datetime.fromisoformat(fields[name])
        fields["renditions"] = tuple(Rendition(**one) for one in fields["renditions"])
        return Asset(**fields)
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
        # of a process of another version
        return None

"""A node on the bus that writes down what it hears, and a wait for what comes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.redis.bus import RedisBus, open_redis_bus

PREFIX = "kanvas-test:"


class Listener:
    """What one bus told."""

    def __init__(self) -> None:
        self.heard_from: list[tuple[str, bytes]] = []
        self.joins = 0

    def heard(self, sender: str, data: bytes) -> None:
        self.heard_from.append((sender, data))

    def rejoined(self) -> None:
        self.joins += 1

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.heard_from]


async def until(is_so: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for it."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < within_s, "it did not come"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def open_node(url: str, node: str, prefix: str = PREFIX) -> AsyncIterator[tuple[RedisBus, Listener]]:
    """A bus that is connected, and what it hears."""
    async with open_redis_bus(url, prefix, node) as bus:
        listener = Listener()
        bus.listen(listener)
        await until(lambda: bus.is_connected)
        yield bus, listener

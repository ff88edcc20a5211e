"""What a message of the bus costs over a real Redis: `python -m tests.bench.bus`.

Prints processor time of this process for each message, sent and heard in bursts, beside redis-py's own
publish and get_message, and the time one message alone takes from one node to another.
"""

import asyncio
import statistics
import time

import uvloop
from redis.asyncio import Redis

from server.redis.bus import open_redis_bus
from tests.backends.valkey import open_valkey

MESSAGES = 50_000
BURST = 50
SIZES = (100, 300, 3000)


class Count:
    """Counts what it hears, and when."""

    def __init__(self) -> None:
        self.heard_count = 0
        self.came = asyncio.Event()

    def heard(self, sender: str, data: bytes) -> None:
        self.heard_count += 1
        self.came.set()

    def rejoined(self) -> None:
        self.came.set()


async def ours(url: str, size: int) -> tuple[float, float]:
    """Microseconds to send and hear one, milliseconds on the way (p50)."""
    async with open_redis_bus(url, "bench:", "a") as a, open_redis_bus(url, "bench:", "b") as b:
        at_a, at_b = Count(), Count()
        a.listen(at_a)
        b.listen(at_b)
        await asyncio.gather(at_a.came.wait(), at_b.came.wait())
        data = b"x" * size
        start = time.process_time()
        for done in range(MESSAGES // BURST):
            for _ in range(BURST):
                a.send(data, "b")
            while at_b.heard_count < (done + 1) * BURST:
                at_b.came.clear()
                await at_b.came.wait()
        cost_us = (time.process_time() - start) / MESSAGES * 1e6
        delays = []
        for _ in range(2000):
            at_b.came.clear()
            began = time.perf_counter()
            a.send(data, "b")
            await at_b.came.wait()
            delays.append(time.perf_counter() - began)
        return cost_us, statistics.median(delays) * 1000


async def theirs(url: str, size: int) -> float:
    """The same with redis-py, a tenth of the messages."""
    count = MESSAGES // 10
    async with Redis.from_url(url) as client, client.pubsub() as heard:
        await heard.subscribe("bench")
        await heard.get_message(timeout=1)
        data = b"x" * size
        start = time.process_time()
        for _ in range(count // BURST):
            async with client.pipeline(transaction=False) as pipe:
                for _ in range(BURST):
                    pipe.publish("bench", data)
                await pipe.execute()
            for _ in range(BURST):
                await heard.get_message(ignore_subscribe_messages=True, timeout=1)
        return (time.process_time() - start) / count * 1e6


def main() -> None:
    with open_valkey() as server:
        for size in SIZES:
            cost_us, delay_ms = uvloop.run(ours(server.url(), size))
            told = f"{cost_us:5.1f} us, {delay_ms:.2f} ms on the way"
            print(f"{size:5} bytes: {told}; redis-py: {uvloop.run(theirs(server.url(), size)):5.1f} us")


if __name__ == "__main__":
    main()

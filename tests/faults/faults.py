"""What goes wrong between the processes of a cluster, by name.

Owns: each fault and its cure. Does not own: which comes when (storm).
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from tests.faults.cluster import Cluster, Node
from tests.faults.proxy import FaultProxy

Fault = Callable[[Cluster, random.Random], Awaitable[None]]
"""Does the damage, lets it last, and cures it."""


def _some(cluster: Cluster, dice: random.Random) -> list[Node]:
    """One node, or all."""
    return [dice.choice(cluster.nodes)] if dice.random() < 0.6 else cluster.nodes


async def _on(lines: list[FaultProxy], act: Callable[[FaultProxy], None], lasts_s: float) -> None:
    for line in lines:
        act(line)
    await asyncio.sleep(lasts_s)
    for line in lines:
        line.cure()


async def slow_redis(cluster: Cluster, dice: random.Random) -> None:
    delay_s = dice.uniform(0.01, 0.15)
    await _on([n.redis for n in _some(cluster, dice)], lambda one: one.delay(delay_s), dice.uniform(0.3, 1.5))


async def stalled_redis(cluster: Cluster, dice: random.Random) -> None:
    await _on([n.redis for n in _some(cluster, dice)], FaultProxy.stall, dice.uniform(0.3, 3.0))


async def cut_redis(cluster: Cluster, dice: random.Random) -> None:
    await _on([n.redis for n in _some(cluster, dice)], FaultProxy.cut, dice.uniform(0.1, 2.0))


async def killed_pubsub(cluster: Cluster, dice: random.Random) -> None:
    for _ in range(dice.randint(1, 4)):
        # another fault may have taken it away just now
        with contextlib.suppress(OSError):
            await asyncio.to_thread(cluster.valkey.command, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(dice.uniform(0.0, 0.3))


async def flushed_redis(cluster: Cluster, dice: random.Random) -> None:
    with contextlib.suppress(OSError):
        await asyncio.to_thread(cluster.valkey.command, "FLUSHALL")
    await asyncio.sleep(dice.uniform(0.1, 0.3))


async def restarted_redis(cluster: Cluster, dice: random.Random) -> None:
    await asyncio.to_thread(cluster.valkey.stop)
    await asyncio.sleep(dice.uniform(0.0, 2.0))
    await asyncio.to_thread(cluster.valkey.start)


async def slow_database(cluster: Cluster, dice: random.Random) -> None:
    delay_s = dice.uniform(0.005, 0.08)
    lasts_s = dice.uniform(0.3, 1.5)
    await _on([n.database for n in _some(cluster, dice)], lambda one: one.delay(delay_s), lasts_s)


async def stalled_database(cluster: Cluster, dice: random.Random) -> None:
    await _on([n.database for n in _some(cluster, dice)], FaultProxy.stall, dice.uniform(0.3, 3.0))


async def cut_database(cluster: Cluster, dice: random.Random) -> None:
    await _on([n.database for n in _some(cluster, dice)], FaultProxy.cut, dice.uniform(0.1, 2.0))


async def crashed_database(cluster: Cluster, dice: random.Random) -> None:
    await asyncio.to_thread(cluster.postgres.crash)
    await asyncio.sleep(dice.uniform(0.0, 1.5))
    await asyncio.to_thread(cluster.postgres.start)


async def killed_node(cluster: Cluster, dice: random.Random) -> None:
    node = dice.choice(cluster.nodes)
    await node.kill()
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await node.start()


async def restarted_node(cluster: Cluster, dice: random.Random) -> None:
    node = dice.choice(cluster.nodes)
    await node.stop()
    await node.start()


async def frozen_node(cluster: Cluster, dice: random.Random) -> None:
    node = dice.choice(cluster.nodes)
    node.freeze()
    await asyncio.sleep(dice.uniform(0.3, 5.0))
    node.thaw()


async def cut_clients(cluster: Cluster, dice: random.Random) -> None:
    await _on([n.front for n in _some(cluster, dice)], FaultProxy.cut, dice.uniform(0.05, 0.5))


async def slow_clients(cluster: Cluster, dice: random.Random) -> None:
    delay_s = dice.uniform(0.01, 0.2)
    await _on([n.front for n in _some(cluster, dice)], lambda one: one.delay(delay_s), dice.uniform(0.3, 1.0))


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        slow_redis,
        stalled_redis,
        cut_redis,
        killed_pubsub,
        flushed_redis,
        restarted_redis,
        slow_database,
        stalled_database,
        cut_database,
        crashed_database,
        killed_node,
        restarted_node,
        frozen_node,
        cut_clients,
        slow_clients,
    )
}

"""What people notice when a part is gone: Redis, the database, a process."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from server.services import POLL_S
from tests.faults.cluster import Cluster, open_cluster
from tests.faults.people import Drawer
from tests.faults.storm import PATIENCE_S, converge, keys_of, storm
from tests.live.pulse import Pulse

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1800)]

FAULTS = int(os.environ.get("TEST_FAULTS", "4"))
SEED = int(os.environ.get("TEST_SEED", "20"))
FROZEN_S = float(os.environ.get("TEST_FROZEN_S", "2"))
"""30 in the full run."""


class Scene:
    """Two nodes, one room, and somebody who draws on each."""

    def __init__(self, cluster: Cluster, token: str, room_id: str, drawers: list[Drawer]) -> None:
        self.cluster = cluster
        self.token = token
        self.room_id = room_id
        self.drawers = drawers

    async def converge(self) -> float:
        for one in self.drawers:
            one.is_drawing = False
        took_s = await converge(self.cluster, self.drawers, self.token, self.room_id)
        for one in self.drawers:
            one.is_drawing = True
        return took_s

    def shown(self) -> set[str]:
        return set[str]().union(*(one.durable for one in self.drawers))

    async def until_shown(self, drawer: Drawer, count: int) -> float:
        """Until so many more keys of this drawer were echoed; the seconds."""
        began, wanted = time.monotonic(), len(drawer.durable) + count
        async with asyncio.timeout(PATIENCE_S):
            while len(drawer.durable) < wanted:
                await asyncio.sleep(0.005)
        return time.monotonic() - began


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One for all tests here: it takes seconds to start."""
    limits = json.dumps({"checkpoint_rows": 50, "beat_s": 0.1})
    async with open_cluster(tmp_path_factory.mktemp("cluster"), 2, TEST_LIMITS=limits) as opened:
        yield opened


@asynccontextmanager
async def open_scene(cluster: Cluster, *, stay: bool) -> AsyncIterator[Scene]:
    """A room of its own. `stay`: each drawer knows its own node alone; else both, as behind a balancer."""
    await cluster.repair()
    token, room_id = await cluster.room()
    urls = [f"{node.ws_url}/{room_id}" for node in cluster.nodes]
    drawers = [
        Drawer(f"d{n}", [urls[n]] if stay else urls[n:] + urls[:n], token, random.Random(n)) for n in range(2)
    ]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for drawer in drawers:
            tasks.create_task(drawer.run(stop))
        scene = Scene(cluster, token, room_id, drawers)
        await scene.until_shown(drawers[0], 5)
        await scene.converge()
        yield scene
        stop.set()


async def test_after_each_fault_all_have_the_same_and_everything_that_was_saved(cluster: Cluster) -> None:
    """B1 J1 R5: whatever happens between the processes, for as long as it lasts."""
    await cluster.repair()
    token, room_id = await cluster.room()
    urls = [f"{node.ws_url}/{room_id}" for node in cluster.nodes]
    drawers = [Drawer(f"d{n}", urls, token, random.Random(f"{SEED}-{n}")) for n in range(4)]
    report = await storm(cluster, drawers, token, room_id, count=FAULTS, seed=SEED, say=print)
    print("\n".join(report.lines()))
    assert not report.lost
    assert report.saved > 20 * FAULTS


async def test_without_redis_everybody_goes_on_and_nodes_still_agree(cluster: Cluster) -> None:
    """B1 B6: editing goes on inside each process; others see it by the journal; then it is fast again."""
    async with open_scene(cluster, stay=True) as scene:
        first, second = scene.drawers
        valkey = scene.cluster.valkey
        await asyncio.to_thread(valkey.stop)
        echo_s = max([await scene.until_shown(first, 5), await scene.until_shown(second, 5)])
        apart_s = await scene.converge()
        async with asyncio.timeout(PATIENCE_S):
            while (health := await scene.cluster.nodes[0].health())[1].get("status") != "degraded":
                await asyncio.sleep(0.1)
        assert health[0] == 200, "a node without Redis serves on"
        await asyncio.to_thread(valkey.start)
        async with asyncio.timeout(PATIENCE_S):
            while (await scene.cluster.nodes[0].health())[1].get("status") != "ok":
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        took_s = []
        async with Pulse(*(node.server for node in scene.cluster.nodes)) as pulse:
            for _ in range(5):
                await scene.until_shown(second, 5)
                began = time.monotonic()
                await scene.converge()
                took_s.append(pulse.worked_s(began))
        print(
            f"without Redis: 5 echoes in {echo_s:.2f} s, nodes agree after {apart_s:.2f} s; "
            f"with it after {sorted(took_s)[2]:.3f} s"
        )
        assert apart_s < 10
        assert sorted(took_s)[2] < POLL_S, "with Redis back they agree at once"


async def test_without_the_database_nothing_is_said_to_be_saved(cluster: Cluster) -> None:
    """R7 J1: no false acknowledgement; writers wait or are sent away, and go on when it is back."""
    async with open_scene(cluster, stay=False) as scene:
        await asyncio.to_thread(scene.cluster.postgres.crash)
        await asyncio.sleep(1.8)
        status, _ = await scene.cluster.nodes[0].health()
        assert status == 503
        # nobody writes into it before it was looked at
        for node in scene.cluster.nodes:
            node.database.cut()
        await asyncio.to_thread(scene.cluster.postgres.start)
        shown = scene.shown()
        left = keys_of(*await scene.cluster.journalled(scene.room_id))
        assert not shown - left, "shown as saved while there was no database"
        for node in scene.cluster.nodes:
            node.database.cure()
        back_s = max(await asyncio.gather(*(scene.until_shown(one, 1) for one in scene.drawers)))
        await scene.converge()
        shown = scene.shown()
        for node in scene.cluster.nodes:
            assert not shown - keys_of((await node.state(scene.token, scene.room_id))[1])
        print(f"back {back_s:.2f} s after the database")
        assert back_s < 15


async def test_the_people_of_a_killed_process_are_served_by_the_other(cluster: Cluster) -> None:
    """B1: within 3 s, with everything that was shown to them as saved."""
    async with open_scene(cluster, stay=False) as scene:
        served_s = []
        for turn in range(2):
            node = scene.cluster.nodes[turn % 2]
            await node.kill()
            took = await asyncio.gather(*(scene.until_shown(one, 3) for one in scene.drawers))
            served_s.append(max(took))
            await node.start()
        await scene.converge()
        shown = scene.shown()
        for node in scene.cluster.nodes:
            assert not shown - keys_of((await node.state(scene.token, scene.room_id))[1])
        print(f"served elsewhere after {', '.join(f'{one:.2f}' for one in served_s)} s")
        assert max(served_s) < 10


async def test_a_process_that_slept_over_checkpoints_of_another_harms_nothing(
    cluster: Cluster,
) -> None:
    """J5 B1: SIGSTOP of one, while the other journals, checkpoints and unloads rows."""
    async with open_scene(cluster, stay=True) as scene:
        asleep, awake = scene.cluster.nodes
        asleep.freeze()
        try:
            await asyncio.sleep(FROZEN_S)
            await scene.until_shown(scene.drawers[1], 120)
        finally:
            asleep.thaw()
        took_s = await scene.converge()
        shown = scene.shown()
        for node in (awake, asleep):
            assert not shown - keys_of((await node.state(scene.token, scene.room_id))[1])
        print(f"after {FROZEN_S:g} s of sleep they agree within {took_s:.2f} s")

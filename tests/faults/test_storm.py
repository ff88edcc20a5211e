"""Two nodes through what can go wrong between them: they agree again, and nothing saved is lost."""

import os
import random
from pathlib import Path

import pytest

from tests.faults.cluster import open_cluster
from tests.faults.people import Drawer
from tests.faults.storm import storm

FAULTS = int(os.environ.get("TEST_FAULTS", "6"))
SEED = int(os.environ.get("TEST_SEED", "20"))


@pytest.mark.timeout(1800)
async def test_after_each_fault_all_have_the_same_and_everything_that_was_saved(tmp_path: Path) -> None:
    """B1 J1 R5: whatever happens between the processes, for as long as it lasts."""
    async with open_cluster(tmp_path, 2) as cluster:
        token, room_id = await cluster.room()
        urls = [f"{node.ws_url}/{room_id}" for node in cluster.nodes]
        drawers = [Drawer(f"d{n}", urls, token, random.Random(f"{SEED}-{n}")) for n in range(4)]
        report = await storm(cluster, drawers, token, room_id, count=FAULTS, seed=SEED, say=print)
    print("\n".join(report.lines()))
    assert not report.lost
    assert report.saved > 20 * FAULTS

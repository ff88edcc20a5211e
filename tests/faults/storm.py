"""Faults one after the other while people draw, and what is looked at after each cure.

Owns: the seeded order, and the judgement: all have the same document, nothing shown as saved is missing.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pycrdt import Doc, Map

from party import wire
from tests.faults.cluster import Cluster
from tests.faults.faults import FAULTS
from tests.faults.people import Drawer

PATIENCE_S = 60.0
"""After a cure; the goal is 2 s, and what it took is told."""


@dataclass
class Report:
    """What a storm came to."""

    faults: list[tuple[str, float]] = field(default_factory=list)
    """Each fault and the seconds after its cure until all had the same."""

    written: int = 0
    saved: int = 0
    lost: set[str] = field(default_factory=set)

    def lines(self) -> list[str]:
        by_name: dict[str, list[float]] = {}
        for name, took_s in self.faults:
            for part in name.split(" + "):
                by_name.setdefault(part, []).append(took_s)
        all_s = sorted(took_s for _, took_s in self.faults)
        told = [
            f"{name:18} {len(took):3} times, converged after {sorted(took)[len(took) // 2]:.2f} s (p50), "
            f"{max(took):.2f} s (most)"
            for name, took in sorted(by_name.items())
        ]
        late = sum(one > 2.0 for one in all_s)
        told.append(
            f"{len(all_s)} faults: p50 {all_s[len(all_s) // 2]:.2f} s, most {all_s[-1]:.2f} s, "
            f"{late} over 2 s; "
            f"{self.written} keys written, {self.saved} shown as saved, {len(self.lost)} of them lost"
        )
        return told


def keys_of(*updates: bytes) -> set[str]:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    found: Map[Any] = doc.get("map", type=Map)
    return set(found.keys())


async def converge(cluster: Cluster, drawers: list[Drawer], token: str, room_id: str) -> float:
    """Wait until every drawer has had its edits echoed and all have what every node has; the seconds."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            vectors = [wire.decode_state_vector(one.doc.get_state()) for one in drawers]
            if all(one.is_settled for one in drawers) and all(one == vectors[0] for one in vectors):
                took_s = time.monotonic() - began
                states = await asyncio.gather(*(node.state(token, room_id) for node in cluster.nodes))
                docs = [Doc[Any]() for _ in states]
                for doc, (_, state) in zip(docs, states, strict=True):
                    doc.apply_update(state)
                if all(wire.decode_state_vector(doc.get_state()) == vectors[0] for doc in docs):
                    contents = {str(one.map) for one in drawers}
                    contents |= {str(doc.get("map", type=Map)) for doc in docs}
                    assert len({frozenset(_pairs(one)) for one in contents}) == 1, (
                        "same vectors, other contents"
                    )
                    return took_s
            await asyncio.sleep(0.02)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(key, json.dumps(value)) for key, value in json.loads(text).items()]


async def storm(
    cluster: Cluster,
    drawers: list[Drawer],
    token: str,
    room_id: str,
    *,
    count: int,
    seed: int,
    say: Callable[[str], None],
    names: tuple[str, ...] = tuple(FAULTS),
) -> Report:
    """`count` faults; after each all must agree and have everything that was shown as saved."""
    report = Report()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for drawer in drawers:
            tasks.create_task(drawer.run(stop))
        await asyncio.sleep(0.3)
        for number in range(count):
            dice = random.Random(f"{seed}-{number}")
            # every kind once before any comes again
            turn = random.Random(f"{seed}-{number // len(names)}").sample(names, len(names))
            chosen = [turn[number % len(names)]]
            if dice.random() < 0.2:
                chosen.append(dice.choice([one for one in names if one not in chosen and "node" not in one]))
            name = " + ".join(chosen)
            try:
                await asyncio.gather(*(FAULTS[one](cluster, dice) for one in chosen))
                for drawer in drawers:
                    drawer.is_drawing = False
                shown = set[str]().union(*(one.durable for one in drawers))
                # at once: a client that came back would send again what was lost
                report.lost |= shown - keys_of(*await cluster.journalled(room_id))
                took_s = await converge(cluster, drawers, token, room_id)
            except BaseException as error:
                error.add_note(f"fault {number} of seed {seed}: {name}")
                raise
            for node in cluster.nodes:
                _, state = await node.state(token, room_id)
                report.lost |= shown - keys_of(state)
            report.faults.append((name, took_s))
            say(f"{number + 1}/{count} {name}: {took_s:.2f} s")
            for drawer in drawers:
                drawer.is_drawing = True
            await asyncio.sleep(0.1)
        for drawer in drawers:
            drawer.is_drawing = False
        await converge(cluster, drawers, token, room_id)
        stop.set()
    report.written = sum(one.written for one in drawers)
    report.saved = sum(len(one.durable) for one in drawers)
    return report

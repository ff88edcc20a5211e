"""The machine of several nodes: people at three processes, and a bus, journals and processes on bad days.

Messages between the nodes are lost, repeated, damaged, out of order, or stop for a while; journals are slow,
fail, fail after they saved; nodes die, also between commit and telling, and drain; somebody writes two
different things under one client id at two nodes. At every moment each node shows a prefix of the journal; in
the end everybody has the same, and nothing that anybody was told is saved is lost. The seed is in the name.
"""

import asyncio
import os
from random import Random
from typing import Any

import pytest
from pycrdt import Doc

from party.errors import KanvasError
from party.limits import Limits
from party.ports import Schema
from tests.party.contents import structure
from tests.party.nodes import Cluster, Node
from tests.party.peers import doc_of, everything
from tests.party.test_convergence import edit_anything, edit_drawing
from tests.party.test_convergence_machine import CheckedWire, Person
from tests.party.virtual_time import run_virtually

SEEDS = range(int(os.environ.get("TEST_NODES_SEEDS", "4")))
STEPS = int(os.environ.get("TEST_NODES_STEPS", "160"))
PEOPLE = 6


class Twin(Person):
    """Writes under a client id that somebody else writes under, too, and reads nothing of it."""

    def __init__(self, client_id: int, known: bytes) -> None:
        super().__init__(9, client_id)
        super().apply(known)

    def apply(self, update: bytes) -> None:
        pass


class NodesMachine:
    """One game."""

    def __init__(self, random: Random, schema: Schema) -> None:
        self.random = random
        self.schema: Schema = schema
        limits = Limits(max_repairs=10**6, checkpoint_rows=40, commit_deadline_s=5.0)
        self.cluster = Cluster(limits, random, poll_s=1.0)
        self.cluster.shared.create("r", schema)
        self.pages = 0
        self.people = [self._page(number) for number in range(PEOPLE)]
        self.at: dict[Person, Node] = {}
        self.saved: dict[int, int] = {}
        self.done: dict[str, int] = {}
        self.replayed: dict[int, Any] = {}
        """What the journal's first rows make, by their number."""

        self.twins: list[Twin] = []

    def _page(self, number: int) -> Person:
        self.pages += 1
        return Person(number, client_id=1000 + self.pages)

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _note(self, person: Person) -> None:
        if isinstance(person.wire, CheckedWire):
            client = person.doc.client_id
            self.saved[client] = max(self.saved.get(client, 0), person.acknowledged())

    async def play(self) -> None:
        async with self.cluster:
            for _ in range(3):
                await self.cluster.start()
            for step in range(STEPS):
                await self._step()
                if step % 5 == 0:
                    self._check_prefixes()
            await self._come_to_rest()
            await self._check()

    async def _step(self) -> None:
        random = self.random
        now = asyncio.get_running_loop().time()
        which = random.randrange(PEOPLE)
        person = self.people[which]
        node = random.choice(self.cluster.nodes)
        edit = edit_drawing if self.schema == "canvas" else edit_anything
        dice = random.random()
        if dice < 0.55:
            with person.doc.transaction():
                for _ in range(random.choice([1, 1, 4])):
                    edit(random, person)
        elif dice < 0.62:
            if person.is_online:
                person.point([which, random.random()])
        elif dice < 0.66:
            self._count("rough")
            node.bus.is_rough = not node.bus.is_rough
        elif dice < 0.69:
            self._count("cut")
            node.bus.mend() if not node.bus.is_connected else node.bus.cut()
        elif dice < 0.72:
            self._count("journal fails")
            node.journal.failing_until_s = now + random.choice([0.2, 1, 8])
        elif dice < 0.75:
            self._count("outcome unknown")
            node.journal.unknown_until_s = now + random.choice([0.2, 1, 8])
        elif dice < 0.78:
            await self._lose_node(node)
        elif dice < 0.81:
            self._note(person)
            person.disconnect()
            self.at.pop(person, None)
        elif dice < 0.83:
            await self._write_twice(person)
        elif dice < 0.85:
            self._count("stall")
            person.wake() if person.is_stalled else person.stall()
        if not person.is_online:
            self._note(person)
            await self._enter(person)
        for one in self.people:
            if random.random() < 0.6:
                one.turn()
        await asyncio.sleep(random.choice([0, 0, 0.001, 0.004, 0.02, 0.02, 0.3, 2.0]))
        for one in self.cluster.nodes:
            assert one.journal.violations == []

    async def _lose_node(self, node: Node) -> None:
        how = self.random.choice(["kill", "kill after a commit", "drain"])
        self._count(how)
        if how == "kill after a commit":
            node.journal.dies_after_append = True
            await asyncio.sleep(0.5)
        for person in [one for one, at in self.at.items() if at is node]:
            self._note(person)
            if how != "drain":
                person.lose()
            del self.at[person]
        if how == "drain":
            await self.cluster.drain(node)
        else:
            await self.cluster.kill(node)
        await self.cluster.start()

    async def _enter(self, person: Person) -> None:
        node = self.random.choice(self.cluster.nodes)
        try:
            await person.enter_hub(node.hub, node.journal)  # type: ignore[arg-type]
        except KanvasError:
            self._count("no entry")
        else:
            self.at[person] = node

    async def _write_twice(self, person: Person) -> None:
        """One page's client id at two nodes, with different content each (a copied profile, or malice)."""
        if len(self.cluster.nodes) < 2:
            return
        self._count("twice")
        first, second = self.random.sample(self.cluster.nodes, 2)
        client_id = 50_000 + self.random.randrange(3)
        known = person.doc.get_update()
        for node in (first, second):
            twin = Twin(client_id, known)
            try:
                await twin.enter_hub(node.hub, node.journal)  # type: ignore[arg-type]
            except KanvasError:
                continue
            edit = edit_drawing if self.schema == "canvas" else edit_anything
            for _ in range(3):
                edit(self.random, twin)
            twin.turn()
            await asyncio.sleep(self.random.choice([0, 0.001]))
            twin.flush() if twin.is_online else None
            self.twins.append(twin)

    def _check_prefixes(self) -> None:
        """B3: what a node shows is the journal's first rows, replayed one after the other."""
        log = self.cluster.shared.log["r"]
        for node in self.cluster.nodes:
            room = node.hub.rooms.get("r")
            if room is None:
                continue
            view = room.view
            frames = [frame for _, frame in view.frames]
            shown = everything(doc_of(view.base, *frames))
            if view.seq not in self.replayed:
                self.replayed[view.seq] = everything(self._replayed(log, view.seq))
            expected = self.replayed[view.seq]
            assert shown == expected, f"{node.bus.node} at {view.seq}: {differences(shown, expected)}"

    def _replayed(self, log: list[bytes], seq: int) -> Doc[Any]:
        assert seq <= len(log)
        doc: Doc[Any] = Doc()
        for update in log[:seq]:
            doc.apply_update(update)
        return doc

    async def _come_to_rest(self) -> None:
        for twin in self.twins:
            twin.disconnect()
        for node in self.cluster.nodes:
            node.journal.failing_until_s = node.journal.unknown_until_s = 0.0
            node.bus.is_rough = False
            if not node.bus.is_connected:
                node.bus.mend()
        for _ in range(400):
            for person in self.people:
                person.wake()
                if not person.is_online or not person.synced:
                    self._note(person)
                    await self._enter(person)
                for _ in range(3):
                    person.turn()
                    await asyncio.sleep(0.02)
            first = everything(self.people[0].doc)
            seq = len(self.cluster.shared.log["r"])
            rooms = [node.hub.rooms.get("r") for node in self.cluster.nodes]
            # what a page wrote that is gone may land later than all the others read
            if any(room is not None and room.view.seq < seq for room in rooms):
                continue
            if all(one.synced and not one.outgoing and everything(one.doc) == first for one in self.people):
                return
        raise AssertionError("the documents do not become equal")

    async def _check(self) -> None:
        self._check_prefixes()
        expected = everything(self.people[0].doc)
        log = self.cluster.shared.log["r"]
        replayed = self._replayed(log, len(log))
        assert everything(replayed) == expected
        shape = structure(replayed.get_update())
        for node in self.cluster.nodes:
            doc = doc_of((await node.hub.state("r"))[1])
            assert everything(doc) == expected
            assert structure(doc.get_update()) == shape
        assert structure(self.people[0].doc.get_update()) == shape
        vector = expected[1]
        for person in self.people:
            self._note(person)
        lost = {client: clock for client, clock in self.saved.items() if clock > vector.get(client, 0)}
        assert not lost, f"told to be saved and lost: {lost}"


def differences(one: Any, other: Any) -> list[Any]:
    parts = [*one[0].values(), *one[1:]], [*other[0].values(), *other[1:]]
    return [(a, b) for a, b in zip(*parts, strict=True) if a != b]


@pytest.mark.parametrize("schema", ["canvas", "open"])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed{seed}")
def test_every_node_shows_a_prefix_and_all_are_equal_in_the_end(
    seed: int, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1 B3 B4 B5 B6 B7 J3 R5: whatever becomes of the nodes, their journals and what they say."""
    monkeypatch.setattr("party.retry.random", Random(f"{seed} hub"))
    machine = NodesMachine(Random(f"{seed} {schema} nodes"), schema)
    run_virtually(machine.play())
    print(machine.done, len(machine.cluster.shared.log["r"]))
    assert sum(machine.saved.values()) > 0

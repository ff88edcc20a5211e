"""Convergence: five clients, one room, a journal that fails now and then; the seed is the test's name."""

import asyncio
from random import Random
from typing import Any

import pytest
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from party.document import compact
from party.hub import Hub, open_hub
from party.limits import Limits
from party.ports import Principal, Schema
from tests.party.contents import content
from tests.party.peers import Peer, TestJournal, doc_of, everything, quiet

ROUNDS = 60


def edit_drawing(random: Random, peer: Peer) -> None:
    elements = peer.elements
    names = sorted(elements.keys())
    action = random.randrange(6)
    if action < 2 or not names:
        peer.draw(f"{peer.principal.name}-{random.randrange(10**6)}", x=random.choice([1, 2.5, None, "x"]))
        return
    name = random.choice(names)
    if action < 5 and not isinstance(elements[name], Map):
        # somebody else wrote under this page's client id
        del elements[name]
    elif action == 2:
        elements[name]["geometry"] = {"x": random.random(), "y": 1, "width": 1, "height": 1, "angle": 0}
    elif action == 3:
        elements[name]["style"] = {"strokeColor": random.choice(["red", "#000", 5]), "backgroundColor": "é😀"}
    elif action == 4:
        elements[name]["deleted"] = random.choice([True, False])
    else:
        del elements[name]


def edit_anything(random: Random, peer: Peer) -> None:
    doc = peer.doc
    kind = random.randrange(5)
    if kind == 0:
        text = doc.get("text", type=Text)
        size = len(text)
        if size and random.random() < 0.3:
            text.clear()
        else:
            text.insert(random.choice([0, size]), random.choice(["a", "héllo", "日本", "x😀"]))
    elif kind == 1:
        here = doc.get("list", type=Array)
        if len(here) and random.random() < 0.4:
            del here[random.randrange(len(here))]
        else:
            here.insert(
                random.randrange(len(here) + 1), random.choice([1, "é", Map({"a": Array([1])}), None])
            )
    elif kind == 2:
        xml = doc.get("xml", type=XmlFragment)
        xml.children.append(random.choice([XmlText("t"), XmlElement("p", {"a": "1"})]))
    else:
        edit_drawing(random, peer)


async def step(random: Random, hub: Hub, journal: TestJournal, peers: list[Peer], edit: Any) -> None:
    peer = random.choice(peers)
    online = peer._send is not None and peer.wire.closed is None
    what = random.random()
    if what < 0.5:
        with peer.doc.transaction():
            for _ in range(random.choice([1, 1, 4])):
                edit(random, peer)
    elif what < 0.7 and online:
        peer.read()
        if peer._send is not None and peer.wire.closed is None:
            peer.flush()
    elif what < 0.8:
        peer.disconnect()
    elif what < 0.9 and not online:
        peer.disconnect()
        await peer.connect(hub)
    elif what < 0.95:
        journal.failing += random.randrange(3)
    else:
        journal.append_then_fail += 1
    for _ in range(random.randrange(4)):
        await asyncio.sleep(0)


async def come_to_rest(hub: Hub, peers: list[Peer]) -> None:
    """Everybody connects and answers until nothing moves any more."""
    async with asyncio.timeout(60):
        while True:
            for peer in peers:
                if peer._send is None or not peer.synced:
                    peer.disconnect()
                    await peer.connect(hub)
            await quiet(*peers)
            await asyncio.sleep(0.002)
            first = everything(peers[0].doc)
            if all(peer.synced and not peer.outgoing and everything(peer.doc) == first for peer in peers):
                return


@pytest.mark.parametrize("schema", ["canvas", "open"])
@pytest.mark.parametrize("seed", range(6))
async def test_everybody_ends_with_the_same_document(
    seed: int, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2, R5, R7, R10, D6, J6: random edits, disconnects, delays and failing commits; content, state vector
    and delete set are equal for everybody, for a cold load of the journal and for its checkpoint."""
    monkeypatch.setattr("party.retry.FIRST_S", 0.001)
    random = Random(f"{seed} {schema}")
    journal = TestJournal()
    journal.create("r", schema)
    edit = edit_drawing if schema == "canvas" else edit_anything
    # a wrong value is written again and again here; being closed for it has its own tests
    limits = Limits(max_repairs=10**6, checkpoint_rows=20, beat_s=0.005, pace_s=0.001)
    async with open_hub(journal, limits) as hub:
        peers = [Peer(Principal(f"u{number}", f"P{number}")) for number in range(5)]
        for peer in peers:
            await peer.connect(hub)
        for _ in range(ROUNDS * len(peers)):
            await step(random, hub, journal, peers, edit)
        journal.failing = journal.append_then_fail = 0
        await come_to_rest(hub, peers)
        assert [peer.wire.code for peer in peers] == [None] * 5
        async with asyncio.timeout(60):
            while not journal.stored("r").checkpoint_seq:
                await asyncio.sleep(0.005)
        stored = journal.stored("r")
        rows = [stored.checkpoint, *stored.updates] if stored.checkpoint else [*stored.updates]
        cold = doc_of(*rows)
        assert everything(cold) == everything(peers[0].doc)
        assert everything(doc_of(compact(None, rows))) == everything(cold)
        assert everything(doc_of((await hub.state("r"))[1])) == everything(cold)
        assert content(cold)["elements"]

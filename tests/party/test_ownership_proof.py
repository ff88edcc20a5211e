"""Two principals: whatever Mallory writes as Anna is refused, and Anna's edits always land.

A seeded game over a whole hub: forgeries of every kind, and behind each one an edit of Anna's that has to
reach everybody. The single rules have their tests in test_ownership.py.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from pycrdt import Doc, Map

from party import wire
from party.errors import ClientIdTaken
from party.hub import Hub, open_hub
from party.memory import MemoryJournal
from party.ports import Principal
from tests.party.peers import ANNA, BERT, Peer, doc_of, everything
from tests.party.updates import ANY, ANY_FIVE, deletions, gc, item, update
from tests.party.virtual_time import run_virtually

MALLORY = Principal("u-mallory", "Mallory")
ROUNDS = 60
FORGED = "forged"
LONG = b"\x03\x7d\x01\x7d\x02\x7d\x03"


def forged(at: int) -> bytes:
    return item(ANY, ANY_FIVE, parent="map", key=f"{FORGED}-{at}")


ATTACKS: dict[str, Callable[[int, int, int, int], bytes]] = {
    "the next clock": lambda victim, at, own, mine: update((victim, at, [forged(at)])),
    "far ahead": lambda victim, at, own, mine: update((victim, at + 1000, [forged(at)])),
    "from the known on": lambda victim, at, own, mine: update(
        (victim, at - 1, [item(ANY, LONG, parent="list")])
    ),
    "with deletes": lambda victim, at, own, mine: update(
        (victim, at, [forged(at)]), deleted=deletions((victim, [(0, at)]))
    ),
    "collected structs": lambda victim, at, own, mine: update((victim, at, [gc(1000)])),
    "beside one of his own": lambda victim, at, own, mine: update(
        (victim, at, [forged(at)]), (own, mine, [item(ANY, ANY_FIVE, parent="map", key=FORGED)])
    ),
    "building on his own": lambda victim, at, own, mine: update(
        (victim, at, [item(ANY, ANY_FIVE, left=(own, mine))]),
        (own, mine, [item(ANY, ANY_FIVE, parent="list")]),
    ),
}


class Author(Peer):
    """Somebody who writes numbered keys into the root map."""

    written = 0

    def write(self) -> str:
        key = f"{self.principal.user_id}-{self.doc.client_id}-{self.written}"
        self.written += 1
        self.doc.get("map", type=Map)[key] = self.written
        return key


def keys(doc: Doc[Any]) -> set[str]:
    return set(doc.get("map", type=Map).keys())


async def rest(*peers: Peer) -> None:
    """Let everybody read, answer and send until all is said."""
    for _ in range(6):
        for peer in peers:
            if peer.wire.closed is None:
                peer.read()
                peer.flush()
        await asyncio.sleep(0.1)


class Game:
    """Anna and Bert edit, Mallory forges."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.journal = MemoryJournal()
        self.journal.create("r", "open")
        self.anna, self.bert = Author(ANNA, 1001), Author(BERT, 1002)
        self.pages = 1
        self.mallory = Author(MALLORY, 1999)
        self.expected: set[str] = set()
        self.refused = 0

    async def edit(self) -> None:
        """Anna's and Bert's edits land, and reach each other and the journal."""
        written = {self.anna.write(), self.bert.write()}
        await rest(self.anna, self.bert)
        self.expected |= written
        assert self.anna.wire.code is None
        assert self.bert.wire.code is None
        for one in (self.anna, self.bert):
            assert keys(one.doc) == self.expected
        stored = self.journal._rooms["r"]
        checkpoint = [stored.checkpoint] if stored.checkpoint else []
        assert keys(doc_of(*checkpoint, *stored.updates)) == self.expected

    async def attack(self, hub: Hub, kind: str, way: str) -> None:
        victim = self.random.choice([self.anna, self.bert])
        own = self.random.randrange(2**20, 2**30)
        at = victim.doc.get_state()
        clock = wire.decode_state_vector(at)[victim.doc.client_id]
        forgery = ATTACKS[kind](victim.doc.client_id, clock, own, 0)
        before = everything(self.bert.doc)
        if way == "over HTTP":
            with pytest.raises(ClientIdTaken):
                await hub.submit("r", MALLORY, forgery)
        else:
            self.mallory = Author(MALLORY, own)
            await self.mallory.connect(hub)
            await rest(self.mallory)
            self.mallory.send(wire.encode_update(forgery))
            await rest(self.mallory, self.anna, self.bert)
            assert self.mallory.wire.code == ClientIdTaken.close_code == 4509
        await rest(self.anna, self.bert)
        assert everything(self.bert.doc) == before
        self.refused += 1

    async def new_page(self, hub: Hub) -> None:
        """Anna closes her page and comes back with a new one, a new name, and her cache in a step 2."""
        self.anna.disconnect()
        self.pages += 1
        # written offline, under the id of the page before
        self.expected.add(self.anna.write())
        cache = self.anna.doc.get_update()
        self.anna = Author(Principal(ANNA.user_id, f"Anna {self.pages}"), 3000 + self.pages)
        self.anna.apply(cache)
        await self.anna.connect(hub)
        await rest(self.anna, self.bert)
        assert self.anna.wire.notices == []


@pytest.mark.parametrize("seed", range(3))
def test_every_forgery_is_refused_and_every_honest_edit_lands(seed: int) -> None:
    """O1 O2 R5: live and over HTTP, at the next clock and far ahead, alone and beside own structs; behind
    each one the victims' edits are everywhere, through new pages and renewed names."""

    async def play() -> None:
        game = Game(seed)
        async with open_hub(game.journal) as hub:
            for one in (game.anna, game.bert):
                await one.connect(hub)
            await rest(game.anna, game.bert)
            await game.edit()
            for turn in range(ROUNDS):
                kind = list(ATTACKS)[turn % len(ATTACKS)]
                await game.attack(hub, kind, game.random.choice(["live", "live", "over HTTP"]))
                if turn % 12 == 11:
                    await game.new_page(hub)
                await game.edit()
            assert game.refused == ROUNDS

    run_virtually(play())


@pytest.mark.parametrize("kind", ATTACKS)
def test_of_a_forged_step_2_only_his_own_is_taken(kind: str) -> None:
    """O3: he is told and stays; the victim goes on at the clock he had."""

    async def play() -> None:
        game = Game(0)
        async with open_hub(game.journal) as hub:
            for one in (game.anna, game.bert):
                await one.connect(hub)
            await rest(game.anna, game.bert)
            await game.edit()
            victim = game.anna.doc.client_id
            clock = wire.decode_state_vector(game.anna.doc.get_state())[victim]
            await game.mallory.connect(hub)
            await rest(game.mallory)
            game.mallory.send(wire.encode_step_2(ATTACKS[kind](victim, clock, game.mallory.doc.client_id, 0)))
            await rest(game.mallory, game.anna, game.bert)
            assert game.mallory.wire.code is None
            assert len(game.mallory.wire.notices) == 1
            if kind == "beside one of his own":
                game.expected.add(FORGED)
            elif kind == "with deletes":
                # deleting is a matter of role, and he may edit
                game.expected.difference_update(
                    key for key in list(game.expected) if key.startswith(ANNA.user_id)
                )
            await game.edit()
            assert wire.decode_state_vector(game.bert.doc.get_state())[victim] == clock + 1

    run_virtually(play())


def test_an_id_is_safe_before_its_first_edit() -> None:
    """O4 O2: who is present and has not edited yet is not robbed of the id the presence shows."""

    async def play() -> None:
        game = Game(0)
        async with open_hub(game.journal) as hub:
            for one in (game.anna, game.bert):
                await one.connect(hub)
                one.say(one.doc.client_id, 1, {"cursor": [0, 0]})
            await rest(game.anna, game.bert)
            for _ in range(5):
                await game.mallory.connect(hub)
                await rest(game.mallory)
                assert game.anna.doc.client_id in game.mallory.states
                game.mallory.send(wire.encode_update(update((game.anna.doc.client_id, 0, [forged(0)]))))
                await rest(game.mallory)
                assert game.mallory.wire.code == 4509
            await game.edit()

    run_virtually(play())


@pytest.mark.parametrize("state", [None, {"user": {"name": "Anna"}, "cursor": "forged"}])
def test_forged_presence_reaches_nobody(state: Any) -> None:
    """P1 P3: neither another's state nor his end, whatever the clock; nobody is closed for it."""

    async def play() -> None:
        game = Game(0)
        async with open_hub(game.journal) as hub:
            for one in (game.anna, game.bert):
                await one.connect(hub)
                one.say(one.doc.client_id, 1, {"cursor": "mine"})
            await rest(game.anna, game.bert)
            await game.edit()
            await game.mallory.connect(hub)
            await rest(game.mallory)
            victim = game.anna.doc.client_id
            for clock in (1, 2, 3, 10, 2**31, 2**53 - 2):
                game.mallory.say(victim, clock, state)
                await rest(game.mallory, game.anna, game.bert)
                assert game.mallory.wire.code is None
                assert game.bert.states[victim].clock == 1
                assert game.bert.states[victim].state["cursor"] == "mine"
                assert game.bert.states[victim].state["user"]["id"] == ANNA.user_id
                assert victim not in game.anna.states or game.anna.states[victim].state["cursor"] == "mine"
            game.anna.say(victim, 2, {"cursor": "moved"})
            await rest(game.anna, game.bert)
            assert game.bert.states[victim].state["cursor"] == "moved"
            await game.edit()

    run_virtually(play())


def test_a_shared_browser_brings_what_two_drew_and_locks_nobody_out() -> None:
    """O3: Bert's cache holds Anna's edits, and comes first; she goes on under the id it has."""

    async def play() -> None:
        game = Game(0)
        offline = game.anna.write()
        game.bert.apply(game.anna.doc.get_update())
        game.expected |= {offline, game.bert.write()}
        async with open_hub(game.journal) as hub:
            await game.bert.connect(hub)
            await rest(game.bert)
            assert game.bert.wire.notices == []
            await game.anna.connect(hub)
            await rest(game.anna, game.bert)
            for _ in range(3):
                await game.edit()
            # and from then on it is hers
            await game.attack(hub, "the next clock", "live")
            await game.edit()
        async with open_hub(game.journal) as hub:
            for one in (game.anna, game.bert):
                await one.connect(hub)
            await rest(game.anna, game.bert)
            await game.attack(hub, "the next clock", "over HTTP")
            await game.edit()

    run_virtually(play())

"""What happens rarely between nodes: large frames, long tails, chores that are overtaken, two checkpoints."""

import asyncio
from random import Random
from typing import Any

import pytest

from party import bus, wire
from party.admission import dissect
from party.limits import Limits
from party.ports import MOST_TAIL_ROWS, Entry, StoredRoom, Tail
from party.relay import MAX_FRAMES_BYTES
from party.session import Session
from party.shared import SharedRoom
from party.writer import CHORE_BYTES
from tests.party.contents import content
from tests.party.nodes import Cluster
from tests.party.peers import ANNA, BERT, Peer, Wire, doc_of, everything
from tests.party.test_shared_rooms import LIMITS, play, settle, two
from tests.party.updates import ANY, ANY_FIVE, EMPTY_MAP, TYPE, item, text, update
from tests.party.virtual_time import run_virtually

LARGE = b"\x01\x77" + text("x" * (CHORE_BYTES + 1))


def test_large_frames_do_not_go_by_the_bus() -> None:
    """B3, B4: it says how far the journal goes, and the rows are read from there."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        one.bus.keeps = True
        anna.draw("a")
        anna.elements["a"]["text"] = {"text": "x" * 2 * MAX_FRAMES_BYTES}
        await settle(anna, bert)
        codec = bus.Codec("c")
        said = [codec.decode(data, "a") for _, data in one.bus.sent]
        heads = [message for message in said if isinstance(message, bus.Rows) and not message.is_whole]
        assert [(head.frames, head.last_seq) for head in heads] == [((), len(cluster.shared.log["r"]))]
        assert all(len(data) < MAX_FRAMES_BYTES for _, data in one.bus.sent)
        assert other.hub.relay.gaps == 1
        assert everything(anna.doc) == everything(bert.doc)
        assert content(bert.doc)["elements"].keys() == {"a"}

    play(game)


def test_a_node_that_slept_for_long_loads_the_room_anew() -> None:
    """B4: more rows than the loop may show in one go; whoever was there comes back and has them."""

    async def game(cluster: Cluster) -> None:
        _, other = await two(cluster)
        bert = await Peer(BERT).connect(other.hub)
        await settle(bert)
        row = item(ANY, ANY_FIVE, parent="meta", key="k")
        rows = [Entry(update((7, clock, [row])), ANNA.user_id) for clock in range(MOST_TAIL_ROWS + 1)]
        await cluster.shared.append("r", 1, rows)
        await settle(bert, for_s=2)
        assert bert.wire.code == 1013
        await bert.connect(other.hub)
        await settle(bert)
        assert bert.wire.closed is None
        assert wire.decode_state_vector(bert.doc.get_state()) == {7: MOST_TAIL_ROWS + 1}

    play(game, poll_s=1.0)


def test_who_left_over_there_is_asked_to_say_that_he_is_here() -> None:
    """B8, P7: his clock there went beyond the one he has here, so nobody would see him move."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        bert = await Peer(BERT).connect(one.hub)
        anna, again = await Peer(ANNA).connect(one.hub), await Peer(ANNA).connect(other.hub)
        anna.say(7, 1, {"at": 1})
        await settle(anna, bert, again)
        again.say(7, 2, {"at": 2})
        await settle(anna, bert, again)
        # both before anything is told
        anna.say(7, 9, {"at": 9})
        anna.disconnect()
        await settle(bert, again)
        told = again.states[7]
        assert told.state is None
        assert told.clock > 9
        again.say(7, told.clock + 1, {"at": 3})
        await settle(bert, again)
        assert bert.states[7].state["at"] == 3

    play(game)


def test_two_nodes_make_a_checkpoint_at_once() -> None:
    """J5: one is taken; the other node knows of it, and both go on."""

    async def game() -> None:
        async with Cluster(LIMITS, Random(3)) as cluster:
            one, other = await two(cluster)
            anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
            for name in "abcdefgh":
                anna.draw(name)
                await settle(anna, bert, for_s=2)
                await asyncio.gather(one.hub.purge("r"), other.hub.purge("r"))
                head = await cluster.shared.load("r")
                assert head.checkpoint_seq == head.seq
                rooms = [node.hub.rooms["r"] for node in (one, other)]
                assert [room.rows_since_checkpoint for room in rooms] == [0, 0]
                assert [room.bytes_since_checkpoint for room in rooms] == [0, 0]
            assert one.journal.late_checkpoints + other.journal.late_checkpoints >= 4
            assert anna.wire.code is bert.wire.code is None
            assert everything(anna.doc) == everything(bert.doc)

    run_virtually(game())


# -- chores, step by step -------------------------------------------------------------------------


class Stepped:
    """One room and somebody in it; what a hub does beside the loop is done when a test says so."""

    def __init__(self, *rows: bytes) -> None:
        self.rows = list(rows)
        stored = StoredRoom("r", "open", 1, len(rows), 0, None, tuple(rows))
        self.room = SharedRoom(stored, Limits(), now=0.0)
        self.wire = Wire()
        self.session = Session(ANNA, self.wire)
        self.room.join(self.session, 0.0)

    def send(self, *updates: bytes) -> None:
        for made in updates:
            self.room.receive(self.session, wire.encode_update(made), 0.0)

    def take(self) -> bool:
        """A batch is in flight now."""
        return self.room.take_batch(0.0) is not None

    def land(self) -> None:
        batch = self.room._in_flight
        assert batch is not None
        self.rows += [entry.update for entry in batch.entries]
        self.room.landed(len(self.rows), 0.0)

    def do_chore(self) -> None:
        assert self.room.chore is not None
        self.room.chore_done(self.room.chore.work())

    def hear(self, row: bytes) -> None:
        """Somebody at another node wrote it."""
        self.rows.append(row)
        self.room.take_rows(len(self.rows), len(self.rows), [row], {}, 0.0)

    def read(self) -> None:
        after_seq = self.room.view.seq
        updates = tuple(self.rows[after_seq:])
        anatomies = [dissect(row, is_own=True) for row in updates]
        self.room.fill(Tail(0, len(self.rows), updates), anatomies, after_seq, 0.0)

    def settle(self) -> None:
        for _ in range(10):
            if self.room.chore is not None:
                self.do_chore()
            elif self.take():
                self.land()
            elif self.room.chore is None and not self.room.has_work:
                return

    def check(self) -> dict[str, Any]:
        shown = doc_of(self.room.state(0.0)[1])
        assert everything(shown) == everything(doc_of(*self.rows))
        return content(shown)


FOREIGN = update((9, 0, [item(TYPE, EMPTY_MAP, parent="elements", key="theirs")]))
INSIDE = update((3, 0, [item(ANY, ANY_FIVE, parent=(9, 0), key="mine")]))
"""Lies in what the other node's row made: an account without that row takes it for nonsense."""

BESIDE = update((4, 0, [item(ANY, ANY_FIVE, parent=(3, 0), key="mine")]))
"""Lies in a plain value: only an account knows."""


def large(client: int, clock: int = 0) -> bytes:
    return update((client, clock, [item(ANY, LARGE, parent="elements", key=f"large {client}")]))


def test_rows_that_come_while_the_account_is_made_are_in_it() -> None:
    """B3, D10: the walk over a large document is overtaken by another node's row."""
    stepped = Stepped(large(1))
    stepped.send(update((2, 0, [item(ANY, ANY_FIVE, parent="elements", key="a")])))
    assert not stepped.take()
    stepped.hear(FOREIGN)
    assert stepped.room._writer._missed
    stepped.settle()
    layout = stepped.room._writer._layout
    assert layout is not None
    stepped.send(INSIDE)
    stepped.settle()
    # the same account: nothing had to be made again
    assert stepped.room._writer._layout is layout
    assert stepped.wire.closed is None
    assert stepped.check()["elements"]["theirs"] == {"mine": 5.0}
    stepped.send(BESIDE)
    stepped.settle()
    assert stepped.wire.code == 4400
    stepped.check()


def test_rows_that_come_while_a_large_update_is_put_into_the_account_are_in_it() -> None:
    """B3, D10."""
    stepped = Stepped(large(1))
    stepped.send(update((2, 0, [item(ANY, ANY_FIVE, parent="elements", key="a")])))
    stepped.settle()
    stepped.send(large(5))
    assert not stepped.take()
    stepped.do_chore()
    assert not stepped.take()
    assert stepped.room._writer._is_busy
    stepped.hear(FOREIGN)
    stepped.settle()
    layout = stepped.room._writer._layout
    stepped.send(INSIDE)
    stepped.settle()
    assert stepped.room._writer._layout is layout is not None
    assert stepped.wire.closed is None
    assert stepped.check()["elements"]["theirs"] == {"mine": 5.0}


def test_rows_that_contradict_the_large_update_in_hand_spoil_the_account_alone() -> None:
    """B3, B6: it is made again, and the update is looked at anew."""
    stepped = Stepped(large(1))
    stepped.send(update((2, 0, [item(ANY, ANY_FIVE, parent="elements", key="a")])))
    stepped.settle()
    stepped.send(large(5))
    stepped.take()
    stepped.do_chore()
    stepped.take()
    layout = stepped.room._writer._layout
    stepped.hear(update((5, 0, [item(TYPE, EMPTY_MAP, parent="elements", key="theirs")])))
    stepped.settle()
    assert stepped.room._writer._layout is not layout
    stepped.send(update((3, 0, [item(ANY, ANY_FIVE, parent=(5, 0), key="mine")])))
    stepped.settle()
    assert stepped.wire.closed is None
    found = stepped.check()["elements"]
    assert found["theirs"] == {"mine": 5.0}
    assert "large 5" not in found


@pytest.mark.parametrize("ends", ["before it is read", "after it is read"])
def test_a_batch_is_refused_while_a_chore_runs(ends: str) -> None:
    """B6, R13: the document is loaded anew under the chore; what that found counts for nothing."""
    stepped = Stepped(large(1))
    small = update((2, 0, [item(ANY, ANY_FIVE, parent="elements", key="a")]))
    stepped.send(small)
    stepped.settle()
    stepped.send(update((2, 1, [item(ANY, ANY_FIVE, parent="elements", key="b")])), large(5))
    assert stepped.take()
    assert stepped.room.chore is not None
    # meanwhile somebody wrote under that id elsewhere
    stepped.rows.append(update((2, 1, [item(TYPE, EMPTY_MAP, parent="elements", key="theirs")])))
    stepped.room.put_back(0.0)
    assert stepped.room.must_catch_up
    assert not stepped.take()
    if ends == "before it is read":
        stepped.do_chore()
        assert not stepped.take()
    stepped.read()
    stepped.settle()
    assert stepped.room.chore is None
    assert not stepped.room._mail
    assert stepped.wire.closed is None
    assert stepped.session.waiting_messages == stepped.session.waiting_bytes == 0
    found = stepped.check()["elements"]
    assert found.keys() == {"a", "theirs", "large 1", "large 5"}

"""party.surrogates: characters beyond U+FFFF that an update would cut in half."""

from random import Random
from typing import Any

import pytest
from pycrdt import Doc, Text

from party import wire
from party.admission import dissect
from party.errors import BadUpdate
from party.surrogates import SurrogatePairs, check_own_pairs, delete_update
from tests.party.contents import content
from tests.party.peers import ANNA, Peer, doc_of, open_room, settle, vector
from tests.party.updates import STRING, deletions, item, text, update


def write(client: int, at: int, value: str, **where: Any) -> bytes:
    return update((client, at, [item(STRING, text(value), **(where or {"parent": "text"}))]))


def room_text(room: Any) -> str:
    return str(doc_of(room.state(0.0)[1]).get("text", type=Text))


FIRST = write(1, 0, "a😀b👍c")
"""Clocks: a 0, 😀 1-2, b 3, 👍 4-5, c 6."""


def test_pairs_are_found_where_they_are() -> None:
    """D9: the clock of the high half, by client id."""
    assert dissect(FIRST).pairs == [(1, 1), (1, 4)]
    assert dissect(write(1, 5, "né日本")).pairs == []
    pairs = SurrogatePairs()
    pairs.scan(FIRST)
    pairs.scan(b"no update, and never read: there is no character of four bytes in it")
    assert pairs.split_by(dissect(write(2, 0, "x", left=(1, 1), right=(1, 2)))) == [(1, 1)]
    assert pairs.split_by(dissect(write(2, 0, "x", right=(1, 5)))) == [(1, 4)]
    assert pairs.split_by(dissect(write(2, 0, "x", left=(1, 2), right=(1, 3)))) == []
    assert pairs.split_by(dissect(update(deleted=deletions((1, [(0, 2), (5, 1)]))))) == [(1, 1), (1, 4)]
    assert pairs.split_by(dissect(update(deleted=deletions((1, [(1, 2), (4, 2)]))))) == []
    pairs.remove([(1, 1), (1, 4)])
    assert pairs.split_by(dissect(write(2, 0, "x", left=(1, 1)))) == []


def test_an_update_that_cuts_its_own_text_is_refused() -> None:
    """D9: inside itself, or where the room has only the first half of it."""
    for made in (
        update((1, 0, [item(STRING, text("😀"), parent="text"), item(STRING, text("x"), left=(1, 0))])),
        update((1, 0, [item(STRING, text("😀"), parent="text")]), deleted=deletions((1, [(1, 1)]))),
    ):
        with pytest.raises(BadUpdate):
            check_own_pairs(dissect(made), {})
    with pytest.raises(BadUpdate):
        check_own_pairs(dissect(write(1, 0, "😀b")), {1: 1})
    check_own_pairs(dissect(write(1, 0, "😀b")), {1: 2})


def test_the_deletion_takes_both_halves() -> None:
    """D9: one sound update for pairs of several clients."""
    made = dissect(delete_update([(1, 4), (7, 0), (1, 1)]))
    assert made.deletions == {7: [(0, 2)], 1: [(1, 3), (4, 6)]}


def test_a_cut_character_is_deleted_first_and_the_edit_applied() -> None:
    """D9: also when it waited behind others of its batch; everybody ends with the same text."""
    room = open_room("open")
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    anna.send(wire.encode_update(FIRST))
    settle(room)
    anna.send(wire.encode_update(write(2, 0, "1", left=(1, 0), right=(1, 1))))
    anna.send(wire.encode_update(write(3, 0, "2", left=(1, 1), right=(1, 2))))
    anna.send(wire.encode_update(write(3, 1, "3", left=(3, 0), right=(1, 2))))
    anna.send(wire.encode_update(update(deleted=deletions((1, [(4, 1)])))))
    settle(room)
    anna.read()
    assert room_text(room) == content(anna.doc)["text"] == "a123bc"
    assert vector(anna.doc) == room.view.vector == {1: 7, 2: 1, 3: 2}
    assert anna.wire.closed is None


def test_a_cut_character_in_a_batch_with_poison() -> None:
    """D9, R2, R6: taken apart, the batch still goes in arrival order and each update once."""
    room = open_room("open")
    anna, bert = Peer(ANNA), Peer(ANNA)
    session = anna.enter(room)
    bert.enter(room)
    anna.read()
    bert.read()
    anna.send(wire.encode_update(FIRST))
    settle(room)
    anna.send(wire.encode_update(write(2, 0, "1", left=(1, 1), right=(1, 2))))
    anna.send(wire.encode_update(write(2, 1, "2", left=(1, 4), right=(1, 5))))
    anna.send(wire.encode_update(write(2, 2, "3", left=(2, 1), right=(1, 5))))
    bert.send(wire.encode_update(update((9, 0, [item(STRING, text("x"), left=(8, 0))]),
                                        (8, 0, [item(STRING, text("y"), left=(9, 0))]))))  # fmt: skip
    settle(room)
    assert bert.wire.code == 4422
    assert room_text(room) == "a1b23c"
    assert (session.waiting_messages, session.waiting_bytes) == (0, 0)
    anna.read()
    assert content(anna.doc)["text"] == "a1b23c"


@pytest.mark.parametrize("seed", range(10))
def test_random_cuts_leave_a_room_that_loads(seed: int) -> None:
    """D9, D4: inserts and deletes anywhere, by clock; the room is where it says it is, also from its rows."""
    random = Random(seed)
    room = open_room("open")
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    clocks = {1: 0, 2: 0}
    for _ in range(40):
        client = random.choice([1, 2])
        other = random.choice([1, 2])
        if clocks[other] and random.random() < 0.4:
            at = random.randrange(clocks[other])
            made = update(deleted=deletions((other, [(at, 1)])))
        else:
            value = random.choice(["a", "😀", "b👍🏽", "日"])
            where: dict[str, Any] = {}
            if clocks[other] and random.random() < 0.8:
                where = {"left": (other, random.randrange(clocks[other]))}
            made = write(client, clocks[client], value, **where)
            clocks[client] += len(value.encode("utf-16-le")) // 2
        anna.send(wire.encode_update(made))
        if random.random() < 0.5:
            settle(room)
    settle(room)
    anna.read()
    assert anna.wire.closed is None
    assert room.view.vector == {client: clock for client, clock in clocks.items() if clock}
    state = room.state(0.0)[1]
    reloaded: Doc[Any] = doc_of(state)
    assert vector(reloaded) == room.view.vector
    assert content(reloaded) == content(anna.doc)
    assert not dissect(state).missing({})

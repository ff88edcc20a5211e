"""party.crowding: updates that are small on the wire and take the library seconds to put in order (D12)."""

from typing import Any

import pytest
from pycrdt import Array, Doc, Text

from party import wire
from party.admission import MAX_STEPS, dissect
from party.crowding import steps
from party.errors import BadUpdate
from tests.party.peers import ANNA, Peer, doc_of, open_room, settle
from tests.party.updates import ANY, ANY_FIVE, EMPTY_MAP, STRING, TYPE, item, text, update

BIG = 2**21
X = text("x")


def behind_one(count: int) -> bytes:
    """One client, one left origin, ascending right ones: 6,000 in 64 KB took 8.8 s."""
    return update((BIG, 0, [item(STRING, X, left=(5, 0), right=(5, at + 1)) for at in range(count)]))


def values_of_one_key(count: int) -> bytes:
    """One value of one key per client, in an order that is forced: 16,000 in 336 KB took 34.7 s."""
    sections = []
    before = 5, 1
    for client in range(BIG, BIG + count):
        structs = [item(ANY, ANY_FIVE, left=before), item(ANY, ANY_FIVE, left=(5, 0))]
        sections.append((client, 0, structs))
        before = client, 1
    return update(*reversed(sections))


def behind_a_row(count: int) -> bytes:
    """No two of one client share an origin: each walks past the rest of a row of values."""
    row = [item(TYPE, EMPTY_MAP, parent="meta", key="k")]
    row += [item(TYPE, EMPTY_MAP, left=(1, at)) for at in range(count - 1)]
    return update((2, 0, [item(ANY, ANY_FIVE, left=(1, at)) for at in range(count)]), (1, 0, row))


def behind_each_letter(count: int) -> bytes:
    """The same with one string, in which each struct is put behind another letter."""
    string = item(STRING, text("a" * count), parent="t")
    return update((2, 0, [item(STRING, X, left=(1, at)) for at in range(count - 1)]), (1, 0, [string]))


def at_the_beginning(count: int) -> bytes:
    return update((BIG, 0, [item(STRING, X, right=(5, at)) for at in range(count)]))


def few_past_a_row(count: int) -> bytes:
    """Few at one place, but behind one of them lies a row as long as it likes."""
    row = [item(ANY, ANY_FIVE, parent="l"), *(item(ANY, ANY_FIVE, left=(1, at)) for at in range(900))]
    few = [(client, 0, [item(ANY, ANY_FIVE, parent="l")]) for client in range(BIG, BIG + count)]
    return update(*few, (1, 0, row))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (behind_one, 3_000),
        (values_of_one_key, 3_000),
        (behind_a_row, 2_900),
        (behind_each_letter, 2_900),
        (at_the_beginning, 3_000),
        (few_past_a_row, 3_000),
    ],
)
@pytest.mark.parametrize("with_places", [False, True])
def test_what_says_it_was_written_at_one_place_at_the_same_time_is_limited(
    make: Any, count: int, *, with_places: bool
) -> None:
    """D12: refused before the library sees it; a fifth of it passes, and the room's own bytes always do."""
    with pytest.raises(BadUpdate, match="one place"):
        dissect(make(count), with_places=with_places)
    assert 0 < dissect(make(count // 5), with_places=with_places).steps <= MAX_STEPS
    dissect(make(count), is_own=True)


def test_a_room_refuses_it_and_goes_on() -> None:
    """D12: its sender alone is closed."""
    room = open_room("open", updates=[update((5, 0, [item(STRING, text("a" * 9_000), parent="t")]))])
    evil, anna = Peer(ANNA), Peer(ANNA)
    evil.enter(room)
    anna.enter(room)
    evil.send(wire.encode_update(behind_one(6_000)))
    settle(room)
    assert (evil.wire.code, anna.wire.code) == (4400, None)


def test_updates_that_take_long_together_are_not_one_transaction() -> None:
    """D12, R2: each of them is small enough, and all arrive, in more batches."""
    room = open_room("open", updates=[update((5, 0, [item(STRING, text("a" * 9_000), parent="t")]))])
    peer = Peer(ANNA)
    peer.enter(room)
    for nth in range(4):
        structs = [
            item(STRING, X, left=(5, 2_000 * nth), right=(5, 2_000 * nth + at)) for at in range(1, 1_500)
        ]
        peer.send(wire.encode_update(update((BIG, 1_499 * nth, structs))))
    assert settle(room) == 4
    assert peer.wire.code is None
    assert wire.decode_state_vector(doc_of(room.state(0.0)[1]).get_state())[BIG] == 4 * 1_499


def merged(docs: list[Doc[Any]]) -> bytes:
    whole: Doc[Any] = Doc()
    for doc in docs:
        whole.apply_update(doc.get_update())
    return whole.get_update()


def test_what_is_written_one_after_the_other_takes_no_steps() -> None:
    """D12: backwards, at random places, by two in turn."""
    one: Doc[Any] = Doc(client_id=1)
    two: Doc[Any] = Doc(client_id=2)
    for nth in range(600):
        doc, other = (one, two) if nth % 2 else (two, one)
        values, letters = doc.get("l", type=Array), doc.get("t", type=Text)
        values.insert(0, {"nth": nth})
        values.insert(nth * 7 % (len(values) + 1), nth)
        letters.insert(nth * 31 % (len(letters) + 1), "ab")
        other.apply_update(doc.get_update(other.get_state()))
    anatomy = dissect(merged([one]))
    assert anatomy.structs > 2_000
    assert anatomy.steps == 0


def test_what_many_wrote_at_one_place_without_each_other_passes() -> None:
    """D12: 200 clients with one value each, and two that wrote 1,000 each backwards."""
    base: Doc[Any] = Doc(client_id=9)
    base.get("t", type=Text).insert(0, "ab")
    docs = []
    for client in range(100, 300):
        doc: Doc[Any] = Doc(client_id=client)
        doc.apply_update(base.get_update())
        doc.get("t", type=Text).insert(1, "x")
        docs.append(doc)
    assert 0 < steps(dissect(merged(docs)).places) < MAX_STEPS / 50
    pair = docs[:2]
    for doc in pair:
        for _ in range(1_000):
            doc.get("t", type=Text).insert(1, "y")
    assert 0 < dissect(merged(pair)).steps < MAX_STEPS

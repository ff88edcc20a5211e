"""party.admission and party.writer: what is small on the wire and much work for the CRDT library (D11)."""

import time
from typing import Any

import pytest
from pycrdt import Doc, Text

from party import wire
from party.admission import MAX_JOINED_BYTES, dissect
from party.batch import Author
from party.errors import BadUpdate
from party.layout import Layout
from tests.party.peers import ANNA, Peer, doc_of, open_room, settle
from tests.party.updates import ANY, ANY_FIVE, STRING, deletions, item, text, update

LETTER = text("a")


def grown(client: int, at: int, pieces: int, kind: int = ANY, content: bytes = ANY_FIVE) -> bytes:
    """A list or text that grew by one piece at a time, not joined; it goes on at clock `at`."""
    structs = [item(kind, content, left=(client, at + nth - 1)) for nth in range(0 if at else 1, pieces)]
    first = [] if at else [item(kind, content, parent="list" if kind == ANY else "text")]
    return update((client, at, first + structs))


@pytest.mark.parametrize(("kind", "content", "most"), [(ANY, ANY_FIVE, 1_000), (STRING, LETTER, 5_000)])
def test_pieces_in_a_row_are_limited_by_what_joining_them_copies(
    kind: int, content: bytes, most: int
) -> None:
    """D11: what clients write passes; a thousand times the bytes in memory do not."""
    dissect(grown(1, 0, most, kind, content))
    with pytest.raises(BadUpdate, match="in a row"):
        dissect(grown(1, 0, 2 * most, kind, content))


def test_pieces_that_are_not_in_a_row_do_not_count() -> None:
    """D11: values under keys, and what is joined already, as every document is that was encoded."""
    keyed = [item(ANY, ANY_FIVE, parent="m", key=f"k{n}") for n in range(9_000)]
    assert dissect(update((1, 0, keyed))).joins == 0
    room = open_room("open", updates=[grown(1, 0, 900)])
    assert dissect(room.state(0.0)[1]).joins == 0
    backwards = [item(ANY, ANY_FIVE, right=(1, at)) for at in range(9_000)]
    assert dissect(update((1, 0, [item(ANY, ANY_FIVE, parent="list"), *backwards]))).joins == 0


@pytest.mark.parametrize("is_step_2", [True, False])
def test_a_long_text_typed_into_at_many_places_is_taken_whole(*, is_step_2: bool) -> None:
    """D11: the words in between keep the 400 pieces from being joined; they counted as 20 MB."""
    doc: Doc[Any] = Doc(client_id=1)
    words = doc.get("t", type=Text)
    words.insert(0, "a" * 100_000)
    other: Doc[Any] = Doc(client_id=2)
    for nth in range(400):
        if nth == 200:
            other.apply_update(doc.get_update())
            words = other.get("t", type=Text)
        words.insert(nth * 255 + 7, "word")
    state = other.get_update()
    room = open_room("open")
    if is_step_2:
        peer = Peer(ANNA)
        peer.enter(room)
        peer.send(wire.encode_step_2(state))
        settle(room)
        assert peer.wire.code is None
    else:
        answers: list[object] = []
        room.submit(state, Author(ANNA), answers.append)
        settle(room)
        assert answers == [room.view.version]
    assert str(doc_of(room.state(0.0)[1]).get("t", type=Text)) == str(words)


def test_what_lies_between_counts_for_its_own_place_alone() -> None:
    """D11: a thousand pieces of which one is kept apart are too many still."""
    row = [item(STRING, LETTER, parent="t"), *(item(STRING, LETTER, left=(1, at)) for at in range(9_000))]
    apart = [item(STRING, LETTER, left=(1, 3), right=(1, 4))]
    with pytest.raises(BadUpdate, match="in a row"):
        dissect(update((2, 0, apart), (1, 0, row)))
    behind = [item(STRING, LETTER, left=(1, at)) for at in range(9_000)]
    with pytest.raises(BadUpdate, match="in a row"):
        dissect(update((2, 0, behind), (1, 0, row)))


def test_updates_that_go_on_from_each_other_are_not_one_transaction() -> None:
    """D11, R2: each of them is small enough; together they would not be. All arrive, in more batches."""
    room = open_room("open")
    peer = Peer(ANNA)
    peer.enter(room)
    for nth in range(10):
        peer.send(wire.encode_update(grown(1, 500 * nth, 500)))
    answers: list[object] = []
    room.submit(grown(1, 5_000, 1), Author(ANNA), answers.append)
    began = time.process_time()
    batches = settle(room)
    assert peer.wire.code is None
    assert batches > 3
    # 0.1 s; as one transaction 2 s
    assert time.process_time() - began < 10
    assert answers == [room.view.version]
    assert doc_of(room.state(0.0)[1]).get_state() == wire.encode_state_vector({1: 5_001})
    assert MAX_JOINED_BYTES < 10 * 500**2 // 2 * 32


def test_values_that_are_deleted_under_one_key_are_looked_up_and_not_searched() -> None:
    """D10, D11: 30,000 structs and as many deleted ranges, in any order, are no quadratic work."""
    count = 30_000
    pairs = [item(ANY, b"\x02\x7f\x7f", parent="t", key="k")] * count
    ranges = [(2 * nth, 2) for nth in range(count)]
    anatomy = dissect(
        update((1, 0, pairs), deleted=deletions((1, ranges[::2]), (1, ranges[1::2]))), is_own=True
    )
    began = time.process_time()
    Layout(256).add(anatomy, {})
    # 0.2 s; one by one it took 22 s
    assert time.process_time() - began < 10
    lacking = dissect(update((1, 0, pairs), deleted=deletions((1, ranges[:-1]))), is_own=True)
    with pytest.raises(BadUpdate, match="several values"):
        Layout(256).add(lacking, {})

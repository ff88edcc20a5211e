"""party.admission and party.writer: how many structs and client ids one update may have (D13)."""

from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.batch import Author
from party.document import Document
from party.errors import KanvasError, TooLarge
from party.limits import Limits
from tests.party.peers import ANNA, BERT, Peer, open_room, settle
from tests.party.updates import ANY, ANY_FIVE, deletions, gc, item, ring, update

LIMITS = Limits()


def structs(count: int) -> bytes:
    return update((1, 0, [gc(1)] * count))


def ranges(count: int) -> bytes:
    return update(deleted=deletions((1, [(2 * at, 1) for at in range(count)])))


def clients(count: int, first: int = 2**21) -> bytes:
    """One value of each: 100,000 of them in 0.8 MB were bound for ever."""
    sections = [
        (one, 0, [item(ANY, ANY_FIVE, parent="meta", key="k")]) for one in range(first, first + count)
    ]
    return update(*reversed(sections))


@pytest.mark.parametrize("make", [structs, ranges])
def test_structs_and_deleted_ranges_are_limited(make: Any) -> None:
    """D13: told by the count, before they are walked."""
    dissect(make(1_000), max_structs=1_000)
    dissect(make(1_001))
    for with_places in (False, True):
        with pytest.raises(TooLarge, match="1,000 structs"):
            dissect(make(1_001), with_places=with_places, max_structs=1_000)


def test_what_is_gone_side_by_side_is_one_place() -> None:
    """D13: in one client's clocks and without a gap."""
    found = dissect(update((2, 0, [gc(1), gc(2)]), (1, 3, [gc(1)] * 400)))
    assert [(one.client, one.clock, one.length) for one in found.places] == [(2, 0, 3), (1, 3, 400)]


def test_a_live_update_of_too_many_structs_is_refused_and_a_step_2_is_not() -> None:
    """D13: 4413, after the walk beside the loop; the others go on."""
    room = open_room("canvas")
    evil, bert = Peer(ANNA), Peer(BERT)
    evil.enter(room)
    bert.enter(room)
    many = structs(LIMITS.max_update_structs + 1)
    evil.send(wire.encode_update(many))
    bert.send(wire.encode_step_2(many))
    settle(room)
    assert (evil.wire.code, bert.wire.code) == (4413, None)


@pytest.mark.parametrize(("most", "way"), [(1_000, "update"), (20_000, "step 2"), (20_000, "http")])
def test_new_client_ids_are_limited(most: int, way: str) -> None:
    """D13, O1: what a page and what a document may bring; nothing of a refused one is bound."""
    for count, is_taken in ((most, True), (most + 1, False)):
        room = open_room("canvas")
        answers: list[str | KanvasError] = []
        peer = Peer(ANNA)
        peer.enter(room)
        made = update(*[(one, 0, [gc(1)]) for one in range(2**21, 2**21 + count)])
        if way == "http":
            room.submit(made, Author(ANNA), answers.append)
        else:
            peer.send(wire.encode_update(made) if way == "update" else wire.encode_step_2(made))
        settle(room)
        assert isinstance(answers[0], TooLarge) is not is_taken if answers else True
        if way != "http":
            assert peer.wire.code == (None if is_taken else 4413)
        assert len(room._writer.reach) == is_taken * count


def test_a_tiny_update_of_two_ids_does_not_read_the_whole_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: and a ring is found still; in a room of 100,000 ids it took 72 ms each time."""
    room = open_room("canvas")
    peer, evil = Peer(ANNA), Peer(BERT)
    peer.enter(room)
    evil.enter(room)
    peer.send(wire.encode_update(clients(300)))
    settle(room)
    vector = Document.vector
    read = 0

    def counted(document: Document) -> dict[int, int]:
        nonlocal read
        read += 1
        return vector(document)

    monkeypatch.setattr(Document, "vector", counted)
    structs = [item(ANY, ANY_FIVE, parent="meta", key="k")]
    peer.send(wire.encode_update(update((90001, 0, structs), (90000, 0, structs))))
    settle(room)
    assert (read, peer.wire.code) == (0, None)
    evil.send(wire.encode_update(ring(7, 8)))
    settle(room)
    assert evil.wire.code == 4422

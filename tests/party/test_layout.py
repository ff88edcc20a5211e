"""party.layout: what no Yjs client writes and pycrdt does not survive."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.errors import BadUpdate
from party.layout import Layout
from party.ports import Schema
from party.room import Room
from tests.party.contents import content
from tests.party.peers import ANNA, Peer, doc_of, open_room, settle
from tests.party.test_admission import Author
from tests.party.updates import (
    ANY,
    ANY_FIVE,
    EMBED,
    EMPTY_MAP,
    STRING,
    TYPE,
    deletions,
    gc,
    item,
    nested_maps,
    text,
    update,
)

TWO = b"\x02\x7d\x01\x7d\x02"
"""Content of two plain values."""


def layout(*updates: bytes, most: int = 256) -> tuple[Layout, dict[int, int]]:
    account = Layout(most)
    known: dict[int, int] = {}
    for made in updates:
        anatomy = dissect(made)
        assert not anatomy.missing(known)
        account.add(anatomy, known)
        known |= anatomy.advances(known)
    return account, known


def child(client: int, at: int, **where: Any) -> bytes:
    return update((client, at, [item(TYPE, EMPTY_MAP, **where)]))


def value(client: int, at: int, content_of_it: bytes = ANY_FIVE, **where: Any) -> bytes:
    return update((client, at, [item(ANY, content_of_it, **where)]))


# -- depth --------------------------------------------------------------------------------------


def test_one_update_may_go_to_the_limit_and_not_beyond() -> None:
    """D2: the depth of shared types within one update."""
    layout(nested_maps(1, 256))
    with pytest.raises(BadUpdate, match="256 deep"):
        layout(nested_maps(1, 257))


WAYS: list[Callable[[int], list[bytes]]] = [
    lambda at: [child(1, at, parent=(1, at - 1), key="a")],
    # behind a plain value: its parent is the value's
    lambda at: [value(1, at, parent=(1, at - 1), key="k"), child(1, at + 1, left=(1, at))],
    # before a value
    lambda at: [value(1, at, parent=(1, at - 1)), child(1, at + 1, right=(1, at))],
]


@pytest.mark.parametrize("way", WAYS)
def test_depth_is_counted_across_updates(way: Callable[[int], list[bytes]]) -> None:
    """D2: one level per update, however it says where it lies."""
    updates = [child(1, 0, parent="t", key="a")]
    account, known = layout(*updates)
    refused = False
    while not refused and len(updates) < 1000:
        for made in way(len(updates)):
            anatomy = dissect(made)
            try:
                account.add(anatomy, known)
            except BadUpdate:
                refused = True
                break
            known |= anatomy.advances(known)
            updates.append(made)
    types = [place for made in updates for place in dissect(made).places if place.kind == 2]
    assert len(types) == 256


def test_siblings_are_not_deeper() -> None:
    """D2: ten thousand maps beside each other lie in the same depth."""
    structs = [item(TYPE, EMPTY_MAP, parent="list")]
    structs += [item(TYPE, EMPTY_MAP, left=(1, at)) for at in range(9_999)]
    layout(update((1, 0, structs)), most=1)


def test_what_an_update_refers_to_may_come_later_in_it() -> None:
    """D2: sections are in the order of client ids, not of time; long chains need no recursion."""
    structs = [item(TYPE, EMPTY_MAP, left=(2, 0))]
    structs += [item(EMBED, text("{}"), left=(1, at)) for at in range(20_000)]
    inner, outer = item(TYPE, EMPTY_MAP, parent=(3, 0)), item(TYPE, EMPTY_MAP, parent="t")
    forward = update((1, 0, structs), (2, 0, [inner]), (3, 0, [outer]))
    layout(forward, most=2)
    with pytest.raises(BadUpdate):
        layout(forward, most=1)


def test_a_ring_ends() -> None:
    """D2, D4: structs that wait for each other are not followed for ever."""
    for where in ("left", "parent"):
        layout(
            update(
                (1, 0, [item(TYPE, EMPTY_MAP, **{where: (2, 0)})]),  # type: ignore[arg-type]
                (2, 0, [item(TYPE, EMPTY_MAP, **{where: (1, 0)})]),  # type: ignore[arg-type]
            )
        )


# -- homes --------------------------------------------------------------------------------------

BASE = update(
    (1, 0, [
        item(TYPE, EMPTY_MAP, parent="r", key="map"),
        item(ANY, ANY_FIVE, parent=(1, 0), key="a"),
        item(ANY, ANY_FIVE, parent=(1, 0), key="b"),
        item(TYPE, b"\x00", parent="r", key="list"),
        item(ANY, TWO, parent=(1, 3)),
        item(ANY, TWO, parent="list"),
        gc(2),
        item(1, b"\x02", parent="list"),
    ]),
)  # fmt: skip
"""Clocks: map 0, its a 1 and b 2, list 3, its items 4-5, items of the root list 6-7, gone 8-9, 10-11."""


@pytest.mark.parametrize(
    "made",
    [
        value(2, 0, left=(1, 1), right=(1, 2)),
        value(2, 0, left=(1, 4), right=(1, 6)),
        value(2, 0, left=(1, 7), right=(1, 1)),
        value(2, 0, left=(1, 1), right=(1, 4)),
        value(2, 0, parent=(1, 1)),
        value(2, 0, parent=(1, 5), key="k"),
        value(2, 0, TWO, parent=(1, 0), key="k"),
        value(2, 0, TWO, left=(1, 2)),
        value(2, 0, TWO, right=(1, 2)),
        update((2, 0, [item(ANY, ANY_FIVE, parent="x"), item(ANY, ANY_FIVE, parent=(2, 0))])),
        update((2, 0, [item(ANY, ANY_FIVE, parent="x"), item(ANY, ANY_FIVE, left=(2, 0), right=(1, 4))])),
        # what is collected was collected with its parent, and its neighbours with it
        value(2, 0, left=(1, 8), right=(1, 1)),
        value(2, 0, left=(1, 4), right=(1, 9)),
        # half known: the rest goes behind what is known, so it may not say that it lies elsewhere
        update((1, 11, [item(1, b"\x02", parent="r", key="k")])),
        update((1, 11, [item(ANY, TWO, left=(1, 4))])),
        value(2, 0, TWO, parent=(1, 0), key="k")[:-1] + deletions((2, [(1, 1)])),
        # before a value under a key: whether it is deleted depended on what came first
        value(2, 0, right=(1, 2)),
        update((2, 0, [item(1, b"\x01", right=(1, 2))])),
        update((2, 0, [item(ANY, ANY_FIVE, parent=(1, 0), key="k"), item(ANY, ANY_FIVE, right=(2, 0))])),
    ],
)  # fmt: skip
def test_what_contradicts_the_room_is_refused(made: bytes) -> None:
    """D10: parents that hold no children, neighbours of two parents or keys, two values under one key."""
    account, known = layout(BASE)
    anatomy = dissect(made)
    assert not anatomy.missing(known)
    with pytest.raises(BadUpdate):
        account.add(anatomy, known)
    account.add(dissect(value(2, 0, left=(1, 1))), known)


@pytest.mark.parametrize(
    "made",
    [
        value(2, 0, left=(1, 1)),
        value(2, 0, TWO, left=(1, 4), right=(1, 5)),
        value(2, 0, left=(1, 6), right=(1, 11)),
        value(2, 0, parent=(1, 0), key="new"),
        value(2, 0, parent=(1, 3)),
        # of what is gone nothing is known, and nothing comes of it
        value(2, 0, parent=(1, 8)),
        value(2, 0, parent=(1, 10), key="k"),
        value(2, 0, left=(1, 8), right=(1, 9)),
        # deleted values of one key are joined by clients that keep what is deleted
        value(2, 0, TWO, parent=(1, 0), key="k")[:-1] + deletions((2, [(0, 2)])),
        update((1, 4, [item(ANY, TWO, parent=(1, 3))])),
        update((1, 11, [item(1, b"\x02", left=(1, 10))])),
        update((1, 8, [gc(5)])),
        BASE,
    ],
)
def test_what_fits_is_taken(made: bytes) -> None:
    """D10: also beside what is deleted, and what is partly known."""
    account, known = layout(BASE)
    account.add(dissect(made), known)


@pytest.mark.parametrize("seed", range(30))
def test_honest_clients_are_never_refused(seed: int) -> None:
    """D2, D10: random edits of every kind, in any order that is complete, with deletes and merges; also after
    the account was made anew from the document, and with updates that bring more than is missing."""
    random = Random(seed)
    authors = [Author(random, client) for client in (1, 2, 3)]
    for _ in range(60):
        author = random.choice(authors)
        author.edit()
        if random.random() < 0.4:
            author.apply(random.choice(authors).doc.get_update())
    updates = [made for author in authors for made in author.updates]
    updates += [author.doc.get_update() for author in authors]
    random.shuffle(updates)
    account, known = layout()
    room = doc_of()
    for _ in range(2):
        for made in updates:
            anatomy = dissect(made)
            if anatomy.missing(known):
                continue
            account.add(anatomy, known)
            room.apply_update(made)
            known |= anatomy.advances(known)
            if random.random() < 0.1:
                account, again = layout(room.get_update())
                assert again == known
    assert known == wire.decode_state_vector(room.get_state())


# -- in a room ----------------------------------------------------------------------------------


def send(room: Room, *updates: bytes) -> Peer:
    peer = Peer(ANNA)
    peer.enter(room)
    for made in updates:
        peer.send(wire.encode_update(made))
        settle(room)
    return peer


@pytest.mark.parametrize("schema", ["canvas", "open"])
def test_a_room_refuses_what_is_too_deep_and_goes_on(schema: Schema) -> None:
    """D2, R1: within one update and over many, also after the account was lost; its sender is closed."""
    room = open_room(schema)
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    anna.draw("a")
    anna.flush()
    assert send(room, nested_maps(7, 50_000)).wire.code == 4400
    assert not anna.wire.closed
    if schema == "canvas":
        return
    updates = [child(8, 0, parent="m", key="x")]
    updates += [child(8, at, parent=(8, at - 1), key="x") for at in range(1, 300)]
    for at, made in enumerate(updates):
        if at == 100:
            room._writer._layout = None
        if send(room, made).wire.code is not None:
            break
    assert at == 256


@pytest.mark.parametrize("schema", ["canvas", "open"])
def test_an_item_cannot_outlive_its_parent(schema: Schema) -> None:
    """D10: two values under one key, then half of it deleted, then the parent: pycrdt read freed memory."""
    room = open_room(schema)
    kind = b"\x01\x76\x02" + text("type") + b"\x77" + text("line") + text("seed") + b"\x7d\x05"
    element = [item(TYPE, EMPTY_MAP, parent="elements", key="a"), item(ANY, kind, parent=(1, 0), key="kind")]
    assert send(room, update((1, 0, element))).wire.code is None
    assert send(room, value(2, 0, TWO, parent=(1, 0), key="mine")).wire.code == 4400
    assert send(room, update((3, 0, [item(ANY, TWO, left=(1, 1))]))).wire.code == 4400
    assert send(room, value(2, 0, parent=(1, 0), key="mine")).wire.code is None
    assert set(content(doc_of(room.state(0.0)[1]))["elements"]["a"]) == {"kind", "mine"}


def test_a_canvas_room_has_no_lists() -> None:
    """C6: a key or a left neighbour that has one is where things lie."""
    room = open_room()
    for made in (
        value(2, 0, parent="elements"),
        child(2, 0, parent="list"),
        update((2, 0, [item(STRING, text("x"), parent="elements", key="a")])),
    ):
        assert send(room, made).wire.code == 4400
    assert send(room, value(2, 0, parent="meta", key="background")).wire.code is None
    assert send(room, value(3, 0, right=(2, 0))).wire.code == 4400


def test_a_refused_update_leaves_no_trace_in_the_account() -> None:
    """D5, D10: what pycrdt cannot decode is not where the next update believes something to lie."""
    room = open_room("open", updates=[BASE])
    bad_json = update((2, 0, [item(5, text("{"), parent="list")]))
    assert send(room, bad_json).wire.code == 4400
    assert send(room, value(2, 0, parent=(1, 0), key="k"), value(3, 0, left=(2, 0))).wire.code is None

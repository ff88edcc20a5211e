"""party.document: the only importer of pycrdt, and what becomes of its failures."""

from random import Random
from typing import Any

import pytest
from pycrdt import Doc, Map

from party.admission import dissect
from party.document import UNREAD, Document, Fix, NotPlain, compact
from party.errors import BadUpdate, DocumentBroken
from party.wire import decode_state_vector, encode_state_vector
from tests.party.contents import content
from tests.party.peers import Peer, doc_of, everything
from tests.party.test_admission import Author
from tests.party.updates import (
    ANY,
    ANY_FIVE,
    DOC,
    EMPTY_MAP,
    FORMAT,
    STRING,
    TYPE,
    child_of_value,
    deletions,
    format_in_map,
    item,
    ring,
    text,
    update,
)


def apply(document: Document, *updates: bytes) -> bytes:
    with document.batch() as changes:
        for made in updates:
            document.apply(made)
    return changes.update


def drawing(*names: str) -> bytes:
    peer = Peer()
    for name in names:
        peer.draw(name)
    return peer.doc.get_update()


def test_a_batch_is_one_update_with_the_values_it_touched() -> None:
    """R2, D6: the bytes to send on hold all of it; the touched keys are what is checked."""
    peer = Peer()
    peer.draw("a")
    peer.elements["a"]["z"] = "a1"
    document = Document(watch_elements=True)
    with document.batch() as changes:
        for made in peer.outgoing:
            document.apply(made)
    assert changes.touched == {("a", None): UNREAD}
    assert everything(doc_of(changes.update)) == everything(peer.doc)
    peer.outgoing.clear()
    peer.elements["a"]["style"] = {"opacity": 3}
    with document.batch() as changes:
        document.apply(peer.outgoing[0])
    assert changes.touched == {("a", "style"): {"opacity": 3}}


def test_what_brings_nothing_new_has_no_update() -> None:
    """D7: neither structs nor a delete set; nor does a repeated delete."""
    document = Document()
    state = drawing("a", "b")
    assert apply(document, state) != b""
    assert apply(document, state) == b""
    client = next(iter(document.vector()))
    delete = update(deleted=deletions((client, [(0, 1)])))
    assert apply(document, delete) != b""
    assert apply(document, delete) == b""


def test_bytes_that_pycrdt_cannot_decode_do_not_harm_the_others() -> None:
    """D5: a bad update inside a transaction is nothing; those before and after it are applied."""
    document = Document()
    good, more = drawing("a"), drawing("b")
    with document.batch() as changes:
        document.apply(good)
        with pytest.raises(BadUpdate):
            document.apply(b"\x01\x01\x01\x00\xff")
        document.apply(more)
    assert set(content(doc_of(changes.update))["elements"]) == {"a", "b"}


@pytest.mark.parametrize("watched", [True, False])
def test_a_failure_in_the_middle_of_an_integration_is_a_broken_document(watched: bool) -> None:
    """R6: pycrdt says RuntimeError after it took the first half; such a document cannot be used on."""
    document = Document(watch_elements=watched)
    apply(document, update((1, 0, [item(ANY, ANY_FIVE, parent="t")])))
    with pytest.raises(DocumentBroken):
        apply(document, child_of_value(2, (1, 0)))


def test_a_panic_is_a_broken_document() -> None:
    """R6: PanicException is a BaseException; it must not get past the room's loop."""
    document = Document(watch_elements=True)
    with pytest.raises(DocumentBroken):
        apply(document, format_in_map(1))
    document.close()


def test_repairs_are_forward_changes() -> None:
    """D6: set, remove, remove the element; of what is gone already, nothing."""
    peer = Peer()
    peer.draw("a")
    peer.draw("b")
    document = Document(watch_elements=True)
    apply(document, peer.doc.get_update())
    fixes = [
        Fix("a", "z", "a5"),
        Fix("a", "deleted", remove=True),
        Fix("a", "nothing", remove=True),
        Fix("b", None, remove=True),
        Fix("nobody", None, remove=True),
        Fix("nobody", "z", "a0"),
    ]
    made = document.repair(fixes)
    assert set(dissect(made).spans) != {peer.doc.client_id}
    peer.doc.apply_update(made)
    assert document.values("b") is None
    assert not document.has_element("b")
    values = content(peer.doc)["elements"]["a"]
    assert values["z"] == "a5"
    assert "deleted" not in values
    assert document.repair([Fix("nobody", None, remove=True)]) == b""


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TYPE, b"\x00"), (TYPE, b"\x01"), (TYPE, b"\x02"), (TYPE, b"\x03" + text("p")), (TYPE, b"\x04"),
        (TYPE, b"\x06"), (DOC, text("guid") + b"\x76\x00"), (3, text("raw")),
        (ANY, b"\x01\x74\x01\x00"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_plain_is_marked(kind: int, body: bytes) -> None:
    """C1, D6: shared types, subdocuments and bytes are found and can be removed."""
    document = Document(watch_elements=True)
    element = item(TYPE, EMPTY_MAP, parent="elements", key="a")
    apply(document, update((1, 0, [element, item(kind, body, parent=(1, 0), key="kind")])))
    values = document.values("a")
    assert values is not None
    assert isinstance(values["kind"], NotPlain)
    assert document.values("a", ["kind", "z"]).keys() == {"kind"}  # type: ignore[union-attr]
    document.repair([Fix("a", None, remove=True)])
    assert not document.has_element("a")


def test_a_format_mark_is_no_value() -> None:
    """C6: pycrdt lists its key, has no value for it and cannot remove it: a canvas room must not take one."""
    document = Document(watch_elements=True)
    mark = item(FORMAT, text("b") + text("1"), parent=(1, 0), key="kind")
    made = update((1, 0, [item(TYPE, EMPTY_MAP, parent="elements", key="a"), mark]))
    apply(document, made)
    values = document.values("a")
    assert values is not None
    assert isinstance(values["kind"], NotPlain)
    assert dissect(made).has_text


def test_an_element_that_is_no_map_has_no_values() -> None:
    """C1: a plain value, text or array in the place of an element."""
    for body in (
        item(ANY, ANY_FIVE, parent="elements", key="a"),
        item(TYPE, b"\x02", parent="elements", key="a"),
    ):
        document = Document(watch_elements=True)
        apply(document, update((1, 0, [body])))
        assert document.values("a") is None
        assert document.has_element("a")


def test_a_document_of_rows_is_that_of_its_batches() -> None:
    """R6, J6: what two batches took must load again, from single rows, repeated rows or a checkpoint.

    A child of a value that was deleted in an earlier batch is taken (the value was collected meanwhile);
    in one transaction it is not, and the room could never be opened again.
    """
    rows = [
        update((1, 0, [item(ANY, ANY_FIVE, parent="t")])),
        update(deleted=deletions((1, [(0, 1)]))),
        update((2, 0, [item(ANY, ANY_FIVE, parent=(1, 0))])),
    ]
    live = Document()
    for row in rows:
        apply(live, row)
    for stored in (rows, [*rows, *rows], [rows[0], rows[0], rows[1], rows[1], rows[2]]):
        loaded = Document.load(None, stored)
        assert loaded.vector() == live.vector() == {1: 1, 2: 1}
        assert loaded.encode() == live.encode()
    state = compact(None, rows)
    assert Document.load(state, rows).encode() == state


def test_rows_that_do_not_replay_are_a_broken_document() -> None:
    """H6: bytes of the journal that pycrdt refuses are an error of this room, not a crash."""
    with pytest.raises(DocumentBroken):
        Document.load(None, [b"\xff\xff\xff"])
    with pytest.raises(DocumentBroken):
        Document.load(b"\x01\x02", [])


@pytest.mark.parametrize("seed", range(15))
def test_a_checkpoint_is_the_same_document(seed: int) -> None:
    """J5: random edits of three authors; the checkpoint, loaded, is what the rows are, whoever encodes it."""
    random = Random(seed)
    authors = [Author(random, client) for client in (1, 2, 3)]
    rows: list[bytes] = []
    checkpoint = None
    for _ in range(40):
        author = random.choice(authors)
        author.edit()
        if author.updates:
            rows += author.updates
            author.updates.clear()
            for other in authors:
                if other is not author:
                    other.apply(author.doc.get_update(other.doc.get_state()))
        if random.random() < 0.1 and rows:
            checkpoint = compact(checkpoint, rows)
            rows = []
    state = compact(checkpoint, rows)
    assert everything_of(state) == everything_of(authors[0].doc.get_update())
    assert Document.load(state, ()).vector() == decode_state_vector(authors[0].doc.get_state())


def everything_of(state: bytes) -> Any:
    doc = doc_of(state)
    return content(doc), str(doc.get("map", type=Map)) != "", everything(doc)[1:]


def test_a_checkpoint_of_a_drawing_is_made() -> None:
    """J5: yrs writes the keys of plain objects in random order: bytes alone do not tell states apart."""
    peer = Peer()
    for number in range(30):
        peer.draw(f"e{number}", seed=number, a=1, b=2, c=3, d=4)
    for _ in range(5):
        state = compact(None, peer.outgoing)
        assert everything(doc_of(state)) == everything(peer.doc)


def test_a_checkpoint_of_something_pending_is_refused() -> None:
    """J5, D4: rows with a gap or a ring cannot become a checkpoint."""
    gap = update((1, 5, [item(STRING, text("abc"), parent="t")]))
    with pytest.raises(DocumentBroken):
        compact(None, [gap])
    apart = compact(None, [ring(1, 2)])
    assert not dissect(apart).spans


def test_state_vectors_of_strangers_are_answered() -> None:
    """R4: clocks ahead of ours, beyond 32 bits, of unknown clients: pycrdt answers with an update."""
    document = Document()
    apply(document, drawing("a"))
    for theirs in ({}, {1: 5}, dict.fromkeys(document.vector(), 2**31), {2**53 - 1: 2**53 - 1}):
        dissect(document.diff(encode_state_vector(theirs)))


def test_closing_lets_go() -> None:
    """H3: a Doc with a live observer is never freed."""
    document = Document(watch_elements=True)
    document.close()
    document.close()
    assert apply(document, drawing("a")) == b""


def test_pycrdt_is_as_we_know_it() -> None:
    """D4: a ring of two clients passes admission; only the document shows that it was not taken in."""
    made = ring(1, 2)
    assert not dissect(made).missing({})
    document: Doc[Any] = Doc()
    document.apply_update(made)
    assert document.get_state() == b"\x00"

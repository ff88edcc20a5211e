"""The edits made beforehand are real, and what an update holds is read right, however it was put together."""

from typing import Any

from pycrdt import Doc, Map, merge_updates

from party.admission import dissect
from party.canvas import check_touched
from party.document import Document
from party.wire import decode_awareness, encode_uint
from tests.load.dialect import EMPTY, Dialect, encode_cursor, hocuspocus, read_cursors
from tests.load.edits import LEAST_ID, MOST_ID, Edits, drawing, read_ranges

ADA, BOB = LEAST_ID + 7, MOST_ID - 7


def updates(edits: Edits, client_id: int, count: int) -> list[bytes]:
    moves = [edits.move(number, encode_uint(client_id)) for number in range(count)]
    return [edits.create(client_id, client_id), *moves]


def test_edits_move_an_element_that_our_rooms_take_as_it_is() -> None:
    edits = Edits()
    document = Document(watch_elements=True)
    for update in updates(edits, ADA, 20) + updates(edits, BOB, 20):
        assert len(update) < 200
        assert not dissect(update).missing(document.vector())
        with document.batch() as changes:
            document.apply(update)
        assert changes.touched
        assert check_touched(document, changes.touched) == []
    doc: Doc[Any] = Doc()
    doc.apply_update(document.encode())
    elements: Map[Any] = doc.get("elements", type=Map)
    assert {elements[name]["geometry"]["x"] for name in elements} == {20.25}


def test_ranges_are_read_from_single_and_from_merged_updates() -> None:
    edits = Edits()
    first = edits.first_clock
    ada, bob = updates(edits, ADA, 5), updates(edits, BOB, 5)
    assert list(read_ranges(ada[3])) == [(ADA, first + 2, first + 3)]
    merged = merge_updates(ada[2], ada[3], bob[1], ada[5])
    assert sorted(read_ranges(merged)) == sorted(
        [(BOB, first, first + 1), (ADA, first + 1, first + 3), (ADA, first + 4, first + 5)]
    )
    assert list(read_ranges(EMPTY)) == []


def test_large_edits_are_as_large_as_asked() -> None:
    edits = Edits(bulk_bytes=16_384)
    assert 16_384 < len(edits.move(3, encode_uint(ADA))) < 17_000


def test_a_drawing_has_about_the_size_asked_for() -> None:
    assert 0.8 < len(drawing(300_000)) / 300_000 < 1.2


def test_both_dialects_take_their_own_messages_apart() -> None:
    for dialect in (Dialect(), hocuspocus("a room")):
        parts = dialect.parts(dialect.update(b"one") + dialect.step_2() + dialect.awareness(b"\x00"))
        assert [part.body for part in parts] == [b"one", EMPTY, b"\x00"]
        assert [part.step for part in parts] == [2, 1, 0]
        (cut,) = dialect.parts(dialect.step_2(b"x" * 100)[:40], is_cut=True)
        assert cut.body.startswith(b"x")


def test_cursors_are_presence_as_clients_send_it() -> None:
    payload = encode_cursor(ADA, 3, 12)
    (state,) = decode_awareness(payload)
    assert (state.client_id, state.clock, state.state["pointer"]["x"]) == (ADA, 3, 12.5)
    ((client_id, clock, start, end),) = read_cursors(payload)
    assert (client_id, clock) == (ADA, 3)
    assert b"\x01" + payload[start:end] == payload

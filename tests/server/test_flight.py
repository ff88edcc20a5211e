"""The page a worker shares with its supervisor: what is written is read, wherever the writer ends."""

import mmap
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from server import flight
from server.flight import MANY, MOST_IDS, PAGE_BYTES, Flight, FlightRecorder, read_flight

ADA, BOB = "01k9z8w3v5x7y1q2r3s4t5u6v7", "bób-" + "é" * 60
MOST = 2**53 - 1


@pytest.fixture
def page() -> mmap.mmap:
    return mmap.mmap(-1, PAGE_BYTES)


def test_what_is_noted_is_read(page: mmap.mmap) -> None:
    """Q1: the room, whose edit, its client ids; and that it is not in hand any more."""
    recorder = FlightRecorder(page)
    assert read_flight(page) is None
    recorder.begin("load", "first-sketch")
    assert read_flight(page) == Flight("load", "first-sketch", None, (), 0, in_hand=False)
    recorder.end()
    assert read_flight(page) is None
    recorder.begin("edit", "r")
    recorder.take(ADA)
    assert read_flight(page) == Flight("edit", "r", ADA, (), 1, in_hand=True)
    recorder.name({7: 3, MOST: 1})
    assert read_flight(page) == Flight("edit", "r", ADA, (7, MOST), 1, in_hand=True)
    recorder.let_go()
    assert read_flight(page) == Flight("edit", "r", ADA, (7, MOST), 1, in_hand=False)
    recorder.begin("edit", "r")
    recorder.take(ADA)
    recorder.name({7: 3})
    recorder.take(BOB)
    assert read_flight(page) == Flight("edit", "r", BOB, (), 2, in_hand=True)
    recorder.end()
    assert read_flight(page) is None


def test_only_one_that_was_alone_or_in_hand_is_exact(page: mmap.mmap) -> None:
    """Q3: at the end of a batch of several it may have been any."""
    recorder = FlightRecorder(page)
    exact: list[bool] = []

    def look() -> None:
        found = read_flight(page)
        assert found is not None
        exact.append(found.is_exact)

    recorder.begin("edit", "r")
    look()
    recorder.take(ADA)
    look()
    recorder.let_go()
    look()
    recorder.take(BOB)
    look()
    recorder.let_go()
    look()
    assert exact == [False, True, True, True, False]


def test_too_much_is_cut_and_not_spilt(page: mmap.mmap) -> None:
    """Q1: more client ids than fit count as none, and long names stay in their place."""
    recorder = FlightRecorder(page)
    recorder.begin("edit", "r" * 5000)
    recorder.take("é" * 5000)
    recorder.name(dict.fromkeys(range(MOST_IDS), 1))
    found = read_flight(page)
    assert found is not None
    assert found.client_ids == tuple(range(MOST_IDS))
    recorder.name(dict.fromkeys(range(MOST_IDS + 1), 1))
    found = read_flight(page)
    assert found is not None
    assert (set(found.room_id), set(found.user_id or "")) == ({"r"}, {"é"})
    assert found.client_ids == ()
    assert MOST_IDS < MANY
    for _ in range(100_000):
        recorder.take(ADA)
    found = read_flight(page)
    assert found is not None
    assert (found.user_id, found.room_id[0], found.stage) == (ADA, "r", "edit")


def pages_on_the_way(page: mmap.mmap, do: Callable[[], None]) -> list[bytes]:
    """The page before each line of the recorder that `do` runs: where a killed process may have stopped."""
    found: list[bytes] = []

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename == flight.__file__:
            found.append(page[:])
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return [*found, page[:]]


def test_a_write_cut_off_in_the_middle_names_nobody_wrong(page: mmap.mmap) -> None:
    """Q1: at every point the note is the one before, nothing, or the one after; never a mixture."""
    recorder = FlightRecorder(page)

    def batch(room_id: str, users: dict[str, dict[int, int]]) -> None:
        recorder.begin("edit", room_id)
        for user_id, client_ids in users.items():
            recorder.take(user_id)
            recorder.name(client_ids)
        recorder.let_go()
        recorder.end()

    def both() -> None:
        batch("room-of-ada", {ADA: {1: 1}, BOB: {2: 1, 3: 1}})
        batch("b", {BOB: {3: 2}, ADA: {1: 2}})

    right = {("room-of-ada", ADA, (1,)), ("room-of-ada", BOB, (2, 3)), ("b", BOB, (3,)), ("b", ADA, (1,))}
    right |= {(room, user, ()) for room, user, _ in right} | {("room-of-ada", None, ()), ("b", None, ())}
    seen = {read_flight(raw) for raw in pages_on_the_way(page, both)}
    assert len(seen) > 10
    assert {(one.room_id, one.user_id, one.client_ids) for one in seen if one is not None} <= right


def test_bytes_that_were_half_copied_are_not_looked_at(page: mmap.mmap) -> None:
    """Q1: whatever lies in the slot that the word does not name changes nothing."""
    recorder = FlightRecorder(page)
    recorder.begin("edit", "r")
    recorder.take(ADA)
    recorder.name({7: 3})
    known = read_flight(page)
    recorder.take(BOB)
    recorder.name({8: 1})
    told = read_flight(page)
    for at, expected in ((flight.SLOTS_AT[1], told), (flight.SLOTS_AT[0], None)):
        torn = bytearray(page[:])
        torn[at : at + 1200] = b"\xff" * 1200
        assert (read_flight(torn) == expected) is (expected is not None)
    assert known is not None
    assert known.user_id == ADA


def test_the_heart_and_the_phase(page: mmap.mmap) -> None:
    """Q2: the two things the supervisor looks at."""
    assert (flight.read_phase(page), flight.read_beat(page)) == ("starting", 0)
    for number, phase in enumerate(flight.PHASES, 1):
        flight.set_phase(page, phase)
        flight.beat(page, number)
        assert (flight.read_phase(page), flight.read_beat(page)) == (phase, number)
    FlightRecorder(page).begin("load", "r")
    flight.clear(page)
    assert page[:] == bytes(PAGE_BYTES)

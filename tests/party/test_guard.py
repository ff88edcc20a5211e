"""party.guard in rooms and a hub: what is noted around the library, and what the quarantine lets through."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from party import wire
from party.batch import Author
from party.document import Changes, Document
from party.errors import DocumentBroken, KanvasError, Poison, Quarantined, RoomHeld
from party.guard import Guard
from party.hub import open_hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.ports import SERVER, Checkpoint, Entry, Schema, Stage, StoredRoom
from party.quarantine import Crash, Hold, Quarantine
from party.room import Room
from tests.party.peers import ANNA, BERT, Peer, Wire, settle
from tests.party.updates import ANY, ANY_FIVE, item, ring, update

NOW = 1_800_000_000.0


class Notes:
    """The Recorder port that keeps everything."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def begin(self, stage: Stage, room_id: str) -> None:
        self.all.append((stage, room_id))

    def take(self, user_id: str) -> None:
        self.all.append(user_id)

    def name(self, client_ids: Collection[int]) -> None:
        self.all.append(set(client_ids))

    def let_go(self) -> None:
        self.all.append("let go")

    def end(self) -> None:
        self.all.append("end")

    def take_all(self) -> list[Any]:
        """What was noted since the last call."""
        noted, self.all = self.all, []
        return noted


class Watched(Document):
    """A document that notes when the library is called."""

    notes: Notes

    def apply(self, update: bytes) -> None:
        self.notes.all.append("apply")
        super().apply(update)

    @contextmanager
    def batch(self) -> Iterator[Changes]:
        with super().batch() as changes:
            yield changes
            self.notes.all.append("transaction ends")

    def encode(self) -> bytes:
        self.notes.all.append("encode")
        return super().encode()

    def diff(self, state_vector: bytes) -> bytes:
        self.notes.all.append("diff")
        return super().diff(state_vector)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    made = Notes()
    monkeypatch.setattr(Watched, "notes", made, raising=False)
    monkeypatch.setattr("party.writer.Document", Watched)
    monkeypatch.setattr("party.room.Document", Watched)
    return made


def value(client: int, at: int = 0, key: str = "k") -> bytes:
    return update((client, at, [item(ANY, ANY_FIVE, parent="meta", key=key)]))


def make_room(guard: Guard, schema: Schema = "open") -> Room:
    stored = StoredRoom("r", schema, 1, 0, 0, None, ())
    return Room(stored, Limits(), now=0.0, guard=guard)


def held(crash: Crash) -> Guard:
    quarantine = Quarantine()
    quarantine.blame(crash)
    return Guard(quarantine=quarantine, clock=lambda: NOW + 1)


def edit_crash(*client_ids: int, is_exact: bool = True) -> Crash:
    return Crash(NOW, "crashed", "edit", "r", ANNA.user_id, client_ids, is_exact)


def submit(room: Room, made: bytes, principal: Any = ANNA) -> list[str | KanvasError]:
    answers: list[str | KanvasError] = []
    room.submit(made, Author(principal), answers.append)
    return answers


def test_every_call_of_the_library_is_noted_beforehand(notes: Notes) -> None:
    """Q1: whose edit before it is applied, the batch until its transaction has ended, then nobody's."""
    room = make_room(Guard(notes), schema="canvas")
    assert notes.take_all() == ["encode"], "the hub notes the load, room and all"
    submit(room, value(1), ANNA)
    submit(room, value(2), BERT)
    settle(room)
    whole = ["u-anna", {1}, "apply", "u-bert", {2}, "apply", "let go", "transaction ends"]
    assert notes.take_all() == [("edit", "r"), *whole, "end"]
    submit(room, b"\xff", ANNA)
    settle(room)
    assert notes.take_all() == [("edit", "r"), "u-anna", "let go", "transaction ends", "end"]
    room.state(0.0)
    assert notes.take_all() == [("read", "r"), "encode", "end"]
    peer = Peer(ANNA)
    peer.apply(value(1))
    peer.enter(room)
    assert notes.take_all() == [("read", "r"), "u-anna", "diff", "end"]


async def test_loading_and_checkpointing_are_noted() -> None:
    """Q1, Q6: with the room; what waits for a child process meanwhile is not noted."""
    notes, journal = Notes(), MemoryJournal()
    journal.create("r", "open")
    await journal.append("r", 1, [Entry(value(1), "u")])

    async def compact(stored: StoredRoom) -> Checkpoint:
        notes.all.append("at once")
        await asyncio.sleep(0)
        notes.all.append("later")
        return Checkpoint(stored.updates[0])

    async with open_hub(journal, Limits(), compact, Guard(notes)) as hub:
        await hub.state("r")
        assert notes.take_all() == [("load", "r"), "end"]
        await hub.drain()
    assert notes.take_all() == [("read", "r"), "at once", "end", ("read", "r"), "later", "end"]


async def test_a_noted_wait_can_be_cancelled() -> None:
    """Q1: a deadline reaches the work through the note around it."""
    notes, undone = Notes(), []

    async def work() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            undone.append(True)
        return "never"

    async def mended() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "all the same"
        return "never"

    guard = Guard(notes)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await guard.noted("r", work())
    assert undone == [True]
    task = asyncio.create_task(guard.noted("r", mended()))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "all the same"
    assert notes.all == [("read", "r"), "end"] * 4


def test_a_held_client_is_refused_before_it_is_applied(notes: Notes) -> None:
    """Q4: 4422 with words; the same person's fresh client id and other people's edits are taken."""
    guard = held(edit_crash(1))
    guard.recorder = notes
    room = make_room(guard)
    anna, bert = Peer(ANNA), Peer(BERT)
    for peer in (anna, bert):
        peer.enter(room)
        peer.read()
    notes.take_all()
    anna.send(wire.encode_update(value(1)))
    bert.send(wire.encode_update(value(2)))
    settle(room)
    assert notes.take_all().count("apply") == 1
    assert anna.wire.code == 4422
    assert "until 2027-01-15" in (anna.wire.closed or (0, ""))[1]
    assert bert.wire.code is None
    assert room.view.vector == {2: 1}
    refused, fresh = submit(room, value(1)), submit(room, value(3, key="l"))
    settle(room)
    assert isinstance(refused[0], Quarantined)
    assert fresh == ["1-2"]


def test_a_step_2_that_brings_held_edits_back_is_refused() -> None:
    """Q4: what a client's cache sends again under the old id, in other bytes."""
    room = make_room(held(edit_crash(1)))
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    anna.send(wire.encode_step_2(update((1, 0, [item(ANY, ANY_FIVE, parent="meta", key="a")]))))
    settle(room)
    assert anna.wire.code == 4422
    assert room.view.vector == {}


def test_a_careful_room_takes_one_edit_at_a_time() -> None:
    """Q3: in the order they came, each in a batch of its own; nothing is lost."""
    room = make_room(held(edit_crash(1, is_exact=False)))
    answers = [submit(room, value(n, key=f"k{n}")) for n in range(1, 5)]
    assert settle(room) == 4
    assert answers == [["1-1"], ["1-2"], ["1-3"], ["1-4"]]


def test_a_panic_is_a_strike() -> None:
    """Q5, R6: told to whoever stores it; the next edit of that client is not even tried."""
    changed: list[Hold] = []
    guard = Guard(clock=lambda: NOW, on_change=changed.extend)
    room = make_room(guard)
    first, beside = submit(room, ring(1, 2)), submit(room, value(3), BERT)
    settle(room)
    assert isinstance(first[0], Poison)
    assert beside == ["1-1"]
    assert {(one.user_id, one.client_id, one.reason) for one in changed} == {
        ("u-anna", 1, "panic"),
        ("u-anna", 2, "panic"),
    }
    again = submit(room, value(1))
    settle(room)
    assert isinstance(again[0], Quarantined)


async def test_a_held_room_is_not_loaded_and_a_held_person_does_not_enter() -> None:
    """Q6, Q4: refused before the journal is read, for joins, edits and reads alike."""
    journal = MemoryJournal()
    for room_id in ("r", "s"):
        journal.create(room_id, "open")
    guard = held(Crash(NOW, "hung", "load", "r"))
    guard.quarantine.blame(Crash(NOW, "hung", "edit", "s", ANNA.user_id))
    async with open_hub(journal, guard=guard) as hub:
        for attempt in (
            hub.join("r", BERT, Wire()),
            hub.submit("r", BERT, value(1)),
            hub.state("r"),
        ):
            with pytest.raises(RoomHeld):
                await attempt
        with pytest.raises(Quarantined):
            await hub.join("s", ANNA, Wire())
        await hub.join("s", BERT, Wire())
        assert hub.open_rooms() == 1


def test_a_purge_that_failed_is_held_and_nobody_else() -> None:
    """Q3, Q4: it is the server's own; the room goes on with what is deleted still in it."""
    room = make_room(held(Crash(NOW, "hung", "edit", "r", SERVER.user_id)), schema="canvas")
    told: list[str | KanvasError] = []
    room.purge(["gone"], told.append)
    answers = submit(room, value(1))
    settle(room)
    assert isinstance(told[0], Quarantined)
    assert answers == ["1-1"]


def test_an_error_of_the_library_leaves_no_note_behind(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q1: else the next hang would be blamed on it."""
    room = make_room(Guard(notes))

    def broken(self: Document, update: bytes) -> None:
        raise DocumentBroken

    monkeypatch.setattr(Watched, "apply", broken)
    submit(room, value(1))
    with pytest.raises(DocumentBroken):
        room.take_batch(0.0)
    assert notes.all[-1] == "end"

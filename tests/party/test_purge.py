"""The purge of deleted elements: what a checkpoint says of them, the writer's verb, the hub's."""

import asyncio
from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.document import Document, make_checkpoint
from party.errors import DocumentBroken, KanvasError, RoomNotFound, ShuttingDown, Unavailable
from party.limits import Limits
from party.ports import NO_TOMBSTONES, Checkpoint, Entry, Schema, StoredRoom, Tombstones
from party.room import Room
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, Peer, TestJournal, doc_of, everything, open_room, quiet, settle
from tests.party.test_hub import running, until
from tests.party.test_room import pair
from tests.party.updates import ring

MARK = "a word nobody will miss"
PATIENT = Limits(beat_s=0.01, idle_s=60)


def write(peer: Peer, element_id: str, text: str = MARK) -> None:
    peer.draw(element_id)
    peer.elements[element_id]["text"] = {"text": text, "originalText": text, "fontSize": 20, "fontFamily": 5}


def delete(peer: Peer, *element_ids: str, deleted: bool = True) -> None:
    with peer.doc.transaction():
        for element_id in element_ids:
            peer.elements[element_id]["deleted"] = deleted


def ids(peer: Peer) -> set[str]:
    return set(content(peer.doc)["elements"])


def stored_room(
    updates: list[bytes], checkpoint: bytes | None = None, schema: Schema = "canvas"
) -> StoredRoom:
    return StoredRoom("r", schema, 1, len(updates), 0, checkpoint, tuple(updates))


def purge(room: Room, *element_ids: str) -> list[str | KanvasError]:
    answers: list[str | KanvasError] = []
    room.purge(element_ids, answers.append)
    return answers


# -- the checkpoint -----------------------------------------------------------------------------


def test_a_checkpoint_says_what_is_deleted_in_it() -> None:
    """J7: and since which checkpoint; what was brought back and deleted again is deleted since then."""
    peer = Peer()
    for element_id in ("kept", "old", "again", "back", "gone"):
        peer.draw(element_id)
    delete(peer, "old", "again", "back", "gone")
    first = make_checkpoint(stored_room(peer.outgoing))
    assert first.tombstones == Tombstones(new=frozenset({"old", "again", "back", "gone"}))
    peer.outgoing.clear()
    delete(peer, "again", "back", deleted=False)
    delete(peer, "again")
    peer.elements["old"]["geometry"] = {"x": 1, "y": 1, "width": 1, "height": 1, "angle": 0}
    del peer.elements["gone"]
    peer.draw("new")
    delete(peer, "new")
    second = make_checkpoint(stored_room(peer.outgoing, first.state))
    assert second.tombstones == Tombstones(old=frozenset({"old"}), new=frozenset({"again", "new"}))
    assert everything(doc_of(second.state)) == everything(peer.doc)
    assert make_checkpoint(stored_room([], second.state)).tombstones == Tombstones(
        old=frozenset({"old", "again", "new"})
    )


@pytest.mark.parametrize("value", [1, 1.0, "true", None, [True]])
def test_only_the_flag_itself_is_a_tombstone(value: Any) -> None:
    """J7, C8: whatever else a client writes there."""
    peer = Peer()
    peer.draw("a")
    peer.elements["a"]["deleted"] = value
    peer.elements["b"] = value
    assert make_checkpoint(stored_room(peer.outgoing)).tombstones == NO_TOMBSTONES
    document = Document.load(None, peer.outgoing)
    assert document.purge(["a", "b", "c"]) == b""


def test_an_open_room_has_no_tombstones() -> None:
    """J7, C7: its values mean what its application says."""
    peer = Peer()
    peer.draw("a")
    delete(peer, "a")
    made = make_checkpoint(stored_room(peer.outgoing, schema="open"))
    assert made.tombstones == NO_TOMBSTONES
    room = open_room("open", updates=peer.outgoing)
    assert purge(room, "a") == []
    assert settle(room) == 0
    assert set(content(doc_of(room.state(0.0)[1]))["elements"]) == {"a"}


# -- the room -----------------------------------------------------------------------------------


def test_a_purge_is_an_update_like_any_other() -> None:
    """C8, R5: delete-only, by the server, journalled before it is sent; everybody has the same afterwards."""
    room = open_room()
    anna, bert = pair(room)
    for element_id in ("a", "b", "kept"):
        write(anna, element_id)
    delete(anna, "a", "b")
    anna.flush()
    settle(room)
    answers = purge(room, "a", "kept", "b", "never was")
    batch = room.take_batch(0.0)
    assert batch is not None
    assert [entry.user_id for entry in batch.entries] == ["server"]
    anatomy = dissect(batch.entries[0].update)
    assert not anatomy.spans
    assert anatomy.deletions
    assert (batch.frames, batch.advances) == ([batch.entries[0].update], {})
    bert.read()
    assert (answers, ids(bert)) == ([], {"a", "b", "kept"})
    room.commit(room.view.seq + 1, 0.0)
    for peer in (anna, bert):
        peer.read()
        assert ids(peer) == {"kept"}
        assert everything(peer.doc) == everything(doc_of(room.state(0.0)[1]))
    assert answers == [room.view.version]


def test_what_was_brought_back_meanwhile_stays() -> None:
    """C8, R2: it is looked at when its turn comes, in arrival order, in the same batch too."""
    room = open_room()
    anna, bert = pair(room)
    for element_id in ("a", "b"):
        write(anna, element_id)
    delete(anna, "a", "b")
    anna.flush()
    settle(room)
    delete(anna, "a", deleted=False)
    anna.flush()
    answers = purge(room, "a", "b")
    write(bert, "later", "later")
    bert.flush()
    assert settle(room) == 2
    assert len(answers) == 1
    for peer in (anna, bert):
        peer.read()
        assert ids(peer) == {"a", "later"}
        assert content(peer.doc)["elements"]["a"]["text"]["text"] == MARK


def test_a_purge_of_nothing_is_no_update() -> None:
    """C8, D7: and is answered."""
    room = open_room()
    anna, _ = pair(room)
    write(anna, "a")
    anna.flush()
    settle(room)
    answers = purge(room, "a", "b")
    assert settle(room) == 0
    assert answers == [room.view.version]


def test_an_edit_of_what_is_gone_is_taken_and_keeps_nothing() -> None:
    """C8, D4: an edit made offline into a purged element harms nobody; the same id can be drawn anew."""
    room = open_room()
    anna, bert = pair(room)
    write(anna, "a")
    delete(anna, "a")
    anna.flush()
    settle(room)
    bert.read()
    bert.elements["a"]["text"] = {"text": "said offline", "originalText": "", "fontSize": 1, "fontFamily": 1}
    purge(room, "a")
    settle(room)
    bert.flush()
    settle(room)
    anna.read()
    write(anna, "a", "again")
    anna.flush()
    settle(room)
    state = room.state(0.0)[1]
    assert b"said offline" not in state
    for peer in (anna, bert):
        peer.read()
        assert peer.wire.code is None
        assert content(peer.doc)["elements"]["a"]["text"]["text"] == "again"
        assert everything(peer.doc) == everything(doc_of(state))


def test_a_purge_beside_poison_is_done() -> None:
    """C8, R6: the room is rebuilt, the culprit refused, the purge is not lost."""
    room = open_room()
    anna, bert = pair(room)
    write(anna, "a")
    delete(anna, "a")
    anna.flush()
    settle(room)
    bert.send(wire.encode_update(ring(66, 67)))
    answers = purge(room, "a")
    settle(room)
    assert bert.wire.code == 4422
    anna.read()
    assert ids(anna) == set()
    assert answers == [room.view.version]


def test_a_client_may_remove_an_element_itself() -> None:
    """C8: sooner than the server; nobody's room breaks by it."""
    room = open_room()
    anna, bert = pair(room)
    write(anna, "a")
    anna.flush()
    settle(room)
    bert.read()
    del bert.elements["a"]
    bert.flush()
    settle(room)
    anna.read()
    assert ids(anna) == set()
    assert purge(room, "a") == []
    assert settle(room) == 0


# -- the hub ------------------------------------------------------------------------------------


async def fill(journal: TestJournal, *element_ids: str, room_id: str = "r") -> None:
    """A room as it is stored when nobody is in it, with these elements deleted."""
    peer = Peer()
    write(peer, "kept", "kept")
    for element_id in element_ids:
        write(peer, element_id)
    delete(peer, *element_ids)
    await journal.append(room_id, 1, [Entry(update, "u-anna") for update in peer.outgoing])


def stored_bytes(journal: TestJournal, room_id: str = "r") -> bytes:
    stored = journal.stored(room_id)
    return b"".join((stored.checkpoint or b"", *stored.updates))


async def test_the_bytes_of_what_is_purged_leave_the_stored_state() -> None:
    """C9, J7: after it neither the checkpoint nor a row has them, and the tombstone is forgotten."""
    async with running(PATIENT) as (hub, journal):
        await fill(journal, "a", "b")
        await hub.purge("r")
        assert set(journal.tombstones["r"]) == {"a", "b"}
        assert MARK.encode() in stored_bytes(journal)
        await hub.purge("r", ["a", "b"])
        stored = journal.stored("r")
        assert (stored.checkpoint_seq, stored.updates) == (stored.seq, ())
        assert MARK.encode() not in stored_bytes(journal)
        assert journal.tombstones["r"] == {}
        assert set(content(doc_of((await hub.state("r"))[1]))["elements"]) == {"kept"}


async def test_people_in_the_room_see_it_and_stay() -> None:
    """C8, C9: one batch for so many; their room is not unloaded, only what the purge opened is."""
    limits = Limits(beat_s=0.01, idle_s=60, purge_elements=3)
    async with running(limits, rooms=("r", "s")) as (hub, journal):
        gone = [f"e{number}" for number in range(10)]
        await fill(journal, *gone)
        await fill(journal, *gone, room_id="s")
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        before = journal.stored("r").seq
        reading = asyncio.create_task(hub.purge("r", gone))
        await until(reading.done)
        await hub.purge("s", gone)
        await quiet(anna)
        assert (ids(anna), anna.wire.code) == ({"kept"}, None)
        assert journal.stored("r").seq == before + 4
        assert hub.open_rooms() == 1
        assert everything(anna.doc) == everything(doc_of(stored_bytes(journal)))


async def test_a_room_that_somebody_entered_meanwhile_stays_open() -> None:
    """C9: who came while the checkpoint was made is not sent away."""
    started, proceed = asyncio.Event(), asyncio.Event()

    async def slowly(stored: StoredRoom) -> Checkpoint:
        started.set()
        await proceed.wait()
        return make_checkpoint(stored)

    async with running(PATIENT, compact_state=slowly) as (hub, journal):
        await fill(journal, "a")
        purging = asyncio.create_task(hub.purge("r", ["a"]))
        await started.wait()
        anna = await Peer(ANNA).connect(hub)
        proceed.set()
        await purging
        await quiet(anna)
        assert (ids(anna), anna.wire.code, hub.open_rooms()) == ({"kept"}, None, 1)


async def test_a_frozen_room_is_left_alone() -> None:
    """C9, R7: until the journal answers again; a failing one does not get a purge on top."""
    limits = Limits(beat_s=0.01, idle_s=60, slow_commit_s=0.02, commit_deadline_s=60)
    async with running(limits) as (hub, journal):
        await fill(journal, "a")
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        journal.hold()
        anna.draw("b")
        await quiet(anna)
        await until(lambda: not hub.healthy())
        with pytest.raises(Unavailable):
            await hub.purge("r", ["a"])
        journal.release()
        await until(hub.healthy)
        await hub.purge("r", ["a"])
        await quiet(anna)
        assert ids(anna) == {"kept", "b"}


async def test_a_purge_that_fails_says_so_and_can_be_repeated() -> None:
    """C9: an absent room, a journal that fails for good, the end of the process."""
    limits = Limits(beat_s=0.01, idle_s=60, slow_commit_s=0.02, commit_deadline_s=0.05)
    async with running(limits) as (hub, journal):
        await fill(journal, "a")
        with pytest.raises(RoomNotFound):
            await hub.purge("nowhere", ["a"])
        journal.failing = 1000
        with pytest.raises(Unavailable):
            await hub.purge("r", ["a"])
        journal.failing = 0
        await hub.purge("r", ["a"])
        assert MARK.encode() not in stored_bytes(journal)
        await hub.drain(1.0)
        with pytest.raises(ShuttingDown):
            await hub.purge("r", ["a"])


async def test_a_checkpoint_that_fails_leaves_the_purge() -> None:
    """C9, J5: the removal is journalled; the bytes leave with the next checkpoint."""
    broken = True

    async def fails(stored: StoredRoom) -> Checkpoint:
        if broken:
            raise DocumentBroken
        return make_checkpoint(stored)

    async with running(PATIENT, compact_state=fails) as (hub, journal):
        await fill(journal, "a")
        await hub.purge("r", ["a"])
        assert MARK.encode() in stored_bytes(journal)
        assert set(content(doc_of(*journal.stored("r").updates))["elements"]) == {"kept"}
        broken = False
        await hub.purge("r")
        assert MARK.encode() not in stored_bytes(journal)


async def test_rooms_purged_while_people_draw_converge() -> None:
    """C8, R2: edits, undone deletions and purges at once; nobody loses what was brought back."""
    async with running(Limits(beat_s=0.01, idle_s=60, purge_elements=2)) as (hub, journal):
        gone = [f"e{number}" for number in range(12)]
        await fill(journal, *gone)
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        await quiet(anna, bert)
        delete(bert, *gone[::3], deleted=False)
        bert.flush()
        purging = asyncio.create_task(hub.purge("r", gone))
        for number in range(10):
            anna.draw(f"n{number}")
            await quiet(anna, bert, turns=2)
        await purging
        await quiet(anna, bert)
        assert ids(anna) == {"kept", *gone[::3], *(f"n{number}" for number in range(10))}
        assert everything(anna.doc) == everything(bert.doc)
        assert everything(doc_of((await hub.state("r"))[1])) == everything(anna.doc)

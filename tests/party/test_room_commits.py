"""party.room: poison, the batch between apply and commit, frozen rooms and slow readers."""

from random import Random
from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.document import Document
from party.errors import (
    DocumentBroken,
    Forbidden,
    Poison,
    Unavailable,
)
from party.limits import KIB, MIB, Limits
from party.ports import Schema
from party.room import Room
from party.session import Closed, Joining, Lagging, Live, Session
from party.writer import CHORE_BYTES
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, Peer, Wire, doc_of, everything, open_room, settle, vector
from tests.party.test_room import Answer, drawn, pair, submit, value
from tests.party.updates import (
    HostileClients,
    ring,
)

# -- poison -------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["canvas", "open"])
@pytest.mark.parametrize("over_http", [True, False])
def test_poison_is_found_and_the_others_are_applied(schema: Schema, over_http: bool) -> None:
    """R6: the document does not take in all of a batch; the culprit is refused, all others are taken."""
    room = open_room(schema, updates=[value(1)])
    anna, bert = pair(room)
    anna.draw("before")
    anna.flush()
    answers: list[Answer] = []
    if over_http:
        answers = submit(room, ring(66, 67))
    else:
        bert.send(wire.encode_update(ring(66, 67)))
    anna.draw("behind")
    anna.flush()
    ours = submit(room, value(7))
    batches = settle(room)
    assert batches == 1
    assert ours == [room.view.version]
    if over_http:
        assert isinstance(answers[0], Poison)
        assert bert.wire.code is None
    else:
        assert bert.wire.code == 4422
    anna.read()
    assert set(content(anna.doc)["elements"]) == {"before", "behind"}
    assert 66 not in room.view.vector
    assert everything(anna.doc) == everything(doc_of(room.state(0.0)[1]))


def test_a_room_goes_on_after_poison() -> None:
    """R6: rebuilt from committed bytes, with its checks, accounts and its readers."""
    room = open_room(updates=[value(1)], limits=Limits(mailbox_messages=3))
    anna, bert = pair(room)
    session = next(one for one in room.sessions if one.principal is ANNA)
    for turn in range(3):
        evil = Peer(BERT)
        evil.enter(room)
        evil.send(wire.encode_update(ring(66, 67)))
        for number in range(5):
            anna.draw(f"{turn}-{number}", x=None)
        anna.flush()
        assert anna.wire.is_paused
        settle(room)
        assert evil.wire.code == 4422
        assert not anna.wire.is_paused
        assert (session.waiting_messages, session.waiting_bytes) == (0, 0)
    for peer in (anna, bert):
        peer.read()
    assert len(content(bert.doc)["elements"]) == 15
    assert all(element["geometry"]["x"] == 0 for element in content(bert.doc)["elements"].values())
    assert everything(anna.doc) == everything(bert.doc)


class PanicsAtApply(Document):
    """Stands for a library that panics on what it is given."""

    def apply(self, made: bytes) -> None:
        if b"marked" in made:
            raise DocumentBroken
        super().apply(made)


class PanicsAtRepair(Document):
    """Stands for a library that panics on what the server itself writes."""

    def repair(self, fixes: Any) -> bytes:
        if any(fix.element_id == "marked" for fix in fixes):
            raise DocumentBroken
        return super().repair(fixes)


@pytest.mark.parametrize("library", [PanicsAtApply, PanicsAtRepair])
def test_a_panic_anywhere_finds_its_author(library: type[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    """R6: in the update itself or in the repair of what it wrote."""
    monkeypatch.setattr("party.writer.Document", library)
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a", x=None)
    anna.flush()
    bert.draw("marked", x=None)
    bert.flush()
    anna.draw("b")
    anna.flush()
    settle(room)
    assert bert.wire.code == 4422
    assert anna.wire.code is None
    assert drawn(room) == {"a", "b"}


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("schema", ["canvas", "open"])
def test_hostile_clients_do_not_reach_the_room(seed: int, schema: Schema) -> None:
    """R1, R6, D4, D5: any sound struct under any parent; honest edits beside them are never lost."""
    random = Random(seed)
    room = open_room(schema)
    anna, bert = pair(room)
    hostile = HostileClients(random, [1, 2, 2**33], shared_text=schema == "open")
    roots = ["elements", "elements", "t", "text"]
    for number in range(25):
        anna.draw(f"honest {number}")
        evil = Peer(BERT)
        evil.enter(room)
        for made in [hostile.make(room.view.vector, roots) for _ in range(random.randrange(1, 4))]:
            evil.send(wire.encode_update(made))
        anna.flush()
        settle(room)
        assert evil.wire.code in (None, 4400, 4422)
        evil.disconnect()
        assert room._writer.document.vector() == room._writer.reach == room.view.vector
    anna.read()
    bert.read()
    names = [set(peer.elements.keys()) for peer in (anna, bert)]
    assert {f"honest {number}" for number in range(25)} <= names[0] == names[1]
    state = room.state(0.0)[1]
    assert not dissect(state).missing({})
    assert vector(anna.doc) == vector(bert.doc) == room.view.vector


# -- commits ------------------------------------------------------------------------------------


def test_one_batch_at_a_time() -> None:
    """R3: what comes during a commit waits for the next batch."""
    room = open_room()
    anna, _ = pair(room)
    anna.draw("a")
    anna.flush()
    batch = room.take_batch(0.0)
    assert batch is not None
    anna.draw("b")
    anna.draw("c")
    anna.flush()
    assert room.take_batch(0.0) is None
    assert not room.has_work
    assert not room.is_settled
    room.commit(1, 0.0)
    assert room.has_work
    batch = room.take_batch(0.0)
    assert batch is not None
    assert len(batch.entries) == 2


def test_commit_without_a_batch_is_a_mistake() -> None:
    """R3: nobody may say that something is durable that was not taken."""
    with pytest.raises(RuntimeError):
        open_room().commit(1, 0.0)


def test_nothing_reads_what_is_not_committed() -> None:
    """R4: REST, state vectors and joins are those of the last commit while a batch is in flight."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.flush()
    settle(room)
    before = room.state(0.0)
    anna.draw("b")
    anna.flush()
    assert room.take_batch(0.0) is not None
    assert room.state(0.0)[0] == before[0] == "1-1"
    assert drawn(room) == {"a"}
    connection = Wire()
    room.join(Session(BERT, connection), 0.0)
    first = connection.messages()[0]
    assert isinstance(first, wire.Step1)
    assert wire.decode_state_vector(first.state_vector) == {anna.doc.client_id: wire_clock(before[1], anna)}
    assert bert.wire.of(wire.Update)[1:] == []
    room.commit(2, 0.0)
    assert room.state(0.0)[0] == "1-2"
    assert drawn(room) == {"a", "b"}


def wire_clock(state: bytes, peer: Peer) -> int:
    return vector(doc_of(state))[peer.doc.client_id]


def test_a_tail_that_was_not_folded_is_read_during_a_commit() -> None:
    """R4: base and frames together are the committed state, whoever reads when."""
    room = open_room()
    anna, _ = pair(room)
    for name in ("a", "b"):
        anna.draw(name)
        anna.flush()
        settle(room, now=0.0)
    assert room.view.frames
    anna.draw("c")
    anna.flush()
    assert room.take_batch(0.0) is not None
    assert drawn(room) == {"a", "b"}


def test_the_echo_is_the_proof() -> None:
    """R5: the same frame for everybody, authors included, and not before the commit."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    bert.draw("b")
    anna.flush()
    bert.flush()
    answers = submit(room, value(9))
    assert room.take_batch(0.0) is not None
    assert anna.wire.of(wire.Update) == bert.wire.of(wire.Update) == []
    assert answers == []
    room.commit(3, 0.0)
    assert answers == ["1-3"]
    (frame,) = anna.wire.of(wire.Update)
    assert bert.wire.of(wire.Update) == [frame]
    known = dissect(frame.update).advances({})
    assert set(known) == {anna.doc.client_id, bert.doc.client_id, 9}


def test_a_frozen_room_serves_committed_bytes() -> None:
    """R7: joins, also those that waited for the commit, and returning clients; then the frame, once."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.flush()
    settle(room)
    bert.read()
    bert.disconnect()
    anna.draw("b")
    anna.flush()
    assert room.take_batch(0.0) is not None
    new, late = Peer(BERT), Peer(BERT)
    new.enter(room)
    assert new.wire.of(wire.Step2) == []
    room.freeze(0.0)
    late.enter(room)
    bert.enter(room)
    for peer in (new, late, bert):
        peer.read()
        assert set(content(peer.doc)["elements"]) == {"a"}
    anna.say(1, 1, {})
    room.send_presence(0.0)
    assert new.wire.of(wire.Awareness)
    assert room.frozen
    room.commit(2, 0.0)
    assert not room.frozen
    for peer in (new, late, bert):
        peer.read()
        assert everything(peer.doc) == everything(anna.doc)
        assert len(peer.wire.of(wire.Update)) <= 2


def test_a_batch_that_cannot_be_saved_is_not_acknowledged() -> None:
    """R7: whoever waits over HTTP gets 503, in flight or in the mailbox; sockets get 1013 and no echo."""
    room = open_room()
    anna, _ = pair(room)
    anna.draw("a")
    anna.flush()
    flying = submit(room, value(9))
    assert room.take_batch(0.0) is not None
    waiting = submit(room, value(10))
    room.fail_batch(Unavailable())
    room.send_away(Unavailable(), 0.0)
    assert [type(answer) for answer in flying + waiting] == [Unavailable, Unavailable]
    assert anna.wire.of(wire.Update) == []
    assert anna.wire.code == 1013


# -- slow readers -------------------------------------------------------------------------------


def slow_room(**limits: Any) -> tuple[Room, Peer, Peer, Session]:
    room = open_room(limits=Limits(outbox_bytes=1000, **limits))
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    session = bert.enter(room)
    anna.read()
    bert.read()
    settle(room)
    return room, anna, bert, session


def draw(room: Room, peer: Peer, name: str, now: float = 0.0) -> None:
    peer.draw(name)
    peer.flush()
    settle(room, now)


@pytest.mark.parametrize("folded", [True, False])
def test_a_slow_reader_gets_nothing_and_then_what_it_missed(folded: bool) -> None:
    """R8: from the frames, or from the base when they were folded; the others are not held up."""
    room, anna, bert, session = slow_room()
    draw(room, anna, "a")
    bert.wire.buffered_bytes = 1001
    heard = len(bert.wire.sent)
    for number in range(5):
        draw(room, anna, f"missed {number}")
    assert isinstance(session.state, Lagging)
    assert (session.state.seq, session.state.since_s) == (1, 0.0)
    assert len(bert.wire.sent) == heard
    if folded:
        room.state(1.0)
        assert room.view.frames == []
    bert.wire.buffered_bytes = 0
    room.drained(session, 1.0)
    assert session.state == Live()
    draw(room, anna, "after", 1.0)
    bert.read()
    anna.read()
    assert everything(bert.doc) == everything(anna.doc)


def test_a_reader_that_does_not_drain_is_closed() -> None:
    """R8: with 1013 after 60 s, and not before."""
    room, anna, bert, session = slow_room()
    bert.wire.buffered_bytes = 1001
    draw(room, anna, "a", 100.0)
    room.beat(159.0)
    assert bert.wire.code is None
    room.beat(161.0)
    assert bert.wire.code == 1013
    assert session not in room.sessions
    assert anna.wire.code is None


def test_a_reader_that_drains_slowly_is_not_closed() -> None:
    """R8: 5 MB at 1 Mbit/s take 40 s, 20 MB take 160 s; it goes when it takes too little for 60 s."""
    room, anna, bert, session = slow_room()
    unsent = 20 * MIB
    for at in range(0, 151, 10):
        bert.wire.buffered_bytes = unsent - at * 128 * KIB
        draw(room, anna, f"a{at}", at)
        room.beat(at)
    assert isinstance(session.state, Lagging)
    assert bert.wire.code is None
    for at in range(160, 210, 10):
        bert.wire.buffered_bytes -= 1000
        room.beat(at)
    assert bert.wire.code is None
    room.beat(211.0)
    assert bert.wire.code == 1013


def test_a_join_that_waits_for_the_connection_has_time_while_it_drains() -> None:
    """R8, S2: who asks again while a large answer is under way is answered when that has left."""
    room, _, bert, session = slow_room()
    for at in range(0, 151, 10):
        bert.wire.buffered_bytes = (160 - at) * 128 * KIB
        if at == 0:
            bert.send(wire.encode_step_1(b"\x00"))
        room.beat(at)
    assert isinstance(session.state, Joining)
    assert bert.wire.code is None


def test_questions_of_a_slow_reader_wait() -> None:
    """R8, S2: a client that asks again and again and reads nothing costs bounded memory."""
    room, anna, bert, session = slow_room()
    draw(room, anna, "a")
    bert.wire.buffered_bytes = 1001
    heard = len(bert.wire.sent)
    for turn in range(50):
        bert.send(wire.encode_step_1(b"\x00"))
        draw(room, anna, f"b{turn}", now=turn)
    assert len(bert.wire.sent) == heard
    assert isinstance(session.state, Joining)
    assert session.state.since_s == 0.0
    bert.wire.buffered_bytes = 0
    room.drained(session, 50.0)
    assert isinstance(bert.wire.messages()[heard], wire.Step2)
    bert.read()
    anna.read()
    assert everything(bert.doc) == everything(anna.doc)
    bert.wire.buffered_bytes = 1001
    bert.send(wire.encode_step_1(b"\x00"))
    room.beat(61.0)
    assert bert.wire.code == 1013


def test_draining_means_nothing_to_who_is_not_behind() -> None:
    """R8: the transport may say so at any time."""
    room, anna, bert, session = slow_room()
    draw(room, anna, "a")
    heard = len(bert.wire.sent)
    room.drained(session, 0.0)
    assert len(bert.wire.sent) == heard
    session.close(Forbidden())
    room.drained(session, 0.0)
    assert session.state == Closed(by_us=True)


# -- joins and batches of a busy room -----------------------------------------------------------


def test_a_storm_of_joins_shares_its_bytes() -> None:
    """R11: nothing is encoded twice, and everybody holds the same object."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    anna.draw("a")
    anna.flush()
    settle(room, 1.0)
    crowd = [Peer(BERT) for _ in range(5)]
    answers = []
    for peer in crowd:
        peer.enter(room, 10.0)
        answers.append(next(one for one in peer.wire.sent if one.startswith(b"\x00\x01")))
        peer.read()
    assert all(one is answers[0] for one in answers)
    room.beat(12.0)
    assert room.view.step_2 is answers[0]
    room.beat(20.0)
    assert room.view.step_2 is not answers[0], "a second copy of the document stays in memory for ever"
    assert all(content(peer.doc) == content(anna.doc) for peer in crowd)


def test_a_busy_large_room_answers_with_base_and_frames() -> None:
    """R11, S2: what was not folded in yet follows in the same write."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    for number in range(3):
        anna.draw(f"{number}")
        anna.flush()
        # no time passes: too early to encode the room again
        settle(room, 0.0)
    bert = Peer(BERT)
    bert.enter(room)
    step_2 = next(write for write in bert.wire.writes if write[0].startswith(b"\x00\x01"))
    assert [one[:2] for one in step_2] == [b"\x00\x01"] + [b"\x00\x02"] * 3
    bert.read()
    assert content(bert.doc) == content(anna.doc)


def test_a_batch_takes_so_much_and_no_more() -> None:
    """R12: in order, and the rest is the next one's."""
    for limits in (Limits(batch_messages=4), Limits(batch_bytes=200)):
        room = open_room(limits=limits)
        anna = Peer(ANNA)
        anna.enter(room)
        anna.read()
        settle(room)
        for number in range(9):
            anna.draw(f"{number}")
        anna.flush()
        sizes = []
        while (batch := room.take_batch(0.0)) is not None:
            sizes.append(len(batch.entries))
            room.commit(room.view.seq + len(batch.entries), 0.0)
        assert sum(sizes) == 9
        assert len(sizes) >= 3
        anna.read()
        assert len(anna.elements) == 9


def test_who_missed_more_than_is_kept_gets_a_difference() -> None:
    """R8: the ring of frames was folded, so what it gets is beyond its own state, and not all of it."""
    room, anna, bert, session = slow_room()
    draw(room, anna, "long ago", 0.0)
    bert.read()
    bert.wire.buffered_bytes = 1001
    draw(room, anna, "missed", 0.0)
    room.state(100.0)
    assert room.view.since(1) is None
    bert.wire.buffered_bytes = 0
    room.drained(session, 100.0)
    assert isinstance(session.state, Live)
    answer = wire.decode_message(bert.wire.sent[-1])
    assert isinstance(answer, wire.Step2)
    difference = answer.update
    assert b"missed" in difference
    assert b"long ago" not in difference
    bert.read()
    assert content(bert.doc) == content(anna.doc)


# -- work beside the loop -----------------------------------------------------------------------


def big_drawing(count: int = 400) -> bytes:
    peer = Peer()
    for number in range(count):
        peer.draw(f"e{number}", x=number)
    return peer.doc.get_update()


def test_a_large_update_is_read_beside_the_loop_and_the_mail_behind_it_waits() -> None:
    """R13, R2: in the order it came; a bad one is its sender's error all the same."""
    room = open_room(limits=Limits(max_repairs=10**6))
    anna, bert = Peer(ANNA), Peer(BERT)
    for peer in (anna, bert):
        peer.enter(room)
        peer.read()
    settle(room)
    big = big_drawing()
    assert len(big) > CHORE_BYTES
    anna.send(wire.encode_step_2(big))
    bert.draw("small")
    bert.flush()
    assert room.take_batch(0.0) is None
    assert room.chore is not None
    assert not room.has_work
    room.chore_done(room.chore.work())
    batch = room.take_batch(0.0)
    assert batch is not None
    assert [entry.user_id for entry in batch.entries] == [ANNA.user_id, BERT.user_id]
    room.commit(room.view.seq + 2, 0.0)
    anna.send(wire.encode_step_2(big[:-1]))
    settle(room)
    assert anna.wire.code == 4400
    assert len(content(doc_of(room.state(1.0)[1]))["elements"]) == 401


def test_the_account_of_a_large_room_is_made_beside_the_loop() -> None:
    """R13, D10: made once, right before the first update that needs it; from then on kept."""
    room = open_room(updates=[big_drawing()])
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    settle(room)
    # a key the element did not have: its parent is only known by its id
    anna.elements["e7"]["style"] = {"opacity": 50}
    anna.flush()
    assert room.take_batch(0.0) is None
    assert room.chore is not None
    settle(room)
    anna.elements["e8"]["style"] = {"opacity": 50}
    anna.flush()
    assert room.take_batch(0.0) is not None

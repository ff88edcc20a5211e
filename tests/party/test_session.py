"""party.session: the states of a connection, seen through a room without a hub."""

import pytest

from party import wire
from party.errors import Forbidden, KanvasError, ShuttingDown
from party.limits import Limits
from party.room import Room
from party.session import Joining, Live, Session, shorten
from party.writer import VIEW_ONLY
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, VERA, Peer, Wire, doc_of, open_room, settle
from tests.party.updates import ANY, ANY_FIVE, item, update


def test_a_session_is_told_who_is_here_and_asked_for_its_edits() -> None:
    """S1: sync step 1 with the committed state vector first, then everybody's presence."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room)
    anna.draw("a")
    anna.read()
    anna.flush()
    anna.say(anna.doc.client_id, 1, {"cursor": 1})
    settle(room)
    connection = Wire()
    session = Session(BERT, connection)
    room.join(session, 0.0)
    first, second = connection.messages()
    assert isinstance(first, wire.Step1)
    assert wire.decode_state_vector(first.state_vector) == room.view.vector
    assert isinstance(second, wire.Awareness)
    assert [one.client_id for one in wire.decode_awareness(second.payload)] == [anna.doc.client_id]
    assert session.state == Joining()


def test_an_empty_room_says_nothing_of_presence() -> None:
    """S1: with nobody here there is only sync step 1."""
    connection = Wire()
    open_room().join(Session(ANNA, connection), 0.0)
    assert connection.messages() == [wire.Step1(b"\x00")]


def test_no_update_comes_before_sync_step_2() -> None:
    """S2: a session that has not asked gets presence but no frames; then the answer holds them all."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    anna.read()
    bert.hello = lambda: None  # type: ignore[method-assign]
    bert.enter(room)
    for number in range(3):
        anna.draw(f"e{number}")
        anna.flush()
        settle(room)
    assert bert.wire.of(wire.Update) == []
    bert.send(wire.encode_step_1(bert.doc.get_state()))
    kinds = [type(message) for message in bert.wire.messages()]
    assert wire.Step2 in kinds
    assert wire.Update not in kinds[: kinds.index(wire.Step2)]
    bert.read()
    assert content(bert.doc) == content(anna.doc)


def test_a_step_1_during_a_commit_is_answered_after_it() -> None:
    """S2, R4: and holds what was committed meanwhile, once."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    anna.read()
    settle(room)
    anna.draw("a")
    anna.flush()
    batch = room.take_batch(0.0)
    assert batch is not None
    bert.enter(room)
    assert bert.wire.of(wire.Step2) == []
    room.commit(1, 0.0)
    assert len(bert.wire.of(wire.Step2)) == 1
    bert.read()
    assert content(bert.doc) == content(anna.doc)


def test_a_viewer_reads_along() -> None:
    """S3: its step 2 (what its cache holds) is ignored with words, and it stays."""
    room = open_room()
    vera, anna = Peer(VERA), Peer(ANNA)
    vera.draw("mine")
    session = vera.enter(room)
    vera.read()
    settle(room)
    assert not session.is_closed
    assert vera.wire.notices == ["You may look at this room, not edit it: your own edits were not taken."]
    assert room.view.seq == 0
    anna.enter(room)
    anna.read()
    anna.draw("a")
    anna.flush()
    settle(room)
    vera.read()
    assert "a" in vera.elements


def test_a_viewer_that_edits_is_told_and_stays() -> None:
    """S3: words, once, and nothing of the edit is taken."""
    room = open_room()
    vera = Peer(VERA)
    session = vera.enter(room)
    vera.read()
    vera.draw("a")
    vera.flush()
    settle(room)
    vera.draw("b")
    vera.flush()
    settle(room)
    assert vera.wire.code is None
    assert vera.wire.notices == [VIEW_ONLY]
    assert room.view.seq == 0
    assert list(room.sessions) == [session]


def test_one_question_at_a_time() -> None:
    """S4: incomplete updates are asked about once, until the answer comes."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    settle(room)
    asked = len(anna.wire.of(wire.Step1))
    gap = update((9, 4, [item(ANY, ANY_FIVE, parent="meta", key="k")]))
    for _ in range(3):
        anna.send(wire.encode_update(gap))
        settle(room)
    assert len(anna.wire.of(wire.Step1)) == asked + 1
    anna.read()
    anna.send(wire.encode_update(gap))
    settle(room)
    assert len(anna.wire.of(wire.Step1)) == asked + 2
    assert anna.wire.closed is None


def test_an_edit_made_before_the_answer_is_not_lost() -> None:
    """S4: it is incomplete, is not asked for again, and comes with the step 2."""
    room = open_room()
    anna = Peer(ANNA)
    anna.draw("offline")
    anna.enter(room)
    anna.draw("early")
    anna.flush()
    settle(room)
    assert len(anna.wire.of(wire.Step1)) == 1
    anna.read()
    settle(room)
    assert set(content(doc_of(room.state(0.0)[1]))["elements"]) == {"offline", "early"}


def test_too_much_mail_pauses_reading_until_all_of_it_is_taken() -> None:
    """S7: by count and by bytes; nothing is dropped, and the other sessions are not paused."""
    for limits in (Limits(mailbox_messages=5), Limits(mailbox_bytes=500)):
        room = open_room(limits=limits)
        anna, bert = Peer(ANNA), Peer(BERT)
        session = anna.enter(room)
        bert.enter(room)
        anna.read()
        settle(room)
        anna.draw("first")
        anna.flush()
        assert room.take_batch(0.0) is not None
        for number in range(20):
            anna.draw(f"e{number}")
        anna.flush()
        assert anna.wire.is_paused
        assert not bert.wire.is_paused
        assert room.take_batch(0.0) is None
        assert anna.wire.is_paused
        room.commit(1, 0.0)
        settle(room)
        assert not anna.wire.is_paused
        assert (session.waiting_messages, session.waiting_bytes) == (0, 0)
        anna.read()
        assert len(content(doc_of(room.state(0.0)[1]))["elements"]) == 21


@pytest.mark.parametrize("reason", ["short", "x" * 500, "é" * 100, "😀" * 60, ""])
def test_reasons_fit_a_close_frame(reason: str) -> None:
    """S5: at most 123 bytes, cut between characters."""
    short = shorten(reason)
    assert len(short.encode()) <= 123
    assert short == reason or reason.startswith(short[:-1])


def test_closing_is_final_and_once() -> None:
    """S5: the first reason is the one the client gets; a closed session hears nothing more."""
    room = open_room()
    anna = Peer(ANNA)
    session = anna.enter(room)
    session.close(Forbidden())
    session.close(ShuttingDown())
    assert anna.wire.code == 4403
    sent = len(anna.wire.sent)
    room.receive(session, wire.encode_step_1(b"\x00"), 0.0)
    room.leave(session, 0.0)
    room.leave(session, 0.0)
    assert len(anna.wire.sent) == sent


def test_every_error_says_what_to_do_and_whether_to_come_back() -> None:
    """S5: 4400-4499 mean stop, every other close means retry."""
    todo: list[type[KanvasError]] = [KanvasError]
    while todo:
        kind = todo.pop()
        todo += [one for one in kind.__subclasses__() if one.__module__ == KanvasError.__module__]
        error = kind()
        assert error.message
        assert "\n" not in error.message
        assert error.retry == (not 4400 <= error.close_code <= 4499)
        assert len(shorten(error.message).encode()) <= 123


def test_live_after_the_answer() -> None:
    """S2: the sync step 2 is what makes a session live."""
    anna = Peer(ANNA)
    assert anna.enter(open_room()).state == Live()


# -- asking again and again ---------------------------------------------------------------------


def drawn_room(limits: Limits | None = None) -> tuple[Room, Peer]:
    room = open_room(limits=limits)
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    anna.draw("a")
    anna.flush()
    settle(room)
    anna.read()
    return room, anna


def test_asking_again_and_again_is_answered_now_and_then() -> None:
    """S11: one answer for many questions, and the edits that came meanwhile are in it."""
    room, anna = drawn_room(Limits(answer_s_per_byte=1.0))
    bert = Peer(BERT)
    session = bert.enter(room)
    assert len(bert.wire.of(wire.Step2)) == 1
    frames = len(bert.wire.of(wire.Update))
    for _ in range(50):
        room.receive(session, wire.encode_step_1(b"\x00"), 1.0)
    assert len(bert.wire.of(wire.Step2)) == 1
    anna.draw("b")
    anna.flush()
    settle(room, 2.0)
    room.beat(3.0)
    assert len(bert.wire.of(wire.Step2)) == 1
    assert len(bert.wire.of(wire.Update)) == frames
    room.beat(10_000.0)
    assert len(bert.wire.of(wire.Step2)) == 2
    bert.read()
    assert set(bert.elements) == {"a", "b"}


def test_unread_answers_are_bounded_for_the_whole_process() -> None:
    """S11: one at least; who waits is answered when others have read or gone. What all share is free."""
    room, anna = drawn_room(Limits(max_answer_bytes=1, answer_s_per_byte=0.0, presence_buffer_bytes=0))
    vector = wire.encode_state_vector({anna.doc.client_id: 0})
    crowd = [Peer(BERT) for _ in range(3)]
    sessions = []
    for peer in crowd:
        sessions.append(peer.enter(room))
        peer.wire.sent.clear()
        peer.wire.buffered_bytes = 10
    for session in sessions:
        room.receive(session, wire.encode_step_1(vector), 0.0)
    assert [len(peer.wire.of(wire.Step2)) for peer in crowd] == [1, 0, 0]
    newcomer = Peer(BERT)
    newcomer.enter(room)
    newcomer.read()
    assert newcomer.synced
    crowd[0].wire.buffered_bytes = 0
    room.beat(1.0)
    assert [len(peer.wire.of(wire.Step2)) for peer in crowd] == [1, 1, 0]
    room.leave(sessions[1], 2.0)
    room.beat(2.0)
    assert [len(peer.wire.of(wire.Step2)) for peer in crowd] == [1, 1, 1]

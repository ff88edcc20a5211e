"""party.room: admission in arrival order, the batch between apply and commit, joins and fan-out."""

from collections.abc import Callable
from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.batch import Author
from party.errors import (
    BadUpdate,
    DocumentBroken,
    Forbidden,
    IncompleteUpdate,
    KanvasError,
    Poison,
    TooLarge,
)
from party.limits import Limits
from party.room import Room
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, VERA, Peer, doc_of, everything, open_room, settle
from tests.party.updates import (
    ANY,
    ANY_FIVE,
    EMPTY_MAP,
    TYPE,
    deletions,
    item,
    ring,
    skip,
    update,
)

Answer = str | KanvasError


def pair(room: Room) -> tuple[Peer, Peer]:
    anna, bert = Peer(ANNA), Peer(BERT)
    for peer in (anna, bert):
        peer.enter(room)
        peer.read()
    settle(room)
    return anna, bert


def drawn(room: Room) -> set[str]:
    return set(content(doc_of(room.state(0.0)[1]))["elements"])


def value(client: int, at: int = 0, key: str = "k") -> bytes:
    """One plain value in a root that no schema looks at."""
    return update((client, at, [item(ANY, ANY_FIVE, parent="meta", key=key)]))


def submit(room: Room, made: bytes, principal: Any = ANNA) -> list[Answer]:
    answers: list[Answer] = []
    room.submit(made, Author(principal), answers.append)
    return answers


# -- bad messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", 4400),
        (b"\x09", 4400),
        (wire.encode_step_1(b"\x05"), 4400),
        (wire.encode_update(value(1)) + b"\x00", 4400),
        (wire.encode_update(b"\x01"), 4400),
        (wire.encode_step_2(b"\xff\xff"), 4400),
        (wire.encode_update(update((1, 0, [item(ANY, b"\x00", parent="t")]))), 4400),
        (wire.encode_step_2(value(1, 5)), 4409),
        (wire.encode_awareness(b"\x01\x01"), 4400),
        (wire.encode_update(b"\x00\x00" + b"\x00" * 2000), 4413),
    ],
)
def test_a_bad_message_costs_its_sender_alone(message: bytes, code: int) -> None:
    """R1, W1, D1, D3: it is closed with its code, and the room and the others go on."""
    room = open_room(limits=Limits(max_update_bytes=1000))
    anna, bert = pair(room)
    anna.draw("a")
    bert.draw("b")
    anna.flush()
    bert.send(message)
    bert.flush()
    settle(room)
    assert bert.wire.code == code
    assert anna.wire.code is None
    assert "a" in drawn(room)
    assert set(room.sessions) == {session for session in room.sessions if session.principal is ANNA}


def test_a_bad_update_does_not_harm_the_others_of_its_batch() -> None:
    """D5, R2: those before and after it are applied in arrival order, in one transaction."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.flush()
    bert.send(wire.encode_update(b"\x01\x01\x05\x00\x04"))
    anna.draw("b")
    anna.elements["a"]["z"] = "a9"
    anna.flush()
    batch = room.take_batch(0.0)
    assert batch is not None
    assert len(batch.entries) == 3
    assert len(batch.frames) == 1
    assert [entry.user_id for entry in batch.entries] == ["u-anna"] * 3
    room.commit(3, 0.0)
    anna.read()
    assert everything(anna.doc) == everything(doc_of(room.state(0.0)[1]))


# -- completeness -------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_and_then_all_of_it_is_there() -> None:
    """D3, S4: an update with a lost predecessor is neither applied, journalled nor sent on."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("lost")
    anna.outgoing.clear()
    anna.draw("kept")
    anna.flush()
    assert settle(room) == 0
    assert room.view.seq == 0
    assert bert.wire.of(wire.Update) == []
    anna.read()
    settle(room)
    bert.read()
    assert set(content(bert.doc)["elements"]) == {"lost", "kept"}


def test_earlier_updates_of_the_batch_count() -> None:
    """D3: two updates that build on each other, from two sessions, in one batch."""
    room = open_room("open")
    anna, bert = pair(room)
    anna.send(wire.encode_update(value(1)))
    bert.send(wire.encode_update(update((2, 0, [item(ANY, ANY_FIVE, left=(1, 0))]))))
    assert settle(room) == 1
    assert room.view.vector == {1: 1, 2: 1}


def test_an_incomplete_update_over_http_says_from_where() -> None:
    """D3, R9: 409 with the committed state vector."""
    room = open_room("open", updates=[value(1)])
    (answer,) = ask(room, value(1, 5))
    assert isinstance(answer, IncompleteUpdate)
    assert (answer.status, wire.decode_state_vector(answer.state_vector)) == (409, {1: 1})


def ask(room: Room, made: bytes, principal: Any = ANNA) -> list[Answer]:
    answers = submit(room, made, principal)
    settle(room)
    return answers


@pytest.mark.parametrize("others", [[], [value(5)], [value(5), value(6)]])
def test_a_ring_is_refused_and_the_room_survives(others: list[bytes]) -> None:
    """D4, R6: two clients whose structs wait for each other are poison; nothing of it stays."""
    room = open_room("open", updates=[value(1)])
    anna, bert = pair(room)
    for made in others:
        anna.send(wire.encode_update(made))
    bert.send(wire.encode_update(ring(8, 9)))
    settle(room)
    assert bert.wire.code == 4422
    assert anna.wire.code is None
    assert room.view.vector == {1: 1} | {5 + at: 1 for at in range(len(others))}
    assert not dissect(room.state(0.0)[1]).missing({})
    anna.send(wire.encode_update(value(8)))
    settle(room)
    assert room.view.vector[8] == 1


# -- nothing new --------------------------------------------------------------------------------


def test_what_is_known_is_acknowledged_and_nothing_else() -> None:
    """D7: the same update again, an empty one, a repeated delete: no row, no frame, an answer."""
    made, gone = value(1), update(deleted=deletions((1, [(0, 1)])))
    room = open_room("open", updates=[made, gone])
    anna, _ = pair(room)
    heard = len(anna.wire.sent)
    for again in (made, gone, b"\x00\x00", update((1, 0, [skip(3)]))):
        anna.send(wire.encode_update(again))
        assert ask(room, again) == ["1-2"]
    assert len(anna.wire.sent) == heard
    assert room.view.seq == 2


# -- repairs ------------------------------------------------------------------------------------


def test_an_invalid_value_is_mended_in_the_same_batch() -> None:
    """D6: by the server, as a row and frame of their own; valid values beside it are not touched."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.draw("b", x="wrong", mine=[1])
    anna.flush()
    batch = room.take_batch(0.0)
    assert batch is not None
    assert [entry.user_id for entry in batch.entries] == ["u-anna", "u-anna", "server"]
    room.commit(3, 0.0)
    for peer in (anna, bert):
        peer.read()
    elements = content(bert.doc)["elements"]
    assert elements["b"]["geometry"] == {"x": 0, "y": 0, "width": 1, "height": 1, "angle": 0, "mine": [1]}
    assert everything(anna.doc) == everything(bert.doc)
    assert set(dissect(batch.entries[2].update).deletions) == {anna.doc.client_id}
    assert len(dissect(batch.entries[2].update).deletions[anna.doc.client_id]) == 1


@pytest.mark.parametrize("apart", [True, False])
def test_the_third_repair_of_one_value_closes_its_session(apart: bool) -> None:
    """D6: 4422 to the author; other values and other sessions have their own count."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.draw("b")
    anna.flush()
    settle(room)
    for turn in range(3):
        for peer in (anna, bert):
            peer.read()
        anna.elements["a"]["z"] = 5
        if turn < 2:
            anna.elements["b"]["deleted"] = "yes"
        anna.flush()
        settle(room)
        if apart:
            bert.elements["a"]["z"] = f"a{turn}"
            bert.flush()
            settle(room)
        assert (anna.wire.code == 4422) == (turn == 2)
    assert bert.wire.code is None
    assert all(session.principal is BERT for session in room.sessions)


def test_many_repairs_of_many_values_close_nobody() -> None:
    """D6: an old client that always gets the same field wrong once per element keeps drawing."""
    room = open_room()
    anna, _ = pair(room)
    for number in range(20):
        anna.draw(f"e{number}", angle=None)
        anna.flush()
        settle(room)
    assert anna.wire.code is None


# -- size ---------------------------------------------------------------------------------------


def test_a_full_room_takes_no_more() -> None:
    """D8: 4413; what fits is taken, reading and deleting of rows go on."""
    room = open_room("open", limits=Limits(max_document_bytes=2000))
    anna, bert = pair(room)
    big = update(
        (1, 0, [item(ANY, b"\x01\x74" + wire.encode_uint(1900) + b"x" * 1900, parent="meta", key="k")])
    )
    anna.send(wire.encode_update(big))
    settle(room)
    bert.send(wire.encode_update(update((2, 0, [item(ANY, b"\x01\x74\xff\x01" + b"y" * 255, parent="t")]))))
    settle(room)
    assert bert.wire.code == 4413
    assert anna.wire.code is None
    assert isinstance(
        ask(room, update((2, 0, [item(ANY, b"\x01\x74\x7f" + b"y" * 127, parent="t")])))[0], TooLarge
    )


def test_one_batch_does_not_get_past_the_limit() -> None:
    """D8: the updates of a batch count together, before any of them is committed."""
    room = open_room("open", limits=Limits(max_document_bytes=2000))
    anna, _ = pair(room)
    for at in range(20):
        body = b"\x01\x74" + wire.encode_uint(200) + b"x" * 200
        anna.send(wire.encode_update(update((1, at, [item(ANY, body, parent="t")]))))
    settle(room)
    assert anna.wire.code == 4413
    assert len(room.state(0.0)[1]) <= 2000


def test_an_update_over_the_limit_is_refused_at_the_door() -> None:
    """D8, R9: over HTTP as over the socket."""
    room = open_room(limits=Limits(max_update_bytes=100))
    assert isinstance(submit(room, b"\x00" * 101)[0], TooLarge)


# -- HTTP and leaving ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "principal", "error"),
    [
        (lambda: b"\xff", ANNA, BadUpdate),
        (lambda: value(1, 7), ANNA, IncompleteUpdate),
        (lambda: value(1), VERA, Forbidden),
        (lambda: ring(1, 2), ANNA, Poison),
    ],
)
def test_an_update_over_http_keeps_the_rules(
    made: Callable[[], bytes], principal: Any, error: type[KanvasError]
) -> None:
    """R9: the answer is the error; nothing is journalled."""
    room = open_room("open")
    (answer,) = ask(room, made(), principal)
    assert type(answer) is error
    assert room.view.seq == 0


def test_an_update_over_http_is_mended_and_sent_on() -> None:
    """R9, D6: like one from a socket, and answered with the version that holds it and its repair."""
    room = open_room()
    anna, _ = pair(room)
    author = Peer()
    author.draw("a", width=None)
    assert ask(room, author.doc.get_update()) == ["1-2"]
    anna.read()
    assert content(anna.doc)["elements"]["a"]["geometry"]["width"] == 0


def test_what_was_sent_before_leaving_is_applied() -> None:
    """R10: the tab was closed right after the stroke."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("last")
    anna.flush()
    anna.disconnect()
    settle(room)
    bert.read()
    assert set(content(bert.doc)["elements"]) == {"last"}


def test_the_mail_of_who_was_closed_is_void() -> None:
    """R1, R10: what a session sent before it broke the rules is not worth an exception; it may come back."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.flush()
    anna.send(b"\xff")
    settle(room)
    assert drawn(room) == set()
    assert bert.wire.code is None


def test_an_element_may_be_drawn_again_under_its_id() -> None:
    """D2, C1: a map in the place of a map is not nested, however often."""
    room = open_room()
    anna, _ = pair(room)
    for number in range(300):
        anna.draw("same", x=number)
    anna.flush()
    settle(room)
    anna.draw("same", x=-1)
    anna.flush()
    settle(room)
    assert anna.wire.code is None
    assert content(doc_of(room.state(0.0)[1]))["elements"]["same"]["geometry"]["x"] == -1


def test_who_is_present() -> None:
    """R2: each user once, with as many tabs as they like."""
    room = open_room()
    for principal in (ANNA, ANNA, BERT):
        Peer(principal).enter(room)
    assert sorted(one.name for one in room.present()) == ["Anna", "Bert"]


def test_a_failure_nobody_thought_of_leaves_the_mail_for_the_hub() -> None:
    """H6, R9: it drops the room then, and tells whoever waits over HTTP."""
    room = open_room()
    answers = submit(room, update((1, 0, [item(TYPE, EMPTY_MAP, parent="elements", key="a")])))
    room._writer.document.values = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        room.take_batch(0.0)
    assert answers == []
    room.send_away(DocumentBroken(), 0.0)
    assert [type(answer) for answer in answers] == [DocumentBroken]

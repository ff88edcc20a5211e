"""party.presence: who is here, relays, takeovers and ghosts."""

import json
from typing import Any

import pytest

from party import wire
from party.errors import BadFrame
from party.limits import Limits
from party.ports import Principal
from party.presence import DEPARTED, Presence, stamp
from party.session import Session
from party.tint import tint
from party.wire import MAX_SAFE_INTEGER, ClientState, decode_awareness, encode_awareness_states
from tests.party.peers import ANNA, BERT, Peer, Wire, open_room, settle
from tests.party.updates import text, uint


def presence(**limits: int) -> Presence:
    return Presence(**{"max_state_bytes": 1000, "max_clients": 4, **limits})


def session(principal: Principal = ANNA) -> Session:
    return Session(principal, Wire())


def payload(client_id: int, clock: int, state: Any) -> bytes:
    return encode_awareness_states([ClientState(client_id, clock, state)])


def drained(here: Presence) -> dict[int, tuple[int, Any]]:
    out = here.drain()
    return {one.client_id: (one.clock, one.state) for one in decode_awareness(out)} if out else {}


def stamped(principal: Principal, **state: Any) -> dict[str, Any]:
    user_id = principal.user_id
    return {**state, "user": {"id": user_id, "name": principal.name, "color": tint(user_id)}}


@pytest.mark.parametrize(
    "user", [None, 5, [], {}, {"id": "u-bert", "name": "Bert"}, {"color": "#f00", "id": 1}]
)
def test_the_server_says_who_it_is(user: Any) -> None:
    """P1: id, name and colour are the server's, whatever the client wrote."""
    state = stamp({"cursor": [1, 2], "user": user}, ANNA)
    assert state["user"]["id"] == "u-anna"
    assert state["user"]["name"] == "Anna"
    assert state["cursor"] == [1, 2]
    assert state["user"]["color"] == "#a8ffd4"


def test_stamping_keeps_the_clients_order_and_object() -> None:
    """P1: nothing but the three values changes."""
    given_state = {"b": 1, "user": {"name": "x", "color": "red", "id": "y"}, "a": 2}
    before = json.dumps(given_state)
    after = before.replace('"x"', '"Anna"').replace('"y"', '"u-anna"').replace('"red"', '"#a8ffd4"')
    assert json.dumps(stamp(given_state, ANNA)) == after
    assert json.dumps(given_state) == before


@pytest.mark.parametrize("state", [[], 5, "x", True])
def test_a_state_that_is_no_object_is_dropped(state: Any) -> None:
    """P1, P5: there is nowhere to write who it is."""
    here, anna = presence(), session()
    here.receive(anna, payload(1, 1, state))
    assert drained(here) == {}
    assert anna.dropped_presence == 1


def test_a_clock_only_moves_forward() -> None:
    """P2: an older state and an equal one are ignored, a null state removes."""
    here, anna = presence(), session()
    here.receive(anna, payload(1, 5, {"n": 5}))
    here.receive(anna, payload(1, 4, {"n": 4}))
    here.receive(anna, payload(1, 5, {"n": 55}))
    assert drained(here) == {1: (5, stamped(ANNA, n=5))}
    here.receive(anna, payload(1, 4, None))
    assert drained(here) == {}
    here.receive(anna, payload(1, 5, None))
    assert drained(here) == {1: (5, None)}
    here.receive(anna, payload(1, 5, {"n": 6}))
    assert drained(here) == {}
    here.receive(anna, payload(1, 6, {"n": 6}))
    assert drained(here) == {1: (6, stamped(ANNA, n=6))}


def test_a_null_state_of_nobody_is_nothing() -> None:
    """P2: it does not make somebody who was never here depart."""
    here, anna = presence(), session()
    assert here.receive(anna, payload(1, 5, None)) is None
    assert not here.is_dirty
    here.receive(anna, payload(1, 1, {}))
    assert drained(here) == {1: (1, stamped(ANNA))}


def test_relays_are_ignored_and_counted() -> None:
    """P3: stock clients send on everybody's states; neither stamp nor owner change, nobody is closed."""
    here, anna, bert = presence(), session(), session(BERT)
    here.receive(anna, payload(1, 5, {"n": 5}))
    broadcast = here.drain()
    assert broadcast is not None
    here.receive(bert, broadcast)
    here.receive(bert, payload(1, 5, stamped(ANNA, n=5)))
    here.receive(bert, payload(1, 9, {"n": 9}))
    here.receive(bert, payload(1, 9, None))
    assert here.ignored == 4
    assert not here.is_dirty
    here.leave(bert)
    assert not here.is_dirty


def test_a_relay_in_a_message_with_an_own_state() -> None:
    """P3: one message may carry both; the own one counts."""
    here, anna, bert = presence(), session(), session(BERT)
    here.receive(anna, payload(1, 1, {}))
    here.drain()
    both = [ClientState(1, 7, {"fake": 1}), ClientState(2, 1, {"cursor": 1})]
    here.receive(bert, encode_awareness_states(both))
    assert drained(here) == {2: (1, stamped(BERT, cursor=1))}


def test_the_same_person_takes_over_on_a_new_socket() -> None:
    """P3: with a higher clock; the death of the old socket then changes nothing."""
    here, old, new = presence(), session(), session()
    here.receive(old, payload(1, 5, {"n": 5}))
    here.receive(new, payload(1, 5, {"n": 5}))
    here.receive(new, payload(1, 6, {"n": 6}))
    assert drained(here) == {1: (6, stamped(ANNA, n=6))}
    here.leave(old)
    assert not here.is_dirty
    here.leave(new)
    assert drained(here) == {1: (7, None)}


def test_another_person_cannot_take_over() -> None:
    """P3: not even with a higher clock, not even to remove."""
    here, anna, bert = presence(), session(), session(BERT)
    here.receive(anna, payload(1, 5, {}))
    here.drain()
    here.receive(bert, payload(1, 100, {"user": {"id": "u-anna"}}))
    here.receive(bert, payload(1, 101, None))
    assert not here.is_dirty


def test_only_the_last_state_leaves() -> None:
    """P4: a hundred moves between two ticks are one state; one payload holds everybody who changed."""
    here, anna, bert = presence(), session(), session(BERT)
    for clock in range(1, 101):
        here.receive(anna, payload(1, clock, {"n": clock}))
    here.receive(bert, payload(2, 1, {}))
    assert drained(here) == {1: (100, stamped(ANNA, n=100)), 2: (1, stamped(BERT))}
    assert here.drain() is None


def test_who_came_and_went_between_two_ticks_is_gone() -> None:
    """P4, P7: the last state is that he left."""
    here, anna = presence(), session()
    here.receive(anna, payload(1, 1, {}))
    here.leave(anna)
    assert drained(here) == {1: (2, None)}
    assert here.everybody() is None


@pytest.mark.parametrize("state", [{"x": "y" * 1000}, {"x": ["é" * 500]}])
def test_a_state_that_is_too_large_is_dropped(state: Any) -> None:
    """P5: and counted; the last good one stays."""
    here, anna = presence(), session()
    here.receive(anna, payload(1, 1, {"n": 1}))
    here.receive(anna, payload(1, 2, state))
    assert drained(here) == {1: (1, stamped(ANNA, n=1))}
    assert anna.dropped_presence == 1


def test_a_state_that_is_too_deep_to_write_is_dropped_or_refused() -> None:
    """P5, R1: however deep; the tick that sends it never fails."""
    for depth in range(100, 1200, 7):
        here, anna = presence(max_state_bytes=100_000), session()
        raw = b'{"a":' * depth + b"1" + b"}" * depth
        try:
            here.receive(anna, uint(1) + uint(1) + uint(1) + text(raw))
        except BadFrame:
            continue
        here.everybody()
        here.drain()


def test_one_session_has_so_many_clients_and_no_more() -> None:
    """P5: made-up client ids cost bounded memory, of those present and of those remembered."""
    here, anna = presence(), session()
    for client_id in range(10):
        here.receive(anna, payload(client_id, 1, {}))
    assert len(drained(here)) == 4
    for client_id in range(4, 3 * DEPARTED):
        here.receive(anna, payload(client_id, 1, {}))
        here.leave(anna)
    assert len(here._departed) <= DEPARTED


def test_nothing_but_bad_frame_comes_out() -> None:
    """W1, P3: half a payload is an error of its sender."""
    here, anna = presence(), session()
    for cut in range(1, 8):
        with pytest.raises(BadFrame):
            here.receive(anna, payload(1, 1, {"abc": 1})[:-cut])


def test_a_ghost_is_not_brought_back() -> None:
    """P7: a relay of somebody who left is answered with his departure, which heals the relaying one."""
    here, anna, bert = presence(), session(), session(BERT)
    here.receive(anna, payload(1, 5, {"n": 5}))
    here.drain()
    here.leave(anna)
    assert drained(here) == {1: (6, None)}
    for clock in (4, 5, 6):
        answer = here.receive(bert, payload(1, clock, stamped(ANNA, n=5)))
        assert answer is not None
        assert decode_awareness(answer) == [ClientState(1, 6, None)]
    assert not here.is_dirty


def test_who_comes_back_is_seen_again() -> None:
    """P7: y-protocols does not raise the clock on reconnect; told that it is gone, a client does."""
    here = presence()
    anna = session()
    here.receive(anna, payload(1, 5, stamped(ANNA, n=5)))
    broadcast = here.drain()
    # what a stock client sends may be the very bytes that were sent on
    assert broadcast == payload(1, 5, stamped(ANNA, n=5))
    here.leave(anna)
    again = session()
    answer = here.receive(again, payload(1, 5, stamped(ANNA, n=5)))
    assert answer is not None
    (gone,) = decode_awareness(answer)
    assert gone.state is None
    # applyAwarenessUpdate of y-protocols: a null state for the own client raises the clock
    assert gone.clock > 5
    here.receive(again, payload(1, gone.clock + 1, {"n": 5}))
    assert drained(here) == {1: (gone.clock + 1, stamped(ANNA, n=5))}


def test_a_clock_at_the_end_of_numbers() -> None:
    """W2, P7: the departure of a client with the highest clock is still a number that peers can read."""
    here, anna = presence(), session()
    here.receive(anna, payload(1, MAX_SAFE_INTEGER, {}))
    here.leave(anna)
    assert drained(here) == {1: (MAX_SAFE_INTEGER, None)}


# -- in a room ----------------------------------------------------------------------------------


def test_presence_leaves_during_a_commit_and_is_never_journalled() -> None:
    """P4: one awareness message per tick, to the author as well."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    bert.enter(room)
    anna.read()
    bert.read()
    settle(room)
    anna.draw("a")
    anna.flush()
    assert room.take_batch(0.0) is not None
    anna.say(1, 1, {"n": 1})
    anna.say(1, 2, {"n": 2})
    bert.say(2, 1, {})
    assert room.has_work
    room.send_presence(0.0)
    room.send_presence(0.0)
    for peer in (anna, bert):
        (message,) = peer.wire.of(wire.Awareness)
        assert [(one.client_id, one.clock) for one in decode_awareness(message.payload)] == [(1, 2), (2, 1)]
    assert not room.has_work
    assert room.view.seq == 0


def test_presence_is_dropped_for_who_is_behind() -> None:
    """P5: above 64 KiB unsent; the others get it, and a question is not answered either."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    session_of_bert = bert.enter(room)
    bert.wire.buffered_bytes = 64 * 1024 + 1
    anna.say(1, 1, {})
    room.send_presence(0.0)
    assert len(anna.wire.of(wire.Awareness)) == 1
    assert bert.wire.of(wire.Awareness) == []
    bert.send(b"\x03")
    assert bert.wire.of(wire.Awareness) == []
    assert session_of_bert.dropped_presence == 2
    bert.wire.buffered_bytes = 64 * 1024
    bert.send(b"\x03")
    assert len(bert.wire.of(wire.Awareness)) == 1


def test_a_quiet_connection_is_kept_alive() -> None:
    """P6: after 20 s without anything sent, an empty awareness message."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room, now=0.0)
    sent = len(anna.wire.sent)
    room.beat(19.0)
    assert len(anna.wire.sent) == sent
    room.beat(20.5)
    assert anna.wire.sent[sent:] == [b"\x01\x01\x00"]
    room.beat(21.0)
    assert len(anna.wire.sent) == sent + 1


def test_leaving_removes_and_coming_back_is_answered() -> None:
    """P7: in a room, over the wire, alone to the one who asks."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    bert.enter(room)
    anna.say(1, 5, {})
    room.send_presence(0.0)
    bert.read()
    assert bert.states[1].state == stamped(ANNA)
    anna.disconnect()
    assert room.has_work
    room.send_presence(0.0)
    bert.read()
    assert bert.states[1] == ClientState(1, 6, None)
    heard = len(bert.wire.sent)
    anna.enter(room)
    anna.say(1, 5, {})
    anna.read()
    assert anna.states[1] == ClientState(1, 6, None)
    assert len(bert.wire.sent) == heard
    anna.say(1, 7, {})
    room.send_presence(0.0)
    bert.read()
    assert bert.states[1] == ClientState(1, 7, stamped(ANNA))


def test_a_bad_state_costs_its_sender_alone() -> None:
    """W5, R1: NaN closes with 4400."""
    room = open_room(limits=Limits())
    anna, bert = Peer(ANNA), Peer(BERT)
    anna.enter(room)
    bert.enter(room)
    anna.send(wire.encode_awareness(uint(1) + uint(1) + uint(1) + text("NaN")))
    assert anna.wire.code == 4400
    assert bert.wire.code is None


# -- depth, relays, colours ---------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "kept"), [(15, True), (16, False)])
def test_a_state_is_at_most_16_deep(levels: int, kept: bool) -> None:
    """P5: the state itself is the first level; brackets in a text don't count."""
    here, anna = presence(), session()
    state: Any = "[" * 30
    for level in range(levels):
        state = [state] if level % 2 else {"a": state}
    here.receive(anna, payload(1, 1, {"deep": state, "user": {}}))
    assert bool(drained(here)) == kept
    assert anna.dropped_presence == (not kept)


def test_a_relay_without_ones_own_state_is_dropped_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """P8: what a stock client sends back is everything we sent but its own."""
    here = presence(max_clients=1)
    crowd = [session() for _ in range(5)]
    for number, one in enumerate(crowd, 300):
        here.receive(one, payload(number, 1, {"n": number}))
    sent = here.drain()
    assert sent is not None
    states = decode_awareness(sent)
    monkeypatch.setattr("party.presence.split_awareness", None)
    for number, one in enumerate(crowd, 300):
        others = [state for state in states if state.client_id != number]
        assert here.receive(one, encode_awareness_states(others)) is None
        assert here.receive(one, sent) is None
    assert here.ignored == 10
    monkeypatch.undo()
    # what only looks like it is read
    here.receive(crowd[0], payload(300, 2, {"n": 0}))
    assert drained(here)[300][0] == 2


@pytest.mark.parametrize(
    ("user_id", "colour"),
    [("u-anna", "#a8ffd4"), ("usr_1", "#a8a8ff"), ("\u00f6\U0001f600x", "#ffa8a8"), ("a" * 64, "#a8f1ff")],
)
def test_a_colour_is_the_same_everywhere(user_id: str, colour: str) -> None:
    """P1: as the browser's own function gives it (static/tests/app, the same four)."""
    assert tint(user_id) == colour

"""Roles in the engine: what a viewer or commenter sends, and roles that change while people are in a room."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from party import wire
from party.batch import Author
from party.errors import ClientIdTaken, Forbidden, KanvasError, KeptOut
from party.guard import Guard
from party.hub import Hub, open_hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.ports import Principal, Role
from party.restraints import Exclusion
from party.room import REMOVED
from party.session import Session
from party.writer import VIEW_ONLY
from tests.party.nodes import Cluster
from tests.party.peers import ANNA, BERT, Peer, TestJournal, open_room, quiet, settle

VERA = Principal("u-vera", "Vera", role="viewer")
CARL = Principal("u-carl", "Carl", role="commenter")
HIDDEN = replace(VERA, is_shown=False)
EDITOR = replace(VERA, role="editor")


def drawn(name: str) -> bytes:
    peer = Peer()
    peer.draw(name)
    return peer.doc.get_update()


# -- what they send -----------------------------------------------------------------------------


def messages(dice: random.Random) -> list[bytes]:
    """One of each kind a client can send, sound or not, and some that are nothing."""
    peer = Peer(client_id=dice.randrange(1, 2**31))
    peer.draw(f"e{dice.randrange(4)}")
    with peer.doc.transaction():
        del peer.elements[next(iter(peer.elements))]
    peer.draw(f"f{dice.randrange(4)}", x=dice.random())
    update = peer.doc.get_update()
    state = [wire.ClientState(dice.randrange(2**31), dice.randrange(9), {"pointer": 1})]
    return [
        wire.encode_update(update),
        wire.encode_update(b"\x00\x00"),
        wire.encode_update(peer.outgoing[-1]),
        wire.encode_update(update[: dice.randrange(len(update))]),
        wire.encode_update(dice.randbytes(dice.randrange(40))),
        wire.encode_step_2(update),
        wire.encode_step_2(peer.outgoing[0]),
        wire.encode_step_2(dice.randbytes(dice.randrange(40))),
        wire.encode_step_1(peer.doc.get_state()),
        wire.encode_awareness(wire.encode_awareness_states(state)),
        wire.encode_notice("no"),
        b"\x03",
        bytes((64, 0, 1, 65)),
        bytes((65, 1, 65)),
        dice.randbytes(dice.randrange(1, 40)),
    ]


@pytest.mark.parametrize("who", [VERA, CARL, HIDDEN], ids=["viewer", "commenter", "hidden"])
@pytest.mark.parametrize("seed", range(12))
def test_whatever_they_send_the_room_stays_as_it_is(who: Principal, seed: int) -> None:
    """G5, S3: every message type, in any order; a sound one keeps the socket, a bad one costs its sender."""
    dice = random.Random(seed)
    room = open_room(updates=[drawn("a")])
    before = room.state(0.0)
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    peer = Peer(who)
    session = peer.enter(room)
    refused: list[str | KanvasError] = []
    for _ in range(60):
        if session.is_closed:
            peer = Peer(who)
            session = peer.enter(room)
        sent = dice.choice(messages(dice))
        peer.send(sent)
        if sent[:2] == b"\x00\x02":
            room.submit(sent[3:], Author(who), refused.append)
        settle(room)
    assert room.state(0.0) == before
    assert room.view.seq == 1
    assert refused
    assert all(isinstance(one, Forbidden) for one in refused)
    assert not anna.wire.of(wire.Update)


def test_a_sound_edit_of_theirs_keeps_the_socket_and_is_told_once() -> None:
    """G5: updates and step 2 alike; presence goes on."""
    room = open_room()
    anna = Peer(ANNA)
    anna.enter(room)
    for who in (VERA, CARL):
        peer = Peer(who)
        peer.draw("before")
        peer.enter(room)
        peer.read()
        for number in range(3):
            peer.draw(f"e{number}")
        peer.flush()
        peer.say(peer.doc.client_id, 1, {"pointer": 1})
        settle(room)
        anna.read()
        assert peer.wire.code is None
        assert peer.wire.notices == [VIEW_ONLY]
        assert anna.states[peer.doc.client_id].state is not None
    assert room.view.seq == 0


# -- roles that change --------------------------------------------------------------------------


def enter(room: object, peer: Peer, told: list[Role]) -> Session:
    session = peer.enter(room)  # type: ignore[arg-type]
    session.on_role = told.append
    return session


def test_what_waits_is_judged_by_the_role_of_now() -> None:
    """G4, G6: a downgrade counts for the mailbox; the socket stays and hears of it, and of the way back."""
    room = open_room()
    vera, told = Peer(EDITOR), list[Role]()
    enter(room, vera, told)
    vera.read()
    settle(room)
    vera.draw("a")
    vera.flush()
    room.change_roles({VERA.user_id: VERA}, 0.0)
    settle(room)
    assert (room.view.seq, vera.wire.code, told) == (0, None, ["viewer"])
    assert vera.wire.notices == [VIEW_ONLY]
    # the same again is no change
    room.change_roles({VERA.user_id: VERA}, 0.0)
    assert told == ["viewer"]
    # allowed again: what builds on what was refused is asked for, and nothing is lost
    room.change_roles({VERA.user_id: EDITOR}, 0.0)
    vera.draw("b")
    vera.flush()
    settle(room)
    vera.read()
    settle(room)
    assert told == ["viewer", "editor"]
    assert room.view.seq > 0
    fresh = Peer(ANNA)
    fresh.enter(room)
    fresh.read()
    assert set(fresh.elements) == {"a", "b"}
    # and a second downgrade is told again
    room.change_roles({VERA.user_id: VERA}, 0.0)
    vera.draw("c")
    vera.flush()
    settle(room)
    assert vera.wire.notices == [VIEW_ONLY, VIEW_ONLY]


def test_who_draws_and_may_not_is_noted_once_for_each_role() -> None:
    """Y8: what a cache brings along is no attempt, even where it names what was deleted."""
    room = open_room()
    anna, vera, noted = Peer(ANNA), Peer(VERA), list[str]()
    anna.enter(room)
    anna.read()
    settle(room)
    session = vera.enter(room)
    session.on_attempt = lambda: noted.append(session.principal.role)
    vera.read()
    settle(room)
    assert noted == []
    for key in ("a", "b"):
        vera.draw(key)
        vera.flush()
        settle(room)
    assert noted == ["viewer"]
    room.change_roles({VERA.user_id: replace(VERA, role="commenter")}, 0.0)
    vera.draw("c")
    vera.flush()
    settle(room)
    assert noted == ["viewer", "commenter"]


def test_a_role_is_never_more_than_the_token_is_good_for() -> None:
    """G4: nor does a change of the role make more of it, or of the name."""
    room = open_room()
    reader = Peer(replace(ANNA, role="viewer", most_role="viewer", name="Of old"))
    told: list[Role] = []
    session = enter(room, reader, told)
    room.change_roles({ANNA.user_id: replace(ANNA, role="owner")}, 0.0)
    assert (session.principal.role, session.principal.name, told) == ("viewer", "Of old", [])


def test_who_has_no_role_any_more_is_sent_out() -> None:
    """G6: 4403 with words; what waited is void, others stay, and presence says so."""
    room = open_room()
    anna, vera, again = Peer(ANNA), Peer(EDITOR), Peer(EDITOR)
    anna.enter(room)
    for peer in (vera, again):
        peer.enter(room)
        peer.read()
    vera.say(vera.doc.client_id, 1, {"pointer": 1})
    settle(room)
    vera.draw("a")
    vera.flush()
    room.change_roles({VERA.user_id: None, "somebody": None}, 0.0)
    settle(room)
    anna.read()
    assert vera.wire.closed == again.wire.closed == (4403, REMOVED)
    assert anna.wire.code is None
    assert room.view.seq == 0
    assert [one.user_id for one in room.present()] == [ANNA.user_id]
    assert anna.states[vera.doc.client_id].state is None


async def test_an_update_over_http_is_judged_by_the_role_of_now() -> None:
    """G4: also one that came back from the journal, or whose room has to be loaded anew."""
    journal = TestJournal()
    journal.create("r")
    async with open_hub(journal, Limits()) as hub:
        await Peer(ANNA).connect(hub)
        journal.load_gate.clear()
        await hub.evict("r", KanvasError())
        waiting = [asyncio.create_task(hub.submit("r", one, drawn(one.name))) for one in (BERT, EDITOR)]
        await asyncio.sleep(0)
        assert {one.user_id for one in hub.people("r")} == {BERT.user_id, EDITOR.user_id}
        hub.set_roles("r", {BERT.user_id: None, EDITOR.user_id: VERA})
        journal.load_gate.set()
        for one in waiting:
            with pytest.raises(Forbidden):
                await one
        assert await hub.submit("r", ANNA, drawn("a")) == "1-1"
        assert hub.people("r") == []


async def test_a_client_is_told_its_role_right_after_joining() -> None:
    """G6: after the room's own first words."""
    journal = MemoryJournal()
    journal.create("r")
    async with open_hub(journal, Limits()) as hub:
        peer, told = Peer(CARL), list[tuple[int, Role]]()
        await hub.join("r", CARL, peer.wire, on_role=lambda role: told.append((len(peer.wire.sent), role)))
        assert told == [(1, "commenter")]
        hub.set_roles("r", {CARL.user_id: replace(CARL, role="owner")})
        assert told[-1] == (1, "owner")
        hub.set_roles("nowhere", {CARL.user_id: None})


# -- hidden viewers -----------------------------------------------------------------------------


async def test_a_hidden_viewer_is_seen_by_nobody_on_any_node() -> None:
    """G7: neither in presence nor among the people, here or there; shown again he is seen again."""
    async with Cluster(Limits()) as nodes:
        nodes.shared.create("r")
        here, there = await nodes.start(), await nodes.start()
        anna, bert = await Peer(ANNA).connect(here.hub), await Peer(BERT).connect(there.hub)
        vera = await Peer(HIDDEN).connect(here.hub)

        clock = count(1)

        async def shown_to(*, is_so: bool) -> None:
            async with asyncio.timeout(10):
                while True:
                    await quiet(anna, bert, vera)
                    await asyncio.sleep(0.02)
                    vera.say(vera.doc.client_id, next(clock), {"pointer": 1})
                    states = [peer.states.get(vera.doc.client_id) for peer in (anna, bert)]
                    in_state = {one is not None and one.state is not None for one in states}
                    listed = {
                        VERA.user_id in {one.user_id for one in node.hub.present("r")}
                        for node in (here, there)
                    }
                    if in_state == listed == {is_so}:
                        return

        await shown_to(is_so=False)
        here.hub.set_roles("r", {VERA.user_id: VERA})
        await shown_to(is_so=True)
        here.hub.set_roles("r", {VERA.user_id: HIDDEN})
        await shown_to(is_so=False)
        # he sees them all the while
        assert len(here.hub.people("r")) == 2


# -- aliases ------------------------------------------------------------------------------------

GUEST = Principal("g-1", "Guest")
ACCOUNT = Principal("u-1", "Account", aliases=frozenset({"g-1", "g-2"}))


def test_an_account_edits_under_the_ids_of_the_guest_it_was() -> None:
    """G8, O1: what the guest's page holds goes on, live and in a step 2; a stranger may not."""
    room = open_room()
    guest = Peer(GUEST)
    guest.enter(room)
    guest.read()
    guest.say(guest.doc.client_id, 1, {"pointer": 1})
    guest.draw("a")
    guest.flush()
    settle(room)
    client = guest.doc.client_id
    assert room.presence.announcer(client) == "g-1"
    guest.disconnect()
    settle(room)
    guest.principal = ACCOUNT
    guest.draw("b")
    guest.enter(room)
    guest.read()
    settle(room)
    guest.draw("c")
    guest.flush()
    guest.say(client, 5, {"pointer": 2})
    settle(room)
    assert guest.wire.code is None
    anna = Peer(ANNA)
    anna.enter(room)
    anna.read()
    assert set(anna.elements) == {"a", "b", "c"}
    assert anna.states[client].state["user"]["id"] == "u-1"
    # nothing is bound anew, for the journal would refuse that (J12)
    assert room._writer.ownership.owner(client) == "g-1"
    bert = Peer(BERT, client_id=client)
    bert.enter(room)
    bert.read()
    bert.say(client, 9, {"pointer": 3})
    settle(room)
    bert.draw("x")
    bert.flush()
    settle(room)
    assert bert.wire.code == ClientIdTaken.close_code


async def test_who_keeps_the_guest_out_keeps_the_account_out() -> None:
    """G8: signing in does not lift what an operator ordered."""
    journal, guard = MemoryJournal(), Guard(clock=lambda: 0.0)
    journal.create("r")
    guard.restraints.replace((), [Exclusion("r", "g-2", 9e9)])
    attempts: list[Callable[[Hub], object]] = [
        lambda hub: Peer(ACCOUNT).connect(hub),
        lambda hub: hub.submit("r", ACCOUNT, drawn("a")),
    ]
    async with open_hub(journal, Limits(), guard=guard) as hub:
        for attempt in attempts:
            with pytest.raises(KeptOut):
                await attempt(hub)  # type: ignore[misc]
        guard.restraints.replace((), ())
        peer = await Peer(ACCOUNT).connect(hub)
        assert hub.rooms["r"].expel("g-1", KeptOut("Out."), hub.now()) == 1
        assert peer.wire.code == 4403

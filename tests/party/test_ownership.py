"""party.ownership, party.cut: nobody writes under somebody else's client id; nobody honest is locked out."""

from typing import Any

import pytest
from pycrdt import Doc, Map

from party import wire
from party.admission import dissect
from party.cut import cut
from party.errors import ClientIdTaken
from party.hub import open_hub
from party.limits import Limits
from party.ownership import Ownership
from party.ports import Owner, Principal
from party.room import Room
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, Peer, TestJournal, doc_of, open_room, quiet, settle, vector
from tests.party.test_hub import unpaced
from tests.party.updates import ANY, ANY_FIVE, deletions, item, update

CARL = Principal("u-carl", "Carl")


def pair(room: Room) -> tuple[Peer, Peer]:
    anna, evil = Peer(ANNA), Peer(BERT)
    for peer in (anna, evil):
        peer.enter(room)
        peer.read()
    settle(room)
    return anna, evil


def forged(client: int, clock: int, key: str = "forged") -> bytes:
    return update((client, clock, [item(ANY, ANY_FIVE, parent="meta", key=key)]))


def write(peer: Peer, key: str) -> None:
    peer.doc.get("meta", type=Map)[key] = 1


def keys(room: Room) -> set[str]:
    return set(doc_of(room.state(9.0)[1]).get("meta", type=Map).to_py() or {})


# -- the pure part ------------------------------------------------------------------------------


def test_the_first_who_edits_owns() -> None:
    """O1: free ids are bound, own ones bring nothing new."""
    owned = Ownership({})
    claims = owned.claim([1, 2], "anna")
    assert claims == {1: Owner("anna"), 2: Owner("anna")}
    owned.commit(claims)
    assert owned.claim([1, 2, 3], "anna") == {3: Owner("anna")}
    assert owned.owner(1) == "anna"
    assert owned.owner(9) is None


def test_somebody_elses_is_refused() -> None:
    """O2: also when it was bound by the batch in hand."""
    owned = Ownership({1: Owner("anna")})
    with pytest.raises(ClientIdTaken) as caught:
        owned.claim([5, 1], "bert")
    assert (caught.value.close_code, caught.value.retry) == (4509, True)
    with pytest.raises(ClientIdTaken):
        owned.claim([2], "bert", {2: Owner("anna")})


def test_a_relayed_id_is_the_first_authors() -> None:
    """O3: whoever brought it, and it stays relayed when others bring it again."""
    owned = Ownership({})
    owned.commit(owned.relay([1], "anna"))
    assert owned.owner(1) is None
    assert owned.relay([1], "bert") == {}
    assert not owned.is_foreign(1, "bert")
    owned.commit(owned.claim([1], "bert"))
    assert owned.owner(1) == "bert"
    assert owned.is_foreign(1, "anna")


def test_an_id_that_is_shown_is_kept_for_him() -> None:
    """O4: until it is bound."""
    shown = {1: "anna"}
    owned = Ownership({}, shown.get)
    assert owned.is_foreign(1, "bert")
    with pytest.raises(ClientIdTaken):
        owned.claim([1], "bert")
    assert owned.claim([1], "anna") == {1: Owner("anna")}
    # what is bound is bound, whoever shows it
    owned.commit({2: Owner("bert")})
    shown[2] = "anna"
    assert not owned.is_foreign(2, "bert")


# -- cutting ------------------------------------------------------------------------------------


def test_cutting_takes_out_blocks_and_what_builds_on_them() -> None:
    """O3: the rest applies and is complete."""
    bytes_in = update(
        (5, 0, [item(ANY, ANY_FIVE, parent="meta", key="a"), item(ANY, ANY_FIVE, parent="meta", key="b")]),
        (4, 0, [item(ANY, ANY_FIVE, left=(5, 1))]),
        (3, 0, [item(ANY, ANY_FIVE, left=(4, 0))]),
        (2, 0, [item(ANY, ANY_FIVE, parent="meta", key="c")]),
        deleted=deletions((5, [(0, 1)]), (2, [(0, 1)]), (7, [(0, 4)])),
    )
    left = cut(bytes_in, dissect(bytes_in), {5}, {7: 2})
    anatomy = dissect(left)
    assert anatomy.spans == {2: [(0, 1)]}
    assert anatomy.deletions == {2: [(0, 1)], 7: [(0, 2)]}
    assert not anatomy.missing({7: 2})


def test_cutting_what_is_known_keeps_what_builds_on_it() -> None:
    """O3: structs the room has need not come again."""
    bytes_in = update(
        (5, 0, [item(ANY, ANY_FIVE, parent="meta", key="a"), item(ANY, ANY_FIVE, parent="meta", key="b")]),
        (4, 0, [item(ANY, ANY_FIVE, left=(5, 0))]),
    )
    fast = dissect(bytes_in, with_places=False)
    assert dissect(cut(bytes_in, fast, {5}, {5: 1})).spans == {4: [(0, 1)]}
    assert cut(bytes_in, fast, {5, 4}, {}) == b"\x00\x00"


# -- two principals -----------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [0, 1, 2, 3, 500])
def test_a_forged_id_is_refused_whatever_its_clock(clock: int) -> None:
    """O2: at the next clock, behind a gap, over what is known; the victim's edits go on landing."""
    room = open_room()
    anna, evil = pair(room)
    write(anna, "first")
    write(anna, "second")
    anna.flush()
    settle(room)
    before = room.state(1.0)
    evil.send(wire.encode_update(forged(anna.doc.client_id, clock)))
    settle(room)
    if clock >= 2:
        assert evil.wire.code == 4509
    assert room.state(2.0) == before
    write(anna, "third")
    anna.flush()
    settle(room)
    anna.read()
    assert anna.wire.code is None
    assert keys(room) == {"first", "second", "third"}
    assert vector(anna.doc) == room.view.vector


def test_an_update_of_two_clients_with_one_foreign_is_refused_whole() -> None:
    """O2: nothing of it is applied."""
    room = open_room()
    anna, evil = pair(room)
    write(anna, "first")
    anna.flush()
    settle(room)
    both = update(
        (anna.doc.client_id, 1, [item(ANY, ANY_FIVE, parent="meta", key="x")]),
        (77, 0, [item(ANY, ANY_FIVE, parent="meta", key="y")]),
    )
    evil.send(wire.encode_update(both))
    settle(room)
    assert evil.wire.code == 4509
    assert keys(room) == {"first"}
    # and the free id was not bound by it
    anna.send(wire.encode_update(forged(77, 0, "z")))
    settle(room)
    assert keys(room) == {"first", "z"}


def test_deletes_are_a_matter_of_role() -> None:
    """O1: whoever may edit may delete what others drew."""
    room = open_room()
    anna, bert = pair(room)
    anna.draw("a")
    anna.flush()
    settle(room)
    bert.read()
    del bert.elements["a"]
    bert.flush()
    settle(room)
    assert bert.wire.code is None
    assert content(doc_of(room.state(1.0)[1]))["elements"] == {}


@pytest.mark.parametrize("as_step_2", [False, True])
def test_an_id_shown_in_presence_is_not_taken_before_its_first_edit(as_step_2: bool) -> None:
    """O4: also not after its owner left, and also not in a step 2."""
    room = open_room()
    anna, evil = pair(room)
    mine = anna.doc.client_id
    anna.say(mine, 1, {})
    anna.disconnect()
    squat = forged(mine, 0)
    evil.send(wire.encode_step_2(squat) if as_step_2 else wire.encode_update(squat))
    settle(room)
    assert evil.wire.code == (None if as_step_2 else 4509)
    assert len(evil.wire.notices) == as_step_2
    assert room.view.seq == 0
    write(anna, "mine")
    anna.enter(room)
    anna.read()
    settle(room)
    assert keys(room) == {"mine"}


def test_presence_of_an_id_somebody_edited_under_is_his() -> None:
    """P3: ignored and counted, never a close."""
    room = open_room()
    anna, evil = pair(room)
    write(anna, "first")
    anna.flush()
    settle(room)
    evil.say(anna.doc.client_id, 5, {"mine": True})
    settle(room)
    assert evil.wire.code is None
    assert room.presence.ignored == 1
    assert room.presence.everybody() is None
    anna.say(anna.doc.client_id, 1, {})
    settle(room)
    assert room.presence.announcer(anna.doc.client_id) == "u-anna"


# -- nobody honest is locked out ----------------------------------------------------------------


def test_a_step_2_with_foreign_structs_is_taken_without_them() -> None:
    """O3: what is his own lands, he is told once and stays."""
    room = open_room()
    anna, bert = pair(room)
    write(anna, "first")
    anna.flush()
    settle(room)
    offline: Doc[Any] = Doc(client_id=anna.doc.client_id)
    offline.apply_update(room.state(1.0)[1])
    before = offline.get_state()
    offline.get("meta", type=Map)["forged"] = 1
    own: Doc[Any] = Doc()
    own.get("meta", type=Map)["own"] = 1
    for _ in range(2):
        merged = doc_of(offline.get_update(before), own.get_update(), room.state(1.0)[1])
        bert.send(wire.encode_step_2(merged.get_update(room.view.state_vector)))
        settle(room)
    assert bert.wire.code is None
    assert len(bert.wire.notices) == 1
    assert keys(room) == {"first", "own"}
    write(anna, "second")
    anna.flush()
    settle(room)
    assert keys(room) == {"first", "own", "second"}


def test_edits_of_earlier_page_loads_and_of_others_come_back() -> None:
    """O3: a shared browser brings what two people drew offline; both go on editing under their ids."""
    room = open_room()
    anna, bert = Peer(ANNA), Peer(BERT)
    earlier: Doc[Any] = Doc()
    earlier.get("meta", type=Map)["earlier"] = 1
    write(anna, "anna offline")
    anna.apply(earlier.get_update())
    bert.apply(anna.doc.get_update())
    write(bert, "bert offline")
    bert.enter(room)
    bert.read()
    settle(room)
    assert keys(room) == {"earlier", "anna offline", "bert offline"}
    anna.enter(room)
    anna.read()
    settle(room)
    for peer, key in ((anna, "anna live"), (bert, "bert live")):
        write(peer, key)
        peer.flush()
        settle(room)
        assert peer.wire.code is None
    assert keys(room) == {"earlier", "anna offline", "bert offline", "anna live", "bert live"}
    # by now both ids have an owner
    bert.send(wire.encode_update(forged(anna.doc.client_id, vector(anna.doc)[anna.doc.client_id])))
    settle(room)
    assert bert.wire.code == 4509


def test_the_servers_own_id_is_nobodys() -> None:
    """O5: a repair is written under an id that no client may go on with."""
    room = open_room()
    anna, evil = pair(room)
    anna.draw("a", x="wrong")
    anna.flush()
    settle(room)
    server = next(client for client in room.view.vector if client != anna.doc.client_id)
    evil.send(wire.encode_update(forged(server, room.view.vector[server])))
    settle(room)
    assert evil.wire.code == 4509


async def test_the_binding_outlives_the_room() -> None:
    """O1: it is durable with the update; the same person comes back under the same id with a new name."""
    journal = TestJournal()
    journal.create("r")
    async with open_hub(journal, unpaced(Limits())) as hub:
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        write(anna, "first")
        anna.flush()
        await hub.submit("r", CARL, forged(99, 0, "carl"))
    async with open_hub(journal, unpaced(Limits())) as hub:
        evil = await Peer(BERT).connect(hub)
        await quiet(evil)
        evil.send(wire.encode_update(forged(anna.doc.client_id, 1)))
        await quiet(evil)
        assert evil.wire.code == 4509
        with pytest.raises(ClientIdTaken):
            await hub.submit("r", BERT, forged(99, 1))
        anna.principal = Principal(ANNA.user_id, "Anna, renewed")
        await anna.connect(hub)
        write(anna, "second")
        await quiet(anna)
        await hub.submit("r", CARL, forged(99, 1, "carl again"))
        state = doc_of((await hub.state("r"))[1]).get("meta", type=Map).to_py()
        assert state is not None
        assert set(state) == {"first", "second", "carl", "carl again"}

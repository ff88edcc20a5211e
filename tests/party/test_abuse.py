"""What one peer can make a room do is bounded, and what goes wrong ends with it."""

import asyncio
import random
from typing import Any

import pytest
from pycrdt import Map, Text

from party import wire
from party.admission import dissect
from party.batch import Author
from party.cut import cut
from party.document import compact, make_checkpoint
from party.errors import DocumentBroken, KanvasError
from party.hub import open_hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.ports import Entry, Principal
from party.room import Room
from party.wire import encode_uint
from party.writer import CHORE_BYTES
from tests.party.peers import ANNA, BERT, VERA, Peer, TestJournal, open_room, quiet, settle
from tests.party.test_hub import running, unpaced, until
from tests.party.updates import ANY, ANY_FIVE, EMPTY_MAP, TYPE, item, ring, text, update

EVIL = Principal("u-evil", "Evil")


def enter(room: Room, principal: Principal) -> Peer:
    peer = Peer(principal)
    peer.enter(room)
    peer.read()
    settle(room)
    return peer


def sent(peer: Peer, made: bytes) -> None:
    peer.send(wire.encode_update(made))


def value(client: int, clock: int = 0, key: str = "k") -> bytes:
    return update((client, clock, [item(ANY, ANY_FIVE, parent="meta", key=key)]))


def drawing(elements: int = 1500) -> bytes:
    peer = Peer(client_id=4242)
    for number in range(elements):
        peer.draw(f"e{number}")
    made = peer.doc.get_update()
    assert len(made) > CHORE_BYTES
    return made


# -- the room's own bytes -----------------------------------------------------------------------


@pytest.mark.parametrize(("size", "edits"), [(100_000, 400), (20_000, 1200)])
def test_a_long_text_that_is_edited_everywhere_stays_usable(size: int, edits: int) -> None:
    """D11, J5: its state looks like pieces to be joined; nothing is copied, and it is the library's own."""
    room = open_room("open")
    anna, bert = enter(room, ANNA), enter(room, BERT)
    shared = anna.doc.get("text", type=Text)
    shared += "x" * size
    anna.flush()
    settle(room)
    bert.read()
    dice = random.Random(1)
    for _ in range(edits):
        bert.doc.get("text", type=Text).insert(dice.randrange(size), "y")
    bert.flush()
    settle(room)
    state = room.state(99.0)[1]
    compact(None, [state])
    again = open_room("open", updates=[state])
    carl = enter(again, BERT)
    carl.doc.get("text", type=Text).insert(3, "hello")
    carl.flush()
    settle(again)
    assert carl.wire.code is None
    assert again.view.seq == 2


def repaired(client: int) -> bytes:
    """A drawn element whose last value the server mends."""
    kind = b"\x01\x76\x02" + text("type") + b"\x77" + text("rectangle") + text("seed") + b"\x7d\x01"
    structs = [
        item(TYPE, EMPTY_MAP, parent="elements", key="bad"),
        item(ANY, kind, parent=(client, 0), key="kind"),
        item(ANY, ANY_FIVE, parent=(client, 0), key="deleted"),
    ]
    return update((client, 0, structs))


@pytest.mark.parametrize("account_first", [True, False])
def test_an_account_made_beside_a_repair_holds_the_repair(account_first: bool) -> None:
    """D10, R13: the repair of the batch that asked for the account comes behind its state."""
    room = open_room(updates=[drawing()])
    evil = enter(room, EVIL)
    needs_account = update((10, 0, [item(ANY, ANY_FIVE, parent=(4242, 0), key="foo")]))
    if account_first:
        sent(evil, needs_account)
        settle(room)
    sent(evil, repaired(9))
    if not account_first:
        sent(evil, needs_account)
    settle(room)
    (server,) = set(room.view.vector) - {4242, 9, 10}
    sent(evil, update((11, 0, [item(ANY, b"\x03\x7d\x01\x7d\x02\x7d\x03", left=(server, 0))])))
    settle(room)
    assert evil.wire.code == 4400


def test_a_chore_of_a_batch_that_was_poisoned_is_forgotten() -> None:
    """R6, R13: it is about a document that holds what was refused."""
    room = open_room(updates=[drawing()])
    told: list[Any] = []
    ring_in_map = update(
        (9, 0, [item(TYPE, EMPTY_MAP, parent="elements", key="q"), item(ANY, ANY_FIVE, left=(10, 0))]),
        (10, 0, [item(ANY, ANY_FIVE, left=(9, 1))]),
    )
    room.submit(ring_in_map, Author(EVIL), told.append)
    room.submit(
        update((11, 0, [item(ANY, ANY_FIVE, parent=(4242, 0), key="foo")])), Author(BERT), told.append
    )
    room.take_batch(1.0)
    assert room.chore is None


def test_who_poisons_a_batch_is_done_with_it() -> None:
    """R6, R1: what he sent behind it is dropped, as behind any other refusal."""
    room = open_room()
    anna, evil = enter(room, ANNA), enter(room, EVIL)
    sent(evil, ring(8, 9))
    sent(evil, value(77, key="later"))
    sent(anna, value(5, key="good"))
    settle(room)
    assert evil.wire.code == 4422
    assert set(room.view.vector) == {5}


def test_a_large_update_is_laid_out_beside_the_loop() -> None:
    """R13: however many structs it has; refused, it leaves no trace in the account."""
    room = open_room("open")
    anna = enter(room, ANNA)
    sent(anna, value(5))
    settle(room)
    structs = [item(ANY, ANY_FIVE, parent="meta", key=f"k{number}") for number in range(6000)]
    big = update((6, 0, structs))
    assert len(big) > CHORE_BYTES
    sent(anna, big)
    chores = 0
    while room.take_batch(0.0) is None:
        assert room.chore is not None
        room.chore_done(room.chore.work())
        chores += 1
    assert chores == 2
    room.commit(room.view.seq + 1, 0.0)
    assert room.view.vector[6] == 6000
    bad = update((7, 0, [*structs, item(ANY, b"\x02\x7d\x01\x7d\x02", parent="meta", key="two")]))
    sent(anna, bad)
    settle(room)
    assert anna.wire.code == 4400
    assert 7 not in room.view.vector


# -- asking -------------------------------------------------------------------------------------


def test_a_state_vector_is_as_large_as_it_can_honestly_be() -> None:
    """S11: 62 MiB of it took 14 s of the loop; a viewer may send it, too."""
    room = open_room(updates=[value(5)], limits=Limits(max_vector_bytes=1000))
    vera = enter(room, VERA)
    honest = wire.encode_state_vector({2**21 + number: 1 for number in range(190)})
    vera.send(wire.encode_step_1(honest))
    assert vera.wire.code is None
    vera.send(wire.encode_step_1(wire.encode_state_vector({2**21 + number: 1 for number in range(300)})))
    assert vera.wire.code == 4413


def test_who_waits_for_an_answer_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """S11: not at each commit again."""
    room = open_room(updates=[value(5)])
    vera = Peer(VERA)
    session = vera.enter(room)
    session.answer_after_s = 100.0
    room.receive(session, wire.encode_step_1(wire.encode_state_vector({5: 1, 6: 1})), 1.0)
    monkeypatch.setattr("party.wire.decode_state_vector", None)
    before = len(vera.wire.of(wire.Step2))
    for now in (1.0, 2.0):
        room.answer_waiting(now)
    room.answer_waiting(200.0)
    assert len(vera.wire.of(wire.Step2)) == before + 1


def test_who_takes_nothing_is_told_nothing_of_who_left() -> None:
    """P7, P5: the answer to one who never reads is dropped, not kept for him."""
    room = open_room()
    evil = enter(room, EVIL)
    evil.say(5, 1, {})
    evil.say(5, 2, None)
    settle(room)
    evil.wire.buffered_bytes = 10**8
    before = len(evil.wire.sent)
    for _ in range(10):
        evil.send(wire.encode_awareness(encode_uint(1000) + b"\x05\x01\x00" * 1000))
    assert len(evil.wire.sent) == before


def test_who_takes_nothing_is_asked_once_he_does() -> None:
    """S4: not again and again for each incomplete update."""
    room = open_room(updates=[value(9)])
    evil = Peer(EVIL)
    session = evil.enter(room)
    evil.read()
    settle(room)
    evil.wire.buffered_bytes = 10**8
    before = len(evil.wire.of(wire.Step1))
    for _ in range(10):
        evil.send(wire.encode_step_2(b"\x00\x00"))
        sent(evil, value(5, 7))
        settle(room)
    assert len(evil.wire.of(wire.Step1)) == before
    evil.wire.buffered_bytes = 0
    room.drained(session, 1.0)
    room.drained(session, 1.0)
    assert len(evil.wire.of(wire.Step1)) == before + 1


def test_presence_of_more_clients_than_there_can_be_is_not_read() -> None:
    """P5: dropped and counted."""
    room = open_room(limits=Limits(max_presence_entries=10))
    evil = enter(room, EVIL)
    states = [wire.ClientState(number, 1, {}) for number in range(11)]
    evil.send(wire.encode_awareness(wire.encode_awareness_states(states)))
    assert room.presence.ignored == 1
    assert room.presence.everybody() is None
    evil.send(wire.encode_awareness(wire.encode_awareness_states(states[:10])))
    assert room.presence.everybody() is not None


def test_a_chain_that_is_cut_is_looked_at_once() -> None:
    """O3: each block builds on the one before; the number of looks grows with their number alone."""
    looks = 0

    class Known(dict[int, int]):
        def get(self, key: int, default: Any = None) -> Any:
            nonlocal looks
            looks += 1
            return super().get(key, default)

    blocks = [(1, 0, [item(ANY, ANY_FIVE, parent="meta", key="a")])]
    blocks += [(n, 0, [item(ANY, ANY_FIVE, left=(n - 1, 0))]) for n in range(2, 400)]
    chain = update(*reversed(blocks))
    assert cut(chain, dissect(chain), {1}, Known()) == b"\x00\x00"
    assert looks < 2000


# -- presence of others -------------------------------------------------------------------------


def test_an_id_is_not_taken_over_by_showing_it_louder() -> None:
    """O4: after its owner left, with a higher clock."""
    room = open_room("open")
    anna, evil = enter(room, ANNA), enter(room, EVIL)
    anna.say(77, 1, {"a": 1})
    settle(room)
    anna.disconnect()
    settle(room)
    evil.say(77, 10, {"x": 1})
    settle(room)
    sent(evil, value(77))
    settle(room)
    assert evil.wire.code == 4509


def test_sockets_of_one_page_leave_nothing_behind() -> None:
    """P7: each takes over from the one before."""
    room = open_room()
    last: Peer | None = None
    for clock in range(1, 20):
        anna = enter(room, ANNA)
        anna.say(77, clock, {})
        settle(room)
        if last is not None:
            last.disconnect()
        last = anna
    assert len(room.presence._own) == 1


# -- the hub ------------------------------------------------------------------------------------


async def test_rows_that_can_not_be_read_end_one_room() -> None:
    """H6, B4: whatever the journal raises."""
    async with running(Limits(commit_deadline_s=0.1), rooms=("r", "s")) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub, "s")
        await quiet(anna, bert)

        async def append(*_: Any) -> int:
            return 5

        async def read(*_: Any) -> Any:
            raise MemoryError

        journal.append = append  # type: ignore[method-assign]
        journal.read = read  # type: ignore[method-assign]
        anna.draw("a")
        anna.flush()
        await until(lambda: anna.wire.code == 1013)
        assert bert.wire.code is None
        assert hub.open_rooms() == 1


async def test_a_journal_that_hangs_after_a_gap_has_a_deadline() -> None:
    """R7: and it is not looked at a thousand times a second meanwhile."""
    async with running(Limits(commit_deadline_s=0.2, slow_commit_s=0.05)) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        looks = 0
        look = hub._committer._look

        def counted() -> None:
            nonlocal looks
            looks += 1
            look()

        async def append(*_: Any) -> int:
            return 5

        hub._committer._look = counted  # type: ignore[method-assign]
        journal.append = append  # type: ignore[method-assign]

        async def read(*_: Any) -> Any:
            await asyncio.Event().wait()

        journal.read = read  # type: ignore[method-assign]
        anna.draw("a")
        anna.flush()
        await until(lambda: anna.wire.code == 1013)
        assert looks < 30


async def test_rows_of_others_that_a_checkpoint_swallowed_are_missed() -> None:
    """B4: the room is loaded anew and has them."""
    journal = TestJournal()
    journal.create("r")
    async with open_hub(journal, unpaced(Limits())) as hub:
        anna = await Peer(ANNA).connect(hub)
        anna.draw("a")
        await quiet(anna)
        await MemoryJournal.append(journal, "r", 1, [Entry(value(99, key="foreign"), "x")])
        stored = journal.stored("r")
        made = make_checkpoint(stored)
        assert await journal.checkpoint("r", 1, after_seq=0, seq=stored.seq, state=made.state)
        anna.draw("b")
        anna.flush()
        await until(lambda: anna.wire.code == 1013)
        await anna.connect(hub)
        await quiet(anna)
        assert "foreign" in anna.doc.get("meta", type=Map)


def test_who_waits_over_http_is_told_even_if_the_fan_out_fails() -> None:
    """R9, H6: the batch is durable, whatever happens to a socket."""
    room = open_room()
    anna = enter(room, ANNA)
    told: list[str | KanvasError] = []
    room.submit(value(11), Author(BERT), told.append)
    assert room.take_batch(0.0) is not None

    def broken(*_: bytes) -> None:
        raise BrokenPipeError

    anna.wire.send = broken  # type: ignore[method-assign]
    with pytest.raises(BrokenPipeError):
        room.commit(1, 0.0)
    assert told == ["1-1"]


async def test_one_room_that_fails_does_not_end_the_beat_of_the_others() -> None:
    """H6, P6: it is loaded anew."""
    async with running(Limits(beat_s=0.01, quiet_s=0.03), rooms=("r", "s")) as (hub, _):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub, "s")
        await quiet(anna, bert)

        def broken(_: float) -> None:
            raise DocumentBroken

        hub._rooms["r"].beat = broken  # type: ignore[method-assign]
        heard = len(bert.wire.sent)
        await until(lambda: len(bert.wire.sent) > heard)
        assert anna.wire.code == 1013

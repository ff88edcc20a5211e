"""party.hub: the end of rooms: checkpoints, idle unload, drain, evict."""

import asyncio
import re
from dataclasses import replace

import pytest

from party import wire
from party.document import compact, make_checkpoint
from party.errors import (
    DocumentBroken,
    RoomNotFound,
    ShuttingDown,
    Unavailable,
)
from party.hub import compact_inline, open_hub
from party.limits import Limits
from party.ports import Checkpoint, Entry, StoredRoom
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, Peer, TestJournal, Wire, doc_of, everything, quiet, vector
from tests.party.test_hub import QUICK, drawn_rows, running, until, value

# -- checkpoints and unloading ------------------------------------------------------------------


async def test_an_idle_room_is_checkpointed_and_unloaded() -> None:
    """H3, J5: after its time without sessions; loaded again, it is the same."""
    async with running() as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        for number in range(5):
            anna.draw(f"e{number}")
            await quiet(anna, turns=5)
        await asyncio.sleep(0.1)
        assert hub.open_rooms() == 1
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        stored = journal.stored("r")
        assert (stored.checkpoint_seq, stored.updates) == (5, ())
        version, state = await hub.state("r")
        assert version == "1-5"
        assert everything(doc_of(state)) == everything(anna.doc)


async def test_somebody_who_comes_back_keeps_the_room() -> None:
    """H3: also while its checkpoint is being made."""
    started, proceed = asyncio.Event(), asyncio.Event()

    async def slowly(stored: StoredRoom) -> Checkpoint:
        started.set()
        await proceed.wait()
        return make_checkpoint(stored)

    async with running(compact_state=slowly) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        anna.draw("a")
        await quiet(anna)
        anna.disconnect()
        await started.wait()
        await anna.connect(hub)
        anna.draw("b")
        await quiet(anna)
        proceed.set()
        await until(lambda: journal.stored("r").checkpoint_seq == 1)
        await quiet(anna)
        assert hub.open_rooms() == 1
        assert anna.wire.code is None
        assert drawn_rows(journal) == {"a", "b"}
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        assert journal.stored("r").checkpoint_seq == 2


async def test_a_full_journal_is_checkpointed_under_an_open_room() -> None:
    """H3, J5: by rows and by bytes."""
    for limits in (Limits(beat_s=0.01, checkpoint_rows=10), Limits(beat_s=0.01, checkpoint_bytes=2000)):
        async with running(limits) as (hub, journal):
            anna = await Peer(ANNA).connect(hub)
            await quiet(anna)
            for number in range(30):
                anna.draw(f"e{number}")
            await quiet(anna)
            journal_of = journal
            await until(lambda: journal_of.stored("r").checkpoint_seq >= 10)  # noqa: B023
            assert anna.wire.code is None
            assert len(drawn_rows(journal)) == 30


async def test_a_room_that_somebody_else_checkpointed_is_unloaded() -> None:
    """H3, J5: the account of rows is the journal's, not a sum of what was sent to it."""
    async with running(Limits(beat_s=0.01, idle_s=0.03)) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        anna.draw("a")
        await quiet(anna)
        state = compact(None, journal.stored("r").updates)
        assert await journal.checkpoint("r", 1, after_seq=0, seq=1, state=state)
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        assert journal.checkpoints == 1


async def test_a_checkpoint_that_fails_loses_nothing_and_is_not_repeated_at_once() -> None:
    """H3, J5: the room is unloaded all the same; its rows are there."""
    attempts = 0

    async def fails(stored: StoredRoom) -> Checkpoint:
        nonlocal attempts
        attempts += 1
        raise DocumentBroken

    async with running(Limits(beat_s=0.005, idle_s=0.1, checkpoint_rows=1), compact_state=fails) as (
        hub,
        journal,
    ):
        anna = await Peer(ANNA).connect(hub)
        anna.draw("a")
        await quiet(anna)
        await until(lambda: attempts == 1)
        await asyncio.sleep(0.05)
        assert attempts == 1
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        assert drawn_rows(journal) == {"a"}


# -- drain and evict ----------------------------------------------------------------------------


async def test_a_drain_settles_closes_and_checkpoints() -> None:
    """H4: what was sent is applied and echoed, then 1012, then checkpoints; nobody gets in any more."""
    async with running(rooms=("r", "s")) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub, "s")
        await quiet(anna, bert)
        anna.draw("a")
        anna.flush()
        bert.draw("b")
        bert.flush()
        await hub.drain(2.0)
        assert anna.wire.code == bert.wire.code == 1012
        assert anna.wire.of(wire.Update)
        assert [journal.stored(name).checkpoint_seq for name in "rs"] == [1, 1]
        for ask in (hub.state("r"), hub.submit("r", ANNA, value(1)), hub.join("r", ANNA, Wire())):
            with pytest.raises(ShuttingDown):
                await ask
        assert not hub.healthy()
        await hub.drain(2.0)


async def test_a_drain_sends_many_away_in_waves() -> None:
    """N8, H4: who is still there draws on and is answered; few leave at once."""
    async with running(rooms=("r", "s")) as (hub, _):
        peers = [await Peer(ANNA).connect(hub, "rs"[number % 2]) for number in range(60)]
        await quiet(*peers)
        draining = asyncio.create_task(hub.drain(4.0))
        await until(lambda: any(peer.wire.code for peer in peers))
        assert sum(peer.wire.code == 1012 for peer in peers) == 20
        there = next(peer for peer in peers if not peer.wire.code)
        there.wire.sent.clear()
        there.draw("late")
        there.flush()
        await until(lambda: there.wire.of(wire.Update))
        assert not draining.done()
        await draining
        assert all(peer.wire.code == 1012 for peer in peers)
        # each is told when to come back, and not all the same
        words = [peer.wire.closed[1] for peer in peers if peer.wire.closed]
        hints = [int(one) for said in words for one in re.findall(r"reconnect in (\d+) ms", said)]
        assert len(hints) == 60
        assert len(set(hints)) > 20
        assert min(hints) >= 100
        assert max(hints) <= 1000


@pytest.mark.parametrize("what", ["append", "load", "checkpoint"])
async def test_a_drain_ends_within_its_deadline(what: str) -> None:
    """H4: whatever hangs; whoever waits is told."""
    never = asyncio.Event()

    async def hangs(stored: StoredRoom) -> Checkpoint:
        await never.wait()
        return Checkpoint(b"")

    journal = TestJournal()
    journal.create("r")
    journal.create("s")
    compact = hangs if what == "checkpoint" else compact_inline
    async with asyncio.timeout(60), open_hub(journal, Limits(), compact) as hub:
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        if what == "append":
            journal.hold()
        anna.draw("a")
        anna.flush()
        if what == "load":
            journal.load_gate.clear()
        asked = asyncio.create_task(hub.submit("s" if what == "load" else "r", ANNA, value(3)))
        await quiet(anna)
        await hub.drain(0.4)
        assert anna.wire.code == 1012
        if what == "checkpoint":
            await asked
        else:
            with pytest.raises(ShuttingDown):
                await asked


async def test_evicting_closes_with_the_reason() -> None:
    """H5: the journal is left alone; the room can be opened again."""
    async with running() as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        anna.draw("a")
        await quiet(anna)
        await hub.evict("r", RoomNotFound("The owner put this room into the trash."))
        assert anna.wire.closed == (4404, "The owner put this room into the trash.")
        assert hub.open_rooms() == 0
        await hub.evict("r", RoomNotFound())
        assert drawn_rows(journal) == {"a"}
        anna.send(wire.encode_update(value(5)))
        anna.disconnect()
        await anna.connect(hub)
        await quiet(anna)
        assert anna.synced


async def test_evicting_a_room_that_is_being_opened() -> None:
    """H5, H1: whoever asked for it gets a room that lives, not the one that was dropped."""
    async with running() as (hub, journal):
        journal.load_gate.clear()
        anna = Peer(ANNA)
        join = asyncio.create_task(anna.connect(hub))
        await asyncio.sleep(0)
        evict = asyncio.create_task(hub.evict("r", RoomNotFound()))
        await asyncio.sleep(0)
        journal.load_gate.set()
        await asyncio.gather(join, evict)
        await quiet(anna)
        if anna.wire.code is None:
            anna.draw("a")
            await quiet(anna)
            assert drawn_rows(journal) == {"a"}
            assert hub.open_rooms() == 1


async def test_a_commit_that_succeeds_after_the_room_was_dropped() -> None:
    """H5, R7: the journal has it; the next load shows it."""
    async with running() as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        journal.hold()
        anna.draw("a")
        anna.flush()
        await quiet(anna)
        await hub.evict("r", Unavailable())
        journal.release()
        await until(lambda: journal.stored("r").seq == 1)
        bert = await Peer(BERT).connect(hub)
        await quiet(bert)
        assert content(bert.doc)["elements"].keys() == {"a"}
        assert vector(bert.doc) == vector(anna.doc)


async def test_a_room_is_loaded_in_slices(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H1: others go on between its rows, and a long step is told."""
    peer = Peer()
    for number in range(30):
        peer.draw(f"e{number}")
    async with running(replace(QUICK, tick_slice_s=0.0)) as (hub, journal):
        await journal.append("r", 1, [Entry(update, "u") for update in peer.outgoing])
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        monkeypatch.setattr("party.hub.SLOW_LOAD_S", -1.0)
        assert (await hub.state("r"))[0] == "1-30"
        counting.cancel()
        assert turns >= 30
        assert any("others waited" in record.message for record in caplog.records)


async def test_a_chore_is_done_while_other_rooms_go_on() -> None:
    """R13: the edit that waits for it lands, whatever becomes of its sender meanwhile."""
    peer = Peer()
    for number in range(600):
        peer.draw(f"e{number}")
    async with running(rooms=("r", "s")) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub, "s")
        await quiet(anna, bert)
        anna.send(wire.encode_step_2(peer.doc.get_update()))
        bert.draw("b")
        bert.flush()
        await until(lambda: drawn_rows(journal, "s") == {"b"})
        anna.disconnect()
        await until(lambda: len(drawn_rows(journal)) == 600)


async def test_a_busy_room_is_not_checkpointed_all_the_time() -> None:
    """J5: one that took long is not followed by the next at once, however many rows there are."""

    async def slow(stored: StoredRoom) -> Checkpoint:
        await asyncio.sleep(0.05)
        return make_checkpoint(stored)

    limits = replace(QUICK, beat_s=0.005, checkpoint_rows=1, checkpoint_share=1e-6)
    async with running(limits, compact_state=slow) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        for number in range(2):
            anna.draw(f"e{number}")
            await quiet(anna)
            await until(lambda: journal.checkpoints == 1)
        for number in range(5):
            anna.draw(f"more {number}")
            await quiet(anna)
            await asyncio.sleep(0.02)
        assert journal.checkpoints == 1
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        assert journal.stored("r").updates == ()

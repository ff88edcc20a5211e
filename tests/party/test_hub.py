"""party.hub: single-flight load, the ticker, commits and their retries, rooms that fail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from party import wire
from party.document import Document
from party.errors import (
    DocumentBroken,
    KanvasError,
    RoomNotFound,
    Unavailable,
)
from party.hub import Hub, compact_inline, open_hub
from party.limits import Limits
from party.room import Room
from tests.party.contents import content
from tests.party.peers import ANNA, BERT, Peer, TestJournal, doc_of, everything, quiet
from tests.party.updates import ANY, ANY_FIVE, child_of_value, item, ring, update
from tests.party.virtual_time import VirtualLoop

QUICK = Limits(beat_s=0.01, idle_s=0.05, slow_commit_s=0.05, commit_deadline_s=0.3)


def unpaced(limits: Limits) -> Limits:
    """The same, and busy rooms are visited at once."""
    return replace(limits, pace_s=0.0, pace_per_connection_s=0.0, max_pace_s=0.0, tick_gap_s=0.0)


@asynccontextmanager
async def running(
    limits: Limits = QUICK,
    rooms: Sequence[str] = ("r",),
    compact_state: Any = compact_inline,
    *,
    paced: bool = False,
) -> AsyncIterator[tuple[Hub, TestJournal]]:
    """A hub over a journal on command; busy rooms are not slowed down unless it is `paced`."""
    if not paced:
        limits = unpaced(limits)
    journal = TestJournal()
    for room_id in rooms:
        journal.create(room_id)
    async with open_hub(journal, limits, compact_state) as hub:
        try:
            yield hub, journal
        finally:
            journal.release()
            journal.load_gate.set()


async def until(condition: Any, deadline_s: float = 60.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.002)


def drawn_rows(journal: TestJournal, room_id: str = "r") -> set[str]:
    stored = journal.stored(room_id)
    rows = [stored.checkpoint] if stored.checkpoint else []
    return set(content(doc_of(*rows, *stored.updates))["elements"])


def value(client: int, at: int = 0) -> bytes:
    return update((client, at, [item(ANY, ANY_FIVE, parent="meta", key="k")]))


# -- opening ------------------------------------------------------------------------------------


async def test_a_room_is_loaded_once_however_many_ask() -> None:
    """H1: joins, REST and submits together; one that gives up does not take it from the others."""
    async with running() as (hub, journal):
        journal.load_gate.clear()
        peers = [Peer(ANNA) for _ in range(10)]
        joins = [asyncio.create_task(peer.connect(hub)) for peer in peers]
        state = asyncio.create_task(hub.state("r"))
        quitter = asyncio.create_task(hub.state("r"))
        await asyncio.sleep(0.01)
        quitter.cancel()
        journal.load_gate.set()
        await asyncio.gather(*joins, state)
        assert journal.loads == 1
        assert hub.open_rooms() == 1
        assert [one.user_id for one in hub.present("r")] == ["u-anna"]
        assert hub.present("nobody") == []


async def test_a_load_that_fails_is_everybodys_error_and_tried_again() -> None:
    """H1: no such room, a journal that does not answer, rows that do not replay."""
    async with running() as (hub, journal):
        answers = await asyncio.gather(*(hub.state("nobody") for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [RoomNotFound] * 3

        async def broken(room_id: str) -> Any:
            raise OSError("disk")

        load, journal.load = journal.load, broken  # type: ignore[method-assign]
        with pytest.raises(Unavailable) as caught:
            await hub.state("r")
        assert isinstance(caught.value.__cause__, OSError)
        journal.load = load  # type: ignore[method-assign]
        assert (await hub.state("r"))[0] == "1-0"


async def test_rows_that_do_not_replay_are_one_rooms_error() -> None:
    """H6: DocumentBroken for whoever asks; the others are served."""
    async with running(rooms=("r", "s")) as (hub, journal):
        from party.ports import Entry

        await journal.append("s", 1, [Entry(b"\xff\xff", "u")])
        with pytest.raises(DocumentBroken):
            await hub.state("s")
        assert (await hub.state("r"))[0] == "1-0"


# -- the ticker ---------------------------------------------------------------------------------


async def test_the_ticker_is_fair_and_yields() -> None:
    """H2: rooms take turns, only those with work, and the loop breathes after a slice."""
    visits: list[str] = []
    rooms = [f"r{number}" for number in range(30)]
    async with running(Limits(tick_slice_s=0.001), rooms=rooms) as (hub, _):
        peers = [await Peer(ANNA).connect(hub, room_id) for room_id in rooms]
        await quiet(*peers)
        visit, loop = hub._ticker._visit, asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        def watched(room: Room, late_s: float) -> None:
            visits.append(room.id)
            loop.spend(0.0005)
            visit(room, late_s)

        hub._ticker._visit = watched
        turns = 0

        def breathe() -> None:
            nonlocal turns
            turns += 1
            if len(visits) < 30:
                loop.call_soon(breathe)

        for _ in range(2):
            for peer in peers:
                peer.draw("a" + str(len(visits)))
                peer.flush()
            visits.clear()
            turns = 0
            loop.call_soon(breathe)
            await until(lambda: len(visits) >= 30)
            assert sorted(visits[:30]) == sorted(rooms)
            assert turns >= 5
            await quiet(*peers)


async def test_an_idle_hub_does_nothing() -> None:
    """H2: no room is visited that nobody woke."""
    async with running(Limits()) as (hub, _):
        peer = await Peer(ANNA).connect(hub)
        await quiet(peer)
        ticker = hub._ticker
        assert not (ticker._ready)
        assert not (ticker._waiting)
        assert not (ticker._queued)
        assert not (ticker._is_scheduled)
        assert ticker._timer is None


# -- commits ------------------------------------------------------------------------------------


async def test_an_edit_reaches_everybody_after_its_commit() -> None:
    """R5, J1: held back by the journal, it is neither echoed nor sent on; presence goes on (P4)."""
    async with running(Limits()) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        await quiet(anna, bert)
        journal.hold()
        anna.draw("a")
        anna.flush()
        anna.say(1, 1, {})
        await quiet(anna, bert)
        assert anna.wire.of(wire.Update) == bert.wire.of(wire.Update) == []
        assert bert.states[1].clock == 1
        journal.release()
        await until(lambda: bert.wire.of(wire.Update))
        await quiet(anna, bert)
        assert content(bert.doc)["elements"].keys() == {"a"} == drawn_rows(journal)
        assert len(anna.wire.of(wire.Update)) == 1


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_failing_commit_is_repeated(failures: int) -> None:
    """R7: the room freezes, joins are served from committed bytes, nothing is acknowledged; then it is."""
    async with running(Limits(commit_deadline_s=5)) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        anna.draw("before")
        await quiet(anna)
        journal.failing = failures
        anna.draw("a")
        anna.flush()
        answer = asyncio.create_task(hub.submit("r", ANNA, value(9)))
        await until(lambda: not hub.healthy())
        bert = await Peer(BERT).connect(hub)
        await quiet(bert)
        assert bert.synced
        assert content(bert.doc)["elements"].keys() == {"before"}
        assert (await hub.state("r"))[0] == "1-1"
        anna.draw("b")
        anna.flush()
        await until(hub.healthy)
        await answer
        await quiet(anna, bert)
        assert content(bert.doc)["elements"].keys() == {"before", "a", "b"} == drawn_rows(journal)
        assert everything(anna.doc) == everything(bert.doc)


async def test_an_append_of_unknown_outcome_may_be_there_twice() -> None:
    """J6, J3, H3: the journal took it and said that it failed; repeated, it changes nothing.

    The rows are the room's own (H7 is about those of somebody else), so nobody is sent away.
    """
    async with running(Limits(commit_deadline_s=5, beat_s=0.01, idle_s=0.03)) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        journal.append_then_fail = 2
        anna.draw("a", x=None)
        anna.flush()
        await until(lambda: len(anna.wire.of(wire.Update)) == 2)
        await quiet(anna)
        assert anna.wire.code is None
        stored = journal.stored("r")
        assert (stored.seq, len(stored.updates)) == (6, 6)
        assert (await hub.state("r"))[0] == "1-6"
        assert everything(doc_of(*stored.updates)) == everything(anna.doc)
        anna.disconnect()
        await until(lambda: hub.open_rooms() == 0)
        assert journal.checkpoints == 1
        assert everything(doc_of(journal.stored("r").checkpoint or b"")) == everything(anna.doc)


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_at_the_deadline_everybody_is_sent_away_and_nothing_is_lost(how: str) -> None:
    """R7: 1013 and 503; who comes back finds the committed state and brings the rest again."""
    async with running() as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        anna.draw("before")
        await quiet(anna, bert)
        if how == "hangs":
            journal.hold()
        else:
            journal.failing = 10**6
        anna.draw("lost?")
        anna.flush()
        answer = asyncio.create_task(hub.submit("r", BERT, value(9)))
        await until(lambda: anna.wire.code == 1013 == bert.wire.code)
        with pytest.raises(Unavailable):
            await answer
        assert len(anna.wire.of(wire.Update)) == 1
        assert hub.open_rooms() == 0
        journal.failing = 0
        journal.release()
        for peer in (anna, bert):
            await peer.connect(hub)
        await quiet(anna, bert)
        assert content(bert.doc)["elements"].keys() == {"before", "lost?"} == drawn_rows(journal)
        assert everything(anna.doc) == everything(bert.doc)


async def test_coming_back_in_the_window_loses_nothing() -> None:
    """R7, R10: the author leaves while the room is frozen and returns before the journal does."""
    async with running(Limits(commit_deadline_s=5, slow_commit_s=0.02)) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        await quiet(anna, bert)
        journal.hold()
        anna.draw("a")
        anna.flush()
        await quiet(anna)
        anna.draw("waiting")
        anna.flush()
        anna.disconnect()
        anna.draw("offline")
        await until(lambda: not hub.healthy())
        await anna.connect(hub)
        await quiet(anna, bert)
        assert anna.synced
        assert content(bert.doc)["elements"] == {}
        journal.release()
        await until(lambda: drawn_rows(journal) == {"a", "waiting", "offline"})
        await quiet(anna, bert)
        assert everything(anna.doc) == everything(bert.doc)


async def test_a_slow_commit_freezes_the_room_too() -> None:
    """R7: a journal that hangs does not hold up those who join."""
    async with running(Limits(slow_commit_s=0.02)) as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        journal.hold()
        anna.draw("a")
        anna.flush()
        await quiet(anna)
        bert = await Peer(BERT).connect(hub)
        await quiet(bert)
        assert not bert.synced
        await until(lambda: bert.wire.of(wire.Step2))
        journal.release()
        await until(lambda: bert.wire.of(wire.Update))
        await quiet(anna, bert)
        assert hub.healthy()
        assert everything(anna.doc) == everything(bert.doc)


async def test_a_room_that_is_gone_says_so() -> None:
    """J4, H5: deleted under an open room, the next commit closes its sessions with 4404."""
    async with running() as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)
        journal.delete("r")
        anna.draw("a")
        anna.flush()
        await until(lambda: anna.wire.code == 4404)
        assert hub.open_rooms() == 0


async def test_an_answer_comes_with_its_version() -> None:
    """R9: durable when it is given; nothing new is answered at once."""
    async with running() as (hub, journal):
        assert await hub.submit("r", ANNA, value(1)) == "1-1"
        assert journal.stored("r").updates == (value(1),)
        assert await hub.submit("r", ANNA, value(1)) == "1-1"
        with pytest.raises(KanvasError) as caught:
            await hub.submit("r", ANNA, value(1, 5))
        assert caught.value.status == 409


# -- poison and failures ------------------------------------------------------------------------


async def test_poison_costs_one_session() -> None:
    """R6, R1: in the middle of other people's edits."""
    async with running() as (hub, journal):
        anna, evil = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        await quiet(anna, evil)
        anna.draw("a")
        anna.flush()
        evil.send(wire.encode_update(ring(8, 9)))
        anna.draw("b")
        anna.flush()
        await quiet(anna)
        assert evil.wire.code == 4422
        assert drawn_rows(journal) == {"a", "b"}
        assert hub.open_rooms() == 1


class Cursed(Document):
    """Stands for a mistake of ours that nobody thought of."""

    def values(self, element_id: str, keys: Any = None) -> Any:
        if element_id == "cursed":
            raise ZeroDivisionError
        return super().values(element_id, keys)


async def test_a_room_that_fails_is_dropped_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """H6, R9: its sessions get 1013, whoever waits over HTTP an error; it is loaded anew."""
    monkeypatch.setattr("party.writer.Document", Cursed)
    monkeypatch.setattr("party.hub.Document", Cursed)
    async with running(rooms=("r", "s")) as (hub, journal):
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub, "s")
        anna.draw("good")
        await quiet(anna, bert)
        waiting = asyncio.create_task(hub.submit("r", BERT, value(7)))
        anna.draw("cursed")
        anna.flush()
        bert.draw("fine")
        bert.flush()
        with pytest.raises(DocumentBroken):
            await waiting
        assert anna.wire.code == 1013
        await quiet(bert)
        assert bert.wire.code is None
        assert drawn_rows(journal, "s") == {"fine"}
        assert drawn_rows(journal) == {"good"}
        assert content(doc_of((await hub.state("r"))[1]))["elements"].keys() == {"good"}
        assert hub.open_rooms() == 2


async def test_what_fails_after_the_commit_drops_the_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """H6: the fan-out of one room is not the end of the process; what was durable stays."""
    async with running() as (hub, journal):
        anna = await Peer(ANNA).connect(hub)
        await quiet(anna)

        def fails(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Room, "answer_waiting", fails)
        anna.draw("a")
        anna.flush()
        await until(lambda: anna.wire.code == 1013)
        monkeypatch.undo()
        await anna.connect(hub)
        await quiet(anna)
        assert drawn_rows(journal) == {"a"}


async def test_a_value_has_no_children() -> None:
    """D10: over the whole way of an edit."""
    async with running() as (hub, _):
        anna, evil = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        anna.send(wire.encode_update(value(1)))
        await quiet(anna)
        evil.send(wire.encode_update(child_of_value(2, (1, 0))))
        await quiet(anna)
        assert evil.wire.code == 4400
        assert (await hub.state("r"))[0] == "1-1"

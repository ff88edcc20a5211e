"""Frozen rooms and people kept out, in the engine alone."""

import asyncio
from collections.abc import Callable

import pytest
from pycrdt import Doc, Map

from party.errors import KanvasError, KeptOut, RoomClosed, RoomFrozen
from party.guard import Guard
from party.hub import open_hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.restraints import EVERYBODY, FROZEN, THAWED, Exclusion
from tests.party.peers import ANNA, BERT, Peer, quiet


async def settle(*peers: Peer) -> None:
    """Until the commits of a paced room have come back, too."""
    for _ in range(8):
        await quiet(*peers)
        await asyncio.sleep(0.02)


def update(name: str) -> bytes:
    doc: Doc = Doc()
    doc.get("things", type=Map)[name] = 1
    return doc.get_update()


async def test_a_frozen_room_takes_no_edits_and_loses_none() -> None:
    """M5, M6: told once, nobody closed, presence goes on; thawed, what was drawn meanwhile comes."""
    journal, guard = MemoryJournal(), Guard()
    journal.create("r", schema="open")
    async with open_hub(journal, Limits(), guard=guard) as hub:
        anna, bert = await Peer(ANNA).connect(hub), await Peer(BERT).connect(hub)
        await settle(anna, bert)
        guard.restraints.replace({"r"}, ())
        room = hub.rooms.get("r")
        assert room is not None
        room.tell_frozen(hub.now())
        seq = room.view.seq
        for number in range(3):
            anna.doc.get("things", type=Map)[f"a{number}"] = number
            anna.flush()
            await settle(anna, bert)
        anna.say(anna.doc.client_id, 1, {"pointer": 1})
        await settle(anna, bert)
        assert room.view.seq == seq
        assert anna.wire.code is None
        assert anna.wire.notices == [FROZEN]
        assert bert.wire.notices == [FROZEN]
        assert len(bert.states) > 0
        with pytest.raises(RoomFrozen):
            await hub.submit("r", BERT, update("b"))
        late = await Peer(BERT).connect(hub)
        await settle(late)
        assert (late.synced, late.wire.notices) == (True, [FROZEN])

        guard.restraints.replace((), ())
        room.thaw(hub.now())
        await settle(anna, bert, late)
        assert sorted(bert.doc.get("things", type=Map)) == ["a0", "a1", "a2"]
        # a second freeze is told again
        guard.restraints.replace({"r"}, ())
        room.tell_frozen(hub.now())
        assert anna.wire.notices == [FROZEN, THAWED, FROZEN]


async def test_nothing_is_purged_from_a_frozen_room() -> None:
    """M5: not by the server itself, either."""
    journal, guard = MemoryJournal(), Guard()
    journal.create("r")
    guard.restraints.replace({"r"}, ())
    async with open_hub(journal, Limits(), guard=guard) as hub:
        with pytest.raises(RoomFrozen):
            await hub.purge("r", ["some-element"])


@pytest.mark.parametrize(
    ("who", "error"), [(ANNA.user_id, KeptOut), (EVERYBODY, RoomClosed)], ids=["kept out", "closed"]
)
async def test_who_is_kept_out_neither_joins_nor_edits(who: str, error: type[KanvasError]) -> None:
    """M7: until the end of it, which the words name; others go on when it is about one."""
    now_s = 1_000.0
    clock: Callable[[], float] = lambda: now_s  # noqa: E731
    journal, guard = MemoryJournal(), Guard(clock=clock)
    journal.create("r", schema="open")
    guard.restraints.replace((), [Exclusion("r", who, 2_000.0), Exclusion("other", ANNA.user_id, 9e9)])
    async with open_hub(journal, Limits(), guard=guard) as hub:
        for attempt in (lambda: Peer(ANNA).connect(hub), lambda: hub.submit("r", ANNA, update("a"))):
            with pytest.raises(error, match="1 January, 00:33 UTC") as refused:
                await attempt()
            assert refused.value.close_code == 4403
        if who != EVERYBODY:
            await Peer(BERT).connect(hub)
            await hub.submit("r", BERT, update("b"))
        now_s = 2_000.0
        await Peer(ANNA).connect(hub)
        assert await hub.submit("r", ANNA, update("a"))


async def test_a_kick_closes_all_of_ones_connections_and_no_others() -> None:
    """M7: each with 4403 and the words; the others see him go."""
    journal = MemoryJournal()
    journal.create("r", schema="open")
    async with open_hub(journal, Limits()) as hub:
        first, second = await Peer(ANNA).connect(hub), await Peer(ANNA).connect(hub)
        bert = await Peer(BERT).connect(hub)
        await settle(first, second, bert)
        first.say(first.doc.client_id, 1, {"pointer": 1})
        await settle(first, bert)
        room = hub.rooms.get("r")
        assert room is not None
        assert room.expel(ANNA.user_id, KeptOut("Out."), hub.now()) == 2
        hub.wake(room)
        await settle(bert)
        assert first.wire.closed == second.wire.closed == (4403, "Out.")
        assert bert.wire.code is None
        assert [one.user_id for one in room.present()] == [BERT.user_id]
        assert bert.states[first.doc.client_id].state is None

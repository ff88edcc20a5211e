"""party.memory: the in-memory journal keeps the port's contract."""

import pytest

from party.errors import RoomNotFound
from party.memory import MemoryJournal
from party.ports import Entry


def journal() -> MemoryJournal:
    made = MemoryJournal()
    made.create("r")
    return made


def entries(*updates: bytes) -> list[Entry]:
    return [Entry(update, "u") for update in updates]


async def test_an_append_is_there_when_it_returns() -> None:
    """J1, J3: all of it, in order, with sequence numbers from 1 without gaps."""
    made = journal()
    assert await made.append("r", 1, entries(b"a")) == 1
    assert await made.append("r", 1, entries(b"b", b"c")) == 3
    stored = await made.load("r")
    assert (stored.seq, stored.checkpoint_seq, stored.updates) == (3, 0, (b"a", b"b", b"c"))


async def test_rooms_do_not_touch_each_other() -> None:
    """J2, J3: each has its own rows and numbers."""
    made = journal()
    made.create("s", "open", epoch=4)
    await made.append("s", 4, entries(b"x"))
    assert (await made.load("r")).seq == 0
    assert (await made.load("s")).schema == "open"


async def test_a_room_that_is_gone_takes_nothing() -> None:
    """J4: never made, deleted, or of another epoch."""
    made = journal()
    for room_id, epoch in (("nobody", 1), ("r", 2)):
        with pytest.raises(RoomNotFound):
            await made.append(room_id, epoch, entries(b"a"))
    made.delete("r")
    made.delete("r")
    with pytest.raises(RoomNotFound):
        await made.load("r")
    with pytest.raises(RoomNotFound):
        await made.checkpoint("r", 1, after_seq=0, seq=1, state=b"s")


async def test_a_checkpoint_takes_its_rows() -> None:
    """J5: and leaves those behind it; the numbers go on."""
    made = journal()
    await made.append("r", 1, entries(b"a", b"b", b"c"))
    assert await made.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
    stored = await made.load("r")
    assert (stored.checkpoint, stored.checkpoint_seq, stored.updates, stored.seq) == (b"ab", 2, (b"c",), 3)
    assert await made.append("r", 1, entries(b"d")) == 4
    assert await made.checkpoint("r", 1, after_seq=2, seq=4, state=b"abcd")


@pytest.mark.parametrize(("epoch", "after_seq", "seq"), [(1, 1, 2), (1, 0, 4), (1, 0, 0), (2, 0, 1)])
async def test_a_checkpoint_that_comes_late_is_refused(epoch: int, after_seq: int, seq: int) -> None:
    """J4, J5: compare-and-set on the last one."""
    made = journal()
    await made.append("r", 1, entries(b"a", b"b", b"c"))
    assert not await made.checkpoint("r", epoch, after_seq=after_seq, seq=seq, state=b"s")
    assert (await made.load("r")).updates == (b"a", b"b", b"c")

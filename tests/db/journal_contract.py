"""What every Journal does, whatever it keeps its rows in. Source: the docstrings of party.ports.Journal.

A new adapter is one more `house` in test_journal.py.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import pytest

from party.errors import RoomMoved, RoomNotFound
from party.ports import (
    MOST_TAIL_BYTES,
    MOST_TAIL_ROWS,
    Basis,
    Entry,
    Journal,
    Owner,
    Schema,
    Tail,
    Tombstones,
)


class House(Protocol):
    """A journal and the means to make and delete rooms beside it."""

    @property
    def journal(self) -> Journal: ...

    async def create(self, room_id: str, schema: Schema = "canvas", epoch: int = 1) -> None: ...

    async def delete(self, room_id: str) -> None: ...

    async def tombstones(self, room_id: str) -> dict[str, datetime]: ...


def entries(*updates: bytes, user_id: str = "ada") -> list[Entry]:
    return [Entry(update, user_id) for update in updates]


class JournalContract:
    async def test_a_new_room_is_empty(self, house: House) -> None:
        await house.create("r", schema="open", epoch=3)
        room = await house.journal.load("r")
        assert (room.room_id, room.schema, room.epoch) == ("r", "open", 3)
        assert (room.seq, room.checkpoint_seq, room.checkpoint, room.updates) == (0, 0, None, ())

    async def test_appends_are_numbered_from_one_and_return_the_last_number(self, house: House) -> None:
        await house.create("r")
        assert await house.journal.append("r", 1, entries(b"a")) == 1
        assert await house.journal.append("r", 1, entries(b"b", b"c", b"d")) == 4
        assert await house.journal.append("r", 1, entries(b"e")) == 5
        room = await house.journal.load("r")
        assert (room.seq, room.updates) == (5, (b"a", b"b", b"c", b"d", b"e"))

    async def test_client_ids_are_bound_with_the_rows_and_the_first_author_stays(self, house: House) -> None:
        """O1, O3, O5: a relayed id goes to the first who writes under it."""
        await house.create("r")
        largest = 2**53 - 1
        ada, bob = Owner("ada"), Owner("bob")
        claims = {1: ada, 2: Owner("ada", is_relayed=True), largest: Owner("ada", is_relayed=True)}
        await house.journal.append("r", 1, [Entry(b"a", "ada", claims), Entry(b"b", "ada")])
        assert (await house.journal.load("r")).owners == claims
        await house.journal.append("r", 1, [Entry(b"c", "bob", {2: bob, 3: bob})])
        expected = {1: ada, 2: bob, 3: bob, largest: Owner("ada", is_relayed=True)}
        assert (await house.journal.load("r")).owners == expected
        assert await house.journal.checkpoint("r", 1, after_seq=0, seq=3, state=b"abc")
        assert (await house.journal.load("r")).owners == expected
        with pytest.raises(RoomNotFound):
            await house.journal.append("r", 2, [Entry(b"d", "bob", {9: bob})])
        assert (await house.journal.load("r")).owners == expected

    async def test_a_claim_of_somebody_elses_id_is_refused_whole(self, house: House) -> None:
        """B6 O1: two processes bound one id to two people; the first is the owner, and others go through."""
        await house.create("r")
        await house.create("other")
        ada, bob = Owner("ada"), Owner("bob")
        await house.journal.append("r", 1, [Entry(b"a", "ada", {1: ada, 2: Owner("ada", is_relayed=True)})])
        for claim in (bob, Owner("bob", is_relayed=True)):
            refused, taken = await asyncio.gather(
                house.journal.append("r", 1, [Entry(b"b", "bob"), Entry(b"c", "bob", {7: bob, 1: claim})]),
                house.journal.append("other", 1, [Entry(b"d", "bob", {1: bob})]),
                return_exceptions=True,
            )
            assert isinstance(refused, RoomMoved)
            assert isinstance(taken, int)
        room = await house.journal.load("r")
        assert (room.seq, room.updates) == (1, (b"a",))
        assert set(room.owners) == {1, 2}
        # what is one's own, or only relayed, is no contradiction
        assert (
            await house.journal.append("r", 1, [Entry(b"e", "ada", {1: ada}), Entry(b"f", "bob", {2: bob})])
            == 3
        )

    async def test_edits_have_to_fit_behind_rows_they_did_not_know(self, house: House) -> None:
        """B6: who made them decides; in one group with others, too, who go through."""
        await house.create("r")
        await house.create("other")
        journal, seen = house.journal, list[tuple[bytes, ...]]()

        def basis(seq: int, *, fits: bool) -> Basis:
            def look(rows: Sequence[bytes]) -> bool:
                seen.append(tuple(rows))
                return fits

            return Basis(seq, look)

        assert await journal.append("r", 1, entries(b"a", b"b"), basis(0, fits=False)) == 2
        assert seen == []
        assert await journal.append("r", 1, entries(b"c"), basis(1, fits=True)) == 3
        assert seen == [(b"b",)]
        refused, taken = await asyncio.gather(
            journal.append("r", 1, entries(b"d"), basis(0, fits=False)),
            journal.append("other", 1, entries(b"x"), basis(0, fits=False)),
            return_exceptions=True,
        )
        assert isinstance(refused, RoomMoved)
        assert taken == 1
        assert set(seen[1:]) == {(b"a", b"b", b"c")}
        room = await journal.load("r")
        assert (room.seq, room.updates) == (3, (b"a", b"b", b"c"))
        # two of one room in one commit: the second looks at the first
        seen.clear()
        both = [journal.append("r", 1, entries(b"e", b"f"), basis(3, fits=True)) for _ in range(2)]
        assert await asyncio.gather(*both) == [5, 7]
        assert seen == [(b"e", b"f")]

    async def test_behind_a_checkpoint_nothing_fits(self, house: House) -> None:
        """B6: the rows can't be looked at any more."""
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a", b"b"))
        assert await house.journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
        with pytest.raises(RoomMoved):
            await house.journal.append("r", 1, entries(b"c"), Basis(1, lambda _: True))
        assert await house.journal.append("r", 1, entries(b"c"), Basis(2, lambda _: False)) == 3

    async def test_the_tail_is_what_came_after(self, house: House) -> None:
        """B4: from one snapshot, with the owners; a checkpoint beyond it shows, and another epoch."""
        await house.create("r", epoch=2)
        journal, claims = house.journal, {5: Owner("ada")}
        assert await journal.read("r", 2, 0) == Tail(0, 0, ())
        await journal.append("r", 2, [Entry(b"a", "ada", claims), Entry(b"b", "ada"), Entry(b"c", "ada")])
        assert await journal.read("r", 2, 0) == Tail(0, 3, (b"a", b"b", b"c"), claims)
        assert await journal.read("r", 2, 2) == Tail(0, 3, (b"c",), claims)
        assert (await journal.read("r", 2, 3)).updates == ()
        assert await journal.checkpoint("r", 2, after_seq=0, seq=2, state=b"ab")
        assert await journal.read("r", 2, 2) == Tail(2, 3, (b"c",), claims)
        beyond = await journal.read("r", 2, 1)
        assert (beyond.checkpoint_seq, beyond.seq, beyond.updates) == (2, 3, ())
        for room_id, epoch in (("r", 1), ("nowhere", 1)):
            with pytest.raises(RoomNotFound):
                await journal.read(room_id, epoch, 0)
        await house.delete("r")
        with pytest.raises(RoomNotFound):
            await journal.read("r", 2, 0)

    async def test_a_tail_that_is_too_much_for_one_go_is_refused(self, house: House) -> None:
        """B4: in rows and in bytes."""
        for room_id in ("many", "large"):
            await house.create(room_id)
        await house.journal.append("many", 1, entries(*[b"x"] * (MOST_TAIL_ROWS + 1)))
        with pytest.raises(RoomMoved):
            await house.journal.read("many", 1, 0)
        assert len((await house.journal.read("many", 1, 1)).updates) == MOST_TAIL_ROWS
        half = MOST_TAIL_BYTES // 2
        for size_bytes in (half, half, 1):
            await house.journal.append("large", 1, entries(bytes(size_bytes)))
        with pytest.raises(RoomMoved):
            await house.journal.read("large", 1, 0)
        assert [len(row) for row in (await house.journal.read("large", 1, 1)).updates] == [half, 1]
        # a checkpoint took it: that is told first
        assert await house.journal.checkpoint("large", 1, after_seq=0, seq=1, state=b"s")
        assert await house.journal.read("large", 1, 0) == Tail(1, 3, ())

    async def test_heads_are_of_rooms_that_moved(self, house: House) -> None:
        """B5: ahead, of another epoch, or gone; the others cost no answer."""
        for name in ("same", "ahead", "gone", "epoch"):
            await house.create(name, epoch=3)
        for name in ("same", "ahead"):
            await house.journal.append(name, 3, entries(b"a", b"b"))
        await house.delete("gone")
        known = {"same": (3, 2), "ahead": (3, 1), "gone": (3, 0), "epoch": (2, 0), "never": (1, 0)}
        found = {head.room_id: (head.epoch, head.seq) for head in await house.journal.heads(known)}
        assert found == {"ahead": (3, 2), "gone": (None, 0), "epoch": (3, 0), "never": (None, 0)}
        assert await house.journal.heads({}) == []
        many = {f"room-{n}": (1, n) for n in range(3000)}
        assert len(await house.journal.heads(many | {"ahead": (3, 2)})) == 3000

    async def test_the_same_batch_twice_is_there_twice(self, house: House) -> None:
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a"))
        assert await house.journal.append("r", 1, entries(b"a")) == 2
        assert (await house.journal.load("r")).updates == (b"a", b"a")

    async def test_appends_to_one_room_that_wait_together_keep_their_order(self, house: House) -> None:
        await house.create("r")
        waiting = [house.journal.append("r", 1, entries(b"%d" % n, b"+")) for n in range(20)]
        assert await asyncio.gather(*waiting) == [2 * n + 2 for n in range(20)]
        expected = tuple(update for n in range(20) for update in (b"%d" % n, b"+"))
        assert (await house.journal.load("r")).updates == expected

    async def test_many_rooms_at_once_each_have_their_own_numbers(self, house: House) -> None:
        names = [f"room-{n}" for n in range(60)]
        for name in names:
            await house.create(name)
        for turn in range(3):
            seqs = await asyncio.gather(
                *(house.journal.append(name, 1, entries(f"{name}/{turn}".encode())) for name in names)
            )
            assert seqs == [turn + 1] * len(names)
        for name in names:
            assert (await house.journal.load(name)).updates == tuple(
                b"%s/%d" % (name.encode(), t) for t in range(3)
            )

    async def test_bytes_come_back_as_they_were(self, house: House) -> None:
        await house.create("r")
        updates = (b"", b"\x00", bytes(range(256)), b"\xff" * 300_000)
        await house.journal.append("r", 1, entries(*updates))
        assert (await house.journal.load("r")).updates == updates

    async def test_an_absent_room_is_not_found(self, house: House) -> None:
        with pytest.raises(RoomNotFound):
            await house.journal.load("nowhere")
        with pytest.raises(RoomNotFound):
            await house.journal.append("nowhere", 1, entries(b"a"))

    async def test_a_deleted_room_is_not_found_and_takes_nothing(self, house: House) -> None:
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a"))
        await house.delete("r")
        with pytest.raises(RoomNotFound):
            await house.journal.load("r")
        with pytest.raises(RoomNotFound):
            await house.journal.append("r", 1, entries(b"b"))

    async def test_another_epoch_is_refused_in_both_directions(self, house: House) -> None:
        await house.create("r", epoch=2)
        for epoch in (1, 3):
            with pytest.raises(RoomNotFound):
                await house.journal.append("r", epoch, entries(b"a"))
            assert not await house.journal.checkpoint("r", epoch, after_seq=0, seq=0, state=b"s")
        assert await house.journal.append("r", 2, entries(b"a")) == 1

    async def test_a_room_that_is_gone_costs_its_neighbours_nothing(self, house: House) -> None:
        for name in ("old", "good", "deleted"):
            await house.create(name, epoch=2)
        await house.delete("deleted")
        answers = await asyncio.gather(
            house.journal.append("old", 1, entries(b"a")),
            house.journal.append("good", 2, entries(b"b")),
            house.journal.append("deleted", 2, entries(b"c")),
            house.journal.append("nowhere", 1, entries(b"d")),
            house.journal.append("old", 2, entries(b"e")),
            return_exceptions=True,
        )
        assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [
            RoomNotFound,
            1,
            RoomNotFound,
            RoomNotFound,
            1,
        ]
        assert (await house.journal.load("good")).updates == (b"b",)
        assert (await house.journal.load("old")).updates == (b"e",)

    async def test_a_cancelled_append_disturbs_nobody(self, house: House) -> None:
        await house.create("r")
        await house.create("other")
        cancelled = asyncio.ensure_future(house.journal.append("r", 1, entries(b"a")))
        kept = asyncio.ensure_future(house.journal.append("other", 1, entries(b"b")))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await kept == 1
        assert await house.journal.append("r", 1, entries(b"c")) in (1, 2)
        assert (await house.journal.load("r")).updates in ((b"c",), (b"a", b"c"))

    async def test_a_checkpoint_replaces_the_rows_it_covers(self, house: House) -> None:
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a", b"b", b"c"))
        assert await house.journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
        room = await house.journal.load("r")
        assert (room.seq, room.checkpoint_seq, room.checkpoint, room.updates) == (3, 2, b"ab", (b"c",))
        assert await house.journal.append("r", 1, entries(b"d")) == 4
        assert await house.journal.checkpoint("r", 1, after_seq=2, seq=4, state=b"abcd")
        room = await house.journal.load("r")
        assert (room.seq, room.checkpoint_seq, room.checkpoint, room.updates) == (4, 4, b"abcd", ())
        assert await house.journal.append("r", 1, entries(b"e")) == 5

    async def test_of_two_checkpoints_from_one_base_the_second_is_too_late(self, house: House) -> None:
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a", b"b", b"c"))
        assert await house.journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"first")
        assert not await house.journal.checkpoint("r", 1, after_seq=0, seq=3, state=b"second")
        room = await house.journal.load("r")
        assert (room.checkpoint_seq, room.checkpoint, room.updates) == (2, b"first", (b"c",))

    @pytest.mark.parametrize(("after_seq", "seq"), [(2, 1), (2, 4), (1, 3), (3, 3), (2, 2)])
    async def test_a_checkpoint_outside_of_the_rows_is_not_taken(
        self, house: House, after_seq: int, seq: int
    ) -> None:
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a", b"b", b"c"))
        assert await house.journal.checkpoint("r", 1, after_seq=0, seq=2, state=b"ab")
        assert not await house.journal.checkpoint("r", 1, after_seq=after_seq, seq=seq, state=b"wrong")
        room = await house.journal.load("r")
        assert (room.seq, room.checkpoint_seq, room.checkpoint, room.updates) == (3, 2, b"ab", (b"c",))

    async def test_tombstones_come_with_their_checkpoint(self, house: House) -> None:
        """J7: with the time of the first checkpoint that has them, or of their deletion's latest."""
        await house.create("r")
        await house.create("other")
        await house.journal.append("r", 1, entries(*(b"%d" % n for n in range(9))))
        lists = [
            Tombstones(new=frozenset("abcd")),
            Tombstones(old=frozenset("ab"), new=frozenset("cé")),
            Tombstones(old=frozenset("abcé")),
            # one that an older version of the program did not list
            Tombstones(old=frozenset("aéx")),
            Tombstones(),
        ]
        seen: list[dict[str, datetime]] = []
        for seq, found in enumerate(lists, start=1):
            before = datetime.now(UTC)
            assert await house.journal.checkpoint(
                "r", 1, after_seq=seq - 1, seq=seq, state=b"s", tombstones=found
            )
            seen.append(await house.tombstones("r"))
            assert set(seen[-1]) == found.old | found.new
            assert all(before <= seen[-1][one] <= datetime.now(UTC) for one in found.new)
        assert seen[1]["a"] == seen[0]["a"]
        assert seen[1]["c"] > seen[0]["c"]
        assert seen[2] == seen[1]
        assert {one: seen[3][one] for one in "aé"} == {one: seen[1][one] for one in "aé"}
        assert seen[3]["x"] > seen[1]["c"]
        assert await house.tombstones("other") == {}

    async def test_a_checkpoint_that_is_not_taken_lists_nothing(self, house: House) -> None:
        """J7: list and state are one transaction."""
        await house.create("r")
        await house.journal.append("r", 1, entries(b"a", b"b"))
        found = Tombstones(new=frozenset("a"))
        for epoch, after_seq, seq in ((2, 0, 1), (1, 1, 2), (1, 0, 3)):
            assert not await house.journal.checkpoint(
                "r", epoch, after_seq=after_seq, seq=seq, state=b"s", tombstones=found
            )
        assert await house.tombstones("r") == {}

    async def test_appends_and_checkpoints_at_once_lose_nothing(self, house: House) -> None:
        await house.create("r")
        journal = house.journal

        async def write() -> None:
            for n in range(60):
                assert await journal.append("r", 1, entries(b"%d," % n)) == n + 1
                await asyncio.sleep(0)

        async def fold() -> None:
            for _ in range(15):
                room = await journal.load("r")
                state = (room.checkpoint or b"") + b"".join(room.updates)
                if room.updates:
                    assert await journal.checkpoint(
                        "r", 1, after_seq=room.checkpoint_seq, seq=room.seq, state=state
                    )
                await asyncio.sleep(0.001)

        await asyncio.gather(write(), fold())
        room = await journal.load("r")
        everything = (room.checkpoint or b"") + b"".join(room.updates)
        assert everything == b"".join(b"%d," % n for n in range(60))

"""party.ticker and the pace of rooms: quiet ones at once, busy ones together, one timer for all."""

import asyncio

from party.limits import Limits
from party.ports import StoredRoom
from party.room import Room
from party.shared import SharedRoom
from party.ticker import Ticker
from tests.party.peers import ANNA, Peer, open_room, settle


class Clock:
    """Stands for a loop: time moves when the test says so."""

    def __init__(self) -> None:
        self.at = 0.0
        self.soon: list[object] = []
        self.timers: list[list[object]] = []

    def time(self) -> float:
        return self.at

    def call_soon(self, work: object) -> None:
        self.soon.append(work)

    def call_at(self, when: float, work: object) -> "Clock.Timer":
        timer = Clock.Timer(when, work)
        self.live = timer
        self.timers.append([when, work])
        return timer

    class Timer:
        def __init__(self, when: float, work: object) -> None:
            self.when, self.work, self.cancelled = when, work, False

        def cancel(self) -> None:
            self.cancelled = True

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()  # type: ignore[operator]

    def move(self, to: float) -> None:
        """Time goes on; the one timer rings when it is due."""
        while not self.live.cancelled and self.live.when <= to:
            timer, self.live = self.live, Clock.Timer(1e9, None)
            self.at = max(self.at, timer.when)
            timer.work()  # type: ignore[operator]
            self.run()
        self.at = to


def ticking(slice_s: float = 1.0) -> tuple[Clock, Ticker, list[tuple[Room, float]]]:
    clock = Clock()
    visits: list[tuple[Room, float]] = []
    ticker = Ticker(clock, lambda room, late_s: visits.append((room, late_s)), slice_s=slice_s)  # type: ignore[arg-type]
    return clock, ticker, visits


def test_a_quiet_room_is_visited_at_once_and_once() -> None:
    """H8, H2: however often it is woken before."""
    clock, ticker, visits = ticking()
    room = open_room()
    for _ in range(3):
        ticker.wake(room)
    clock.run()
    assert visits == [(room, 0.0)]


def test_a_busy_room_waits_for_its_pace_and_others_do_not_wait_for_it() -> None:
    """H8: one timer, in the order of who is due."""
    clock, ticker, visits = ticking()
    late, soon, quiet = open_room(), open_room(), open_room()
    late.due_s, soon.due_s = 0.033, 0.016
    for room in (late, soon, quiet):
        ticker.wake(room)
    clock.run()
    assert [room for room, _ in visits] == [quiet]
    clock.move(0.020)
    assert [room for room, _ in visits] == [quiet, soon]
    clock.move(0.040)
    assert [room for room, _ in visits] == [quiet, soon, late]
    # armed for the first, then for an earlier one, then for the one that is left
    assert [when for when, _ in clock.timers] == [0.033, 0.016, 0.033]


def test_runs_begin_a_gap_apart() -> None:
    """H2: rooms that wake one after the other within it are visited together, the first one at once."""
    clock = Clock()
    clock.at = 5.0
    visits: list[Room] = []
    ticker = Ticker(clock, lambda room, _: visits.append(room), slice_s=1.0, gap_s=0.003)  # type: ignore[arg-type]
    first, second, third = open_room(), open_room(), open_room()
    ticker.wake(first)
    clock.run()
    assert visits == [first]
    clock.at = 5.001
    ticker.wake(second)
    ticker.wake(third)
    clock.run()
    assert visits == [first]
    clock.move(5.004)
    assert visits == [first, second, third]


def test_lateness_is_told() -> None:
    """H8: a process that is behind visits less often."""
    clock, ticker, visits = ticking()
    room = open_room()
    room.due_s = 0.016
    ticker.wake(room)
    clock.at = 0.050
    clock.live.work()  # type: ignore[operator]
    clock.run()
    assert [round(late_s, 3) for _, late_s in visits] == [0.034]


def test_the_pace_follows_the_crowd_and_the_lateness() -> None:
    """H8: so much for each connection between two bounds, and longer when late."""
    room = open_room(limits=Limits(pace_per_connection_s=0.012))
    seen = []
    for _ in range(4):
        Peer(ANNA).enter(room)
        room.set_pace(1.0)
        seen.append(round(room.due_s - 1, 3))
    assert seen == [0.016, 0.024, 0.036, 0.048]
    Peer(ANNA).enter(room)
    room.set_pace(1.0)
    assert round(room.due_s - 1, 3) == 0.050
    room.set_pace(1.0, 0.1)
    assert round(room.due_s - 1, 3) == 0.150
    room.set_pace(1.0, 5.0)
    assert room.due_s - 1 == Limits().max_pace_s


def test_at_two_nodes_a_connection_counts_twice() -> None:
    """H8: each node sends what both take in; without this one room at two cost 2.5 times one process."""
    room = SharedRoom(
        StoredRoom("r", "canvas", 1, 0, 0, None, ()), Limits(pace_per_connection_s=0.012), now=0.0
    )
    for _ in range(2):
        Peer(ANNA).enter(room)
    room.set_pace(1.0)
    assert round(room.due_s - 1, 3) == 0.024
    room.share(True)
    room.set_pace(1.0)
    assert round(room.due_s - 1, 3) == 0.048
    room.others = {"one": (), "two": ()}
    room.set_pace(1.0)
    # a crowd makes it no slower than this
    assert round(room.due_s - 1, 3) == 0.050
    room.share(False)
    room.set_pace(1.0)
    assert round(room.due_s - 1, 3) == 0.024


def test_who_never_reads_does_not_slow_the_room_down() -> None:
    """H8, R8: he costs no send."""
    room = open_room(limits=Limits(pace_per_connection_s=0.012))
    crowd = [Peer(ANNA) for _ in range(4)]
    for peer in crowd:
        peer.enter(room)
        peer.read()
    settle(room)
    room.set_pace(1.0)
    assert round(room.due_s - 1, 3) == 0.048
    for peer in crowd[2:]:
        peer.wire.buffered_bytes = 10**8
    for name in ("a", "b"):
        crowd[0].draw(name)
        crowd[0].flush()
        settle(room)
        room.set_pace(1.0)
        assert round(room.due_s - 1, 3) == 0.024


async def test_what_comes_within_one_pace_leaves_in_one_write() -> None:
    """H8, R5, P4: edits of one person and presence of another, one write each, one frame for all."""
    from party import wire
    from party.hub import open_hub
    from party.memory import MemoryJournal
    from tests.party.peers import quiet

    journal = MemoryJournal()
    journal.create("r")
    async with open_hub(journal, Limits(pace_s=0.05)) as hub:
        anna, bert = await Peer(ANNA).connect(hub), await Peer(ANNA).connect(hub)
        await quiet(anna, bert)
        await asyncio.sleep(0.06)
        anna.draw("first")
        anna.flush()
        await quiet(anna, bert)
        assert len(bert.wire.of(wire.Update)) == 1, "a quiet room sends at once"
        writes = len(bert.wire.writes)
        for number in range(5):
            anna.draw(f"next {number}")
            anna.flush()
            bert.say(bert.doc.client_id, number + 1, {"n": number})
        await quiet(anna, bert)
        assert len(bert.wire.writes) == writes, "a busy one waits for its pace"
        await asyncio.sleep(0.07)
        await quiet(anna, bert)
        assert len(bert.wire.writes) == writes + 1
        update, presence = bert.wire.writes[-1]
        assert isinstance(wire.decode_message(update), wire.Update)
        assert isinstance(wire.decode_message(presence), wire.Awareness)
        assert len(anna.elements) == len(bert.elements) == 6
        for ours, theirs in zip(anna.wire.writes[-1], bert.wire.writes[-1], strict=True):
            assert ours is theirs, "the same bytes for everybody"

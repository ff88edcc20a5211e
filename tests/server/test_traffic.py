"""server.traffic: one ticker for all connections, driven by hand with a clock of the test's."""

import pytest

from party.errors import KanvasError, TooSlow, Unavailable
from server.bounds import Bounds
from server.traffic import Progress, Traffic, open_traffic


class Connection:
    """Something to watch."""

    def __init__(self) -> None:
        self.is_held = False
        self.looks = 0
        self.grants = 0
        self.failed: list[KanvasError] = []

    def look(self) -> None:
        self.looks += 1

    def fail(self, error: KanvasError) -> None:
        self.failed.append(error)

    def granted(self) -> None:
        self.grants += 1


class Clock:
    """Time, by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_every_connection_is_looked_at_once_in_twenty_beats() -> None:
    """S10: a twentieth of them each second, until they are gone."""
    traffic = Traffic(Bounds(), Clock())
    connections = [Connection() for _ in range(100)]
    for one in connections:
        traffic.add(one)
    assert len(traffic) == 100
    for _ in range(20):
        traffic.beat()
    assert {one.looks for one in connections} == {1}
    for one in connections[:50]:
        traffic.remove(one)
        traffic.remove(one)
    for _ in range(20):
        traffic.beat()
    assert [one.looks for one in connections] == [1] * 50 + [2] * 50


def test_a_message_that_dribbles_is_ended() -> None:
    """W8: 1 KiB/s over ten seconds, or complete; 1013, for it may be the network."""
    clock = Clock()
    traffic = Traffic(Bounds(), clock)
    fast, slow = Connection(), Connection()
    for one in (fast, slow):
        traffic.unfinished[one] = Progress(clock())
    for _ in range(30):
        clock.now_s += 1
        for one, came_bytes in ((fast, 1100), (slow, 900)):
            traffic.unfinished[one].came_bytes += came_bytes
        traffic.hold_to_rate()
    assert fast.failed == []
    assert isinstance(slow.failed[0], TooSlow)
    assert slow.failed[0].close_code == 1013
    assert len(slow.failed[0].message.encode()) <= 123


def test_a_message_that_holds_a_share_must_be_faster() -> None:
    """W8 W9: whoever keeps others waiting gets on with it."""
    clock = Clock()
    traffic = Traffic(Bounds(), clock)
    one = Connection()
    assert traffic.budget.take(one, 1 << 20, clock())
    traffic.unfinished[one] = Progress(clock())
    clock.now_s += 11
    traffic.unfinished[one].came_bytes = 20 * 1024 * 11
    traffic.hold_to_rate()
    assert len(one.failed) == 1


def test_what_we_do_not_read_does_not_dribble() -> None:
    """W8 S7: a connection that we hold back can make no progress."""
    clock = Clock()
    traffic = Traffic(Bounds(), clock)
    one = Connection()
    traffic.unfinished[one] = Progress(clock())
    one.is_held = True
    clock.now_s += 100
    traffic.hold_to_rate()
    one.is_held = False
    clock.now_s += 9
    traffic.hold_to_rate()
    assert one.failed == []
    clock.now_s += 1
    traffic.hold_to_rate()
    assert len(one.failed) == 1


def test_who_waits_too_long_for_a_share_is_sent_away() -> None:
    """W9: after 30 s, with a code that is tried again."""
    clock = Clock()
    traffic = Traffic(Bounds(inflight_bytes=100), clock)
    holder, waiting = Connection(), Connection()
    traffic.budget.take(holder, 100, clock())
    traffic.budget.take(waiting, 100, clock())
    clock.now_s += 30
    traffic.hold_to_rate()
    assert waiting.failed == []
    clock.now_s += 0.1
    traffic.hold_to_rate()
    assert isinstance(waiting.failed[0], Unavailable)
    assert len(waiting.failed[0].message.encode()) <= 123
    traffic.remove(waiting)
    traffic.remove(holder)
    assert traffic.budget.held_bytes == 0
    assert waiting.grants == 0


async def test_a_failing_beat_does_not_end_the_ticker(monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: the error is logged and the next second comes."""
    import asyncio

    from server import traffic as module

    monkeypatch.setattr(module, "BEAT_S", 0.001)
    beats = 0
    enough = asyncio.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            enough.set()
        raise ValueError("a bug")

    async with open_traffic(Bounds(silent_after_s=0.02)) as traffic:
        monkeypatch.setattr(traffic, "beat", beat)
        async with asyncio.timeout(60):
            await enough.wait()

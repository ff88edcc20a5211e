"""The pace of one connection: words first, then slower, and the end only for who goes on for minutes."""

import asyncio
from math import inf

import pytest

from party import wire
from server.bounds import Bounds
from server.rates.actions import read_table
from server.rates.base import Rate
from server.rates.guard import Rates
from server.rates.memory import MemoryLimiter
from server.rates.pace import MAX_HOLDS, NO_PACE, Holds, Pace, make_pace
from tests.server.test_frames import binary
from tests.server.test_line import Setting, turn

QUICK = make_pace(Rate(100, 0.2), Rate(100_000, 0.2), 1000)
BOUNDS = Bounds(max_message_bytes=100_000, large_bytes=1_000, inflight_bytes=100_000, close_s=0.01)


def test_a_pace_is_a_span_for_each_message_and_each_byte() -> None:
    pace = make_pace(Rate(6000, 10), Rate(1_000_000, 10), 1000)
    assert (pace.message_s, pace.byte_s, pace.burst_s) == (10 / 6000, 1e-05, 10)
    assert make_pace(None, None, 1000) == NO_PACE
    assert NO_PACE.burst_s == inf
    assert make_pace(Rate(5, 1), None, 0).byte_s == 0
    assert make_pace(None, Rate(5, 1), 0).message_s == 0
    assert "6000 messages in 10 s or 1000000 bytes in 10 s" in pace.words


def test_plans_have_their_pace_and_made_up_ones_cost_nothing() -> None:
    """L6, L8"""
    rates = Rates(read_table("", "pro=x2"), MemoryLimiter(), 1000)
    assert rates.pace_of("pro").message_s == rates.pace_of("").message_s / 2
    for at in range(100):
        assert rates.pace_of(f"plan {at}") == rates.pace_of("")
    assert len(rates._paces) <= 2


async def begin(pace: Pace) -> Setting:
    one = await Setting(BOUNDS).sit()
    one.line.pace = pace
    return one


async def test_who_sends_too_much_is_told_once_and_read_more_slowly() -> None:
    """L6: nothing that was sent is lost."""
    one = await begin(QUICK)
    for _ in range(500):
        one.line.data_received(binary(b"x"))
    assert not one.transport.is_read
    assert one.closed is None
    assert 100 <= len(one.seat.messages) <= 202
    notice = wire.encode_notice(QUICK.words)
    assert one.transport.written.count(notice) == 1
    async with asyncio.timeout(120):
        while len(one.seat.messages) < 500 or not one.transport.is_read:
            await asyncio.sleep(0.01)
            one.now_s += 0.05
    assert one.transport.written.count(notice) == 1
    assert one.closed is None


@pytest.mark.parametrize(("message", "action"), [(b"x", "messages"), (b"x" * 900, "bytes")])
async def test_each_pause_is_counted_once_as_a_denial(message: bytes, action: str) -> None:
    """M1: by what it sends too much of, however much comes meanwhile."""
    one = await begin(make_pace(Rate(100, 0.2), Rate(50_000, 0.2), 1000))
    assert one.traffic.tally.held_back == {}
    for pauses in (1, 2, 3):
        while not one.line.is_held:
            one.line.data_received(binary(message))
        one.line.data_received(binary(message) * 5)
        assert one.traffic.tally.held_back == {action: pauses}
        one.line._let_go(16)
        one.now_s += 0.15
        await turn()


async def test_bytes_count_too_and_a_first_sync_counts_as_one_update() -> None:
    """L6: a document of a week offline is one message of 64 MiB."""
    one = await begin(QUICK)
    for _ in range(250):
        one.line.data_received(binary(b"x" * 900))
    assert not one.transport.is_read
    # half of what the messages alone would allow, and half of what the bytes would: they add up
    assert 52 <= len(one.seat.messages) <= 108
    other = await begin(QUICK)
    large = wire.encode_step_2(b"x" * 90_000)
    for _ in range(20):
        other.line.data_received(binary(large))
        assert other.transport.is_read
    assert len(other.seat.messages) == 20


async def test_who_keeps_to_it_is_never_held_back() -> None:
    """L6"""
    one = await begin(QUICK)
    for _ in range(2000):
        # 480 a second, of 500
        one.now_s += 1 / 480
        one.line.data_received(binary(b"x"))
        assert one.transport.is_read
    assert one.seat.messages == [b"x"] * 2000
    assert not one.traffic.held_back


def test_only_who_goes_on_without_a_rest_is_sent_away() -> None:
    """L6"""
    holds, now, waits = Holds(), 50.0, 0.0
    for _ in range(MAX_HOLDS):
        wait_s = holds.again(now, QUICK, 0.2)
        assert wait_s == pytest.approx(0.1)
        waits += wait_s
        now += wait_s + 0.1
    assert holds.again(now, QUICK, 0.2) is None
    rested = Holds()
    for _ in range(5 * MAX_HOLDS):
        wait_s = rested.again(now, QUICK, 0.2)
        assert wait_s is not None
        now += wait_s + QUICK.burst_s + 0.01


async def test_a_flood_of_minutes_ends_with_4429() -> None:
    """L6: after as many holds as the rule says, with words."""
    one = await begin(QUICK)
    for _ in range(MAX_HOLDS):
        while not one.line.is_held:
            one.line.data_received(binary(b"x"))
        assert one.closed is None
        one.line._let_go(16)
        one.now_s += 0.1
        await turn()
    while one.closed is None:
        one.line.data_received(binary(b"x"))
    assert one.closed.code == 4429
    one.line.connection_lost(None)
    assert not one.traffic.held_back

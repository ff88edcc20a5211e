"""server.line: one socket after its handshake, on a transport that records, with a clock of the test's."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from party import wire
from server import frames
from server.bounds import Bounds
from server.frames import Closing, Reader
from server.line import HIGH_WATER_BYTES, Line
from server.traffic import Traffic
from tests.server.test_frames import binary, sent

BOUNDS = Bounds(max_message_bytes=100_000, large_bytes=1_000, inflight_bytes=100_000, close_s=0.01)


class Recorder(asyncio.Transport):
    """A transport that keeps what is written and has as much buffered as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.buffered = 0
        self.is_read = False
        self.ended: str | None = None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.ended is not None

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class Seat:
    """A receiver that records, and does what the test says with each message."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.drains = 0
        self.leaves = 0
        self.then: Callable[[bytes], None] = lambda message: None

    def receive(self, data: bytes) -> None:
        self.messages.append(data)
        self.then(data)

    def drained(self) -> None:
        self.drains += 1

    def leave(self) -> None:
        self.leaves += 1


class Ends:
    """A place."""

    def __init__(self) -> None:
        self.frees = 0

    def free(self) -> None:
        self.frees += 1


class Setting:
    """A line with everything around it."""

    def __init__(self, bounds: Bounds = BOUNDS, traffic: Traffic | None = None) -> None:
        self.now_s = 100.0
        self.traffic = traffic or Traffic(bounds, lambda: self.now_s)
        self.transport = Recorder()
        self.lines: set[Any] = set()
        self.line = Line(self.transport, self.traffic, self.lines)
        self.seat = Seat()
        self.place = Ends()
        self.line.keep(self.place)

    async def sit(self) -> "Setting":
        self.line.seat_at(self.seat)
        await turn()
        assert self.transport.is_read
        return self

    @property
    def closed(self) -> Closing | None:
        """The close frame among what was written."""
        # read as a client's: our frames have no mask, so one of zeros is put in
        data, at = self.transport.written, 0
        while at < len(data):
            size = data[at + 1]
            if data[at] == 0x80 | frames.CLOSE:
                reader = Reader(BOUNDS)
                reader.feed(bytes([data[at], 0x80 | size]) + bytes(4) + data[at + 2 : at + 2 + size])
                event = reader.next()
                assert isinstance(event, Closing)
                return event
            at += 2 + size
        return None


async def turn() -> None:
    """Let the loop run what is scheduled."""
    for _ in range(4):
        await asyncio.sleep(0)


async def test_nothing_is_read_before_the_seat() -> None:
    """S9: what comes meanwhile stays in the kernel, and what slipped through is handed on in order."""
    one = Setting()
    one.line.data_received(binary(b"early"))
    assert one.seat.messages == []
    await one.sit()
    one.line.data_received(binary(b"later"))
    assert one.seat.messages == [b"early", b"later"]


async def test_several_messages_are_one_write() -> None:
    """W1: a frame each, and nothing once it closes."""
    one = await Setting().sit()
    one.line.send(b"a", b"bc")
    assert one.transport.written == b"\x82\x01a\x82\x02bc"
    one.line.close(1013, "enough")
    before = one.transport.written
    one.line.send(b"d")
    assert one.transport.written == before


async def test_a_line_that_is_held_back_in_the_middle_of_a_chunk_delivers_no_more() -> None:
    """S7: not even what was read already; nothing is lost, nothing comes while its room is at work."""
    one = await Setting().sit()
    one.seat.then = lambda message: one.line.pause_reading() if message == b"2" else None
    one.line.data_received(b"".join(binary(b"%d" % n) for n in range(5)))
    assert one.seat.messages == [b"0", b"1", b"2"]
    assert not one.transport.is_read
    one.line.resume_reading()
    assert len(one.seat.messages) == 3
    await turn()
    assert one.seat.messages == [b"0", b"1", b"2", b"3", b"4"]
    assert one.transport.is_read


async def test_a_flood_of_small_messages_leaves_the_others_their_turn() -> None:
    """R1: so many at once, and the rest later in the loop, in order."""
    one = await Setting(replace(BOUNDS, messages_per_turn=10)).sit()
    one.line.data_received(b"".join(binary(b"%d" % n) for n in range(25)))
    assert len(one.seat.messages) == 10
    assert not one.transport.is_read
    for _ in range(4):
        await turn()
    assert one.seat.messages == [b"%d" % n for n in range(25)]
    assert one.transport.is_read


async def test_pings_are_answered_with_their_payload() -> None:
    """W7: RFC 6455 5.5.2; a pong needs no answer."""
    one = await Setting().sit()
    one.line.data_received(sent(frames.PING, b"abc") + sent(frames.PONG))
    assert one.transport.written == b"\x8a\x03abc"


async def test_a_flood_of_pings_is_4429() -> None:
    """W7: 20 at once and 10 a second on average are fine."""
    one = await Setting().sit()
    for _ in range(5):
        one.line.data_received(sent(frames.PING) * 10)
        one.now_s += 1
    assert one.closed is None
    one.now_s += 100
    one.line.data_received(sent(frames.PONG) * 20)
    assert one.closed is None
    one.line.data_received(sent(frames.PING))
    assert one.closed is not None
    assert one.closed.code == 4429
    assert one.closed.reason
    assert one.traffic.tally.disconnects == {"4429": 1}


async def test_no_pong_is_written_past_a_buffer_that_does_not_drain() -> None:
    """W7: the last one only, once there is room."""
    one = await Setting().sit()
    one.transport.buffered = HIGH_WATER_BYTES + 1
    one.line.data_received(sent(frames.PING, b"1") + sent(frames.PING, b"2"))
    assert one.transport.written == b""
    one.transport.buffered = 0
    one.line.resume_writing()
    assert one.transport.written == b"\x8a\x012"
    assert one.seat.drains == 1


async def test_only_a_sync_step_may_be_larger_than_an_update() -> None:
    """W6: told by its first two bytes, long before it is complete."""
    for message in (wire.encode_update(bytes(2_000)), wire.encode_awareness(bytes(2_000))):
        one = await Setting().sit()
        one.line.data_received(binary(message)[:20])
        assert one.closed is not None
        assert one.closed.code == 4413
    one = await Setting().sit()
    for message in (wire.encode_step_1(bytes(2_000)), wire.encode_step_2(bytes(2_000))):
        one.line.data_received(binary(message))
        assert one.seat.messages[-1] == message
    assert one.traffic.budget.held_bytes == 0


async def test_a_large_message_without_a_share_is_not_read_on() -> None:
    """W9: until another is complete, or gone; then it goes on where it was."""
    first = await Setting(replace(BOUNDS, inflight_bytes=9_000)).sit()
    second = await Setting(traffic=first.traffic).sit()
    third = await Setting(traffic=first.traffic).sit()
    message = wire.encode_step_2(bytes(5_000))
    whole = binary(message)
    for one in (first, second, third):
        one.line.data_received(whole[:2_000])
    assert [one.transport.is_read for one in (first, second, third)] == [True, False, False]
    assert second.line.is_held
    first.line.data_received(whole[2_000:])
    await turn()
    assert second.transport.is_read
    assert not third.transport.is_read
    second.line.connection_lost(None)
    await turn()
    third.line.data_received(whole[2_000:])
    assert third.seat.messages == [message]
    assert first.traffic.budget.held_bytes == 0
    assert not first.traffic.unfinished


async def test_a_message_half_read_is_watched_until_it_is_complete() -> None:
    """W8: with the bytes that came."""
    one = await Setting().sit()
    whole = binary(bytes(500))
    one.line.data_received(whole[:100])
    one.line.data_received(whole[100:150])
    assert one.traffic.unfinished[one.line].came_bytes == 50
    one.line.data_received(whole[150:])
    assert not one.traffic.unfinished
    one.line.data_received(whole[:100])
    one.line.close(1013, "")
    assert not one.traffic.unfinished


async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    """S10: every 20 s; a pong, or anything else, starts it anew."""
    one = await Setting().sit()
    one.line.look()
    assert one.transport.written == b""
    one.line.look()
    assert one.transport.written == b"\x89\x00"
    one.line.data_received(sent(frames.PONG))
    for _ in range(3):
        one.line.look()
    assert one.closed is None
    one.line.look()
    assert one.closed is not None
    assert one.closed.code == 1013


async def test_a_peer_that_takes_what_we_send_is_alive() -> None:
    """S10: its pong is still behind a large document; and it is not pinged past the buffer."""
    one = await Setting().sit()
    for left in range(20, 0, -1):
        one.transport.buffered = left * HIGH_WATER_BYTES
        one.line.look()
    assert one.transport.written == b""
    for _ in range(4):
        one.line.look()
    assert one.closed is not None


async def test_our_close_ends_when_the_peer_answers_it() -> None:
    """S6: and messages that were under way are dropped."""
    one = await Setting().sit()
    one.line.close(4404, "gone")
    one.line.close(1013, "again")
    assert one.closed == Closing(4404, "gone")
    one.line.data_received(binary(b"late") + sent(frames.PING))
    assert one.transport.ended is None
    one.line.data_received(sent(frames.CLOSE))
    assert one.transport.ended == "closed"
    assert one.seat.messages == []


async def test_our_close_ends_in_abort_when_the_peer_does_not_answer() -> None:
    """S6: also while it is held back, when even its answer would not be read."""
    one = await Setting().sit()
    one.line.pause_reading()
    one.line.close(4404, "gone")
    assert one.transport.is_read
    await asyncio.sleep(0.05)
    assert one.transport.ended == "aborted"


@pytest.mark.parametrize(
    "last",
    [sent(frames.CLOSE), sent(frames.CLOSE, b"\x03\xe8bye"), None],
    ids=["close", "with a code", "none"],
)
async def test_a_peer_that_goes_leaves_its_seat_at_once_and_ends_in_abort(last: bytes | None) -> None:
    """S6 P7: its close is answered with its code; what is buffered has the same 2 s. Half-closed TCP, too."""
    one = await Setting().sit()
    if last is None:
        one.line.eof_received()
        assert one.closed is None
    else:
        one.line.data_received(last)
        assert one.closed is not None
        assert one.closed.code in (None, 1000)
    assert one.seat.leaves == 1
    assert one.transport.ended == "closed"
    assert one.place.frees == 0
    await asyncio.sleep(0.05)
    assert one.transport.ended == "aborted"


async def test_everything_is_given_back_when_the_socket_is_gone() -> None:
    """S8: the seat, the place, the share, the ticker's and uvicorn's entries; once."""
    one = await Setting().sit()
    one.line.data_received(binary(wire.encode_step_2(bytes(5_000)))[:3_000])
    assert one.traffic.budget.held_bytes > 0
    one.line.connection_lost(OSError())
    assert (one.seat.leaves, one.place.frees) == (1, 1)
    assert (len(one.traffic), len(one.lines), one.traffic.budget.held_bytes) == (0, 0, 0)
    one.line.close(1013, "")
    one.line.send(b"x")
    assert one.transport.written == b""


async def test_a_socket_that_goes_before_it_has_a_seat_leaves_it_at_once() -> None:
    """S8: its place, too."""
    one = Setting()
    one.line.connection_lost(None)
    assert one.place.frees == 1
    one.line.seat_at(one.seat)
    late = Ends()
    one.line.keep(late)
    assert (one.seat.leaves, late.frees) == (1, 1)


async def test_a_bug_in_taking_a_message_costs_its_sender() -> None:
    """R1: 1011, and the words of an internal error."""
    one = await Setting().sit()

    def fail(message: bytes) -> None:
        raise ValueError(message)

    one.seat.then = fail
    one.line.data_received(binary(b"x"))
    assert one.closed is not None
    assert one.closed.code == 1011


async def test_text_and_broken_frames_close_with_their_codes() -> None:
    """W1 W7: 4400 and 1002, and what comes after is dropped."""
    for bad, code in ((sent(frames.TEXT, b"hi"), 4400), (b"\x82\x02hi", 1002)):
        one = await Setting().sit()
        one.line.data_received(bad + binary(b"x"))
        await turn()
        assert one.closed is not None
        assert one.closed.code == code
        assert one.seat.messages == []
    one.line.shutdown()
    other = await Setting().sit()
    other.line.shutdown()
    assert other.closed is not None
    assert other.closed.code == 1012

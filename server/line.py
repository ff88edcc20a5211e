"""One client's socket after the handshake: the Connection port, and the frames it sends.

Owns: reading and writing one transport, answering pings, closing, and that every close ends in `abort()`.
Does not own: the handshake (transport.py), what frames look like (frames.py), what many sockets share
(traffic.py), what a message means (the receiver). Keeps rules S6, S7, S10, W1, W6-W9. Source: RFC 6455.

It takes over from uvicorn's protocol, whose scope, queue, headers and task end there: an idle
connection costs the process 3 KiB, uvloop's part included, where it was 32 KiB.

A write of 100 bytes over loopback costs 4.1 µs (uvloop 0.23), all of it the kernel's: `os.write` past the
event loop costs the same. uvloop writes at once, so two writes cost twice (8.0 µs): send in one.
`get_write_buffer_size` costs 0.1 µs. A document for many who join goes out without a copy (5 MB each).
"""

import asyncio
from asyncio import Transport
from typing import Any, Final, Protocol

import structlog

from party.errors import KanvasError, ShuttingDown, TooLarge, TooManyPings, TooSlow
from party.session import shorten
from party.wire import encode_notice, is_sync_step
from server import frames
from server.frames import Closing, Control, Event, Large, Reader, Violation
from server.rates.actions import BYTES, MESSAGES
from server.rates.base import Flooding
from server.rates.pace import NO_PACE, Holds
from server.traffic import Progress, Traffic

log = structlog.get_logger("kanvas.line")

LOW_WATER_BYTES: Final = 16 * 1024
HIGH_WATER_BYTES: Final = 64 * 1024

CUT: Final = "1006"
"""Of a socket that ended without a word (RFC 6455 section 7.1.5)."""

PEERS: Final = frozenset({"1000", "1001", "1002", "1003", "1005", "1007", "1009", "1011"})
"""Close codes of theirs that are counted apart; any other is theirs to make up."""

BY_JOIN: Final = 1
BY_RECEIVER: Final = 2
BY_BUDGET: Final = 4
BY_TURN: Final = 8
BY_PACE: Final = 16
"""Why it is not read: it has no seat yet, its mailbox is full, no budget, it is the others' turn, or it sends
more than it may."""


class Receiver(Protocol):
    """What a line hands its messages to: a seat in a room."""

    def receive(self, data: bytes) -> None: ...

    def drained(self) -> None: ...

    def leave(self) -> None: ...


class Ending(Protocol):
    """What ends with a line: its place."""

    def free(self) -> None: ...


class Line(asyncio.Protocol):
    """The Connection port over one transport. Its verbs never wait."""

    __slots__ = (
        "_abort_timer",
        "_buffered_then",
        "_controls_at",
        "_holds",
        "_is_closing",
        "_is_lost",
        "_lines",
        "_owed_pong",
        "_paced_at_s",
        "_place",
        "_reader",
        "_receiver",
        "_silent_turns",
        "_spent_s",
        "_traffic",
        "_transport",
        "is_ours",
        "pace",
    )

    def __init__(self, transport: Transport, traffic: Traffic, lines: set[Any]) -> None:
        self._transport = transport
        self._traffic = traffic
        self._lines = lines
        self._reader = Reader(traffic.bounds)
        self._receiver: Receiver | None = None
        self._place: Ending | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._owed_pong: bytes | None = None
        self._holds = BY_JOIN
        self._is_closing = False
        self._is_lost = False
        self._controls_at = 0.0
        self.pace = NO_PACE
        self.is_ours = False
        self._spent_s = self._paced_at_s = 0.0
        self._silent_turns = 0
        self._buffered_then = 0
        lines.add(self)
        traffic.add(self)

    # -- the room's side ------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def send(self, *messages: bytes) -> None:
        if not messages or self._is_closing or self._transport.is_closing():
            return
        framed = frames.frames(messages)
        if isinstance(framed, bytes):
            self._transport.write(framed)
        else:
            self._transport.writelines(framed)

    def pause_reading(self) -> None:
        self._hold(BY_RECEIVER)

    def resume_reading(self) -> None:
        self._let_go(BY_RECEIVER)

    def close(self, code: int, reason: str) -> None:
        """Send a close frame; end after 2 s whatever the peer or the buffer does. Idempotent."""
        if not self._is_closing:
            self._traffic.tally.disconnects.bump(str(code))
        self._close(frames.close(code, reason))

    def fail(self, error: KanvasError) -> None:
        """Close with the error's code and words."""
        self.close(error.close_code, shorten(error.message))

    # -- the endpoint's side --------------------------------------------------------------------

    def keep(self, place: Ending) -> None:
        """Free `place` when the socket is gone."""
        if self._is_lost:
            place.free()
        else:
            self._place = place

    def seat_at(self, receiver: Receiver) -> None:
        """From now on messages go to `receiver`."""
        if self._is_lost:
            receiver.leave()
            return
        self._receiver = receiver
        self._let_go(BY_JOIN)

    # -- the ticker's side ----------------------------------------------------------------------

    @property
    def is_held(self) -> bool:
        return bool(self._holds)

    def look(self) -> None:
        """Every 20 s: whoever said nothing since the last time is pinged, then given up.

        Whoever takes what we send is alive, also when its pong is still behind it.
        """
        if self._is_closing:
            return
        buffered = self._transport.get_write_buffer_size()
        drains, self._buffered_then = buffered < self._buffered_then, buffered
        self._silent_turns = 0 if drains or self._holds else self._silent_turns + 1
        if self._silent_turns > self._traffic.bounds.silent_turns:
            self.fail(TooSlow("The connection does not answer; reconnect to catch up."))
        elif self._silent_turns > 1 and buffered <= HIGH_WATER_BYTES:
            self._transport.write(PING)

    def granted(self) -> None:
        self._let_go(BY_BUDGET)

    def shutdown(self) -> None:
        """Called by uvicorn at the end, for those the rooms have not sent away."""
        self.fail(ShuttingDown())

    # -- the transport's side -------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._silent_turns = 0
        traffic = self._traffic
        if traffic.unfinished and (progress := traffic.unfinished.get(self)) is not None:
            progress.came_bytes += len(data)
        traffic.tally.received_bytes += len(data)
        self._reader.feed(data)
        if not self._holds:
            self._take_in()

    def resume_writing(self) -> None:
        if self._is_closing:
            return
        if self._owed_pong is not None:
            payload, self._owed_pong = self._owed_pong, None
            self._transport.write(frames.control(frames.PONG, payload))
        if self._receiver is not None:
            self._receiver.drained()

    def eof_received(self) -> None:
        """The peer sends no more. The transport closes itself, but not while it has something unsent."""
        self._part()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._is_closing:
            self._traffic.tally.disconnects.bump(CUT)
        self._is_lost = self._is_closing = True
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        self._lines.discard(self)
        self._traffic.remove(self)
        self._reader.drop()
        place, self._place = self._place, None
        if place is not None:
            place.free()
        self._leave()

    # -- reading --------------------------------------------------------------------------------

    def _take_in(self) -> None:
        """Hand on what has come, as many messages as one turn has."""
        reader = self._reader
        left = self._traffic.bounds.messages_per_turn
        while not self._holds:
            try:
                event = reader.next()
            except Violation as violation:
                if self._is_closing:
                    self._transport.close()
                self.close(violation.code, shorten(violation.reason))
                continue
            if event is None:
                self._note_progress()
                return
            if type(event) is bytes:
                self._deliver(event)
                if not reader.waiting and not self._holds:
                    # nearly always: that was all
                    if self._traffic.unfinished:
                        self._traffic.unfinished.pop(self, None)
                    return
            else:
                self._handle(event)
            left -= 1
            if left == 0:
                self._hold(BY_TURN)
                asyncio.get_running_loop().call_soon(self._let_go, BY_TURN)

    def _note_progress(self) -> None:
        unfinished = self._traffic.unfinished
        if self._reader.is_midway and not self._is_closing:
            if self not in unfinished:
                unfinished[self] = Progress(self._traffic.clock())
        elif unfinished:
            unfinished.pop(self, None)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Control):
            self._answer(event)
        elif isinstance(event, Closing):
            self._part(event)
        elif isinstance(event, Large):
            self._weigh(event)

    def _deliver(self, message: bytes) -> None:
        if self._is_closing:
            return
        size = len(message)
        if size > self._traffic.bounds.large_bytes:
            self._traffic.budget.give_back(self)
            size = self.pace.most_bytes
        # one sum for each message, and no look at the clock; the rest is in _slow_down
        pace = self.pace
        spent_s = self._spent_s = self._spent_s + pace.message_s + size * pace.byte_s
        if spent_s > pace.burst_s:
            self._slow_down(size)
        if self._receiver is not None:
            try:
                self._receiver.receive(message)
            except Exception:
                # the border of a connection: a bug in taking one message costs its sender alone
                log.exception("message failed")
                self.fail(KanvasError())

    def _slow_down(self, size: int) -> None:
        """More than the pace allows, it seems: look at the clock, then hold it back, with words (L6).

        `size` is that of the message that was too much, in bytes: what it weighs more by is what is counted.
        """
        traffic, pace = self._traffic, self.pace
        now = traffic.clock()
        self._spent_s = max(0.0, self._spent_s - (now - self._paced_at_s))
        self._paced_at_s = now
        if self._spent_s <= pace.burst_s:
            return
        is_new = self not in traffic.held_back
        wait_s = traffic.held_back.setdefault(self, Holds()).again(now, pace, self._spent_s)
        if wait_s is None:
            self.fail(Flooding())
            return
        traffic.tally.held_back.bump(BYTES if size * pace.byte_s > pace.message_s else MESSAGES)
        if is_new:
            log.info("read more slowly: it sends too much")
            self.send(encode_notice(pace.words))
        self._hold(BY_PACE)
        asyncio.get_running_loop().call_later(wait_s, self._let_go, BY_PACE)

    def _weigh(self, large: Large) -> None:
        """A message larger than an update: only a sync step may be, and within the budget (W6, W9)."""
        if self._is_closing:
            return
        traffic = self._traffic
        if not is_sync_step(large.start):
            self.fail(TooLarge(f"One message may have {traffic.bounds.large_bytes} bytes; split it."))
        elif not traffic.budget.take(self, large.size, traffic.clock()):
            self._hold(BY_BUDGET)

    def _answer(self, event: Control) -> None:
        """A ping is answered, within a budget and not past a buffer that does not drain (W7)."""
        if self._is_closing:
            return
        bounds, now = self._traffic.bounds, self._traffic.clock()
        # the time at which all of them so far would have been due; one number instead of a bucket
        self._controls_at = max(self._controls_at, now) + 1 / bounds.control_per_s
        if self._controls_at - now > bounds.control_burst / bounds.control_per_s:
            self.fail(TooManyPings())
        elif event.opcode == frames.PING:
            if self._transport.get_write_buffer_size() > HIGH_WATER_BYTES:
                # RFC 6455 5.5.3: only the last one needs an answer
                self._owed_pong = event.payload
            else:
                self._transport.write(frames.control(frames.PONG, event.payload))

    # -- holding back ---------------------------------------------------------------------------

    def _hold(self, why: int) -> None:
        if not self._holds and not self._is_closing:
            self._transport.pause_reading()
        self._holds |= why

    def _let_go(self, why: int) -> None:
        """What has come is taken in later in the loop: the caller may be in the midst of its room's work."""
        if not self._holds & why:
            return
        self._holds &= ~why
        if not self._holds and not self._is_closing:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._holds and not self._is_lost:
            self._take_in()
        if not self._holds and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- the end --------------------------------------------------------------------------------

    def _close(self, frame: bytes) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._transport.is_closing():
            return
        self._transport.write(frame)
        self._end_soon()
        # only the peer's close frame is looked for now, and whatever held us back is over
        self._reader.skim()
        self._holds = 0
        self._traffic.remove(self)
        self._transport.resume_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _part(self, closing: Closing | None = None) -> None:
        """The peer said its last: answer, and end once what is buffered is gone, or at the deadline."""
        if closing is not None and not self._is_closing and not self._transport.is_closing():
            self._transport.write(frames.close(closing.code))
        if not self._is_closing:
            self._traffic.tally.disconnects.bump(CUT if closing is None else told_code(closing.code))
        self._is_closing = True
        self._end_soon()
        self._traffic.remove(self)
        self._transport.close()
        self._leave()

    def _end_soon(self) -> None:
        if self._abort_timer is None and not self._is_lost:
            loop = asyncio.get_running_loop()
            self._abort_timer = loop.call_later(self._traffic.bounds.close_s, self._transport.abort)

    def _leave(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.leave()


PING: Final = frames.control(frames.PING)


def told_code(code: int | None) -> str:
    """A peer's close code as it is counted: bounded, for a peer may send any."""
    told = "1005" if code is None else str(code)
    return told if told in PEERS else "other"

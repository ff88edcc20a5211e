"""One connection to Redis that hears channels and publishes, without a task or an await for each message.

Owns: the socket, the greeting, RESP3 both ways, slices of work, noticing that nobody answers. Does not own:
what messages mean, coming back after a loss (bus.py).
Rules: no callback holds the event loop for longer than about `SLICE_S`, or one message's copy; what waits to
be written is bounded by whoever calls `publish`, what was read by a pause of reading; a Redis that owes an
answer and says nothing for `SILENT_S` is given up.
Sources: the RESP3 specification (HELLO, push data); hiredis-py 3.5 (Reader). Measured (tests/bench/bus.py):
300 bytes cost 2.3 us of processor time to send and hear, where publish and get_message of redis-py cost 22.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import hiredis

from server.redis.address import RedisAddress

SLICE_S: Final = 0.001
SLICE_BYTES: Final = 128 * 1024
"""Written in one turn of the loop: a copy of it takes a small part of a millisecond."""

BUFFERED_BYTES: Final = 256 * 1024
"""Above, the transport asks for a pause."""

SILENT_S: Final = 2.0
LOOK_S: Final = 0.5
"""How often we look whether it still answers; we ask when there is nothing else to answer."""

_MISSING: Final = object()


class Refused(Exception):
    """Redis answered the greeting with an error: its words, which may hold ours. See `address.explain`."""


class Link(asyncio.Protocol):
    """A connection on its way, then open, then over; it never comes back.

    `hear(payload)` is called for each message, `ready()` once when all channels are heard. Neither may fail.
    """

    def __init__(
        self,
        address: RedisAddress,
        name: str,
        channels: Sequence[bytes],
        *,
        ready: Callable[[], None],
        hear: Callable[[bytes], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[BaseException | None] = self._loop.create_future()
        """Set when it is over: to what ended it, None for our own `abort`."""
        self.waiting_bytes = 0
        """Published and not yet handed to the transport."""

        self._greeting = _greet(address, name, channels)
        self._channels_due = len(channels)
        self._ready = ready
        self._hear = hear
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_MISSING)
        self._is_behind = False
        self._waiting: deque[bytes] = deque()
        self._is_flushing = False
        self._is_paused = False
        self._owed = 0
        """Answers."""
        self._silent_since_s = self._looked_at_s = self._loop.time()
        self._look: asyncio.TimerHandle | None = None

    # -- the transport's callbacks ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # those of uvloop are no asyncio.Transport to isinstance
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=BUFFERED_BYTES)
        self._owed = 1
        transport.write(self._greeting)
        # the words of the greeting hold the password
        self._greeting = b""
        self._silent_since_s = self._looked_at_s = self._loop.time()
        self._look = self._loop.call_later(LOOK_S, self._look_after)

    def data_received(self, data: bytes) -> None:
        self._silent_since_s = self._loop.time()
        self._reader.feed(data)
        if not self._is_behind:
            self._read()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionResetError("Redis closed the connection"))

    # -- ours -------------------------------------------------------------------------------------

    def publish(self, command: bytes) -> None:
        """Send one complete command, with what else is sent in this turn of the loop. A no-op once over."""
        if self.over.done():
            return
        self._waiting.append(command)
        self.waiting_bytes += len(command)
        self._flush_soon()

    @property
    def is_settled(self) -> bool:
        """Whether Redis has answered all that was published."""
        return not self._waiting and not self._owed

    def abort(self) -> None:
        """Let it go at once. Idempotent."""
        self._end(None)

    def _end(self, reason: BaseException | None) -> None:
        if self.over.done():
            return
        self.over.set_result(reason)
        self._waiting.clear()
        self.waiting_bytes = 0
        if self._look is not None:
            self._look.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _flush_soon(self) -> None:
        if not self._is_flushing and not self._is_paused and self._waiting:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._transport is None or self.over.done() or not self._waiting:
            return
        if not self._owed:
            self._silent_since_s = self._loop.time()
        batch, size = [], 0
        while self._waiting and size < SLICE_BYTES:
            batch.append(command := self._waiting.popleft())
            size += len(command)
        self.waiting_bytes -= size
        self._owed += len(batch)
        self._transport.write(b"".join(batch) if len(batch) > 1 else batch[0])
        # may have asked for a pause
        self._flush_soon()

    def _read(self) -> None:
        """Hear what is there; the rest in the next turn, and read no more until then."""
        assert self._transport is not None  # noqa: S101 - something came from it
        end_s = time.monotonic() + SLICE_S
        try:
            while not self.over.done() and (item := self._reader.gets()) is not _MISSING:
                self._take(item)
                if time.monotonic() >= end_s:
                    self._loop.call_soon(self._read)
                    if not self._is_behind:
                        self._is_behind = True
                        self._transport.pause_reading()
                    return
        except hiredis.ProtocolError as error:
            self._end(error)
        if self._is_behind and not self.over.done():
            self._is_behind = False
            self._silent_since_s = self._loop.time()
            self._transport.resume_reading()

    def _take(self, item: object) -> None:
        if isinstance(item, hiredis.PushNotification):
            if item[0] == b"message":
                self._hear(item[2])
            elif item[0] == b"subscribe":
                self._channels_due -= 1
                if not self._channels_due:
                    self._ready()
            return
        self._owed -= 1
        # of a message that is refused only it is lost, and it is refused each time: the user's rights
        if isinstance(item, hiredis.ReplyError):
            self._end(Refused(str(item)))

    def _look_after(self) -> None:
        now = self._loop.time()
        self._look = self._loop.call_later(LOOK_S, self._look_after)
        is_late = now - self._looked_at_s > 2 * LOOK_S
        self._looked_at_s = now
        if is_late or self._is_behind:
            # we were not there to hear it
            self._silent_since_s = now
        elif self._owed and now - self._silent_since_s > SILENT_S:
            self._end(TimeoutError())
        elif not self._owed and not self._waiting:
            self.publish(b"*1\r\n$4\r\nPING\r\n")


def pack(*words: bytes) -> bytes:
    """One command."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _greet(address: RedisAddress, name: str, channels: Sequence[bytes]) -> bytes:
    hello = [b"HELLO", b"3"]
    if address.password is not None:
        hello += [b"AUTH", address.user.encode(), address.password.encode()]
    return pack(*hello, b"SETNAME", name.encode()) + pack(b"SUBSCRIBE", *channels)

"""A TCP proxy that does to connections what networks do: delay, stall, cut.

Owns: one listening port, its connections, the fault in force. Does not own: when which fault comes.

A stalled line loses nothing: as with lost packets that are sent again, what was said meanwhile arrives after
the cure, and whoever connects meanwhile waits. A cut line resets what there is and refuses what is new.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset."""


class FaultProxy:
    """A port that leads to another one on this machine. Its verbs never wait."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._pipes: set[_Pipe] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.delay_s = 0.0
        """Added to every piece, in each direction."""

        self.is_stalled = False
        self.is_cut = False

    def delay(self, seconds: float) -> None:
        """From now on everything takes so much longer."""
        self.delay_s = seconds

    def stall(self) -> None:
        """Nothing gets through, and nobody is told."""
        self.is_stalled = True
        for pipe in self._pipes:
            pipe.pause()

    def cut(self) -> None:
        """All connections end with a reset, new ones are ended at once."""
        self.is_cut = True
        self.drop()

    def drop(self) -> None:
        """All connections end with a reset; new ones work."""
        for pipe in list(self._pipes):
            pipe.abort()

    def cure(self) -> None:
        """Everything works again; what was held back arrives."""
        self.delay_s, self.is_stalled, self.is_cut = 0.0, False, False
        for pipe in list(self._pipes):
            pipe.resume()

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Pipe(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.drop()


class _Pipe(asyncio.Protocol):
    """One connection and its continuation; each is a protocol, and hands on what it gets to the other."""

    def __init__(self, proxy: FaultProxy, other: "_Pipe | None" = None) -> None:
        self._proxy = proxy
        self._other = other
        self._transport: Any = None
        self._early: list[bytes] = []
        self._late: deque[tuple[float, bytes]] = deque()
        """What is delayed, and until when."""

        self._has_ended = False
        self._is_full = False
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self._proxy.is_cut:
            self.abort()
            return
        self._proxy._pipes.add(self)
        if self._other is None:
            self._connecting = asyncio.create_task(self._go_on())
        if self._proxy.is_stalled:
            self.pause()

    async def _go_on(self) -> None:
        while self._proxy.is_stalled:
            await asyncio.sleep(0.005)
        loop = asyncio.get_running_loop()
        try:
            _, other = await loop.create_connection(
                lambda: _Pipe(self._proxy, self), "127.0.0.1", self._proxy._to
            )
        except OSError:
            self.abort()
            return
        self._other = other
        early, self._early = self._early, []
        for piece in early:
            other.write(piece)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._early.append(data)
        elif self._proxy.delay_s or self._late:
            loop = asyncio.get_running_loop()
            # never before what came earlier, also when the delay has become shorter
            self._late.append((loop.time() + self._proxy.delay_s, data))
            if len(self._late) == 1:
                loop.call_at(self._late[0][0], self._hand_on)
        else:
            self._other.write(data)

    def _hand_on(self) -> None:
        loop = asyncio.get_running_loop()
        while self._late and self._late[0][0] <= loop.time() + 0.001:
            _, data = self._late.popleft()
            if self._other is not None:
                self._other.write(data)
        if self._late:
            loop.call_at(self._late[0][0], self._hand_on)
        elif self._has_ended and self._other is not None:
            self._other.end()

    def end(self) -> None:
        """Nothing comes from the other side any more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._is_full = True
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        self._is_full = False
        if self._other is not None:
            self._other.resume()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        is_held = self._proxy.is_stalled or (self._other is not None and self._other._is_full)
        if self._transport is not None and not self._transport.is_closing() and not is_held:
            self._transport.resume_reading()

    def abort(self) -> None:
        for one in (self, self._other):
            if one is not None and one._transport is not None:
                sock = one._transport.get_extra_info("socket")
                if sock is not None:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
                one._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy._pipes.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        self._has_ended = True
        other = self._other
        if other is None or other._transport is None or other._transport.is_closing():
            return
        if exc is not None:
            other._transport.abort()
        elif not self._late:
            # what is delayed goes first
            other.end()


@asynccontextmanager
async def open_proxy(port: int) -> AsyncIterator[FaultProxy]:
    """A proxy to `port`, closed at the end."""
    proxy = FaultProxy(port)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.close()

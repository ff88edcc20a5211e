"""The WebSocket transport: uvicorn's own protocol, shortened for parties.

Owns: handing complete messages to a seat in a room and frames to the socket, without a task or an await
per message. Does not own: handshake, fragments, masking, the size cap and pings, which stay uvicorn's; who
may connect (server/parties.py). Keeps rules S5, S6, W1. Source: uvicorn 0.54 websockets_sansio_impl.

The endpoint accepts as usual, takes the protocol from the scope and calls `seat_at`; from then on messages
go straight to the seat. Frames to clients are unmasked, so one frame serves a whole fan-out (RFC 6455 5.1).
"""

import asyncio
import socket
import struct
from asyncio.transports import BaseTransport
from typing import Any, Final, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode

from party.errors import KanvasError, TooLarge
from party.session import shorten

EXTENSION: Final = "kanvas.transport"
"""Where the endpoint finds the protocol: scope["extensions"][EXTENSION]["protocol"]."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""Kernel send buffer; Linux would grow it to 3 MB per slow reader, out of our sight."""

LOW_WATER_BYTES: Final = 16 * 1024
HIGH_WATER_BYTES: Final = 64 * 1024
CLOSE_DEADLINE_S: Final = 2.0


class Receiver(Protocol):
    """What a protocol hands its messages to: a seat in a room."""

    def receive(self, data: bytes) -> None: ...

    def drained(self) -> None: ...

    def leave(self) -> None: ...


FRAMES_KEPT_BYTES: Final = 1024 * 1024
"""Larger frames, sync steps mostly, go to one connection and are not kept."""

_last: tuple[tuple[bytes, ...], bytes] = ((), b"")
_before: tuple[tuple[bytes, ...], bytes] = ((), b"")


def head(size: int) -> bytes:
    """The header of an unmasked, final binary frame of `size` bytes."""
    if size < 126:
        return struct.pack("!BB", 0x82, size)
    if size < 65536:
        return struct.pack("!BBH", 0x82, 126, size)
    return struct.pack("!BBQ", 0x82, 127, size)


def frames(messages: tuple[bytes, ...]) -> bytes:
    """One unmasked, final binary frame for each message, in one piece.

    The last two are kept, for a fan-out sends the same to everybody, with or without presence: a hit takes
    0.1 µs, framing 100 bytes 0.6 µs. One write of two messages costs a loopback send 4.1 µs, two writes 8.0.
    """
    global _last, _before
    if messages == _last[0]:
        return _last[1]
    if messages == _before[0]:
        _last, _before = _before, _last
        return _last[1]
    framed = b"".join([part for message in messages for part in (head(len(message)), message)])
    if len(framed) <= FRAMES_KEPT_BYTES:
        _last, _before = (messages, framed), _last
    return framed


class Socket:
    """The Connection port over one uvicorn protocol. Its verbs never wait."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: "KanvasProtocol") -> None:
        self._protocol = protocol

    @property
    def buffered_bytes(self) -> int:
        return self._protocol.transport.get_write_buffer_size()

    def send(self, *messages: bytes) -> None:
        protocol = self._protocol
        if not protocol.close_sent and not protocol.transport.is_closing():
            protocol.transport.write(frames(messages))

    def close(self, code: int, reason: str) -> None:
        self._protocol.close_with(code, reason)

    def pause_reading(self) -> None:
        protocol = self._protocol
        if not protocol.read_paused:
            protocol.read_paused = True
            protocol.transport.pause_reading()

    def resume_reading(self) -> None:
        protocol = self._protocol
        if protocol.read_paused:
            protocol.read_paused = False
            if not protocol.transport.is_closing():
                protocol.transport.resume_reading()


class KanvasProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with a direct way to a room."""

    _receiver: Receiver | None = None
    _gone: asyncio.Event | None = None
    _abort_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.socket = Socket(self)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            # the application's task starts in a later turn of the loop, so it finds this in the scope
            extensions: Any = self.scope["extensions"]
            extensions[EXTENSION] = {"protocol": self}

    def seat_at(self, receiver: Receiver) -> None:
        """From now on complete messages go to `receiver`, first those that already wait in the queue."""
        self._receiver = receiver
        self._gone = asyncio.Event()
        while not self.queue.empty():
            event: Any = self.queue.get_nowait()
            if event["type"] == "websocket.receive":
                self._deliver(event.get("bytes"))
            elif event["type"] == "websocket.disconnect":
                self._leave()
        self.socket.resume_reading()

    def refuse(self, error: KanvasError) -> None:
        """Close instead of taking a seat; what the client sends meanwhile is dropped (S5)."""
        self._gone = asyncio.Event()
        self.close_with(error.close_code, shorten(error.message))

    async def gone(self) -> None:
        """Wait until the socket is gone, after `seat_at` or `refuse`."""
        if self._gone is not None and not self.disconnected:
            await self._gone.wait()

    def close_with(self, code: int, reason: str) -> None:
        """Send a close frame; end after 2 s whatever the peer or the buffer does. Idempotent."""
        if self.close_sent or self.transport.is_closing():
            return
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            self.transport.abort()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._end_soon()

    def _end_soon(self) -> None:
        self.close_sent = True
        self.stop_keepalive()
        self.socket.resume_reading()
        self._abort_timer = self.loop.call_later(CLOSE_DEADLINE_S, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        if self._receiver is None:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if not self.close_sent:
            self._deliver(bytes(data) if self.curr_msg_data_type == "bytes" else None)

    def _deliver(self, data: bytes | None) -> None:
        if data is None:
            self.close_with(4400, "Send binary messages of the y-protocols, not text.")
        elif self._receiver is not None:
            self._receiver.receive(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._receiver is not None:
            self._receiver.drained()

    def handle_close(self, event: Any) -> None:
        if self.close_sent:
            # the peer echoed our close frame: the closing handshake is complete
            self.transport.close()
            return
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        """A frame the parser refuses. Too large is 4413 and not 1009, which clients retry for ever."""
        sent = self.conn.close_sent
        if not self.handshake_complete or sent is None or sent.code != CloseCode.MESSAGE_TOO_BIG:
            super().handle_parser_exception()
            return
        self.conn.data_to_send()
        reason = shorten(f"One message may have {self.config.ws_max_size} bytes; split it.").encode()
        payload = struct.pack("!H", TooLarge.close_code) + reason
        self.transport.write(struct.pack("!BB", 0x88, len(payload)) + payload)
        self._end_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        self._leave()

    def _leave(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.leave()
        if self._gone is not None:
            self._gone.set()

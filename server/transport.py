"""The way from a TCP connection to a line: uvicorn's protocols, with a deadline and a hand-over.

Owns: the deadline for a request's headers, the kernel's send buffer, taking a WebSocket over from uvicorn
once it is accepted. Does not own: HTTP and the handshake, which stay uvicorn's; frames (frames.py), the
accepted socket (line.py), who may connect (parties.py). Keeps rules S5, S9.
Source: uvicorn 0.54 httptools_impl and websockets_sansio_impl.

The endpoint accepts as usual, takes the protocol from the scope and calls `take_over`; from then on there is
a Line, and the endpoint may return.
"""

import asyncio
import socket
from asyncio import Transport
from asyncio.transports import BaseTransport
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.line import HIGH_WATER_BYTES, LOW_WATER_BYTES, Line
from server.traffic import Traffic

EXTENSION: Final = "kanvas.transport"
"""Where the endpoint finds the protocol: scope["extensions"][EXTENSION]["protocol"]."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""Kernel send buffer; Linux would grow it to 3 MB per slow reader, out of our sight."""


class KanvasHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline: a request whose headers do not come is not waited for."""

    headers_s: ClassVar[float] = 5.0
    """From the connection, or from the first byte of a later request, to the end of its headers."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn stops its keep-alive timer at the first byte, whatever that byte is
        if self._deadline is None and self.timeout_keep_alive_task is None and self._is_between_requests():
            self._expect_headers()

    def on_headers_complete(self) -> None:
        self._stop_deadline()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # the parser and this object hold each other, 5 KiB for the garbage collector to find
        self.parser = self.scope = self.headers = self.flow = None  # type: ignore[assignment]
        self.transport = LET_GO

    def _is_between_requests(self) -> bool:
        if self.transport.is_closing():
            return False
        return self.cycle is None or self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._deadline = self.loop.call_later(self.headers_s, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class KanvasProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for the handshake alone."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
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
            # what the client sends before its line is there stays in the kernel
            self.transport.pause_reading()

    def take_over(self, traffic: Traffic) -> Line:
        """The accepted socket as a line, which nobody reads yet. This protocol has no part in it any more."""
        transport, self.transport = self.transport, LET_GO
        line = Line(transport, traffic, self.connections)
        if self.disconnected:
            line.connection_lost(None)
            return line
        transport.set_protocol(line)
        self.stop_keepalive()
        self.connections.discard(self)
        self.disconnected = True
        # the scope and this object hold each other, 15 KiB for the garbage collector to find
        extensions: Any = self.scope["extensions"]
        extensions.pop(EXTENSION, None)
        # and so do the parser and its generator
        self.conn.parser.close()
        return line


class _LetGo(Transport):
    """Stands where a transport was that went to a line: uvicorn closes what its application leaves behind."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        """It is not ours to close."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """It is not ours to write to."""


LET_GO: Final = _LetGo()

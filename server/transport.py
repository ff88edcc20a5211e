"""The way from a TCP connection to a line: uvicorn's protocols, with limits and a hand-over.

Owns: the deadline and the size of a request's headers, how many requests wait on a connection, refusals of
what never reaches the application, ending a connection behind its last answer, the kernel's send buffer,
taking a WebSocket over from uvicorn once it is accepted. Does not own: HTTP and the handshake, which stay
uvicorn's; frames (frames.py), the accepted socket (line.py), who may connect (parties.py). Keeps rules
S5, S9.
Source: uvicorn 0.54 httptools_impl and websockets_sansio_impl.

The endpoint accepts as usual, takes the protocol from the scope and calls `take_over`; from then on there is
a Line, and the endpoint may return.
"""

import asyncio
import socket
from asyncio import Transport
from asyncio.transports import BaseTransport
from http import HTTPStatus
from typing import Any, ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError

from party.errors import KanvasError
from server.line import HIGH_WATER_BYTES, LOW_WATER_BYTES, Line
from server.problems import PROBLEM_TYPE, BadRequest, HeadTooLarge, TooManyAtOnce, problem_body
from server.traffic import Traffic

EXTENSION: Final = "kanvas.transport"
"""Where the endpoint finds the protocol: scope["extensions"][EXTENSION]["protocol"]."""

SEND_BUFFER_BYTES: Final = 256 * 1024
"""Kernel send buffer; Linux would grow it to 3 MB per slow reader, out of our sight."""


MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's headers; the parser would collect all that comes until the deadline, in quadratic time."""

MAX_PIPELINED: Final = 8
"""Requests that wait for the answer before theirs. Browsers and proxies send none; each one costs 5 KiB."""


class _RefusedError(Exception):
    """Makes the parser stop: what follows in the bytes at hand is not looked at."""


class KanvasHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits: a request whose headers do not come or do not end is ended."""

    headers_s: ClassVar[float] = 5.0
    """From the connection, or from the first byte of a later request, to the end of its headers."""

    refused_body_s: ClassVar[float] = 60.0
    """For the rest of a body nobody waits for: cut off sooner, a slow client never reads the refusal."""

    _deadline: asyncio.TimerHandle | None = None

    _swallowed_bytes = 0
    """What the parser took in since it last said that something ended or began."""

    _is_ending = False
    """The connection is closed when the request's body has ended."""

    _is_kept = True
    """What uvicorn thinks of keeping the connection behind the newest request's answer."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(self.headers_s)

    def data_received(self, data: bytes) -> None:
        self._swallowed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        # trailers and chunk extensions too, and whether or not an answer is under way
        if self._swallowed_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge())
            return
        # uvicorn stops its keep-alive timer at the first byte, whatever that byte is
        if self._deadline is None and self.timeout_keep_alive_task is None and not self._is_answering():
            is_in_body = self.cycle is not None and self.cycle.more_body
            self._expect_within(self.refused_body_s if is_in_body else self.headers_s)

    def on_message_begin(self) -> None:
        self._swallowed_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._swallowed_bytes = 0
        self._stop_deadline()
        if self.transport.is_closing():
            # nobody would read the answer
            raise _RefusedError
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge())
            raise _RefusedError
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(TooManyAtOnce())
            raise _RefusedError
        if self.parser.should_upgrade() and self._should_upgrade() and _has_body(self.headers):
            self._refuse(BadRequest("A WebSocket's handshake has no body."))
            raise _RefusedError
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = _Answer(self)
            # An answer that begins before the body has ended is the last one: HAProxy 2.6 may leave the rest
            # out, and the next request on the connection, maybe somebody else's, would be taken for it.
            self._is_kept, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        self._swallowed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._swallowed_bytes = 0
        super().on_message_complete()
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = self._is_kept
        # uvicorn leaves it when the answer came before the end of the body
        if self.cycle is not None and self.cycle.more_body:
            self.cycle.more_body = False
            self._stop_deadline()
        if self._is_ending:
            self.transport.close()

    def shutdown(self) -> None:
        self._is_kept = False
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)
        # it holds this object by its transport
        self.cycle = None  # type: ignore[assignment]

    def end(self) -> None:
        """Close the connection behind an answer, and not before the request has ended: with something left to
        read the kernel resets it, and a proxy that still sends never sees the answer."""
        if self.cycle is not None and self.cycle.more_body and self.cycle.response_complete:
            self._is_ending = True
        else:
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        if self._is_answering():
            # two would write to one socket, and the application would never hear that its client is gone
            self.transport.abort()
            return
        super().handle_websocket_upgrade()
        # these and this object hold each other, 5 KiB for the garbage collector to find
        self.parser = self.cycle = self.scope = self.headers = self.flow = None  # type: ignore[assignment]
        self.transport = LET_GO

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        if not self.transport.is_closing():
            self._refuse(BadRequest())

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: KanvasError) -> None:
        if self._is_answering():
            # words in the midst of another answer would be taken for a part of it
            self.transport.abort()
            return
        _send_refusal(self.transport, error)
        # for a client that does not read
        self._stop_deadline()
        self._expect_within(self.headers_s)

    def _expect_within(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Answer(Transport):
    """What uvicorn writes an answer to, and closes behind it."""

    def __init__(self, connection: KanvasHttp) -> None:
        self._connection = connection

    def is_closing(self) -> bool:
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.end()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._connection.transport.write(data)


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in headers
    )


def _send_refusal(transport: Transport, error: KanvasError) -> None:
    """Answer what never reached the application, and close."""
    body = orjson.dumps(problem_body(error, None))
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\nContent-Type: {PROBLEM_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()


class KanvasProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol for the handshake alone."""

    handshake_s: ClassVar[float] = 20.0
    """A net below the application's own deadlines: no socket stays here longer, whatever goes wrong."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.handshake_s, self.transport.abort)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # the whole head is there: without a request the library has refused it, and uvicorn says nothing
        if not self.handshake_initiated and not self.transport.is_closing():
            # a line of more than 8 KiB; more than 128 headers
            is_too_large = isinstance(self.conn.handshake_exc, SecurityError)
            _send_refusal(self.transport, HeadTooLarge() if is_too_large else BadRequest())

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

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
        self._stop_deadline()
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

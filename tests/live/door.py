"""A door on loopback: our protocols as uvicorn runs them, in the test's own loop, before a small application.

Owns: listening with bounds of the test's, and running a test on both event loops. Raw bytes go in and out, so
that a peer may behave as badly as it likes.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from server.bounds import Bounds
from server.line import Line
from server.traffic import Traffic, open_traffic
from server.transport import EXTENSION, KanvasHttp, KanvasProtocol

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DEADLINE_S = 60.0

App = Callable[[Any, Any, Any], Awaitable[None]]


def on_each_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    """Run the test on asyncio's loop and on uvloop's, which differ in how they close and buffer."""

    @pytest.mark.parametrize("loop", LOOPS)
    def runs(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(asyncio.wait_for(test(), DEADLINE_S))

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs


class Guest:
    """The receiver behind a line: echoes what it gets, in upper case."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.messages: list[bytes] = []
        self.has_left = asyncio.Event()

    def receive(self, data: bytes) -> None:
        self.messages.append(data)
        self.line.send(data.upper())

    def drained(self) -> None:
        """Nothing waits here."""

    def leave(self) -> None:
        self.has_left.set()


class Door:
    """What listens, and who came."""

    def __init__(self, traffic: Traffic, state: ServerState) -> None:
        self.traffic = traffic
        self.state = state
        self.port = 0
        self.guests: list[Guest] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Seats every WebSocket at once and returns; answers every request."""
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        line = scope["extensions"][EXTENSION]["protocol"].take_over(self.traffic)
        guest = Guest(line)
        self.guests.append(guest)
        line.seat_at(guest)

    async def connect(self) -> "Peer":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Peer(reader, writer)

    async def enter(self, path: str = "/") -> "Peer":
        """A WebSocket after its handshake."""
        peer = await self.connect()
        peer.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head.split(b"\r\n")[0]
        return peer

    async def is_empty(self) -> None:
        """Wait until nobody is connected any more."""
        while self.state.connections:
            await asyncio.sleep(0.005)


class Peer:
    """A client that sends what bytes it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def is_gone(self) -> bool:
        """The other side has ended it, politely or not."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()

    def send(self, opcode: int, data: bytes = b"", *, fin: bool = True) -> None:
        self.writer.write(frame(opcode, data, fin=fin))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, second = await self.reader.readexactly(2)
        size = second
        if size == 126:
            size = struct.unpack("!H", await self.reader.readexactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", await self.reader.readexactly(8))[0]
        return first & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """The code of the close frame, which comes sooner or later."""
        while True:
            opcode, payload = await self.receive()
            if opcode == 8:
                return int(struct.unpack("!H", payload[:2])[0])

    async def end(self) -> bytes:
        """Everything until the socket is closed."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    return bytes(Frame(Opcode(opcode), data, fin=fin).serialize(mask=True))


@asynccontextmanager
async def open_door(
    bounds: Bounds | None = None, *, headers_s: float = DEADLINE_S, app: App | None = None
) -> AsyncIterator[Door]:
    """Listen on loopback until the end of the test."""
    state = ServerState()
    http = type("Http", (KanvasHttp,), {"headers_s": headers_s})
    async with open_traffic(bounds or Bounds()) as traffic:
        door = Door(traffic, state)
        config = uvicorn.Config(
            app or door.app,
            http=http,
            ws=KanvasProtocol,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            interface="asgi3",
            lifespan="off",
            log_config=None,
        )
        config.load()

        def protocol() -> asyncio.Protocol:
            return http(config=config, server_state=state, app_state={})  # type: ignore[no-any-return]

        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        door.port = server.sockets[0].getsockname()[1]
        try:
            yield door
        finally:
            server.close()
            for one in list(state.connections):
                one.transport.abort() if isinstance(one, KanvasHttp) else one.shutdown()
            await door.is_empty()

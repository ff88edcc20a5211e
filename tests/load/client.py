"""One client: a socket that says hello, answers what must be answered, edits, and notes what it hears.

Owns: the connection's life and what it sends. Does not own: how many there are and when they edit (crowd),
what a delivery is (deliveries).

It holds no document: edits are made beforehand, and of what arrives only the clocks are read. That makes a
client cost about a tenth of a real one, so that one core of them can keep one core of a server busy.
"""

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Generic, TypeVar, cast

from party.wire import encode_uint
from tests.load.deliveries import Author, Digest, Ledger, Room
from tests.load.dialect import (
    AUTH,
    AWARENESS,
    STEP_1,
    STEP_2,
    SYNC,
    Dialect,
    Part,
    encode_cursor,
    read_cursors,
)
from tests.load.edits import Edits, Range, read_ranges
from tests.load.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    BadAnswer,
    FrameReader,
    check_upgrade,
    encode_frame,
    upgrade_request,
)

MEANINGS_BYTES: Final = 32 * 1024 * 1024
"""Of how many bytes that arrived the meaning is remembered."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where and how one client connects to one room."""

    host: str
    port: int
    path: str
    dialect: Dialect = field(default_factory=Dialect)
    headers: tuple[tuple[str, str], ...] = ()
    tls: ssl.SSLContext | None = None


Meaning = TypeVar("Meaning")


class Meanings(Generic[Meaning]):
    """What pieces of bytes meant, the last ones, for all clients."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Meaning] = OrderedDict()
        self._bytes = 0
        self.get = self._known.get

    def put(self, data: bytes, meaning: Meaning) -> None:
        self._known[data] = meaning
        self._bytes += len(data)
        while self._bytes > MEANINGS_BYTES:
            self._bytes -= len(self._known.popitem(last=False)[0])


class Memory:
    """What was read once: pieces as they arrived, and the updates in them."""

    def __init__(self) -> None:
        self.digests: Meanings[Digest] = Meanings()
        self.ranges: Meanings[Sequence[Range]] = Meanings()


class Client(asyncio.Protocol):
    """A client in a room; an author when it has edits of its own."""

    transport: asyncio.Transport

    def __init__(self, seat: Seat, room: Room, ledger: Ledger, memory: Memory, client_id: int) -> None:
        self.seat = seat
        self.room = room
        self.client_id = client_id
        self.author: Author | None = None
        self.relays = False
        """Sends presence of others back, as stock clients do."""

        self.is_observer = False
        """Measures how long the cursors of others took."""

        self.synced_at = 0.0
        self.step_2_bytes = 0
        self.closed: str | None = None
        """Why the server ended the connection."""

        self.on_lost: Callable[[], None] = lambda: None
        self.synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: bytes = seat.dialect.step_2()
        """What it says when the server asks for what it lacks."""

        self.cursor_sent: dict[int, list[float]] = {}
        """Of everybody in the room: when each cursor clock left; shared."""

        self._ledger = ledger
        self._digests = memory.digests
        self._ranges = memory.ranges
        self._reader = FrameReader()
        self._head = b""
        self._is_open = False
        self._is_leaving = False
        self._is_listening = False
        self._known = room.start()
        self._id = encode_uint(client_id)
        self._seen: dict[int, int] = {}

    # -- the connection -----------------------------------------------------------------------

    async def connect(self, receive_buffer_bytes: int | None = None) -> None:
        """Open the socket and ask for the upgrade; `synced` is done when the room's state is here."""
        seat, loop = self.seat, asyncio.get_running_loop()
        name = seat.host if seat.tls else None
        if receive_buffer_bytes is None:
            await loop.create_connection(
                lambda: self, seat.host, seat.port, ssl=seat.tls, server_hostname=name
            )
            return
        raw = socket.socket(socket.AF_INET6 if ":" in seat.host else socket.AF_INET)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        raw.setblocking(False)
        await loop.sock_connect(raw, (seat.host, seat.port))
        await loop.create_connection(lambda: self, sock=raw, ssl=seat.tls, server_hostname=name)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclasses
        self.transport = cast(asyncio.Transport, transport)
        seat = self.seat
        request, self._accept = upgrade_request(f"{seat.host}:{seat.port}", seat.path, seat.headers)
        transport.write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_leaving:
            return
        self.closed = self.closed or f"the connection ended ({exc or 'without a close frame'})"
        if self.synced.done():
            self._listen(False)
            self.on_lost()
        else:
            self.synced.set_exception(BadAnswer(f"The server sent a client away: {self.closed}"))

    def leave(self) -> None:
        self._is_leaving = True
        self.synced.cancel()
        if hasattr(self, "transport"):
            self.transport.abort()

    def _listen(self, is_listening: bool) -> None:
        """Whether it is expected to hear every edit of the others."""
        self.room.listeners += is_listening - self._is_listening
        self._is_listening = is_listening

    def keep_only(self, count: int) -> None:
        """Of large messages keep `count` bytes: their size is all that matters."""
        self._reader = FrameReader(count)

    def stop_reading(self) -> None:
        """From now on what the server sends stays in its buffers."""
        self.transport.pause_reading()
        self._listen(False)
        self._known = self.room.start()

    # -- what it hears ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if self._is_open and self._reader.is_between:
            digest = self._digests.get(data)
            if digest is not None:
                self._take(digest, now)
                return
        try:
            self._read(data, now)
        except BadAnswer as error:
            self.closed = str(error)
            self.transport.abort()

    def _read(self, data: bytes, now: float) -> None:
        if not self._is_open:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            check_upgrade(head, self._accept)
            self._is_open = True
            self._head = b""
            self.transport.write(b"".join(encode_frame(one) for one in self.seat.dialect.hello()))
            if not data:
                return
        whole = self._reader.is_between
        digest, is_pure = Digest([], []), True
        for opcode, payload, size in self._reader.feed(data):
            if opcode == BINARY:
                for part in self.seat.dialect.parts(payload, is_cut=size > len(payload)):
                    is_pure &= self._hear(part, digest, size, now)
            else:
                is_pure = False
                self._control(opcode, payload)
        if whole and is_pure and self._reader.is_between:
            self._digests.put(data, digest)
        self._take(digest, now)

    def _hear(self, part: Part, digest: Digest, size: int, now: float) -> bool:
        """Note what a message says; False when it concerns this client alone."""
        if part.kind == SYNC:
            if part.step == STEP_1:
                self.transport.write(encode_frame(self.answer))
                return False
            if self._reader.keep_bytes is None:
                authors = self._ledger.authors
                ranges = self._ranges.get(part.body)
                if ranges is None:
                    ranges = read_ranges(part.body)
                    self._ranges.put(part.body, ranges)
                digest.ranges += [
                    (authors[client], start, stop)
                    for client, start, stop in ranges
                    if client in authors and authors[client].room is self.room
                ]
            if part.step == STEP_2 and not self.synced.done():
                self.synced_at, self.step_2_bytes = now, size
                self._listen(True)
                self.synced.set_result(None)
                return False
        elif part.kind == AWARENESS:
            digest.cursors.append((part.body, read_cursors(part.body)))
        elif part.kind == AUTH and part.body[:1] == b"\x00":
            raise BadAnswer(f"The server refused the token: {part.body[2:].decode(errors='replace')}")
        return True

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(encode_frame(payload, PONG))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            self.closed = f"{code} {payload[2:].decode(errors='replace')}".strip()
            self.transport.write(encode_frame(payload, CLOSE))

    def _take(self, digest: Digest, now: float) -> None:
        if digest.ranges:
            self._known, gain = self.room.learn(self._known, digest)
            if gain is not None:
                self._ledger.receive(gain, now, self.author)
        for payload, cursors in digest.cursors:
            self._see(payload, cursors, now)

    def _see(self, payload: bytes, cursors: list[tuple[int, int, int, int]], now: float) -> None:
        """Presence: count what is new, and send exactly that back when this client relays."""
        seen, own = self._seen, self.client_id
        fresh = [one for one in cursors if one[0] != own and one[1] > seen.get(one[0], -1)]
        if not fresh:
            return
        self._ledger.cursors += len(fresh)
        for client_id, clock, _, _ in fresh:
            seen[client_id] = clock
            if self.is_observer and 0 < clock <= len(sent := self.cursor_sent.get(client_id, ())):
                self._ledger.note(now - sent[clock - 1])
        if self.relays:
            if len(fresh) < len(cursors):
                payload = encode_uint(len(fresh)) + b"".join([payload[one[2] : one[3]] for one in fresh])
            self.transport.write(encode_frame(self.seat.dialect.awareness(payload)))

    # -- what it says -------------------------------------------------------------------------

    def draw(self, edits: Edits) -> None:
        """Make the element that the edits move."""
        self.transport.write(
            encode_frame(self.seat.dialect.update(edits.create(self.client_id, self.client_id)))
        )

    def edit(self, edits: Edits) -> None:
        """Send the next move."""
        assert self.author is not None
        sent = self.author.sent
        frame = encode_frame(self.seat.dialect.update(edits.move(len(sent), self._id)))
        sent.append(perf_counter())
        self.transport.write(frame)
        self._ledger.expected += self.room.listeners - 1

    def point(self) -> None:
        """Move the cursor."""
        sent = self.cursor_sent.setdefault(self.client_id, [])
        payload = encode_cursor(self.client_id, len(sent) + 1, len(sent) * 7 % 1000)
        sent.append(perf_counter())
        self.transport.write(encode_frame(self.seat.dialect.awareness(payload)))

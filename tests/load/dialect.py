"""What is inside the messages: the y-protocols, as most servers speak them and as Hocuspocus does.

Owns: building what a client says, and cutting what it hears into parts. Does not own: frames and counting.
Source: y-protocols PROTOCOL.md; Hocuspocus 4 puts the document's name before each message and wants a token.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from party.wire import encode_buffer, encode_uint
from tests.load.frames import BadAnswer

SYNC: Final = 0
AWARENESS: Final = 1
AUTH: Final = 2
SYNC_REPLY: Final = 4

STEP_1, STEP_2, UPDATE = range(3)
EMPTY: Final = b"\x00\x00"
"""An update with nothing in it."""


class Part(NamedTuple):
    """One y-protocols message: kind, step (for kind 0), the bytes it carries."""

    kind: int
    step: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to talk about one room; `prefix` stands before every message, both ways."""

    prefix: bytes = b""
    token: str | None = None

    def hello(self) -> list[bytes]:
        """What a client says first."""
        said = [self.prefix + b"\x00\x00" + encode_buffer(b"\x00")]
        if self.token is not None:
            said.insert(0, self.prefix + b"\x02\x00" + encode_buffer(self.token.encode()))
        return said

    def step_2(self, update: bytes = EMPTY) -> bytes:
        return self.prefix + b"\x00\x01" + encode_buffer(update)

    def update(self, update: bytes) -> bytes:
        return self.prefix + b"\x00\x02" + encode_buffer(update)

    def awareness(self, payload: bytes) -> bytes:
        return self.prefix + b"\x01" + encode_buffer(payload)

    def parts(self, message: bytes, *, is_cut: bool = False) -> list[Part]:
        """The y-protocols messages in one WebSocket message. Raises BadAnswer."""
        try:
            return self._parts(message, is_cut)
        except IndexError:
            raise BadAnswer("A message of the server ends too early.") from None

    def _parts(self, message: bytes, is_cut: bool) -> list[Part]:
        found: list[Part] = []
        at, end, prefix = 0, len(message), self.prefix
        while at < end:
            if prefix:
                if not message.startswith(prefix, at):
                    raise BadAnswer("The server speaks of another document.")
                at += len(prefix)
            kind, step = message[at], 0
            at += 1
            if kind in (SYNC, SYNC_REPLY):
                kind, step = SYNC, message[at]
                at += 1
            elif kind != AWARENESS:
                # of the others none is followed by anything, and none concerns a load
                found.append(Part(kind, 0, message[at:]))
                break
            length, at = read_uint(message, at)
            if at + length > end and not is_cut:
                raise IndexError
            found.append(Part(kind, step, message[at : at + length]))
            at += length
        return found


def hocuspocus(room: str) -> Dialect:
    """Hocuspocus' dialect for a document of this name."""
    return Dialect(encode_buffer(room.encode()), token="load")


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """A lib0 variable-length integer at `at`, and where it ends. Raises IndexError past the end."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def encode_cursor(client_id: int, clock: int, x: int) -> bytes:
    """An awareness payload as a canvas client sends while the pointer moves."""
    state = (
        b'{"user":{"name":"Load","color":"#1971c2"},"pointer":{"x":%d.5,"y":%d.25,"tool":"pointer"},'
        b'"button":"up","selectedElementIds":{}}' % (x, x % 700)
    )
    return b"\x01" + encode_uint(client_id) + encode_uint(clock) + encode_buffer(state)


def read_cursors(payload: bytes) -> list[tuple[int, int, int, int]]:
    """The states of an awareness payload: client id, clock, and where its bytes begin and end."""
    count, at = read_uint(payload, 0)
    found = []
    for _ in range(count):
        start = at
        client_id, at = read_uint(payload, at)
        clock, at = read_uint(payload, at)
        length, at = read_uint(payload, at)
        at += length
        found.append((client_id, clock, start, at))
    return found

"""WebSocket frames of a client, by hand: bytes to messages and back.

Owns: the upgrade request, frames to the server (masked, RFC 6455 5.3) and a reader of frames from it. Does
not own: sockets (client) and what is in a message (dialect).

The mask is all zeros: legal, and free for us. `ws` under the JavaScript peers skips unmasking such frames.
"""

import base64
import hashlib
import os
import struct
from typing import Final

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

BIG_BYTES: Final = 64 * 1024
"""A frame larger than this is collected in pieces and joined once; a smaller one waits as it is."""

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Message = tuple[int, bytes, int]
"""Opcode, payload, and the payload's size on the wire (the payload may be cut, see FrameReader)."""


class BadAnswer(Exception):
    """The server said something no WebSocket server may say."""


def encode_frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """One final, masked frame."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BBI", 0x80 | opcode, 0x80 | size, 0) + payload
    if size < 65536:
        return struct.pack("!BBHI", 0x80 | opcode, 0xFE, size, 0) + payload
    return struct.pack("!BBQI", 0x80 | opcode, 0xFF, size, 0) + payload


def upgrade_request(host: str, path: str, headers: tuple[tuple[str, str], ...] = ()) -> tuple[bytes, bytes]:
    """The request that opens a WebSocket, and the accept value the server must answer with."""
    key = base64.b64encode(os.urandom(16))
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers),
    ]
    accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
    return "\r\n".join([*lines, "", ""]).encode(), accept


def check_upgrade(head: bytes, accept: bytes) -> None:
    """Look at the head of the server's answer, without its blank line. Raises BadAnswer."""
    status, *lines = head.split(b"\r\n")
    if b" 101 " not in status + b" ":
        raise BadAnswer(f"The server answered the upgrade with: {status.decode('latin-1')}")
    named = dict(line.lower().split(b":", 1) for line in lines if b":" in line)
    if named.get(b"sec-websocket-accept", b"").strip() != accept.lower():
        raise BadAnswer("The answer to the upgrade has a wrong Sec-WebSocket-Accept.")


class FrameReader:
    """Cuts what arrives into messages. Of a message above `keep_bytes` only the beginning is kept."""

    __slots__ = ("_chunks", "_fragments", "_head", "_held", "_missing", "_rest", "_size", "keep_bytes")

    def __init__(self, keep_bytes: int | None = None) -> None:
        self.keep_bytes = keep_bytes
        self._rest = b""
        self._head = 0
        self._size = 0
        self._held = 0
        self._missing = 0
        self._chunks: list[bytes] = []
        self._fragments: tuple[int, list[bytes], int] | None = None

    @property
    def is_between(self) -> bool:
        """Nothing is half read: the next bytes begin a message."""
        return not self._rest and not self._missing and self._fragments is None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now. Raises BadAnswer."""
        found: list[Message] = []
        if self._missing:
            piece = data[: self._missing]
            self._missing -= len(piece)
            self._hold(piece)
            if self._missing:
                return found
            self._emit(found, self._head, b"".join(self._chunks), self._size)
            self._chunks = []
            data = data[len(piece) :]
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        at, end = 0, len(data)
        while end - at >= 2:
            size = data[at + 1]
            body = at + 2
            if size >= 126:
                if size > 127:
                    raise BadAnswer("The server masked a frame.")
                body += 2 if size == 126 else 8
                if body > end:
                    break
                size = int.from_bytes(data[at + 2 : body], "big")
            stop = body + size
            if stop > end:
                if size > BIG_BYTES:
                    self._head, self._size, self._held = data[at], size, 0
                    self._hold(data[body:])
                    self._missing = stop - end
                    at = end
                break
            self._emit(found, data[at], data[body:stop], size)
            at = stop
        self._rest = data[at:]
        return found

    def _hold(self, piece: bytes) -> None:
        if self.keep_bytes is not None:
            piece = piece[: max(0, self.keep_bytes - self._held)]
        self._held += len(piece)
        if piece:
            self._chunks.append(piece)

    def _emit(self, found: list[Message], head: int, payload: bytes, size: int) -> None:
        if head & 0x70:
            raise BadAnswer("The server set a reserved bit: it compresses, and was not asked to.")
        opcode = head & 0x0F
        if opcode >= CLOSE or (head & 0x80 and opcode):
            found.append((opcode, payload, size))
            return
        if opcode:
            self._fragments = (opcode, [payload], size)
            return
        if self._fragments is None:
            raise BadAnswer("The server continued a message that it had not begun.")
        first, pieces, sizes = self._fragments
        pieces.append(payload)
        self._fragments = (first, pieces, sizes + size)
        if head & 0x80:
            self._fragments = None
            found.append((first, b"".join(pieces), sizes + size))

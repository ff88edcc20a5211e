"""How a file is sealed: a header, then segments of 64 KiB, each authenticated by itself.

Owns: the format, sizes, sealing and opening piece by piece. Does not own: keys (keys.py), where files are
(`server/blobs/sealed.py`). Pure but for randomness; memory holds one segment. Keeps rule Z5.

A file is `KVB1`, 28 random bytes that its key is derived with, and segments of 64 KiB and a tag of 16 bytes;
the last is shorter or empty only where the file is. A segment's nonce is its number and whether it is the
last one, so that none can be left out, moved or put behind; with each the name of the file is authenticated.
Source: Hoang, Reyhanitabar, Rogaway, Vizar, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015 (STREAM).
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag

from db.errors import Damaged
from server.vault.keys import TAG_BYTES, blob_key

SEGMENT_BYTES: Final = 64 * 1024
SEALED_BYTES: Final = SEGMENT_BYTES + TAG_BYTES
MAGIC: Final = b"KVB1"
SALT_BYTES: Final = 28
HEADER_BYTES: Final = len(MAGIC) + SALT_BYTES


def sealed_size(size_bytes: int) -> int:
    """How long a file of this length is when it is sealed."""
    segments = max(1, -(-size_bytes // SEGMENT_BYTES))
    return HEADER_BYTES + size_bytes + segments * TAG_BYTES


def plain_size(sealed_bytes: int) -> int:
    """How long a sealed file of this length is inside; 0 for what can be none."""
    rest = max(0, sealed_bytes - HEADER_BYTES)
    return max(0, rest - -(-rest // SEALED_BYTES) * TAG_BYTES)


def find_segment(number: int) -> int:
    """Where in the sealed file a segment begins; the first has number 0."""
    return HEADER_BYTES + number * SEALED_BYTES


class Sealer:
    """Seals one file called `name` from its beginning to its end."""

    def __init__(self, raw_key: bytes, name: str) -> None:
        salt = os.urandom(SALT_BYTES)
        self._key = blob_key(raw_key, salt)
        self._name = name.encode()
        self._held = bytearray()
        self._number = 0
        self.header = MAGIC + salt

    def push(self, data: bytes) -> bytes:
        """What can be sealed by now: a full segment is the last one unless something follows."""
        self._held += data
        made = b""
        while len(self._held) > SEGMENT_BYTES:
            made += self._seal(bytes(self._held[:SEGMENT_BYTES]), is_last=False)
            del self._held[:SEGMENT_BYTES]
        return made

    def end(self) -> bytes:
        """The last segment."""
        return self._seal(bytes(self._held), is_last=True)

    def _seal(self, plain: bytes, *, is_last: bool) -> bytes:
        nonce = _nonce(self._number, is_last=is_last)
        self._number += 1
        return self._key.encrypt(nonce, plain, self._name)


class Opener:
    """Opens segments of one file called `name`, one after another from segment `number` on."""

    def __init__(self, raw_key: bytes, name: str, header: bytes, number: int) -> None:
        """Raises Damaged for what is no header."""
        self._name = name
        if len(header) != HEADER_BYTES or not header.startswith(MAGIC):
            raise self._damaged()
        self._key = blob_key(raw_key, header[len(MAGIC) :])
        self._held = bytearray()
        self._number = number

    def push(self, data: bytes) -> bytes:
        """What can be opened by now. Raises Damaged."""
        self._held += data
        made = b""
        while len(self._held) > SEALED_BYTES:
            made += self._open(bytes(self._held[:SEALED_BYTES]), is_last=False)
            del self._held[:SEALED_BYTES]
        return made

    def end(self) -> bytes:
        """The last segment, after which the file ended; empty when it ended before. Raises Damaged."""
        if not self._held and self._number:
            return b""
        return self._open(bytes(self._held), is_last=True)

    def _open(self, sealed: bytes, *, is_last: bool) -> bytes:
        nonce = _nonce(self._number, is_last=is_last)
        try:
            plain = self._key.decrypt(nonce, sealed, self._name.encode())
        except (InvalidTag, ValueError) as error:
            raise self._damaged() from error
        self._number += 1
        return plain

    def _damaged(self) -> Damaged:
        return Damaged(f"The file {self._name} is not what was encrypted there; restore it from a backup.")


def _nonce(number: int, *, is_last: bool) -> bytes:
    return bytes(7) + number.to_bytes(4, "big") + bytes([is_last])

"""The port for stored bytes: put once, read in ranges, signed addresses, uploads in parts.

Owns: the shape every adapter has, what a key may be, which parts make a whole. Does not own: what is in a
blob, who may read it (`server/assets`).

Rules: what is stored is never overwritten; readers see all of a blob or nothing; memory does not grow with a
blob; an adapter's failures are `Unavailable` with the cause chained. Every verb is cancel-safe: cancelled, it
has happened whole or not at all, or left what `tidy` finds (temporary files), or the sweep of assets (started
parts).
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from server.blobs.errors import BadKey, BlobMismatch

CHUNK_BYTES: Final = 64 * 1024
"""Of a read: what one reader that stalls holds."""

MAX_KEY_CHARS: Final = 700
"""S3 takes 1,024 bytes with the prefix."""

MAX_EXPIRES_S: Final = 7 * 86_400
"""The most that S3 and R2 sign for."""

MIN_PART_BYTES: Final = 5 * 1024 * 1024
MAX_PARTS: Final = 10_000
NO_KEY: Final = "unknown"
"""Of a started upload whose process was killed before it said what it is for."""

IMMUTABLE: Final = "public, max-age=31536000, immutable"

_SEGMENT: Final = r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9_-])?"
KEY_PATTERN: Final = rf"^{_SEGMENT}(?:/{_SEGMENT})*$"
_KEY: Final = re.compile(KEY_PATTERN.removeprefix("^").removesuffix("$"))
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request somebody without credentials may make: exactly this method, address and headers.

    `url` is absolute, or a path of this server ("/blobs/..."). `headers` are those the sender has to set;
    Content-Length is bound too, and browsers set it themselves.
    """

    method: Literal["GET", "PUT"]
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A stored blob. `content_type` is None where the storage does not keep or tell it (files; lists)."""

    key: str
    size_bytes: int
    content_type: str | None
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """A stored part of an upload. `number` counts from 1; `etag` changes with the bytes."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Started:
    """An upload in parts that was neither finished nor aborted."""

    key: str
    parts_id: str
    started_at: datetime = field(compare=False)


class Blobs(Protocol):
    """Stored bytes under keys. Every verb raises BadKey for what is no key, and Unavailable."""

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """Store what `source` yields, which must be `size_bytes`. Durable when it returns.

        Nothing is stored when `source` raises, even after its last chunk. Raises BlobExists, BlobMismatch,
        and whatever `source` raises.
        """

    async def find(self, key: str) -> BlobInfo | None:
        """What is under the key."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to but without `end`; fewer when the blob ends before.

        Raises BlobNotFound before the first chunk. Close it (`aclosing`) when it is not read to its end.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove them; what is not there is fine. One that can't be removed does not keep the others."""

    def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """All blobs below a folder ("images/", or "" for everything), in no promised order."""

    def local_path(self, key: str) -> Path | None:
        """The file itself, only to be read, when the blobs are files of this machine; it may not be there."""

    async def sign_get(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> Signed:
        """An address to read it at, answered with this Content-Type and Content-Disposition."""

    async def sign_put(self, key: str, *, size_bytes: int, content_type: str, expires_s: int) -> Signed:
        """An address to store it at: exactly this length and type, and only when the key is free."""

    async def check(self) -> None:
        """Store, read and remove something. Raises Unavailable with the reason."""

    async def tidy(self) -> None:
        """Remove what killed processes left a day ago, but for started parts."""

    async def allow_origins(self, origins: Sequence[str]) -> bool:
        """Let pages of exactly these origins use signed addresses; False where nothing has to be done."""

    async def start_parts(self, key: str, *, content_type: str) -> str:
        """Begin an upload in parts; returns its id. Nothing is under the key before it is finished."""

    async def sign_part(
        self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int
    ) -> Signed:
        """An address to store one part at, of exactly this length; sent again, the last one counts.

        Parts are of one size but for the last, and all but the last of MIN_PART_BYTES or more (R2, S3).
        """

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        """The parts that are stored, by number. Raises BlobNotFound for an upload that is not there."""

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """Make the blob of these parts, in this order; they must be what `list_parts` gives. Durable.

        Raises BlobMismatch when a part is missing or another than said, BlobExists, BlobNotFound (finished or
        aborted already).
        """

    async def abort_parts(self, key: str, parts_id: str) -> None:
        """Forget the upload and its parts; one that is not there is fine."""

    def list_started(self) -> AsyncGenerator[Started, None]:
        """Uploads in parts that nobody has finished or aborted."""


def check_key(key: str, *, is_new: bool = False) -> None:
    """Whether this can be a key. Raises BadKey.

    A new key also holds no name that is a device on Windows; older ones may (a room called "aux").
    """
    if len(key) > MAX_KEY_CHARS or not _KEY.fullmatch(key):
        raise BadKey
    if is_new and any(_DEVICE.fullmatch(one) for one in key.split("/")):
        raise BadKey("A name in this key is a device on Windows; take another.")


def check_prefix(prefix: str) -> None:
    """Whether this can be the beginning of keys: empty, or a key and a slash. Raises BadKey."""
    if prefix:
        if not prefix.endswith("/"):
            raise BadKey("A prefix of keys ends with a slash.")
        check_key(prefix[:-1])


def check_signing(expires_s: int, size_bytes: int = 0) -> None:
    """Whether this can be signed. Raises ValueError: the caller is wrong, not a person."""
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise ValueError(f"an address is signed for 1 to {MAX_EXPIRES_S} s, not {expires_s}")
    if size_bytes < 0:
        raise ValueError("a length is not negative")


def check_number(number: int) -> None:
    """Whether a part can have this number. Raises ValueError."""
    if not 1 <= number <= MAX_PARTS:
        raise ValueError(f"parts are numbered from 1 to {MAX_PARTS}")


def check_parts(wanted: Sequence[Part], stored: Sequence[Part]) -> None:
    """Whether these parts make a whole: 1, 2, 3 and so on, each as it is stored. Raises BlobMismatch."""
    if not wanted or [one.number for one in wanted] != list(range(1, len(wanted) + 1)):
        raise BlobMismatch("The parts are not numbered 1, 2, 3 and so on without a gap; nothing was stored.")
    found = {one.number: one for one in stored}
    for one in wanted:
        if one.number not in found:
            raise BlobMismatch(f"Part {one.number} has not arrived; send it, then finish again.")
        if found[one.number] != one:
            raise BlobMismatch(f"Part {one.number} is another than it was; list the parts again.")
    if any(one.size_bytes < MIN_PART_BYTES for one in wanted[:-1]):
        raise BlobMismatch("All parts but the last have 5 MiB or more; nothing was stored.")
    sizes = {one.size_bytes for one in wanted[:-1]}
    if len(sizes) > 1 or any(wanted[-1].size_bytes > size for size in sizes):
        raise BlobMismatch("The parts are not of one size (the last one may be smaller); nothing was stored.")

"""The port for image bytes: content-addressed, per room.

Owns: the shape every adapter has. Does not own: what an image is (`images.py`), who may read (`assets.py`).
"""

from collections.abc import AsyncIterator
from typing import Protocol


class Blob(Protocol):
    """One stored image."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""

    @property
    def head(self) -> bytes:
        """Its first bytes, up to `images.HEAD_BYTES`."""

    def chunks(self) -> AsyncIterator[bytes]:
        """All its bytes, from the first. Raises Unavailable before the first chunk when it is gone."""


class Blobs(Protocol):
    """Stored images. Ids are lower-case hex SHA-256; room ids are checked by the caller."""

    async def put(self, room_id: str, asset_id: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store what `chunks` yields if its SHA-256 is `asset_id`; True when it is new.

        Durable when it returns; readers see all of it or nothing. Raises AssetHashMismatch, Unavailable, and
        whatever `chunks` raises. Cancel-safe: a cancelled put leaves nothing.
        """

    async def find(self, room_id: str, asset_id: str) -> Blob | None:
        """The image. Raises Unavailable."""

    async def delete_room(self, room_id: str) -> None:
        """Remove all images of a room; there may be none. Raises Unavailable."""

    async def check(self) -> None:
        """Write, read and remove something. Raises Unavailable with the reason."""

"""Uploads in parts that are encrypted: each part is a blob of its own until they are put together.

Owns: that half of the port. Does not own: sealing (`sealed.py`).
Rules: the whole is sealed anew, as one file, so that no part of it can be left out or moved; it appears at
once; parts are removed after that, and what a killed process left is told by `list_started`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from ulid import ULID

from server.blobs.base import (
    NO_KEY,
    BlobInfo,
    Blobs,
    Part,
    Started,
    check_key,
    check_number,
    check_parts,
)
from server.blobs.errors import BlobMismatch, BlobNotFound
from server.blobs.signing import OwnAddresses, UrlSigner
from server.blobs.trial import once

PARTS: Final = "kanvas-parts"
ABOUT: Final = "about"
JSON: Final = "application/json"
OPAQUE: Final = "application/octet-stream"


class SealedParts(OwnAddresses, ABC):
    """Uploads in parts as blobs below "kanvas-parts/{upload}/", sealed like all others."""

    def __init__(self, stored: Blobs, signer: UrlSigner) -> None:
        super().__init__(signer)
        self._stored = stored

    @abstractmethod
    async def put_any(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None: ...

    @abstractmethod
    def read_any(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]: ...

    @abstractmethod
    async def delete_any(self, keys: Sequence[str]) -> None: ...

    @abstractmethod
    def list_any(self, prefix: str) -> AsyncGenerator[BlobInfo, None]: ...

    async def start_parts(self, key: str, *, content_type: str) -> str:
        """See Blobs.start_parts."""
        check_key(key, is_new=True)
        parts_id = str(ULID()).lower()
        about = {"key": key, "content_type": content_type, "started_at": datetime.now(UTC).isoformat()}
        data = json.dumps(about).encode()
        await self.put_any(f"{PARTS}/{parts_id}/{ABOUT}", once(data), size_bytes=len(data), content_type=JSON)
        return parts_id

    async def put_part(
        self, key: str, parts_id: str, number: int, source: AsyncIterator[bytes], *, size_bytes: int
    ) -> None:
        """Store a part, whole and durable. Raises BlobNotFound, BlobMismatch, Unavailable."""
        check_number(number)
        await self._check_started(key, parts_id)
        before = [one for one in await self._list(parts_id) if _number(one) == number]
        name = f"{PARTS}/{parts_id}/{number}-{str(ULID()).lower()}"
        await self.put_any(name, source, size_bytes=size_bytes, content_type=OPAQUE)
        await self.delete_any(list(before))
        # finished or given up meanwhile, nobody would remove it
        try:
            await self._check_started(key, parts_id)
        except BlobNotFound:
            await self.delete_any([name])
            raise

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        """See Blobs.list_parts."""
        await self._check_started(key, parts_id)
        found: dict[int, Part] = {}
        for name, info in sorted((await self._list(parts_id)).items()):
            number = _number(name)
            if number:
                # of two the later one counts; its name is the greater
                found[number] = Part(number, info.size_bytes, name.rpartition("-")[2])
        return [found[number] for number in sorted(found)]

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """See Blobs.finish_parts."""
        check_parts(parts, await self.list_parts(key, parts_id))
        about = await self._find_about(parts_id)
        size_bytes = sum(part.size_bytes for part in parts)
        async with aclosing(self._join(parts_id, parts)) as whole:
            kind = OPAQUE if about is None else about[1]
            await self.put_any(key, whole, size_bytes=size_bytes, content_type=kind)
        await self._remove(parts_id)

    async def _join(self, parts_id: str, parts: Sequence[Part]) -> AsyncGenerator[bytes, None]:
        for part in parts:
            name = f"{PARTS}/{parts_id}/{part.number}-{part.etag}"
            try:
                async with aclosing(self.read_any(name)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except BlobNotFound as error:
                raise BlobMismatch(
                    f"Part {part.number} is another than it was; list the parts again."
                ) from error

    async def abort_parts(self, key: str, parts_id: str) -> None:
        """See Blobs.abort_parts."""
        # one that was started before encryption was turned on
        await self._stored.abort_parts(key, parts_id)
        if _is_id(parts_id):
            about = await self._find_about(parts_id)
            if about is None or about[0].key == key:
                await self._remove(parts_id)

    async def list_started(self) -> AsyncGenerator[Started, None]:
        """See Blobs.list_started."""
        async with aclosing(self._stored.list_started()) as plain:
            async for one in plain:
                yield one
        since: dict[str, datetime] = {}
        async with aclosing(self.list_any(f"{PARTS}/")) as found:
            async for info in found:
                parts_id = info.key.split("/")[1]
                since[parts_id] = min(info.stored_at, since.get(parts_id, info.stored_at))
        for parts_id, stored_at in since.items():
            about = await self._find_about(parts_id)
            yield Started(NO_KEY, parts_id, stored_at) if about is None else about[0]

    async def _check_started(self, key: str, parts_id: str) -> None:
        check_key(key)
        about = await self._find_about(parts_id) if _is_id(parts_id) else None
        if about is None or about[0].key != key:
            raise BlobNotFound("There is no such upload; it was finished or given up. Start another one.")

    async def _find_about(self, parts_id: str) -> tuple[Started, str] | None:
        try:
            async with aclosing(self.read_any(f"{PARTS}/{parts_id}/{ABOUT}")) as chunks:
                told = json.loads(b"".join([chunk async for chunk in chunks]))
        except BlobNotFound:
            return None
        started = Started(told["key"], parts_id, datetime.fromisoformat(told["started_at"]))
        return started, told["content_type"]

    async def _list(self, parts_id: str) -> dict[str, BlobInfo]:
        async with aclosing(self.list_any(f"{PARTS}/{parts_id}/")) as found:
            return {info.key: info async for info in found}

    async def _remove(self, parts_id: str) -> None:
        names = list(await self._list(parts_id))
        about = f"{PARTS}/{parts_id}/{ABOUT}"
        # it says what for they are, so it goes last
        await self.delete_any([name for name in names if name != about])
        await self.delete_any([about])


def _number(name: str) -> int:
    """A part's number by its name; 0 for what is none."""
    number, dash, _ = name.rpartition("/")[2].partition("-")
    return int(number) if dash else 0


def _is_id(parts_id: str) -> bool:
    try:
        return str(ULID.from_str(parts_id.upper())).lower() == parts_id
    except ValueError:
        return False

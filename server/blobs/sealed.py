"""Blobs encrypted by this server, whatever keeps them: a wrapper around another adapter.

Owns: which name a sealed blob has there, sealing and opening on the way, finding it while keys change, moving
it from one key to another. Does not own: the format (`server/vault/segments.py`), keys (`server/vault`),
uploads in parts (`sealed_parts.py`). Keeps rules Z5-Z7.

A blob "a/b" sealed with the key K is stored as "kanvas-sealed/K/a/b"; what is stored under its own name is
plain, from before encryption was turned on. So the name says which key it needs, and a change of keys puts
another blob beside the old one and then removes that: nothing is ever overwritten, and each moment can be the
last.

Nobody else can read what is stored, so all addresses are our own.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from server.blobs.base import BlobInfo, Blobs, check_key, check_prefix
from server.blobs.errors import BadKey, BlobExists, BlobMismatch, BlobNotFound
from server.blobs.sealed_parts import PARTS, SealedParts
from server.blobs.signing import UrlSigner
from server.blobs.trial import round_trip
from server.vault.opening import Vault
from server.vault.segments import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    Opener,
    Sealer,
    find_segment,
    plain_size,
    sealed_size,
)

SEALED: Final = "kanvas-sealed"
OPAQUE: Final = "application/octet-stream"


def stored_name(key_id: str | None, key: str) -> str:
    """What a blob is called where it is stored."""
    return key if key_id is None else f"{SEALED}/{key_id}/{key}"


class SealedBlobs(SealedParts):
    """Blobs that `stored` keeps and the vault's keys seal. `secret` is the server's."""

    def __init__(self, stored: Blobs, vault: Vault, secret: bytes) -> None:
        super().__init__(stored, UrlSigner(secret))
        self._vault = vault

    # -- the port -------------------------------------------------------------------------------

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """See Blobs.put."""
        _check_own(key)
        await self.put_any(key, source, size_bytes=size_bytes, content_type=content_type)

    async def find(self, key: str) -> BlobInfo | None:
        """See Blobs.find."""
        check_key(key)
        return None if _is_ours(key) else await self.find_any(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See Blobs.read."""
        return self._read_own(key, start, end)

    async def _read_own(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if _is_ours(key):
            raise BlobNotFound
        async with aclosing(self.read_any(key, start, end)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def delete(self, keys: Sequence[str]) -> None:
        """See Blobs.delete."""
        for key in keys:
            check_key(key)
        await self.delete_any([key for key in keys if not _is_ours(key)])

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """See Blobs.list. While keys change, one may be told twice."""
        check_prefix(prefix)
        async with aclosing(self.list_any(prefix)) as found:
            async for info in found:
                if not _is_ours(info.key):
                    yield info

    def local_path(self, key: str) -> Path | None:
        """See Blobs.local_path."""
        check_key(key)
        return None

    async def check(self) -> None:
        """See Blobs.check."""
        await round_trip(self)

    async def tidy(self) -> None:
        """See Blobs.tidy."""
        await self._stored.tidy()

    async def allow_origins(self, origins: Sequence[str]) -> bool:  # noqa: ARG002 - KANVAS_ORIGINS does it
        """See Blobs.allow_origins."""
        return False

    # -- blobs and parts alike ------------------------------------------------------------------

    async def put_any(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """As put, also for what is ours."""
        key_id = self._vault.cipher.key_id
        for other in self._key_ids():
            if other != key_id and await self._stored.find(stored_name(other, key)) is not None:
                raise BlobExists
        name = stored_name(key_id, key)
        if key_id is None:
            await self._stored.put(name, source, size_bytes=size_bytes, content_type=content_type)
        else:
            sealed = self._seal(key_id, key, source, size_bytes)
            async with aclosing(sealed):
                length = sealed_size(size_bytes)
                await self._stored.put(name, sealed, size_bytes=length, content_type=OPAQUE)
        # nobody is told that it is stored before the key it is under is known to stay
        await self._vault.refresh()
        while key_id != self._vault.cipher.key_id:
            before, key_id = key_id, self._vault.cipher.key_id
            await self.move(key, before, key_id)
            await self._vault.refresh()

    async def find_any(self, key: str) -> BlobInfo | None:
        """As find, also for what is ours."""
        for _ in range(2):
            for key_id in self._key_ids():
                info = await self._stored.find(stored_name(key_id, key))
                if info is not None:
                    return _info(key, key_id, info)
            # it may have moved to a name behind us, or to one that is new here
            await self._vault.refresh()
        return None

    async def read_any(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """As read, also for what is ours."""
        for _ in range(2):
            for key_id in self._key_ids():
                chunks = self._read_stored(key_id, key, start, end)
                try:
                    chunk = await anext(chunks, None)
                except BlobNotFound:
                    continue
                async with aclosing(chunks):
                    while chunk is not None:
                        yield chunk
                        chunk = await anext(chunks, None)
                return
            await self._vault.refresh()
        raise BlobNotFound

    async def delete_any(self, keys: Sequence[str]) -> None:
        """As delete, also for what is ours."""
        await self._stored.delete([stored_name(key_id, key) for key in keys for key_id in self._key_ids()])

    async def list_any(self, prefix: str) -> AsyncGenerator[BlobInfo, None]:
        """As list, also for what is ours."""
        await self._vault.refresh()
        for key_id in self._key_ids():
            async with aclosing(self.list_under(key_id, prefix)) as found:
                async for info in found:
                    yield info

    # -- keys that change -----------------------------------------------------------------------

    async def list_under(self, key_id: str | None, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """What is sealed with one key, or plain; parts of uploads, too."""
        cut = len(stored_name(key_id, ""))
        async with aclosing(self._stored.list(stored_name(key_id, prefix))) as found:
            async for info in found:
                if key_id is not None or not info.key.startswith(f"{SEALED}/"):
                    yield _info(info.key[cut:], key_id, info)

    async def move(self, key: str, before: str | None, after: str | None) -> bool:
        """Seal with another key (None: not at all); False when it is gone. Raises Damaged, KeyMissing.

        Killed in the middle it is there twice, and the next one removes the old one.
        """
        found = await self._stored.find(stored_name(before, key))
        if found is None:
            return False
        info = _info(key, before, found)
        size_bytes, kind = info.size_bytes, info.content_type or OPAQUE
        source = self._read_stored(before, key, 0, None)
        target = source if after is None else self._seal(after, key, source, size_bytes)
        length = size_bytes if after is None else sealed_size(size_bytes)
        try:
            async with aclosing(source), aclosing(target):
                name = stored_name(after, key)
                await self._stored.put(name, target, size_bytes=length, content_type=kind)
        except BlobExists:
            # moved, and killed before the old one was removed
            pass
        except BlobNotFound:
            return False
        await self._stored.delete([stored_name(before, key)])
        return True

    def _key_ids(self) -> Sequence[str | None]:
        """The keys something may be sealed with, the likeliest first."""
        cipher = self._vault.cipher
        return [None, *cipher.ids] if cipher.key_id is None else [*cipher.ids, None]

    async def _seal(
        self, key_id: str, key: str, source: AsyncIterator[bytes], size_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        sealer = Sealer(self._vault.cipher.raw_key(key_id), key)
        seen_bytes = 0
        made = sealer.header
        async for chunk in source:
            seen_bytes += len(chunk)
            if seen_bytes > size_bytes:
                raise BlobMismatch(f"More than the announced {size_bytes} bytes came; nothing was stored.")
            made += sealer.push(chunk)
            if len(made) >= SEGMENT_BYTES:
                yield made
                made = b""
        if seen_bytes < size_bytes:
            raise BlobMismatch(
                f"{seen_bytes} bytes came and {size_bytes} were announced; nothing was stored."
            )
        yield made + sealer.end()

    async def _read_stored(
        self, key_id: str | None, key: str, start: int, end: int | None
    ) -> AsyncGenerator[bytes, None]:
        name = stored_name(key_id, key)
        if key_id is None:
            async with aclosing(self._stored.read(name, start, end)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        raw = self._vault.cipher.raw_key(key_id)
        first = start // SEGMENT_BYTES
        # one byte more than the segments says whether the last of them is the file's last
        most = None if end is None else find_segment(max(first, -(-end // SEGMENT_BYTES))) + 1
        header = b""
        if first:
            async with aclosing(self._stored.read(name, 0, HEADER_BYTES)) as chunks:
                header = b"".join([chunk async for chunk in chunks])
        begin = find_segment(first) if first else 0
        opener: Opener | None = Opener(raw, key, header, first) if first else None
        skip, left = start - first * SEGMENT_BYTES, None if end is None else max(0, end - start)
        seen_bytes = begin
        async with aclosing(self._stored.read(name, begin, most)) as chunks:
            async for chunk in chunks:
                seen_bytes += len(chunk)
                data = chunk
                if opener is None:
                    header += chunk
                    if len(header) < HEADER_BYTES:
                        continue
                    opener = Opener(raw, key, header[:HEADER_BYTES], 0)
                    data = header[HEADER_BYTES:]
                plain = opener.push(data)
                for piece in _cut(plain, skip, left):
                    yield piece
                skip, left = _after(plain, skip, left)
        if opener is None:
            opener = Opener(raw, key, header, 0)
        if most is None or seen_bytes < most:
            for piece in _cut(opener.end(), skip, left):
                yield piece


def _cut(plain: bytes, skip: int, left: int | None) -> list[bytes]:
    """The part of an opened piece that was asked for."""
    part = plain[skip:] if left is None else plain[skip : skip + left]
    return [part[at : at + SEGMENT_BYTES] for at in range(0, len(part), SEGMENT_BYTES)]


def _after(plain: bytes, skip: int, left: int | None) -> tuple[int, int | None]:
    """What is still to be skipped, and still asked for, behind a piece."""
    taken = max(0, len(plain) - skip)
    return max(0, skip - len(plain)), left if left is None else max(0, left - taken)


def _info(key: str, key_id: str | None, found: BlobInfo) -> BlobInfo:
    if key_id is None:
        return BlobInfo(key, found.size_bytes, found.content_type, found.stored_at)
    return BlobInfo(key, plain_size(found.size_bytes), None, found.stored_at)


def _is_ours(key: str) -> bool:
    return key.startswith((f"{SEALED}/", f"{PARTS}/"))


def _check_own(key: str) -> None:
    check_key(key, is_new=True)
    if _is_ours(key):
        raise BadKey

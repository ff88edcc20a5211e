"""Blobs as files: the blob "a/b" is the file `{folder}/a/b`; signed addresses are served by us (`routes.py`).

Owns: whole blobs on files. Does not own: uploads in parts (`file_parts.py`), how a file becomes durable
(`intake.py`, `disk.py`), signed addresses (`signing.py`).
Rule: bytes are neither written nor read on the event loop.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from server.blobs import disk
from server.blobs.base import (
    CHUNK_BYTES,
    BlobInfo,
    check_key,
    check_prefix,
)
from server.blobs.errors import BlobExists, BlobNotFound
from server.blobs.file_parts import FileParts
from server.blobs.intake import translated
from server.blobs.signing import UrlSigner
from server.blobs.threads import in_thread
from server.blobs.trial import round_trip

log = structlog.get_logger("kanvas.blobs")


class FileBlobs(FileParts):
    """Blobs in one folder of the local disk. `secret` is the server's."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        # the folder itself may be a link to another disk; below it none is followed
        super().__init__(Path(os.path.realpath(folder)), UrlSigner(secret))

    # -- whole blobs ----------------------------------------------------------------------------

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """See Blobs.put."""
        del content_type  # a file has none
        check_key(key, is_new=True)
        target = self._root / key
        with translated():
            if await in_thread(target.exists):
                raise BlobExists
        await self._intake.store(source, size_bytes, target)

    async def find(self, key: str) -> BlobInfo | None:
        """See Blobs.find."""
        check_key(key)
        with translated():
            found = await in_thread(disk.look, self._root, self._root / key)
        return None if found is None else _info(key, found)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See Blobs.read."""
        check_key(key)
        try:
            with _translated_missing():
                file = await in_thread(disk.open_whole, self._root, self._root / key)
        except FileNotFoundError as error:
            raise BlobNotFound from error
        try:
            at = start
            await in_thread(file.seek, start)
            while end is None or at < end:
                most_bytes = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - at)
                with translated():
                    chunk = await in_thread(file.read, most_bytes)
                if not chunk:
                    return
                at += len(chunk)
                yield chunk
        finally:
            file.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """See Blobs.delete."""
        for key in keys:
            check_key(key)
        failed: OSError | None = None
        for key in keys:
            try:
                await in_thread(disk.remove, self._root, self._root / key)
            except OSError as error:
                failed = error
        if failed is not None:
            with translated():
                raise failed

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """See Blobs.list."""
        check_prefix(prefix)
        files = disk.walk(self._root, self._root / prefix)
        while True:
            with translated():
                page = await in_thread(_take, files, 500)
            if not page:
                return
            for path, found in page:
                yield _info(path.relative_to(self._root).as_posix(), found)

    def local_path(self, key: str) -> Path | None:
        """See Blobs.local_path."""
        check_key(key)
        return self._root / key

    async def check(self) -> None:
        """See Blobs.check."""
        await round_trip(self)

    async def tidy(self) -> None:
        """See Blobs.tidy."""
        with translated():
            removed = await in_thread(disk.remove_dead, self._root)
        if removed:
            log.info("unfinished files removed", files=removed)

    async def allow_origins(self, origins: Sequence[str]) -> bool:  # noqa: ARG002 - KANVAS_ORIGINS does it
        """See Blobs.allow_origins."""
        return False


@contextmanager
def _translated_missing() -> Iterator[None]:
    """As `_translated`, but what is not there stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        with translated():
            raise error


def _info(key: str, found: os.stat_result) -> BlobInfo:
    stored_at = datetime.fromtimestamp(found.st_mtime, UTC)
    return BlobInfo(key=key, size_bytes=found.st_size, content_type=None, stored_at=stored_at)


def _take(files: Iterator[tuple[Path, os.stat_result]], most: int) -> Sequence[tuple[Path, os.stat_result]]:
    return [one for _, one in zip(range(most), files, strict=False)]

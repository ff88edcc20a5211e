"""Blobs as files: the blob "a/b" is the file `{folder}/a/b`; signed addresses are served by us (`routes.py`).

Owns: the port on files, uploads in parts below `.parts/`. Does not own: how a file becomes durable
(`disk.py`), what a signature covers (`signing.py`).
Rules: bytes are neither written nor read on the event loop; a started upload and its parts survive a restart.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from ulid import ULID

from party.errors import Unavailable
from server.blobs import disk
from server.blobs.base import (
    CHUNK_BYTES,
    BlobInfo,
    Part,
    Signed,
    Started,
    check_key,
    check_number,
    check_parts,
    check_prefix,
    check_signing,
)
from server.blobs.errors import BlobExists, BlobMismatch, BlobNotFound
from server.blobs.signing import UrlSigner
from server.blobs.threads import in_thread
from server.blobs.trial import round_trip
from server.secret import fsync_folder

log = structlog.get_logger("kanvas.blobs")

WRITE_BYTES: Final = 256 * 1024
"""Gathered before a thread is asked to write: a hand-over costs 60 µs, bodies come in pieces of 64 KiB."""

COPY_BYTES: Final = 8 * 1024 * 1024
ABOUT: Final = "about.json"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"Files can't be stored or read now: {error.strerror or error}.") from error


class FileBlobs:
    """Blobs in one folder of the local disk. `secret` is the server's."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        # the folder itself may be a link to another disk; below it none is followed
        self._root = Path(os.path.realpath(folder))
        self.signer = UrlSigner(secret)

    # -- whole blobs ----------------------------------------------------------------------------

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """See Blobs.put."""
        del content_type  # a file has none
        check_key(key, is_new=True)
        target = self._root / key
        with _translated():
            if await in_thread(target.exists):
                raise BlobExists
        await self._store(source, size_bytes, target)

    async def _store(
        self, source: AsyncIterator[bytes], size_bytes: int, target: Path, *, replaces: bool = False
    ) -> None:
        """The bytes under a name: a free one, or for a part one that may be taken."""
        file, temporary = await self._started()
        try:
            held: list[bytes] = []
            held_bytes = seen_bytes = 0
            async for chunk in source:
                seen_bytes += len(chunk)
                if seen_bytes > size_bytes:
                    raise BlobMismatch(
                        f"More than the announced {size_bytes} bytes came; nothing was stored."
                    )
                held.append(chunk)
                held_bytes += len(chunk)
                if held_bytes >= WRITE_BYTES:
                    with _translated():
                        await in_thread(disk.write_all, file, b"".join(held))
                    held, held_bytes = [], 0
            if seen_bytes < size_bytes:
                raise BlobMismatch(
                    f"{seen_bytes} bytes came and {size_bytes} were announced; nothing was stored."
                )
            with _translated():
                await in_thread(self._end, file, b"".join(held), temporary, target, replaces)
        finally:
            await in_thread(_throw_away, [(file, temporary)])

    async def _started(self) -> tuple[BinaryIO, Path]:
        """A temporary file; cancelled while it is made, it is removed again."""
        made: list[tuple[BinaryIO, Path]] = []

        def start() -> None:
            made.append(disk.start(self._root))

        try:
            with _translated():
                await in_thread(start)
        except asyncio.CancelledError:
            await in_thread(_throw_away, made)
            raise
        return made[0]

    def _end(self, file: BinaryIO, rest: bytes, temporary: Path, target: Path, replaces: bool) -> None:
        disk.write_all(file, rest)
        disk.sync(file)
        if replaces:
            disk.check_inside(self._root, target.parent)
            temporary.replace(target)
            fsync_folder(target.parent)
            return
        try:
            disk.publish(self._root, temporary, target)
        except FileExistsError as error:
            raise BlobExists from error

    async def find(self, key: str) -> BlobInfo | None:
        """See Blobs.find."""
        check_key(key)
        with _translated():
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
                with _translated():
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
            with _translated():
                raise failed

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """See Blobs.list."""
        check_prefix(prefix)
        files = disk.walk(self._root, self._root / prefix)
        while True:
            with _translated():
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

    async def sweep(self) -> None:
        """Remove what killed processes left. Raises Unavailable."""
        with _translated():
            removed = await in_thread(disk.remove_dead, self._root)
        if removed:
            log.info("unfinished files removed", files=removed)

    # -- signed addresses -----------------------------------------------------------------------

    async def sign_get(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> Signed:
        """See Blobs.sign_get."""
        check_key(key)
        check_signing(expires_s)
        params = {"type": content_type, "disposition": disposition}
        return self.signer.sign("GET", key, params, expires_s=expires_s)

    async def sign_put(self, key: str, *, size_bytes: int, content_type: str, expires_s: int) -> Signed:
        """See Blobs.sign_put."""
        check_key(key, is_new=True)
        check_signing(expires_s, size_bytes)
        headers = {"Content-Type": content_type, "If-None-Match": "*"}
        params = {"type": content_type, "size": str(size_bytes)}
        return self.signer.sign("PUT", key, params, headers=headers, expires_s=expires_s)

    async def allow_origins(self, origins: Sequence[str]) -> bool:  # noqa: ARG002 - KANVAS_ORIGINS does it
        """See Blobs.allow_origins."""
        return False

    # -- uploads in parts -----------------------------------------------------------------------

    async def start_parts(self, key: str, *, content_type: str) -> str:
        """See Blobs.start_parts."""
        check_key(key, is_new=True)
        parts_id = str(ULID()).lower()
        about = {"key": key, "content_type": content_type, "started_at": datetime.now(UTC).isoformat()}
        with _translated():
            await in_thread(self._start_parts, parts_id, json.dumps(about).encode())
        return parts_id

    def _start_parts(self, parts_id: str, about: bytes) -> None:
        folder = self._folder_of(parts_id)
        disk.make_folder(self._root, folder)
        file, temporary = disk.start(self._root)
        try:
            disk.write_all(file, about)
            disk.sync(file)
            disk.publish(self._root, temporary, folder / ABOUT)
        finally:
            _throw_away([(file, temporary)])

    def _folder_of(self, parts_id: str) -> Path:
        try:
            known = str(ULID.from_str(parts_id.upper())).lower()
        except ValueError:
            known = ""
        if known != parts_id:
            raise BlobNotFound("There is no such upload; it was finished or given up. Start another one.")
        return self._root / disk.PARTS / parts_id

    async def sign_part(
        self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int
    ) -> Signed:
        """See Blobs.sign_part."""
        check_key(key, is_new=True)
        check_signing(expires_s, size_bytes)
        check_number(number)
        params = {"upload": parts_id, "part": str(number), "size": str(size_bytes)}
        return self.signer.sign("PUT", key, params, expires_s=expires_s)

    async def put_part(
        self, key: str, parts_id: str, number: int, source: AsyncIterator[bytes], *, size_bytes: int
    ) -> None:
        """Store a part, whole and durable. Raises BlobNotFound, BlobMismatch, Unavailable."""
        check_number(number)
        await self._check_started(key, parts_id)
        target = self._folder_of(parts_id) / str(number)
        try:
            await self._store(source, size_bytes, target, replaces=True)
        except Unavailable:
            # finished or given up meanwhile, the folder is gone
            await self._check_started(key, parts_id)
            raise

    async def _check_started(self, key: str, parts_id: str) -> None:
        check_key(key)
        with _translated():
            about = await in_thread(_read_about, self._folder_of(parts_id))
        if about is None or about.key != key:
            raise BlobNotFound("There is no such upload; it was finished or given up. Start another one.")

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        """See Blobs.list_parts."""
        await self._check_started(key, parts_id)
        with _translated():
            return await in_thread(_list_parts, self._folder_of(parts_id))

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """See Blobs.finish_parts."""
        check_parts(parts, await self.list_parts(key, parts_id))
        folder = self._folder_of(parts_id)
        file, temporary = await self._started()
        try:
            with _translated():
                for part in parts:
                    at = 0
                    while at < part.size_bytes:
                        at += await in_thread(_append, file, folder / str(part.number), part, at)
                await in_thread(self._end, file, b"", temporary, self._root / key, False)
                await in_thread(disk.remove_tree, folder)
        finally:
            await in_thread(_throw_away, [(file, temporary)])

    async def abort_parts(self, key: str, parts_id: str) -> None:
        """See Blobs.abort_parts."""
        try:
            folder = self._folder_of(parts_id)
        except BlobNotFound:
            return
        with _translated():
            about = await in_thread(_read_about, folder)
            if about is None or about.key == key:
                await in_thread(disk.remove_tree, folder)

    async def list_started(self) -> AsyncGenerator[Started, None]:
        """See Blobs.list_started."""
        with _translated():
            found = await in_thread(_list_started, self._root / disk.PARTS)
        for one in found:
            yield one


@contextmanager
def _translated_missing() -> Iterator[None]:
    """As `_translated`, but what is not there stays FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        with _translated():
            raise error


def _throw_away(started: Sequence[tuple[BinaryIO, Path]]) -> None:
    for file, temporary in started:
        file.close()
        temporary.unlink(missing_ok=True)


def _info(key: str, found: os.stat_result) -> BlobInfo:
    stored_at = datetime.fromtimestamp(found.st_mtime, UTC)
    return BlobInfo(key=key, size_bytes=found.st_size, content_type=None, stored_at=stored_at)


def _take(files: Iterator[tuple[Path, os.stat_result]], most: int) -> Sequence[tuple[Path, os.stat_result]]:
    return [one for _, one in zip(range(most), files, strict=False)]


def _part(path: Path, number: int) -> Part:
    found = path.stat()
    return Part(number, found.st_size, f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}")


def _list_parts(folder: Path) -> list[Part]:
    numbers = sorted(int(one.name) for one in folder.iterdir() if one.name.isdecimal())
    return [_part(folder / str(number), number) for number in numbers]


def _append(file: BinaryIO, path: Path, part: Part, at: int) -> int:
    """The next piece of a part; returns its length. Raises BlobMismatch when the part is another by now."""
    with path.open("rb", buffering=0) as source:
        if _part(path, part.number) != part:
            raise BlobMismatch(f"Part {part.number} is another than it was; list the parts again.")
        source.seek(at)
        data = source.read(COPY_BYTES)
    if not data:
        raise BlobMismatch(f"Part {part.number} ends before it should; send it again.")
    disk.write_all(file, data)
    return len(data)


def _read_about(folder: Path) -> Started | None:
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        return Started(about["key"], folder.name, datetime.fromisoformat(about["started_at"]))
    except FileNotFoundError:
        return None


def _list_started(folder: Path) -> list[Started]:
    try:
        names = sorted(one.name for one in folder.iterdir())
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        started = _read_about(folder / name)
        if started is None:
            # killed between making the folder and saying what for: nobody was told its id
            made_at = datetime.fromtimestamp((folder / name).stat().st_mtime, UTC)
            started = Started("unknown", name, made_at)
        found.append(started)
    return found

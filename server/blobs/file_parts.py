"""Uploads in parts as files: `.parts/{upload}/{number}`, until they are put together.

Owns: that half of the port. Does not own: taking bytes in (`intake.py`), whole blobs (`files.py`).
Rules: a started upload and its parts survive a restart; the whole appears at once, as any other blob does.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from ulid import ULID

from party.errors import Unavailable
from server.blobs import disk
from server.blobs.base import (
    NO_KEY,
    Part,
    Started,
    check_key,
    check_number,
    check_parts,
)
from server.blobs.errors import BlobMismatch, BlobNotFound
from server.blobs.intake import Intake, throw_away, translated
from server.blobs.signing import OwnAddresses, UrlSigner
from server.blobs.threads import in_thread

COPY_BYTES: Final = 8 * 1024 * 1024
ABOUT: Final = "about.json"


class FileParts(OwnAddresses):
    """Uploads in parts below one folder."""

    def __init__(self, root: Path, signer: UrlSigner) -> None:
        super().__init__(signer)
        self._root = root
        self._intake = Intake(root)

    async def start_parts(self, key: str, *, content_type: str) -> str:
        """See Blobs.start_parts."""
        check_key(key, is_new=True)
        parts_id = str(ULID()).lower()
        about = {"key": key, "content_type": content_type, "started_at": datetime.now(UTC).isoformat()}
        with translated():
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
            throw_away([(file, temporary)])

    def _folder_of(self, parts_id: str) -> Path:
        try:
            known = str(ULID.from_str(parts_id.upper())).lower()
        except ValueError:
            known = ""
        if known != parts_id:
            raise BlobNotFound("There is no such upload; it was finished or given up. Start another one.")
        return self._root / disk.PARTS / parts_id

    async def put_part(
        self, key: str, parts_id: str, number: int, source: AsyncIterator[bytes], *, size_bytes: int
    ) -> None:
        """Store a part, whole and durable. Raises BlobNotFound, BlobMismatch, Unavailable."""
        check_number(number)
        await self._check_started(key, parts_id)
        target = self._folder_of(parts_id) / str(number)
        try:
            await self._intake.store(source, size_bytes, target, replaces=True)
        except Unavailable:
            # finished or given up meanwhile, the folder is gone
            await self._check_started(key, parts_id)
            raise

    async def _check_started(self, key: str, parts_id: str) -> None:
        check_key(key)
        with translated():
            about = await in_thread(_read_about, self._folder_of(parts_id))
        if about is None or about.key != key:
            raise BlobNotFound("There is no such upload; it was finished or given up. Start another one.")

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        """See Blobs.list_parts."""
        await self._check_started(key, parts_id)
        with translated():
            return await in_thread(_list_parts, self._folder_of(parts_id))

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """See Blobs.finish_parts."""
        check_parts(parts, await self.list_parts(key, parts_id))
        folder = self._folder_of(parts_id)
        file, temporary = await self._intake.started()
        try:
            with translated():
                for part in parts:
                    at = 0
                    while at < part.size_bytes:
                        at += await in_thread(_append, file, folder / str(part.number), part, at)
                await in_thread(self._intake.end, file, b"", temporary, self._root / key, False)
                await in_thread(disk.remove_tree, folder)
        finally:
            await in_thread(throw_away, [(file, temporary)])

    async def abort_parts(self, key: str, parts_id: str) -> None:
        """See Blobs.abort_parts."""
        try:
            folder = self._folder_of(parts_id)
        except BlobNotFound:
            return
        with translated():
            about = await in_thread(_read_about, folder)
            if about is None or about.key == key:
                await in_thread(disk.remove_tree, folder)

    async def list_started(self) -> AsyncGenerator[Started, None]:
        """See Blobs.list_started."""
        with translated():
            found = await in_thread(_list_started, self._root / disk.PARTS)
        for one in found:
            yield one


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
            started = Started(NO_KEY, name, made_at)
        found.append(started)
    return found

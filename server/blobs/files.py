"""Image bytes as files: `{folder}/{room}/{sha256}`.

Owns: files, their atomicity and durability. Does not own: what is in them.
Rules: a name appears only when its bytes are complete, checked and on the disk (temporary file, fsync,
rename, fsync of the folder); bytes are not written on the event loop; what a crash leaves is a `.part` file,
removed with its room.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from party.errors import Unavailable
from server.images import HEAD_BYTES
from server.problems import AssetHashMismatch
from server.secret import fsync_folder

CHUNK_BYTES: Final = 256 * 1024


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"Images can't be stored or read now: {error.strerror or error}.")


@dataclass(frozen=True, slots=True)
class FileBlob:
    """A stored image in a file."""

    path: Path
    size_bytes: int
    head: bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """All bytes. Raises Unavailable."""
        try:
            file = await asyncio.to_thread(self.path.open, "rb")
        except OSError as error:
            raise _unavailable(error) from error
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()


class FileBlobs:
    """Blobs in one folder of the local disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, room_id: str, asset_id: str, chunks: AsyncIterator[bytes]) -> bool:
        """See Blobs.put."""
        room = self._folder / room_id
        digest = hashlib.sha256()
        try:
            # not in a thread: cancelled meanwhile, it would leave a file nobody knows of
            file, part = _start(room)
        except OSError as error:
            raise _unavailable(error) from error
        try:
            async for chunk in chunks:
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
            if digest.hexdigest() != asset_id:
                raise AssetHashMismatch
            return await asyncio.to_thread(_finish, file, part, room / asset_id)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            file.close()
            part.unlink(missing_ok=True)

    async def find(self, room_id: str, asset_id: str) -> FileBlob | None:
        """See Blobs.find."""
        try:
            return await asyncio.to_thread(_look, self._folder / room_id / asset_id)
        except OSError as error:
            raise _unavailable(error) from error

    async def delete_room(self, room_id: str) -> None:
        """See Blobs.delete_room."""
        try:
            await asyncio.to_thread(_remove, self._folder / room_id)
        except OSError as error:
            raise _unavailable(error) from error

    async def check(self) -> None:
        """See Blobs.check."""
        try:
            await asyncio.to_thread(_try_out, self._folder)
        except OSError as error:
            raise _unavailable(error) from error


def _start(room: Path) -> tuple[BinaryIO, Path]:
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=room, suffix=".part")
    return os.fdopen(handle, "wb"), Path(name)


def _finish(file: BinaryIO, part: Path, target: Path) -> bool:
    file.flush()
    os.fsync(file.fileno())
    is_new = not target.exists()
    if is_new:
        part.replace(target)
    fsync_folder(target.parent)
    fsync_folder(target.parent.parent)
    return is_new


def _look(path: Path) -> FileBlob | None:
    try:
        with path.open("rb") as file:
            return FileBlob(path, os.fstat(file.fileno()).st_size, file.read(HEAD_BYTES))
    except FileNotFoundError:
        return None


def _remove(room: Path) -> None:
    try:
        shutil.rmtree(room)
    except FileNotFoundError:
        return


def _try_out(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part") as file:
        file.write(b"kanvas")
        file.flush()
        os.fsync(file.fileno())

"""Bytes on their way into a file: gathered, written in threads, counted, and given a name at the end.

Owns: the life of one temporary file. Does not own: how a file becomes durable (`disk.py`),
what its name means.
Rules: bytes are never written on the event loop; whatever happens, a temporary file is a file or gone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from party.errors import Unavailable
from server.blobs import disk
from server.blobs.errors import BlobExists, BlobMismatch
from server.blobs.threads import in_thread
from server.secret import fsync_folder

WRITE_BYTES: Final = 256 * 1024
"""Gathered before a thread is asked to write: a hand-over costs 60 µs, bodies come in pieces of 64 KiB."""


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"Files can't be stored or read now: {error.strerror or error}.") from error


class Intake:
    """Takes files in below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def store(
        self, source: AsyncIterator[bytes], size_bytes: int, target: Path, *, replaces: bool = False
    ) -> None:
        """The bytes under a name: a free one, or for a part one that may be taken."""
        file, temporary = await self.started()
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
                    with translated():
                        await in_thread(disk.write_all, file, b"".join(held))
                    held, held_bytes = [], 0
            if seen_bytes < size_bytes:
                raise BlobMismatch(
                    f"{seen_bytes} bytes came and {size_bytes} were announced; nothing was stored."
                )
            with translated():
                await in_thread(self.end, file, b"".join(held), temporary, target, replaces)
        finally:
            await in_thread(throw_away, [(file, temporary)])

    async def started(self) -> tuple[BinaryIO, Path]:
        """A temporary file; cancelled while it is made, it is removed again."""
        made: list[tuple[BinaryIO, Path]] = []

        def start() -> None:
            made.append(disk.start(self.root))

        try:
            with translated():
                await in_thread(start)
        except asyncio.CancelledError:
            await in_thread(throw_away, made)
            raise
        return made[0]

    def end(self, file: BinaryIO, rest: bytes, temporary: Path, target: Path, replaces: bool) -> None:
        disk.write_all(file, rest)
        disk.sync(file)
        if replaces:
            disk.check_inside(self.root, target.parent)
            temporary.replace(target)
            fsync_folder(target.parent)
            return
        try:
            disk.publish(self.root, temporary, target)
        except FileExistsError as error:
            raise BlobExists from error


def throw_away(started: Sequence[tuple[BinaryIO, Path]]) -> None:
    for file, temporary in started:
        file.close()
        temporary.unlink(missing_ok=True)

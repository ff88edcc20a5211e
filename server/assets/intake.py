"""The intake: bytes from outside on their way to becoming an asset.

Owns: the folder where they wait, how many are received and checked at once, and the check of what really
arrived: length, SHA-256, type, and whatever the studio finds. Does not own: what a picture is
(`server/media`), where bytes are kept (`server/blobs`), rows (`keeping.py`).
Rules: memory stays flat, whatever comes (bytes go to a file as they come); nothing is hashed, written or
decoded on the event loop; the folder of one piece of work is gone when the work is, and what a killed process
left is gone when the next one starts (nobody holds its lock); the disk is filled neither by one user nor by
all together.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from weakref import WeakValueDictionary

import structlog

from party.errors import Unavailable
from server.blobs.base import Blobs
from server.blobs.errors import BlobNotFound
from server.folder_locks import hold, is_free
from server.media.base import Verdict
from server.media.kinds import HEAD_BYTES, sniff_kind
from server.media.studio import Studio
from server.patience import keep_pace
from server.problems import (
    AssetHashMismatch,
    AssetSizeMismatch,
    AssetTypeMismatch,
    AssetTypeRefused,
    Busy,
)

log = structlog.get_logger("kanvas.intake")

FOLDER: Final = "incoming"
CHUNK_BYTES: Final = 256 * 1024
CHECKED_AT_ONCE: Final = 4
TURN_S: Final = 30.0
"""Who waits longer for one is asked to come back."""

LEFT_OVER_S: Final = 24 * 3600
"""Where there are no locks (Windows, some network disks): what is older than this is nobody's."""

MADE_S: Final = 0.2
"""Between making a folder and locking it are microseconds; what is not locked for so long is nobody's."""


@dataclass(frozen=True, slots=True)
class Most:
    """How many pieces of one kind of work are under way at once: each may hold a file on our disk."""

    at_once: int
    per_user: int


RECEIVED: Final = Most(at_once=64, per_user=16)
IMPORTED: Final = Most(at_once=16, per_user=4)
COMPLETED: Final = Most(at_once=8, per_user=4)


class Turns:
    """Turns at one kind of work; one user does not get them all."""

    def __init__(self, most: Most) -> None:
        self._most = most
        self._all = asyncio.Semaphore(most.at_once)
        self._of_users: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, user_id: str) -> AsyncIterator[None]:
        """One, until the end. Raises Busy."""
        own = self._of_users.get(user_id)
        if own is None:
            own = self._of_users[user_id] = asyncio.Semaphore(self._most.per_user)
        # the user's own first: who waits for that holds up nobody else
        async with _turn(own), _turn(self._all):
            yield


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes in a file of ours, as they came."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What may be stored: the file at `path`, of which `stored_sha256` and `size_bytes` tell."""

    path: Path
    size_bytes: int
    stored_sha256: str
    kind: str
    """What it came as; the verdict says what it is stored as."""
    verdict: Verdict


class Desk:
    """A folder for one file and what is made of it. Made by `Intake.open_desk`."""

    def __init__(self, intake: "Intake", folder: Path) -> None:
        self._intake = intake
        self.folder = folder

    async def receive(self, chunks: AsyncIterator[bytes]) -> Received:
        """All of `chunks` in a file. Raises UploadStalled, Unavailable, and what `chunks` raises."""
        return await _write(self.folder / "received", keep_pace(chunks))

    async def fetch(self, blobs: Blobs, key: str) -> Received:
        """A blob in a file: where it is when that is on this machine, else a copy. Raises BlobNotFound."""
        local = blobs.local_path(key)
        if local is None:
            return await _write(self.folder / "received", blobs.read(key))
        try:
            return await asyncio.to_thread(_measure, local)
        except FileNotFoundError as error:
            raise BlobNotFound from error
        except OSError as error:
            raise _unavailable(error) from error

    async def check(self, received: Received, announced_type: str | None = None) -> Checked:
        """Look at what came, and take out of it what nobody else should know.

        Raises AssetTypeRefused, AssetTypeMismatch, what the studio refuses, Busy, Unavailable.
        """
        try:
            kind = await asyncio.to_thread(_sniff, received.path)
            if kind is None:
                raise AssetTypeRefused
            if announced_type is not None and announced_type != kind:
                raise AssetTypeMismatch(
                    f"The bytes are {kind}, and {announced_type} was announced; announce what the file is."
                )
            clean = self.folder / "clean"
            async with _turn(self._intake.checking):
                verdict = await self._intake.studio.examine(received.path, kind, clean)
            if not verdict.is_rewritten:
                return Checked(received.path, received.size_bytes, received.sha256, kind, verdict)
            made = await asyncio.to_thread(_measure, clean)
        except OSError as error:
            raise _unavailable(error) from error
        return Checked(made.path, made.size_bytes, made.sha256, kind, verdict)


class Intake:
    """Desks, and how many may be at work. Make it with `open_intake`."""

    def __init__(self, folder: Path, studio: Studio) -> None:
        self._folder = folder
        self.studio = studio
        self.receiving = Turns(RECEIVED)
        self.importing = Turns(IMPORTED)
        self.completing = Turns(COMPLETED)
        self.checking = asyncio.Semaphore(CHECKED_AT_ONCE)
        self._alone: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def alone(self, upload_id: str) -> asyncio.Lock:
        """Held by who completes this upload: a twin waits, and finds it done."""
        lock = self._alone.get(upload_id)
        if lock is None:
            lock = self._alone[upload_id] = asyncio.Lock()
        return lock

    @asynccontextmanager
    async def open_desk(self) -> AsyncIterator[Desk]:
        """A folder, gone at the end. Raises Unavailable.

        Where others decide how many there are, take a turn first.
        """
        try:
            # not in a thread: cancelled meanwhile, it would leave a folder nobody knows of
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            lock = hold(folder)
        except OSError as error:
            raise _unavailable(error) from error
        try:
            yield Desk(self, folder)
        finally:
            if lock is not None:
                os.close(lock)
            # a few names: sooner done than asked for, and it happens when the request is cancelled, too
            shutil.rmtree(folder, ignore_errors=True)

    async def tidy(self) -> None:
        """Remove what killed processes left. Raises Unavailable."""
        try:
            await asyncio.to_thread(_tidy, self._folder)
        except OSError as error:
            raise _unavailable(error) from error


@asynccontextmanager
async def open_intake(data_dir: Path, studio: Studio) -> AsyncIterator[Intake]:
    """The intake of a server with this data folder. Raises Unavailable."""
    folder = data_dir / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unavailable(error) from error
    intake = Intake(folder, studio)
    await intake.tidy()
    yield intake


def check_announced(received: Received, size_bytes: int, sha256: str) -> None:
    """Raises AssetSizeMismatch, AssetHashMismatch."""
    if received.size_bytes != size_bytes:
        raise AssetSizeMismatch(
            f"{received.size_bytes} bytes came, and {size_bytes} were announced; nothing was stored."
        )
    if received.sha256 != sha256:
        raise AssetHashMismatch


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """A file, piece by piece, off the loop. Raises Unavailable."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise _unavailable(error) from error
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"Files can't be taken in now: {error.strerror or error}.")


@asynccontextmanager
async def _turn(places: asyncio.Semaphore) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TURN_S):
            await places.acquire()
    except TimeoutError:
        raise Busy("Too many files are coming in at once; send it again in a moment.") from None
    try:
        yield
    finally:
        places.release()


async def _write(path: Path, chunks: AsyncIterator[bytes]) -> Received:
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("wb") as file:
            held: list[bytes] = []
            held_bytes = 0
            async for chunk in chunks:
                held.append(chunk)
                held_bytes += len(chunk)
                size += len(chunk)
                # the network's pieces are small, and each change of thread costs 50 us
                if held_bytes >= CHUNK_BYTES:
                    await asyncio.to_thread(_absorb, file, digest, held)
                    held, held_bytes = [], 0
            await asyncio.to_thread(_absorb, file, digest, held)
    except OSError as error:
        raise _unavailable(error) from error
    return Received(path, size, digest.hexdigest())


def _absorb(file: BinaryIO, digest: "hashlib._Hash", chunks: list[bytes]) -> None:
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)


def _measure(path: Path) -> Received:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Received(path, os.fstat(file.fileno()).st_size, digest.hexdigest())


def _sniff(path: Path) -> str | None:
    with path.open("rb") as file:
        return sniff_kind(file.read(HEAD_BYTES))


def _tidy(folder: Path) -> None:
    """What nobody holds goes at once, and what is old."""
    free = [one for one in folder.iterdir() if _is_left(one)]
    if free:
        time.sleep(MADE_S)
    for one in free:
        if _is_left(one):
            log.info("left over from a killed process", name=one.name)
            shutil.rmtree(one, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    try:
        return is_free(folder) or time.time() - folder.stat().st_mtime > LEFT_OVER_S
    except FileNotFoundError:
        # another process is done with it just now
        return False

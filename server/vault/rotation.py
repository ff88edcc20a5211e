"""Everything under another key, bit by bit, while the server serves.

Owns: the walk over rows, checkpoints and files, its pace, its words. Does not own: which key (commands.py),
replacing rows (db/rekeying.py), moving a file (`server/blobs/sealed.py`). Keeps rules Z6, Z7.

Rules: nothing new comes under the old key once it is retired, so one walk finds everything, and the next only
proves it; killed at any moment, it is begun again and goes on with what is left; a batch is bounded in bytes,
and between two of them others have as long as it took; what can't be opened is told and keeps nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from db.cipher import Stored, open_stored
from db.database import Database
from db.errors import Damaged, KeyMissing
from db.rekeying import Found, read_found, replace_stored
from db.scopes import as_system
from party.errors import Unavailable
from server.blobs.sealed import SealedBlobs
from server.vault.cipher import VaultCipher
from server.vault.survey import TABLES, walk, walk_files

Say = Callable[[str], None]
T = TypeVar("T")

BATCH_BYTES: Final = 1024 * 1024
BATCH_ROWS: Final = 200
FILES_AT_ONCE: Final = 4
SAY_S: Final = 5.0
WALKS: Final = 5
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.2


class Rotation:
    """Brings everything under `key_id`; None: nothing is encrypted any more."""

    def __init__(
        self,
        database: Database,
        blobs: SealedBlobs,
        cipher: VaultCipher,
        key_id: str | None,
        say: Say,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._cipher = cipher
        self._key_id = key_id
        self._say = say
        self._said_at = time.monotonic()
        self._done = self._left = 0
        self.failures: dict[str, str] = {}
        """What could not be changed, and why."""

    async def run(self, left: int) -> int:
        """Walk until a walk finds nothing to do; how much was changed. `left` is for the words.

        Raises Unavailable when the database or the storage stays away.
        """
        self._left = left
        for _ in range(WALKS):
            before = self._done
            for kind in TABLES:
                async for page in walk(self._database, kind):
                    await self._change_rows([one for one in page if one.key_id != self._key_id])
            await self._change_files()
            if self._done == before:
                break
        return self._done

    async def _change_rows(self, found: Sequence[Found]) -> None:
        batch: list[Found] = []
        size_bytes = 0
        for one in found:
            if batch and (size_bytes + one.size_bytes > BATCH_BYTES or len(batch) == BATCH_ROWS):
                await self._change_batch(batch)
                batch, size_bytes = [], 0
            batch.append(one)
            size_bytes += one.size_bytes
        if batch:
            await self._change_batch(batch)

    async def _change_batch(self, batch: Sequence[Found]) -> None:
        began_s = time.monotonic()
        system = as_system(self._database)
        old = await patiently(lambda: system.read(partial(read_found, found=batch)))
        opened = [one for one in [await self._open(one) for one in old] if one is not None]
        old = [one for one, _ in opened]
        new = [await asyncio.to_thread(self._seal, one, plain) for one, plain in opened]
        self._count(await patiently(lambda: system.write(partial(replace_stored, old=old, new=new))))
        await asyncio.sleep(time.monotonic() - began_s)

    async def _open(self, stored: Stored) -> tuple[Stored, bytes] | None:
        try:
            return stored, (await open_stored(self._database, self._cipher, [stored]))[0]
        except Damaged as error:
            self.failures[f"{stored.slot.kind} {stored.slot.seq} of {stored.slot.room_id}"] = error.message
            return None

    def _seal(self, old: Stored, plain: bytes) -> Stored:
        data = plain if self._key_id is None else self._cipher.seal(self._key_id, old.slot, plain)
        return Stored(self._key_id, old.slot, data)

    # -- files ----------------------------------------------------------------------------------

    async def _change_files(self) -> None:
        for key_id in [*self._cipher.ids, None]:
            if key_id == self._key_id:
                continue
            async for keys in walk_files(self._database, self._blobs, key_id):
                await self._move(key_id, keys)

    async def _move(self, key_id: str | None, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), FILES_AT_ONCE):
            began_s = time.monotonic()
            some = keys[at : at + FILES_AT_ONCE]
            moved = await asyncio.gather(*(self._move_one(key_id, key) for key in some))
            self._count(sum(moved))
            await asyncio.sleep(time.monotonic() - began_s)

    async def _move_one(self, key_id: str | None, key: str) -> bool:
        try:
            return await patiently(lambda: self._blobs.move(key, key_id, self._key_id))
        except Damaged as error:
            self.failures[f"file {key}"] = error.message
            return False

    def _count(self, changed: int) -> None:
        self._done += changed
        if time.monotonic() - self._said_at >= SAY_S:
            self._said_at = time.monotonic()
            self._say(f"{self._done:,} of {max(self._left, self._done):,} done.")


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Again after a while when a backend is away for a moment."""
    for turn in range(ATTEMPTS):
        try:
            return await attempt()
        except (Damaged, KeyMissing):
            raise
        except Unavailable:
            if turn == ATTEMPTS - 1:
                raise
        await asyncio.sleep(FIRST_PAUSE_S * 2**turn)
    raise AssertionError("the last attempt returns or raises")

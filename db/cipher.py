"""What the journal needs of encryption: a port, the rows it is about, and what there is without keys.

Owns: which bytes belong to which place (`Slot`), the choice between plain and sealed, learning of keys this
process has not seen. Does not own: any cryptography (server/vault), where keys are stored (keys.py). Keeps
rules Z1-Z4.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

from sqlalchemy import Connection, select

from db.database import Database
from db.errors import KeyMissing
from db.scopes import as_system
from db.tables import data_keys

THREAD_BYTES: Final = 256 * 1024
"""Opening more than this (0.1 ms) is a thread's work, which does without the interpreter's lock meanwhile."""


class Slot(NamedTuple):
    """Where bytes belong: sealed for one place, they open in no other."""

    kind: Literal["update", "state"]
    room_id: str
    epoch: int
    seq: int


class DataKey(NamedTuple):
    """A row of data_keys: a key that only its master key opens."""

    id: str
    master_id: str
    wrapped: bytes
    created_at: datetime
    retired_at: datetime | None


class Stored(NamedTuple):
    """Bytes as the database has them; sealed when there is a key id."""

    key_id: str | None
    slot: Slot
    data: bytes


class Cipher(Protocol):
    """Seals and opens. Every verb is quick, and may be called from any thread."""

    @property
    def is_on(self) -> bool:
        """Whether there are keys at all; without, nobody looks which is in use."""

    @property
    def key_id(self) -> str | None:
        """What new bytes are sealed with; None leaves them plain."""

    def learn(self, keys: Sequence[DataKey]) -> None:
        """These are all data keys there are. One whose master key is missing fails where it is used."""

    def seal(self, key_id: str, slot: Slot, plain: bytes) -> bytes:
        """Raises KeyMissing."""

    def open(self, key_id: str, slot: Slot, sealed: bytes) -> bytes:
        """Raises KeyMissing; Damaged for bytes that are not what was sealed for this place."""


class Plain:
    """No encryption; what is encrypted can't be read."""

    is_on = False
    key_id = None

    def learn(self, keys: Sequence[DataKey]) -> None:
        """See Cipher.learn."""

    def seal(self, key_id: str, slot: Slot, plain: bytes) -> bytes:
        """See Cipher.seal."""
        del key_id, slot, plain
        raise KeyMissing

    def open(self, key_id: str, slot: Slot, sealed: bytes) -> bytes:
        """See Cipher.open."""
        del key_id, slot, sealed
        raise KeyMissing


def list_keys(connection: Connection) -> list[DataKey]:
    """Every data key, the oldest first."""
    rows = connection.execute(
        select(
            data_keys.c.id,
            data_keys.c.master_id,
            data_keys.c.wrapped,
            data_keys.c.created_at,
            data_keys.c.retired_at,
        ).order_by(data_keys.c.created_at, data_keys.c.id)
    )
    return [DataKey(*row) for row in rows]


def newest(keys: Sequence[DataKey]) -> DataKey | None:
    """The key that new bytes are sealed with; None: they stay plain."""
    in_use = [key for key in keys if key.retired_at is None]
    return max(in_use, key=lambda key: (key.created_at, key.id), default=None)


def open_one(cipher: Cipher, stored: Stored) -> bytes:
    return stored.data if stored.key_id is None else cipher.open(stored.key_id, stored.slot, stored.data)


def open_all(cipher: Cipher, stored: Sequence[Stored]) -> list[bytes]:
    """Raises KeyMissing, Damaged."""
    return [open_one(cipher, one) for one in stored]


def open_within(connection: Connection, cipher: Cipher, stored: Sequence[Stored]) -> list[bytes]:
    """The same inside a transaction, which is asked for keys that are new here."""
    try:
        return open_all(cipher, stored)
    except KeyMissing:
        cipher.learn(list_keys(connection))
        return open_all(cipher, stored)


async def open_stored(database: Database, cipher: Cipher, stored: Sequence[Stored]) -> list[bytes]:
    """The same after the transaction; large ones in a thread. Raises KeyMissing, Damaged, Unavailable."""
    if all(one.key_id is None for one in stored):
        return [one.data for one in stored]
    is_large = sum(len(one.data) for one in stored) > THREAD_BYTES
    try:
        return await _open(cipher, stored, is_large=is_large)
    except KeyMissing:
        cipher.learn(await as_system(database).read(list_keys))
        return await _open(cipher, stored, is_large=is_large)


async def _open(cipher: Cipher, stored: Sequence[Stored], *, is_large: bool) -> list[bytes]:
    return await asyncio.to_thread(open_all, cipher, stored) if is_large else open_all(cipher, stored)

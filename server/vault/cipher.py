"""AES-256-GCM for rows of the journal and checkpoints: db.cipher.Cipher.

Owns: the data keys this process knows, sealing for a place and opening. Does not own: where keys are stored
and when to look for new ones (opening.py, the journal), files (segments.py). Keeps rules Z1-Z4.

A sealed row is 12 random bytes, the ciphertext and 16 bytes of tag; where it belongs is authenticated with
it, so that a row copied to another number, room or epoch does not open.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db.cipher import DataKey, Slot, newest
from db.errors import Damaged, KeyMissing
from server.vault.keys import NONCE_BYTES, room_key, unwrap

MOST_ROOM_KEYS: Final = 4096
"""Derived keys that are kept: 3 us each to make again."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learned last; replaced as a whole, for threads look at it."""

    raw: Mapping[str, bytes]
    failures: Mapping[str, str]
    in_use: str | None
    ids: tuple[str, ...]


class VaultCipher:
    """Seals with the newest data key, opens with any. `masters` are those of the settings."""

    is_on = True

    def __init__(self, masters: Mapping[str, bytes], keys: Sequence[DataKey] = ()) -> None:
        self._masters = dict(masters)
        self._known = _Known({}, {}, None, ())
        self._room_keys: dict[tuple[str, str], AESGCM] = {}
        self.learn(keys)

    @property
    def key_id(self) -> str | None:
        """See Cipher.key_id."""
        return self._known.in_use

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all data keys there are, the one in use first, then the newest."""
        return self._known.ids

    @property
    def failures(self) -> Mapping[str, str]:
        """Data keys that can't be unwrapped, and why in words."""
        return self._known.failures

    def learn(self, keys: Sequence[DataKey]) -> None:
        """See Cipher.learn."""
        raw: dict[str, bytes] = {}
        failures: dict[str, str] = {}
        for key in keys:
            try:
                raw[key.id] = self._known.raw.get(key.id) or unwrap(self._masters, key)
            except KeyMissing as error:
                failures[key.id] = error.message
        in_use = newest(keys)
        order = [key.id for key in sorted(keys, key=lambda key: (key.created_at, key.id), reverse=True)]
        first = None if in_use is None else in_use.id
        ids = tuple(sorted(order, key=lambda one: one != first))
        # a file that was being stored when its key went is sealed again from what we remember
        self._known = _Known({**self._known.raw, **raw}, failures, first, ids)

    def raw_key(self, key_id: str) -> bytes:
        """A data key itself. Raises KeyMissing."""
        known = self._known
        raw = known.raw.get(key_id)
        if raw is None:
            lost = f"There is no data key {key_id}; a backup of the database from its time has it."
            raise KeyMissing(known.failures.get(key_id, lost))
        return raw

    def seal(self, key_id: str, slot: Slot, plain: bytes) -> bytes:
        """See Cipher.seal."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._room_key(key_id, slot.room_id).encrypt(nonce, plain, _about(slot))

    def open(self, key_id: str, slot: Slot, sealed: bytes) -> bytes:
        """See Cipher.open."""
        key = self._room_key(key_id, slot.room_id)
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _about(slot))
        except (InvalidTag, ValueError) as error:
            raise Damaged(
                f"The {slot.kind} {slot.seq} of room {slot.room_id} is not what was encrypted there; restore "
                "the database from a backup."
            ) from error

    def _room_key(self, key_id: str, room_id: str) -> AESGCM:
        made = self._room_keys.get((key_id, room_id))
        if made is None:
            made = room_key(self.raw_key(key_id), room_id)
            if len(self._room_keys) >= MOST_ROOM_KEYS:
                self._room_keys.clear()
            self._room_keys[key_id, room_id] = made
        return made


def _about(slot: Slot) -> bytes:
    # the room's id is last: whatever is in it, nothing can be moved between the parts
    return f"{slot.kind}\n{slot.epoch}\n{slot.seq}\n{slot.room_id}".encode()

"""Master keys, and the data keys they wrap.

Owns: wrapping and unwrapping, what is derived from a data key, making one. Does not own: where they are
stored (db/keys.py), which is in use. Pure but for randomness.

A data key seals nothing itself: each room and each file has a key derived from it, so that no key seals more
than the 2^32 messages that random nonces of GCM allow. Sources: NIST SP 800-38D section 8.3, SP 800-108
section 4.1 (HMAC as the function).
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from db.cipher import DataKey
from db.errors import KeyMissing

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
ID_BYTES: Final = 4
"""A row of the journal carries the id, eight letters of it."""

_ROOM: Final = b"kanvas: rows of a room, version 1\n"
_BLOB: Final = b"kanvas: one file, version 1\n"


def make_key(masters: Mapping[str, bytes], now: datetime) -> DataKey:
    """A fresh data key, wrapped with the first master key."""
    master_id = next(iter(masters))
    key_id = secrets.token_hex(ID_BYTES)
    nonce = secrets.token_bytes(NONCE_BYTES)
    raw = secrets.token_bytes(KEY_BYTES)
    wrapped = nonce + AESGCM(masters[master_id]).encrypt(nonce, raw, _about(key_id, master_id))
    return DataKey(key_id, master_id, wrapped, now, None)


def unwrap(masters: Mapping[str, bytes], key: DataKey) -> bytes:
    """The key itself. Raises KeyMissing without its master key, or with another of that name."""
    master = masters.get(key.master_id)
    if master is None:
        raise KeyMissing(
            f"Data key {key.id} is wrapped with the master key {key.master_id}, which is not in "
            "KANVAS_ENCRYPTION_KEYS of this process; add it and start again."
        )
    nonce, sealed = key.wrapped[:NONCE_BYTES], key.wrapped[NONCE_BYTES:]
    try:
        return AESGCM(master).decrypt(nonce, sealed, _about(key.id, key.master_id))
    except InvalidTag as error:
        raise KeyMissing(
            f"The master key {key.master_id} in KANVAS_ENCRYPTION_KEYS is another than the one that wrapped "
            f"data key {key.id}; put that one back, under this name."
        ) from error


def room_key(raw: bytes, room_id: str) -> AESGCM:
    """What seals the rows of one room."""
    return AESGCM(hmac.digest(raw, _ROOM + room_id.encode(), hashlib.sha256))


def blob_key(raw: bytes, salt: bytes) -> AESGCM:
    """What seals one file; `salt` is random and stored with it."""
    return AESGCM(hmac.digest(raw, _BLOB + salt, hashlib.sha256))


def _about(key_id: str, master_id: str) -> bytes:
    return f"kanvas: data key {key_id} of {master_id}".encode()

"""Secrets that are handed out once: only a hash of them is kept.

Owns: making tokens, their hashes, and hashes of passwords. Does not own: where hashes are stored, who may use
a token. Pure but for randomness.

A token has 256 random bits, so that one round of SHA-256 keeps it safe; a password has few, so that scrypt
makes each guess cost 16 MiB and 50 ms. Sources: RFC 7914 (scrypt), OWASP Password Storage Cheat Sheet.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

TOKEN_BYTES: Final = 32
SALT_BYTES: Final = 16
LOG2_N: Final = 14
R: Final = 8
P: Final = 1
HASH_BYTES: Final = 32


def make_token(prefix: str) -> tuple[str, bytes]:
    """A fresh token, which is shown once, and its hash, which is kept."""
    token = f"{prefix}{secrets.token_urlsafe(TOKEN_BYTES)}"
    return token, hash_token(token)


def hash_token(token: str) -> bytes:
    """What a token is found by, 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


def is_token(token: str, stored: bytes) -> bool:
    """Whether it is the token of this hash; the time says nothing."""
    return hmac.compare_digest(hash_token(token), stored)


def hash_password(password: str) -> str:
    """What is kept of a password. Takes 50 ms: call it in a thread."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = _stretch(password, salt, LOG2_N, R, P)
    return "$".join(("scrypt", str(LOG2_N), str(R), str(P), _text(salt), _text(key)))


def check_password(password: str, stored: str) -> bool:
    """Whether it is the password of this hash. Takes 50 ms: call it in a thread."""
    _, log2_n, r, p, salt, key = stored.split("$")
    found = _stretch(password, base64.b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(key))


def _stretch(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    most_bytes = 256 * r * (2**log2_n + p)
    return hashlib.scrypt(
        password.encode(), salt=salt, n=2**log2_n, r=r, p=p, maxmem=most_bytes, dklen=HASH_BYTES
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

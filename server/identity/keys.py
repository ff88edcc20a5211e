"""Public keys of an identity provider: a JWK Set's bytes to keys that verify.

Owns: which keys count, and for which one algorithm each. Does not own: fetching them (`jwks.py`), tokens
(`signed.py`). Pure.

Rules: a key verifies with one algorithm only, told by its type and never by a token (RFC 8725 section 3.1):
RSA of 2048 to 8192 bits RS256, P-256 ES256, Ed25519 EdDSA. Symmetric keys, keys for encryption and keys of
another algorithm are passed over; a set without any usable key is refused as a whole.
Sources: RFC 7517 (JWK), RFC 7518 section 6, RFC 8037 (OKP).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Algorithm = Literal["RS256", "ES256", "EdDSA"]

ALGORITHMS: Final[tuple[Algorithm, ...]] = ("RS256", "ES256", "EdDSA")
KINDS: Final[Mapping[tuple[str, str | None], Algorithm]] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
RSA_BITS: Final = range(2048, 8193)
MAX_KEYS: Final = 64
MAX_KID_CHARS: Final = 256


class BadKeysError(ValueError):
    """The answer is no JWK Set with a key we can use; the words are for the log."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key and the one algorithm it verifies with."""

    algorithm: Algorithm
    material: Any


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one provider at one time."""

    by_id: Mapping[tuple[str | None, Algorithm], Key]

    def find(self, kid: str | None, algorithm: Algorithm) -> Key | None:
        """The key of this id and algorithm; without an id the only one there is of the algorithm."""
        if kid is not None:
            return self.by_id.get((kid, algorithm))
        fitting = [key for key in self.by_id.values() if key.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def __len__(self) -> int:
        return len(self.by_id)


def parse_keys(raw: bytes) -> KeySet:
    """The keys of a JWK Set. Raises BadKeysError."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadKeysError("the keys are not JSON") from error
    given = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(given, list) or len(given) > MAX_KEYS:
        raise BadKeysError(f"the keys are no JWK Set of at most {MAX_KEYS}")
    found: dict[tuple[str | None, Algorithm], Key] = {}
    for one in given:
        key = _parse_key(one) if isinstance(one, dict) else None
        if key is None:
            continue
        kid = one.get("kid")
        name = kid if isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS else None
        # of two with one id the first counts: a token fits both or neither
        found.setdefault((name, key.algorithm), key)
    if not found:
        raise BadKeysError("none of the keys is for RS256, ES256 or EdDSA")
    return KeySet(found)


def _parse_key(jwk: Mapping[str, Any]) -> Key | None:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return None
    algorithm = KINDS.get((kind, curve))
    # RFC 9864 has a name of its own for the one curve we take
    known = (algorithm, "Ed25519") if algorithm == "EdDSA" else (algorithm,)
    if algorithm is None or jwk.get("alg", algorithm) not in known:
        return None
    if jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    # whoever publishes a private key by mistake has lost it: its signatures prove nothing
    if "d" in jwk:
        return None
    try:
        material = jwt.PyJWK.from_dict(dict(jwk), algorithm=algorithm).key
        if isinstance(material, RSAPublicKey) and material.key_size not in RSA_BITS:
            return None
        # the library reads lazily: a point off the curve shows only here
        material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return Key(algorithm, material)

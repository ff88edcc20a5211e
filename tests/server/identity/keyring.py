"""An identity provider of the tests' own: its keys, and tokens right and wrong.

Owns: making keys, JWK Sets and JWTs byte by byte. Keys are made once for each process: RSA takes 0.1 s.
"""

import base64
import functools
import json
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://id.example.org/realms/art"
AUDIENCE = "kanvas-tests"


@dataclass(frozen=True)
class Pair:
    """A private key, its algorithm and its public JWK."""

    kid: str
    algorithm: str
    private: Any

    @property
    def jwk(self) -> dict[str, Any]:
        maker = jwt.get_algorithm_by_name(self.algorithm)
        public = maker.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def sign(self, signed: bytes, algorithm: str | None = None) -> bytes:
        maker = jwt.get_algorithm_by_name(algorithm or self.algorithm)
        return maker.sign(signed, self.private)


def pair(kid: str = "rsa", algorithm: str = "RS256", size: int = 2048) -> Pair:
    """The same key for the same arguments."""
    return _pair(kid, algorithm, size)


@functools.cache
def _pair(kid: str, algorithm: str, size: int) -> Pair:
    private: Any
    if algorithm.startswith(("RS", "PS")):
        private = rsa.generate_private_key(public_exponent=65537, key_size=size)
    elif algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}[algorithm]
        private = ec.generate_private_key(curve)
    return Pair(kid, algorithm, private)


def jwks(*pairs: Pair) -> dict[str, Any]:
    return {"keys": [one.jwk for one in pairs]}


def claims(now: float | None = None, **changed: Any) -> dict[str, Any]:
    """What a good token says; None leaves a claim out."""
    now = time.time() if now is None else now
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "name": "Ada",
        "iat": int(now),
        "exp": int(now) + 600,
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def b64(raw: bytes | str | Any) -> str:
    if not isinstance(raw, bytes | str):
        raw = json.dumps(raw)
    return base64.urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).rstrip(b"=").decode()


def token(
    told: Any = None,
    by: Pair | None = None,
    head: Any = None,
    algorithm: str | None = None,
) -> str:
    """A compact JWS of these claims and this header (an object, or its text)."""
    by = by or pair()
    head = {"alg": algorithm or by.algorithm, "kid": by.kid, "typ": "JWT"} if head is None else head
    signed = f"{b64(head)}.{b64(claims() if told is None else told)}"
    return f"{signed}.{b64(by.sign(signed.encode(), algorithm))}"

"""A signed token of somebody else: its header, its signature, and the claims that every one must have.

Owns: what makes a JWT acceptable (rule I1). Does not own: keys (`keys.py`), what the claims mean
(`claims.py`, `provider.py`). Pure.

A token says nothing about how it is to be checked: of its header only `alg` and `kid` are looked at, to
choose among the keys we have, and `typ`. Addresses and keys it brings along (jku, x5u, jwk, x5c) are never
read.
Sources: RFC 7515, RFC 7519, RFC 8725 (best practice), RFC 9068 (`at+jwt`).
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from party.errors import Unauthenticated
from server.identity.keys import ALGORITHMS, MAX_KID_CHARS, Algorithm, Key

MAX_CHARS: Final = 8192
"""Tokens of providers carry groups and roles; a request's head has 64 KiB."""

LEEWAY_S: Final = 30.0
"""How far the provider's clock may be from ours."""

TYPES: Final = frozenset({None, "jwt", "at+jwt", "application/at+jwt", "application/jwt"})
UNKNOWN: Final = ("crit", "b64", "zip", "enc")
"""Header parameters that change what is signed or how; we support none of them."""

MAX_SUB_CHARS: Final = 255
SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a character: JSON can say it, UTF-8 can't."""

COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Head:
    """Which key a token asks for."""

    algorithm: Algorithm
    kid: str | None


def refused() -> Unauthenticated:
    """One sentence whatever is wrong: who makes forgeries learns nothing from it."""
    return Unauthenticated("The token is not one this server accepts; sign in again.")


def read_head(token: str) -> Head:
    """The header of a compact JWS. Raises Unauthenticated."""
    if len(token) > MAX_CHARS or not COMPACT.fullmatch(token):
        raise refused()
    first = token.partition(".")[0]
    try:
        raw = base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True)
        head = json.loads(raw, object_pairs_hook=_once)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refused() from error
    if not isinstance(head, dict) or any(name in head for name in UNKNOWN):
        raise refused()
    algorithm, kid, kind = head.get("alg"), head.get("kid"), head.get("typ")
    if not isinstance(kind, str | None) or (kind.lower() if kind else kind) not in TYPES:
        raise refused()
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise refused()
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARS):
        raise refused()
    return Head(algorithm, kid)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 7515 section 4: two parsers must not read two headers."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name is given twice")
    return read


def open_signed(
    token: str, key: Key, *, issuer: str, audience: str, now: float, leeway_s: float = LEEWAY_S
) -> Mapping[str, Any]:
    """The claims of a token that `key` signed, for us, and valid now. Raises Unauthenticated."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            # times are checked by us, against our clock
            options={
                "require": ["iss", "aud", "sub", "iat", "exp"],
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_jti": False,
            },
        )
    except (jwt.PyJWTError, RecursionError, TypeError, ValueError, OverflowError) as error:
        raise refused() from error
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUB_CHARS or SURROGATE.search(subject):
        raise refused()
    if claims["iss"] != issuer or not _names(claims["aud"], audience):
        raise refused()
    issued_at, expires_at = _time(claims["iat"]), _time(claims["exp"])
    not_before = _time(claims.get("nbf", 0))
    if issued_at > now + leeway_s or not_before > now + leeway_s or expires_at < issued_at:
        raise refused()
    if expires_at + leeway_s < now:
        raise Unauthenticated("The token has expired; take a fresh one from your identity provider.")
    return claims


def _names(audience: Any, ours: str) -> bool:
    return audience == ours or (isinstance(audience, list) and ours in audience)


def _time(value: Any) -> float:
    """A NumericDate. Raises Unauthenticated."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused()
    # beyond the year 9999 a datetime ends
    if not math.isfinite(value) or not 0 <= value < 253_402_300_000:
        raise refused()
    return float(value)

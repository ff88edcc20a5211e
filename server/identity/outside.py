"""Tokens of an identity provider as bearer tokens: whoever has one is somebody here.

Owns: the way from a token to an Identity. Does not own: keys (`jwks.py`), what makes a token sound
(`signed.py`), what its claims mean (`claims.py`), revocation. Keeps rule I1.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.auth import Identity, id_of_token
from server.identity.claims import AdminClaim, identity_of
from server.identity.jwks import KeyCache
from server.identity.signed import open_signed, read_head, refused


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens we take, and what their claims mean."""

    name: str
    audience: str
    names: tuple[str, ...] = ("name", "preferred_username", "nickname")
    admin: AdminClaim | None = None


class OutsideTokens:
    """The Verifier of one issuer."""

    def __init__(self, issuer: Issuer, keys: KeyCache, *, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for. Raises Unauthenticated; Unavailable without keys. Cancel-safe."""
        head = read_head(token)
        key = await self._keys.find(head.kid, head.algorithm)
        if key is None:
            raise refused()
        issuer = self._issuer
        claims = open_signed(token, key, issuer=issuer.name, audience=issuer.audience, now=self._clock())
        return identity_of(claims, token_id=id_of_token(token), names=issuer.names, admin=issuer.admin)

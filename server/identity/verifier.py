"""Whoever comes with a token, be it ours or the provider's: one `verify` in front of everything that asks.

Owns: which issuer a token is put before, that a token has not ended before its time, and that who came from
outside is in `users`. Does not own: the checks themselves. Keeps rules I1, I3, I7.

Ours are HS256, those of a provider never are: the algorithm in the header chooses, and each side checks it
again with keys that fit nothing else.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from db.database import Database
from db.scopes import as_system
from db.users import add_user
from party.errors import Unauthenticated
from server.auth import Identity, IssuedToken, Tokens, Verifier
from server.identity.operators import Operators
from server.identity.personal import PersonalTokens, is_personal
from server.identity.revocations import Revocations
from server.identity.signed import read_head

MOST_MET: Final = 10_000


class Newcomers:
    """Writes who comes from outside for the first time into `users`."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = as_system(database)
        self._now = now
        self._met: OrderedDict[str, None] = OrderedDict()

    async def meet(self, identity: Identity) -> None:
        """Raises Unavailable. A name that is known stays."""
        if identity.user_id in self._met:
            self._met.move_to_end(identity.user_id)
            return
        now = self._now()
        await self._database.write(partial(add_user, id=identity.user_id, name=identity.name, now=now))
        self._met[identity.user_id] = None
        if len(self._met) > MOST_MET:
            self._met.popitem(last=False)


class Passports:
    """The Verifier of the edge, and the issuer of our own tokens."""

    def __init__(
        self,
        own: Tokens,
        outside: Verifier | None,
        revocations: Revocations,
        newcomers: Newcomers,
        personal: PersonalTokens,
        operators: Operators,
    ) -> None:
        self.personal = personal
        self._own = own
        self._operators = operators
        self._outside = outside
        self._revocations = revocations
        self._newcomers = newcomers

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for. Raises Unauthenticated; Unavailable when that can't be known now."""
        if is_personal(token):
            return await self.personal.verify(token)
        outside = self._outside_for(token)
        if outside is None:
            identity = await self._own.verify(token)
            await self._revocations.check(identity)
            return self._operators.mark(identity)
        identity = await outside.verify(token)
        await self._revocations.check(identity)
        await self._newcomers.meet(identity)
        return self._operators.mark(identity)

    async def verify_for_refresh(self, token: str) -> Identity:
        """As `verify`, but a guest's may have expired; and what ended is looked up in the table itself.

        A personal token is not renewed, nor does it become a session.
        """
        if is_personal(token):
            raise Unauthenticated("A personal token is not renewed; it is good until it ends or is revoked.")
        outside = self._outside_for(token)
        if outside is None:
            identity = await self._own.verify_for_refresh(token)
        else:
            identity = await outside.verify(token)
        await self._revocations.check_written(identity)
        return identity

    def issue(self, user_id: str, name: str, **more: Any) -> IssuedToken:
        """As `Tokens.issue`."""
        return self._own.issue(user_id, name, **more)

    def reissue(self, identity: Identity, name: str) -> IssuedToken:
        """As `Tokens.reissue`."""
        return self._own.reissue(identity, name)

    def _outside_for(self, token: str) -> Verifier | None:
        if self._outside is None:
            return None
        try:
            read_head(token)
        except Unauthenticated:
            # HS256, or nonsense: ours to refuse
            return None
        return self._outside

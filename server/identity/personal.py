"""Personal access tokens as something to come with: their text to an identity.

Owns: checking them, noting their use. Does not own: making and revoking them (server/tokens.py), what their
scopes allow (server/scopes.py). Keeps rules U1, U4.

Each request asks the table (0.2 ms), so that a token that was revoked counts nowhere from then on; sockets
that stand on it are closed as those of any other token that was revoked (I8).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from db.database import Database
from db.personal_tokens import USE_EVERY, PersonalToken, find_bearer, note_use
from db.scopes import as_system
from party.errors import KanvasError, Unauthenticated
from server.auth import Identity
from server.sealed import hash_token, is_token

log = structlog.get_logger("kanvas.identity")

PREFIX: Final = "kanvas_pat_"
MAX_CHARS: Final = 128
FOR_EVER: Final = timedelta(days=3650)
REFUSED: Final = "The personal token is not valid; it may have ended or been revoked. Make one at /account."
GUESTS_OFF: Final = "The personal token is a guest's, and no guests are let in here now; sign in to make one."


def is_personal(token: str) -> bool:
    """Whether it is for us to check."""
    return token.startswith(PREFIX)


def token_id(token: PersonalToken) -> str:
    """What its sockets are closed by."""
    return f"pat_{token.id}"


class PersonalTokens:
    """The Verifier of personal tokens."""

    def __init__(self, database: Database, now: Callable[[], datetime], *, guests: bool) -> None:
        self._database = as_system(database)
        self._guests = guests
        self._now = now

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for, and for what. Raises Unauthenticated, Unavailable."""
        if len(token) > MAX_CHARS or not token.isascii():
            raise Unauthenticated(REFUSED)
        found = await self._database.read(partial(find_bearer, token_hash=hash_token(token)))
        now = self._now()
        if found is None or not is_token(token, found.token_hash):
            raise Unauthenticated(REFUSED)
        kept = found.token
        expires_at = kept.expires_at or now + FOR_EVER
        if kept.revoked_at is not None or expires_at <= now:
            raise Unauthenticated(REFUSED)
        if found.is_guest and not self._guests:
            # his session is not renewed either, and this would outlast it by years
            raise Unauthenticated(GUESTS_OFF)
        return Identity(
            user_id=kept.user_id,
            name=found.user_name,
            # whoever has it becomes no account with what the guest made
            is_guest=False,
            # signing out everywhere ends sessions; a token is ended by its own name
            issued_at=now,
            expires_at=expires_at,
            is_admin=found.is_admin and "admin" in kept.scopes,
            token_id=token_id(kept),
            session_id=token_id(kept),
            scopes=kept.scopes,
            last_used_at=kept.last_used_at,
        )

    async def note_use(self, identity: Identity, address: str) -> None:
        """Note when and from where it was used, once a minute at most. Never fails."""
        now = self._now()
        if identity.scopes is None or (identity.last_used_at or now - FOR_EVER) > now - USE_EVERY:
            return
        id_ = identity.token_id.removeprefix("pat_")
        try:
            await self._database.write(partial(note_use, id=id_, address=address, now=now))
        except KanvasError as error:
            log.warning("use of a token not noted", reason=error.message)

"""Identity of one process, put together from the settings.

Owns: which parts there are, and their life. Does not own: the parts. What only an identity provider needs is
imported when there is one (Authlib takes 0.1 s).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from db.database import Database
from server.auth import Tokens, Verifier
from server.identity.claims import AdminClaim
from server.identity.operators import open_operators
from server.identity.personal import PersonalTokens
from server.identity.revocations import Revocations, open_revocations
from server.identity.sessions import Sessions, open_sessions
from server.identity.verifier import Newcomers, Passports
from server.settings import Settings

if TYPE_CHECKING:
    from server.identity.provider import Provider


@dataclass(frozen=True, slots=True)
class IdentityParts:
    """What the services are handed."""

    passports: Passports
    revocations: Revocations
    sessions: Sessions
    provider: "Provider | None"


@asynccontextmanager
async def open_identity(
    settings: Settings, tokens: Tokens, database: Database, now: Callable[[], datetime]
) -> AsyncIterator[IdentityParts]:
    """Everything, running; no provider is asked before it is needed. Raises Unavailable."""
    async with open_revocations(database, now) as revocations, AsyncExitStack() as stack:
        sessions = await stack.enter_async_context(open_sessions(revocations.is_void))
        revocations.on_news = sessions.close_void
        outside = await _open_outside(settings, stack)
        provider = await _open_provider(settings, stack)
        operators = await stack.enter_async_context(open_operators(database))
        newcomers = Newcomers(database, now)
        personal = PersonalTokens(database, now, guests=settings.guests)
        passports = Passports(tokens, outside, revocations, newcomers, personal, operators)
        yield IdentityParts(passports, revocations, sessions, provider)


def admin_claim(settings: Settings) -> AdminClaim | None:
    """The claim that makes an operator."""
    if settings.admin_claim is None:
        return None
    path, _, value = settings.admin_claim.rpartition("=")
    return AdminClaim(path.strip(), value.strip())


async def _open_outside(settings: Settings, stack: AsyncExitStack) -> Verifier | None:
    url, issuer, audience = settings.jwt_jwks_url, settings.jwt_issuer, settings.jwt_audience
    if url is None or issuer is None or audience is None:
        return None
    from server.identity.fetching import fetch  # noqa: PLC0415
    from server.identity.jwks import KeyCache  # noqa: PLC0415
    from server.identity.outside import Issuer, OutsideTokens  # noqa: PLC0415

    keys = KeyCache(lambda: fetch(url))
    stack.push_async_callback(keys.aclose)
    return OutsideTokens(Issuer(issuer, audience, settings.name_claims, admin_claim(settings)), keys)


async def _open_provider(settings: Settings, stack: AsyncExitStack) -> "Provider | None":
    provider = make_provider(settings)
    if provider is not None:
        stack.push_async_callback(provider.aclose)
    return provider


def make_provider(settings: Settings) -> "Provider | None":
    """The provider to sign in at, if there is one. Close it with `aclose`."""
    issuer, client_id = settings.oidc_issuer, settings.oidc_client_id
    if issuer is None or client_id is None:
        return None
    from server.identity.provider import Client, Provider  # noqa: PLC0415

    secret = settings.oidc_client_secret
    return Provider(
        Client(
            issuer=issuer,
            client_id=client_id,
            client_secret=secret.get_secret_value() if secret is not None else None,
            scopes=settings.oidc_scopes,
            names=settings.name_claims,
            admin=admin_claim(settings),
        )
    )

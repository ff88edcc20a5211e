"""Who is asking: tokens, the session cookie, and which pages may speak for a person.

Owns: issuing and checking our own tokens, the origin rules shared by REST and WebSocket. Does not own: the
routes (`sign_in.py`), roles in a room (`access.py`), tokens of other issuers and revocation (`identity/`).

Rules: HS256 and nothing else; `sub name iat exp iss aud` are all required and checked; a renewal keeps the
`sid` of the first token and never outlives its `until`; a bearer token counts before the cookie and a wrong
one is never covered by a right cookie; a request that changes something on the strength of the cookie must
come from a page we know.
Source: RFC 8725 (JWT best practice), RFC 6750 (bearer), Fetch standard (Origin, Sec-Fetch-Site).
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from typing import Any, Final, Protocol

import jwt
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from party.errors import OriginRefused, Unauthenticated
from server.setting_types import normal_origin
from server.settings import Settings

ALGORITHM: Final = "HS256"
ISSUER: Final = "kanvas"
AUDIENCE: Final = "kanvas"
LEEWAY_S: Final = 5.0
REFRESHABLE_S: Final = 90 * 86_400
"""A token of a guest or by e-mail can be renewed this long after it was issued, expired or not."""

BY_EMAIL: Final = "email"
BY_PROVIDER: Final = "provider"

COOKIE: Final = "kanvas_session"
MAX_TOKEN_CHARS: Final = 4096
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody with a token that was checked."""

    user_id: str
    name: str
    is_guest: bool
    issued_at: datetime
    expires_at: datetime
    is_admin: bool = False
    """The operator: by `kanvas token --admin`, `kanvas admin grant`, or the claim in KANVAS_ADMIN_CLAIM."""

    token_id: str = ""
    """What the token is revoked by."""

    session_id: str = ""
    """The token id of the first of its renewals: revoking that ends them all."""

    until: datetime | None = None
    """No renewal is valid for longer; None: it may be renewed for ever."""

    plan: str = ""
    """The claim `plan`: what of KANVAS_RATE_PLANS holds for it; one that is not there is as none."""

    session_began_at: datetime | None = None
    """When the first of its renewals was issued; None: it is the first."""

    scopes: frozenset[str] | None = None
    """What a personal access token is good for; None: no such token, all that its roles allow."""

    last_used_at: datetime | None = None
    """Of a personal access token."""
    via: str = ""
    """How its session began, unless as a guest: email, provider, or empty for `kanvas token`."""

    is_granted: bool = False
    """It is an operator's by `kanvas admin grant` alone: nothing of that is in the token."""

    @property
    def signed_in_at(self) -> datetime:
        """What "all sessions until now" goes by: a renewal under way at that moment is no new sign-in."""
        return self.session_began_at or self.issued_at


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh token, when it ends, and the session it is of."""

    token: str
    expires_at: datetime
    session_id: str
    lasts_until: datetime
    """When no renewal of it is possible any more, if there are none."""


class Verifier(Protocol):
    """Checks the tokens people come with."""

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for. Raises Unauthenticated; Unavailable when that can't be known now."""


class Tokens:
    """The embedded issuer: makes tokens with one secret and checks them with the same."""

    def __init__(self, secret: bytes, *, ttl_s: int, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._ttl_s = ttl_s
        self._clock = clock

    def issue(
        self,
        user_id: str,
        name: str,
        *,
        is_guest: bool = False,
        is_admin: bool = False,
        plan: str = "",
        ttl_s: int | None = None,
        session_id: str | None = None,
        until: datetime | None = None,
        signed_in_at: datetime | None = None,
        via: str = "",
    ) -> IssuedToken:
        """A token for this user, valid for `ttl_s` seconds (default: the server's), not beyond `until`."""
        # "signed out everywhere until now" must void who signed in just before, and not who signs in again
        # within the same second
        now_s = floor(self._clock() * 1000) / 1000
        end_s = round(now_s + (self._ttl_s if ttl_s is None else ttl_s), 3)
        if until is not None:
            end_s = min(end_s, int(until.timestamp()))
        token_id = secrets.token_urlsafe(12)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "name": name,
            "iat": now_s,
            "exp": end_s,
            "jti": token_id,
            "sid": session_id or token_id,
            "auth_time": now_s if signed_in_at is None else signed_in_at.timestamp(),
        }
        if is_guest:
            claims["guest"] = True
        if is_admin:
            claims["admin"] = True
        if until is not None:
            claims["until"] = int(until.timestamp())
        if plan:
            claims["plan"] = plan
        if via:
            claims["via"] = via
        expires_at = datetime.fromtimestamp(end_s, UTC)
        lasts_s = now_s + REFRESHABLE_S if is_guest or via == BY_EMAIL else end_s
        return IssuedToken(
            token=jwt.encode(claims, self._secret, algorithm=ALGORITHM),
            expires_at=expires_at,
            session_id=claims["sid"],
            lasts_until=until or datetime.fromtimestamp(lasts_s, UTC),
        )

    def reissue(self, identity: Identity, name: str) -> IssuedToken:
        """A renewal: the same person and session, the newest name, and the same powers.

        An operator's ends when the token ends that was made by the operator (I9): who found one must not
        keep it alive.
        """
        until = identity.until
        is_admin = identity.is_admin and not identity.is_granted
        if is_admin and until is None:
            until = identity.expires_at
        return self.issue(
            identity.user_id,
            name,
            is_guest=identity.is_guest,
            is_admin=is_admin,
            session_id=identity.session_id,
            until=until,
            plan=identity.plan,
            signed_in_at=identity.signed_in_at,
            via=identity.via,
        )

    async def verify(self, token: str) -> Identity:
        """Who the token speaks for. Raises Unauthenticated. (Awaitable: outside issuers fetch keys.)"""
        identity = self._decode(token)
        if identity.expires_at.timestamp() + LEEWAY_S < self._clock():
            raise Unauthenticated("The token has expired; renew it with POST /api/v1/auth/refresh.")
        return identity

    async def verify_for_refresh(self, token: str) -> Identity:
        """As `verify`, but the token of a guest, or of who signed in by e-mail, may have expired, up to 90
        days after it was issued."""
        identity = self._decode(token)
        if not identity.is_guest and identity.via != BY_EMAIL:
            return await self.verify(token)
        if identity.issued_at.timestamp() + REFRESHABLE_S < self._clock():
            raise Unauthenticated(
                "The token is too old to be renewed; sign in again with POST /api/v1/auth/guest."
            )
        return identity

    def _decode(self, token: str) -> Identity:
        refused = Unauthenticated(
            "The token is not one of this server's; sign in again with POST /api/v1/auth/guest."
        )
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise refused
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # times are checked by us, against our clock
                options={
                    "require": ["sub", "name", "iat", "exp", "iss", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            issued_at = datetime.fromtimestamp(claims["iat"], UTC)
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
            until = datetime.fromtimestamp(claims["until"], UTC) if "until" in claims else None
            began_at = datetime.fromtimestamp(claims.get("auth_time", claims["iat"]), UTC)
        # a header of nested lists ends in RecursionError, times beyond the calendar in the last three
        except (jwt.PyJWTError, RecursionError, TypeError, ValueError, OverflowError, OSError) as error:
            raise refused from error
        sub, name = claims["sub"], claims["name"]
        if not isinstance(name, str) or not name or not sub:
            raise refused
        if issued_at.timestamp() > self._clock() + LEEWAY_S:
            raise refused
        token_id, plan = claims.get("jti") or id_of_token(token), claims.get("plan")
        via = claims.get("via")
        return Identity(
            sub,
            name,
            claims.get("guest") is True,
            issued_at,
            expires_at,
            is_admin=claims.get("admin") is True,
            token_id=str(token_id),
            session_id=str(claims.get("sid") or token_id),
            until=until,
            plan=plan if isinstance(plan, str) else "",
            session_began_at=began_at,
            via=via if isinstance(via, str) else "",
        )


def id_of_token(token: str) -> str:
    """An id for a checked token that carries none of ours.

    Of what is signed, not of the signature: there may be several right ones for the same token.
    """
    return "h" + hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]


def is_https(connection: HTTPConnection, settings: Settings) -> bool:
    """Whether the browser speaks https with us, be it through a proxy."""
    return connection.url.scheme == "https" or (settings.public_url or "").startswith("https:")


def bearer_token(headers: Headers) -> str | None:
    """The token of the Authorization header. Raises Unauthenticated when it is of another kind."""
    given = headers.get("authorization")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("The Authorization header must be: Bearer, a space, and a token.")
    return token.strip()


def host_of(connection: HTTPConnection) -> str:
    """The address somebody comes from, behind the proxies that are trusted; empty when nobody knows."""
    return connection.client.host if connection.client is not None else ""


def find_token(connection: HTTPConnection) -> tuple[str, bool] | None:
    """The token of a request and whether it came as the cookie. Raises Unauthenticated."""
    token = bearer_token(connection.headers)
    if token is not None:
        return token, False
    cookie = connection.cookies.get(COOKIE)
    return (cookie, True) if cookie else None


def is_own_or_listed(origin: str, host: str | None, settings: Settings, *, any_counts: bool = True) -> bool:
    """Whether pages of `origin` may speak to us: same host, the public URL, or listed."""
    try:
        normal = normal_origin(origin)
    except ValueError:
        # "null" of sandboxed frames, extensions, files
        return any_counts and "*" in settings.origins
    # the scheme is left out: behind a proxy that ends TLS we see http where the browser sees https
    if host is not None and normal.partition("://")[2] == _bare_host(host, normal):
        return True
    listed = normal == settings.public_url or normal in settings.origins
    return listed or (any_counts and "*" in settings.origins)


def _bare_host(host: str, origin: str) -> str:
    try:
        return normal_origin(f"{origin.partition('://')[0]}://{host}").partition("://")[2]
    except ValueError:
        return ""


def check_origin(origin: str | None, host: str | None, settings: Settings) -> None:
    """Refuse pages of other origins; a missing Origin is fine, scripts have none. Raises OriginRefused.

    `origin` and `host` are the headers of the request or the WebSocket handshake.
    """
    if origin is not None and not is_own_or_listed(origin, host, settings):
        raise refused_origin(origin)


def check_cookie_origin(headers: Headers, settings: Settings) -> None:
    """For a change made on the strength of the cookie: it must come from a known page. Raises OriginRefused.

    "*" does not count here: it means scripts with bearer tokens, not pages that borrow somebody's cookie.
    """
    origin = headers.get("origin")
    if origin is not None:
        if not is_own_or_listed(origin, headers.get("host"), settings, any_counts=False):
            raise refused_origin(origin)
    elif headers.get("sec-fetch-site") != "same-origin":
        raise OriginRefused(
            "A change with the session cookie needs the Origin header of a page of this server, or of one in "
            "KANVAS_ORIGINS; scripts send the token as: Authorization: Bearer."
        )


def refused_origin(origin: str) -> OriginRefused:
    """The refusal, with the origin and the setting in words."""
    shown = "".join(one for one in origin[:100] if one.isprintable())
    return OriginRefused(
        f"Pages of {shown} may not use this server; the operator can add the origin to KANVAS_ORIGINS."
    )


async def identify(
    connection: HTTPConnection, tokens: Verifier, settings: Settings, *, method: str
) -> Identity:
    """Who is asking, by bearer token or cookie. Raises Unauthenticated, OriginRefused."""
    found = find_token(connection)
    if found is None:
        raise Unauthenticated
    token, is_cookie = found
    identity = await tokens.verify(token)
    if is_cookie and method not in SAFE_METHODS:
        check_cookie_origin(connection.headers, settings)
    return identity

"""The identity provider people sign in at: its document, its keys, and the exchange of a code.

Owns: OpenID Connect as a client (authorization code with PKCE). Does not own: what binds a sign-in to a
browser (`flow.py`), routes and cookies (`routes.py`), what makes a token sound (`signed.py`). Keeps rule I5.

Authlib writes the requests; the id token is checked as every token from outside is, and in addition against
the nonce and the client. Sources: OpenID Connect Core 1.0 section 3.1, Discovery 1.0, RFC 7636, RFC 9207.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from authlib.oauth2.client import DEFAULT_HEADERS, OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from party.errors import Unavailable
from server.auth import Identity, id_of_token
from server.identity.addresses import is_safe_address
from server.identity.claims import SOMEBODY, AdminClaim, identity_of, name_of
from server.identity.fetching import FetchError, ask, fetch
from server.identity.jwks import KeyCache
from server.identity.keys import BadKeysError, parse_keys
from server.identity.signed import open_signed, read_head, refused

log = structlog.get_logger("kanvas.identity")

DOCUMENT: Final = "/.well-known/openid-configuration"
DOCUMENT_S: Final = 3600.0
AGAIN_S: Final = 5.0
MAX_CODE_CHARS: Final = 4096
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows us as, and what its claims mean."""

    issuer: str
    client_id: str
    client_secret: str | None
    scopes: str
    names: tuple[str, ...]
    admin: AdminClaim | None


@dataclass(frozen=True, slots=True)
class Document:
    """What the provider says of itself, checked."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    auth_method: str
    names_itself: bool
    """It puts `iss` into the address people come back with (RFC 9207)."""


def provider_down() -> Unavailable:
    return Unavailable("The identity provider can't be reached; try again soon.")


class Provider:
    """One provider. Close it with `aclose`."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.time) -> None:
        self.client = client
        self._clock = clock
        self._document: Document | None = None
        self._read_at = 0.0
        self._failed_at: float | None = None
        self._reading = asyncio.Lock()
        self._document_url = client.issuer.rstrip("/") + DOCUMENT
        self._keys = KeyCache(self._fetch_keys)

    async def aclose(self) -> None:
        await self._keys.aclose()

    async def address(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser. Raises Unavailable. Cancel-safe."""
        document = await self.document()
        url, _ = self._oauth(document, redirect_uri).create_authorization_url(
            document.authorization_endpoint, state=state, code_verifier=verifier, nonce=nonce
        )
        return str(url)

    async def redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Identity:
        """Who came back with this code, which is good once. Raises Unauthenticated, Unavailable."""
        document = await self.document()
        if len(code) > MAX_CODE_CHARS:
            raise refused()
        told = await self._exchange(document, code, redirect_uri, verifier)
        token, access = told.get("id_token"), told.get("access_token")
        if not isinstance(token, str):
            raise refused()
        claims = await self._check(token, nonce)
        client = self.client
        has_name = name_of(claims, client.names) != SOMEBODY
        has_role = client.admin is None or client.admin.is_told(claims)
        if not (has_name and has_role) and isinstance(access, str):
            claims = {**await self._userinfo(document, access, claims["sub"]), **claims}
        return identity_of(claims, token_id=id_of_token(token), names=client.names, admin=client.admin)

    async def check_sender(self, iss: str | None) -> None:
        """Whether people come back from this provider and no other. Raises Unauthenticated, Unavailable."""
        if iss is None and not (await self.document()).names_itself:
            return
        if iss != self.client.issuer:
            raise refused()

    async def try_out(self) -> None:
        """Ask it for everything a sign-in needs but a person. Raises Unavailable with what is wrong."""
        try:
            document = read_document(await fetch(self._document_url), self.client)
            parse_keys(await fetch(document.jwks_uri))
        except (FetchError, BadKeysError) as error:
            raise Unavailable(f"{error}.") from error

    # -- the provider's document ----------------------------------------------------------------

    async def document(self) -> Document:
        """As it was within the last hour, or when it was last to be had. Raises Unavailable. Cancel-safe."""
        async with self._reading:
            now = time.monotonic()
            if self._document is not None and now - self._read_at < DOCUMENT_S:
                return self._document
            if self._failed_at is None or now - self._failed_at >= AGAIN_S:
                try:
                    raw = await fetch(self._document_url)
                    self._document, self._read_at = read_document(raw, self.client), now
                except FetchError as error:
                    self._failed_at = now
                    log.warning("identity provider not reached", reason=str(error))
            if self._document is None:
                raise provider_down()
            return self._document

    async def _fetch_keys(self) -> bytes:
        try:
            document = await self.document()
        except Unavailable as error:
            raise FetchError(error.message) from error
        return await fetch(document.jwks_uri)

    # -- the exchange ---------------------------------------------------------------------------

    def _oauth(self, document: Document, redirect_uri: str) -> OAuth2Client:
        client = self.client
        return OAuth2Client(
            session=None,
            client_id=client.client_id,
            client_secret=client.client_secret,
            token_endpoint_auth_method=document.auth_method,
            scope=client.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    async def _exchange(
        self, document: Document, code: str, redirect_uri: str, verifier: str
    ) -> Mapping[str, Any]:
        oauth = self._oauth(document, redirect_uri)
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier
        )
        auth = oauth.client_auth(document.auth_method)
        url, headers, body = auth.prepare("POST", document.token_endpoint, dict(DEFAULT_HEADERS), body)
        try:
            answer = await ask("POST", url, headers=headers, body=body)
        except FetchError as error:
            log.warning("code not redeemed", reason=str(error))
            raise provider_down() from error
        if answer.status >= 500:
            log.warning("code not redeemed", status=answer.status)
            raise provider_down()
        told = _object(answer.body)
        if answer.status != 200 or told is None:
            # invalid_grant for a code that was used; invalid_client is the operator's to mend
            said = told.get("error") if told is not None else None
            log.warning("code refused", status=answer.status, error=str(said)[:100])
            raise refused()
        return told

    async def _check(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an id token that answers this sign-in. Raises Unauthenticated, Unavailable."""
        client = self.client
        head = read_head(token)
        key = await self._keys.find(head.kid, head.algorithm)
        if key is None:
            raise refused()
        claims = open_signed(token, key, issuer=client.issuer, audience=client.client_id, now=self._clock())
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise refused()
        party = claims.get("azp")
        is_shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (party is not None or is_shared) and party != client.client_id:
            raise refused()
        return claims

    async def _userinfo(self, document: Document, access: str, subject: str) -> Mapping[str, Any]:
        """More claims about the same person, when they are to be had."""
        if document.userinfo_endpoint is None:
            return {}
        try:
            raw = await ask("GET", document.userinfo_endpoint, headers={"Authorization": f"Bearer {access}"})
        except FetchError as error:
            log.warning("userinfo not read", reason=str(error))
            return {}
        told = _object(raw.body) if raw.status == 200 else None
        # section 5.3.2: of somebody else it must not be used
        return told if told is not None and told.get("sub") == subject else {}


def read_document(raw: bytes, client: Client) -> Document:
    """The provider's document, checked. Raises FetchError."""
    told = _object(raw)
    if told is None or told.get("issuer") != client.issuer:
        raise FetchError("its document is not of the issuer in KANVAS_OIDC_ISSUER")
    for name in ENDPOINTS:
        url = told.get(name)
        if not isinstance(url, str) or not is_safe_address(url):
            raise FetchError(f"its document has no safe {name}")
    userinfo = told.get("userinfo_endpoint")
    methods = told.get("token_endpoint_auth_methods_supported")
    method = "none" if client.client_secret is None else "client_secret_basic"
    if method != "none" and isinstance(methods, list) and method not in methods:
        method = "client_secret_post"
    return Document(
        authorization_endpoint=told["authorization_endpoint"],
        token_endpoint=told["token_endpoint"],
        jwks_uri=told["jwks_uri"],
        userinfo_endpoint=userinfo if isinstance(userinfo, str) and is_safe_address(userinfo) else None,
        auth_method=method,
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
    )


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None

"""Routes of identity: sign-in at the provider and back, and ending what is open.

Owns: /api/v1/auth/oidc/*, /api/v1/auth/signout-everywhere, /api/v1/admin/users/{id}/revoke. Does not own: the
provider (`provider.py`), what binds a sign-in to a browser (`flow.py`), revocation (`revocations.py`).

Rules: whoever comes back is sent on to a page of ours, with one word in the fragment about how it went: no
words of an address are ever shown, and no token stands in one. Keeps rules I5, I7.
"""

from datetime import timedelta
from functools import partial
from typing import Annotated, Final

import structlog
from pydantic import ConfigDict, Field
from sqlalchemy import Connection
from starlette.datastructures import URL
from starlette.responses import Response

from db.personal_tokens import revoke_tokens_of
from db.scopes import as_system
from db.users import add_user, find_user
from party.errors import OriginRefused, Unauthenticated, Unavailable
from server.accounts.guests import adopt_guest, find_guest, tell_adopted
from server.admin import check_admin
from server.auth import BY_PROVIDER, COOKIE, REFRESHABLE_S, Identity, IssuedToken, is_https
from server.identity.flow import LIFE_S, Flows, cookie_name
from server.identity.seats import note_seat
from server.problems import AdminsOnly, OidcOff
from server.registry import Api, Call, Path, Query, Reply, no_content

log = structlog.get_logger("kanvas.identity")

api = Api()

CALLBACK: Final = "/api/v1/auth/oidc/callback"
SIGNED_IN: Final = "#signed-in"
FAILED: Final = "#sign-in-failed="
WAY_ON: Final = {"Location": "Where it goes on", "Set-Cookie": "?What remembers the sign-in, or the session."}


class StartQuery(Query):
    """Where to go afterwards."""

    next: Annotated[
        str, Field(max_length=512, description="A path of this server, such as /r/...; else the lobby")
    ] = "/"


class CallbackQuery(Query):
    """What the provider sends the browser back with; providers add words of their own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Annotated[str, Field(max_length=512)] = ""
    code: Annotated[str, Field(max_length=4096)] = ""
    iss: Annotated[str | None, Field(max_length=512)] = None
    error: Annotated[str | None, Field(max_length=512)] = None


class UserPath(Path):
    """Which user."""

    user_id: Annotated[str, Field(min_length=1, max_length=128)]


@api.route(
    "GET",
    "/api/v1/auth/oidc/start",
    summary="Sign in at the identity provider",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(303, "On to the provider, or back with an error", headers=WAY_ON)],
    errors=[OidcOff],
    page="/" + FAILED + "busy",
)
async def start_oidc(call: Call, query: StartQuery) -> Response:
    """For browsers: a page links here. Afterwards the browser has the session cookie, and a page exchanges it
    for a token with `POST /api/v1/auth/refresh`."""
    services = call.services
    provider = services.provider
    if provider is None:
        raise OidcOff
    flows = Flows(services.signing_key)
    flow = flows.begin(query.next, services.now().timestamp())
    try:
        address = await provider.address(_callback(call), flow.state, flows.nonce(flow), flows.verifier(flow))
    except Unavailable:
        return _go(flow.next_path + FAILED + "provider_down")
    response = _go(address)
    secure = is_https(call.request, services.settings)
    response.set_cookie(
        cookie_name(flow.state, is_https=secure),
        flows.seal(flow),
        max_age=LIFE_S,
        path="/",
        httponly=True,
        # strict cookies are not sent when the browser comes back from the provider
        samesite="lax",
        secure=secure,
    )
    return response


@api.route(
    "GET",
    CALLBACK,
    summary="Come back from the identity provider",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(303, "On to the page one came from, signed in or with an error", headers=WAY_ON)],
    errors=[OidcOff],
    page="/" + FAILED + "busy",
    audit="sign_in.provider",
)
async def finish_oidc(call: Call, query: CallbackQuery) -> Response:
    """For browsers: the provider sends them here. The page they are sent on to reads how it went from the
    fragment: `#signed-in`, or `#sign-in-failed=` and one of provider_down, denied, expired, refused, busy."""
    services = call.services
    if services.provider is None:
        raise OidcOff
    secure = is_https(call.request, services.settings)
    cookie = cookie_name(query.state, is_https=secure)
    flows = Flows(services.signing_key)
    flow = flows.open(call.request.cookies.get(cookie), query.state, services.now().timestamp())
    if flow is None:
        # another browser's, an old one, or the button pressed twice: it does no harm to begin anew
        return _go("/" + FAILED + "expired")
    try:
        await services.provider.check_sender(query.iss)
        if query.error is not None or not query.code:
            log.info("sign-in denied", error=(query.error or "")[:100])
            services.refusals.note("sign_in.provider", call.request, None, Unauthenticated())
            response = _go(flow.next_path + FAILED + "denied")
        else:
            identity = await services.provider.redeem(
                query.code, _callback(call), flows.nonce(flow), flows.verifier(flow)
            )
            response = _signed_in(await _admit(call, identity), flow.next_path, secure=secure)
    except Unauthenticated as error:
        services.refusals.note("sign_in.provider", call.request, None, error)
        response = _go(flow.next_path + FAILED + "refused")
    except Unavailable as error:
        log.warning("sign-in failed", reason=error.message)
        response = _go(flow.next_path + FAILED + "provider_down")
    # a code is good once, and so is what remembers it
    response.delete_cookie(cookie, path="/", httponly=True, samesite="lax", secure=secure)
    return response


async def _admit(call: Call, identity: Identity) -> IssuedToken:
    """A session of ours for who signed in there. The name that is known here stays; a guest whose browser
    this is becomes an alias (T4)."""
    services = call.services
    now = services.now()
    user_id = identity.user_id
    cookie = call.request.cookies.get(COOKIE)
    guest = await find_guest(call, cookie) if cookie else None

    def admit(connection: Connection) -> tuple[IssuedToken, list[str] | None]:
        add_user(connection, user_id, identity.name, now)
        known = find_user(connection, user_id)
        name = known.name if known is not None else identity.name
        adopted = adopt_guest(connection, call, guest, user_id, now) if guest is not None else None
        token = services.tokens.issue(
            user_id,
            name,
            is_admin=identity.is_admin,
            until=now + timedelta(seconds=services.settings.oidc_session_s),
            plan=identity.plan,
            via=BY_PROVIDER,
        )
        note_seat(connection, call, token, user_id, "provider")
        call.record(connection, "sign_in.provider", by=(user_id, name))
        return token, adopted

    token, adopted = await as_system(services.database).write(admit)
    if adopted is not None and guest is not None:
        await tell_adopted(services, guest.user_id, adopted, now)
    return token


def _signed_in(token: IssuedToken, next_path: str, *, secure: bool) -> Response:
    response = _go(next_path + SIGNED_IN)
    response.set_cookie(
        COOKIE,
        token.token,
        max_age=REFRESHABLE_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return response


def _callback(call: Call) -> str:
    """What the provider has to be told to send people back to; the same both times."""
    public = call.services.settings.public_url
    origin = public or str(URL(scope=call.request.scope).replace(path="", query="", fragment=""))
    return origin.rstrip("/") + CALLBACK


def _go(address: str) -> Response:
    return Response(status_code=303, headers={"Location": address, "Cache-Control": "no-store"})


@api.route(
    "POST",
    "/api/v1/auth/signout-everywhere",
    summary="Sign out everywhere",
    tag="sign-in",
    replies=[Reply(204, "All your tokens have ended", headers={"Set-Cookie": "The cookie is gone"})],
    errors=[OriginRefused],
    audit="sign_out.everywhere",
)
async def sign_out_everywhere(call: Call) -> Response:
    """Ends every token you have now, on every device, and closes their connections within a second. A guest
    can't come back as the same person."""
    note = partial(call.record, action="sign_out.everywhere")
    await call.services.revocations.end_user(call.identity.user_id, note)
    return drop_cookie(call, no_content())


@api.route(
    "POST",
    "/api/v1/admin/users/{user_id}/revoke",
    summary="End all tokens of a user",
    tag="admin",
    replies=[Reply(204, "They have ended")],
    errors=[AdminsOnly],
    audit="user.revoke",
)
async def revoke_user(call: Call, path: UserPath) -> Response:
    """Closes all connections of the user within a second, and ends their personal tokens. It does not keep
    them from signing in again: that is for the identity provider to say."""
    check_admin(call)

    def note(conn: Connection) -> None:
        revoke_tokens_of(conn, path.user_id, call.services.now())
        call.record(conn, "user.revoke", target=path.user_id)

    await call.services.revocations.end_user(path.user_id, note)
    log.info("user revoked", user=path.user_id)
    return no_content()


def drop_cookie(call: Call, response: Response) -> Response:
    """Take the session cookie away."""
    response.delete_cookie(
        COOKIE,
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_https(call.request, call.services.settings),
    )
    return response

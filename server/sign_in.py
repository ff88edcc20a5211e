"""Sign-in routes: guests, renewal, sign-out, and the person's own name.

Owns: /api/v1/auth/*, /api/v1/me, /api/v1/config. Does not own: tokens and origins (`auth.py`), sign-in by
e-mail (accounts/) and at a provider (identity/).
Rules: an identity keeps its `sub` through every renewal; the newest name is the one in the database; the
cookie outlives the token, so that an expired one can be renewed.
"""

from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db.accounts import list_aliases
from db.scopes import as_system
from db.users import User, find_user, put_user
from party.errors import OriginRefused, Unauthenticated
from server.accounts.mailbox import find_mailbox
from server.auth import (
    COOKIE,
    REFRESHABLE_S,
    IssuedToken,
    bearer_token,
    check_cookie_origin,
    check_origin,
    find_token,
    is_https,
)
from server.identity.routes import drop_cookie
from server.identity.seats import note_renewal, note_seat
from server.problems import GuestsOff
from server.registry import Api, Body, Call, Out, Reply, answer, no_content
from server.text import Name

api = Api()

COOKIE_HEADER: Final = {"Set-Cookie": "The session cookie: HttpOnly, SameSite=Lax."}


def app_version() -> str:
    """The version of the installed package; "dev" when it runs from a plain checkout."""
    try:
        return version("kanvas")
    except PackageNotFoundError:
        return "dev"


class NewName(Body):
    """What to be called."""

    name: Name


class UserOut(Out):
    """A person."""

    id: str
    name: str


class SignedIn(Out):
    """A token, when it ends, and whose it is."""

    token: str
    expires_at: datetime
    user: UserOut
    is_admin: bool = Field(description="Whether it is an operator")


class MeOut(UserOut):
    """You."""

    email: str | None = Field(description="What you sign in with; null for guests and by a provider")
    is_guest: bool
    is_admin: bool = Field(description="Whether you are an operator")
    aliases: list[str] = Field(description="The ids you had as a guest")


class ProviderOut(Out):
    """An identity provider to sign in at."""

    text: str = Field(description="Of the button")
    href: str = Field(description="Where the button leads; add ?next= and a path of this server")


class Config(Out):
    """What a client needs to know before it signs in."""

    guests: bool
    sign_in: ProviderOut | None = Field(description="null: there is no identity provider")
    email: bool = Field(description="Whether one can sign in by e-mail")
    mailbox: bool = Field(description="Whether the mails are at /mailbox, for who asks")
    max_asset_bytes: int
    version: str


def _told(user: User, token: IssuedToken, *, is_admin: bool = False) -> SignedIn:
    return SignedIn(
        token=token.token,
        expires_at=token.expires_at,
        user=UserOut(id=user.id, name=user.name),
        is_admin=is_admin or user.is_admin,
    )


def signed_in(call: Call, body: SignedIn, status: int) -> Response:
    """The answer to who signed in, with the cookie."""
    response = answer(body, status=status)
    response.set_cookie(
        COOKIE,
        body.token,
        max_age=REFRESHABLE_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_https(call.request, call.services.settings),
    )
    return response


def check_page(call: Call) -> None:
    """Refuse pages of other origins: nobody is signed in by them. Raises OriginRefused."""
    headers = call.request.headers
    check_origin(headers.get("origin"), headers.get("host"), call.services.settings)


@api.route(
    "POST",
    "/api/v1/auth/guest",
    summary="Come in as a guest",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(201, "You are in", SignedIn, headers=COOKIE_HEADER)],
    errors=[GuestsOff, OriginRefused],
    audit="sign_in.guest",
)
async def sign_in_guest(call: Call, body: NewName) -> Response:
    """Gives a new identity with this name, as a bearer token for scripts and as a cookie for pages."""
    services = call.services
    if not services.settings.guests:
        raise GuestsOff
    check_page(call)
    user_id = str(ULID()).lower()
    now = services.now()
    token = services.tokens.issue(user_id, body.name, is_guest=True)

    def begin(connection: Connection) -> User:
        user = put_user(connection, user_id, body.name, now, is_guest=True)
        note_seat(connection, call, token, user_id, "guest")
        call.record(connection, "sign_in.guest", by=(user_id, body.name))
        return user

    user = await as_system(services.database).write(begin)
    return signed_in(call, _told(user, token), 201)


@api.route(
    "POST",
    "/api/v1/auth/refresh",
    summary="Renew your token",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(200, "A fresh token for the same identity", SignedIn, headers=COOKIE_HEADER)],
    errors=[Unauthenticated, GuestsOff, OriginRefused],
    audit="sign_in.renew",
)
async def refresh_token(call: Call) -> Response:
    """Send the old token, as a bearer or as the cookie. That of a guest, or of who signed in by e-mail, may
    have expired, up to 90 days after it was issued. The identity stays, and so do its rooms."""
    services = call.services
    found = find_token(call.request)
    if found is None:
        raise Unauthenticated
    token, is_cookie = found
    identity = await services.tokens.verify_for_refresh(token)
    if is_cookie:
        check_cookie_origin(call.request.headers, services.settings)
    else:
        check_page(call)
    if identity.is_guest and not services.settings.guests:
        raise GuestsOff
    user_id, now = identity.user_id, services.now()

    def renew(connection: Connection) -> tuple[User, IssuedToken]:
        known = find_user(connection, user_id)
        # the token may be older than the last change of the name
        name = known.name if known is not None else identity.name
        user = put_user(connection, user_id, name, now, is_guest=identity.is_guest)
        fresh = services.tokens.reissue(identity, name)
        note_renewal(connection, call, fresh, identity, name)
        return user, fresh

    user, fresh = await as_system(services.database).write(renew)
    return signed_in(call, _told(user, fresh, is_admin=identity.is_admin), 200)


@api.route(
    "POST",
    "/api/v1/auth/signout",
    summary="Sign this browser out",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(204, "The token has ended, and the cookie is gone", headers=COOKIE_HEADER)],
    errors=[OriginRefused],
    audit="sign_out.here",
)
async def sign_out(call: Call) -> Response:
    """Ends the token you send, and all it was renewed from or to, and closes their connections within a
    second. Clears the session cookie. Your other devices stay signed in."""
    services, request = call.services, call.request
    cookie = request.cookies.get(COOKIE)
    if cookie is not None:
        check_cookie_origin(request.headers, services.settings)
    for token in {cookie, bearer_token(request.headers)} - {None, ""}:
        try:
            identity = await services.tokens.verify_for_refresh(token or "")
        except Unauthenticated:
            # it has ended already
            continue
        note = partial(call.record, action="sign_out.here", by=(identity.user_id, identity.name))
        await services.revocations.end_session(identity, note)
    return drop_cookie(call, no_content())


@api.route(
    "GET",
    "/api/v1/me",
    summary="Who you are",
    tag="sign-in",
    replies=[Reply(200, "You", MeOut)],
)
async def read_me(call: Call) -> Response:
    """Your id, the name others see, and what you sign in with, which only you see."""
    identity = call.identity

    def look(connection: Connection) -> tuple[User | None, frozenset[str]]:
        return find_user(connection, identity.user_id), list_aliases(connection, identity.user_id)

    known, aliases = await call.database.read(look)
    return answer(
        MeOut(
            id=identity.user_id,
            name=known.name if known is not None else identity.name,
            email=known.email if known is not None else None,
            # a guest's personal token says nothing of it
            is_guest=known.is_guest if known is not None else identity.is_guest,
            is_admin=identity.is_admin,
            aliases=sorted(aliases),
        )
    )


@api.route(
    "PATCH",
    "/api/v1/me",
    summary="Change your name",
    tag="sign-in",
    replies=[Reply(200, "A token with the new name", SignedIn, headers=COOKIE_HEADER)],
    audit="user.rename",
)
async def rename_me(call: Call, body: NewName) -> Response:
    """Others see the new name when you connect with the new token."""
    services, identity, now = call.services, call.identity, call.services.now()
    token = services.tokens.reissue(identity, body.name)

    def rename(connection: Connection) -> User:
        user = put_user(connection, identity.user_id, body.name, now, is_guest=identity.is_guest)
        note_renewal(connection, call, token, identity, identity.name)
        call.record(connection, "user.rename", target=identity.user_id, details={"name": body.name})
        return user

    # with it a sign-in is written down, as at a renewal: nobody writes those by themselves
    user = await as_system(services.database).write(rename)
    return signed_in(call, _told(user, token, is_admin=identity.is_admin), 200)


@api.route(
    "GET",
    "/api/v1/config",
    summary="What this server allows",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "The configuration clients need", Config)],
)
async def read_config(call: Call) -> Response:
    """Needs no sign-in."""
    settings = call.services.settings
    provider = None
    if call.services.provider is not None:
        provider = ProviderOut(text=settings.oidc_button, href="/api/v1/auth/oidc/start")
    return answer(
        Config(
            guests=settings.guests,
            sign_in=provider,
            email=call.services.mailer is not None,
            mailbox=find_mailbox(call) is not None,
            max_asset_bytes=settings.max_asset_bytes,
            version=app_version(),
        )
    )

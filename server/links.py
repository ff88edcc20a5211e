"""Routes of share links: make, list, revoke, look, enter.

Owns: /api/v1/rooms/{room_id}/links and /api/v1/links. Does not own: hashes (sealed.py), members (members.py),
SQL (db/links.py). Rules kept: E2-E6.

A token is found by its hash, with one query whatever became of the link, and compared again in constant time;
the hash of what somebody sends tells nothing of the one it is compared with. Whoever has a token learns of a
link without a password which room it opens, of one with a password only that it asks for one.
"""

import asyncio
import unicodedata
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db import links as queries
from db.access import find_role, get_access, touch_access
from db.links import Link
from db.members import GivenRole, end_link, find_member
from db.rooms import find_room
from db.scopes import as_system
from party.errors import Forbidden
from server.auth import host_of
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.origin import shown_origin
from server.problems import invalid_field
from server.rates.actions import GUESS, UNLOCK
from server.registry import Api, Body, Call, Out, Reply, answer, no_content
from server.rooms import RoomPath, check_kept_out
from server.sealed import check_password, hash_password, hash_token, is_token, make_token
from server.sharing import (
    MAX_LINKS,
    ULID_PATTERN,
    Entered,
    LinkNotFound,
    RoomFull,
    RoomRef,
    TokenBody,
    TooManyLinks,
    WrongPassword,
    find_identity,
    find_seat,
    take_seat,
)
from server.sign_in import UserOut
from server.text import WHOLE, Search

api = Api()

PREFIX: Final = "kvl_"
MOST_USES: Final = 1_000_000
MIN_PASSWORD_CHARS: Final = 4
MAX_PASSWORD_CHARS: Final = 200


def _check_moment(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        # within hours of the year 1 or 9999, in another zone
        raise PydanticCustomError("moment", "Give a time that exists in UTC.") from None


Moment = Annotated[AwareDatetime, AfterValidator(_check_moment)]


class LinkPath(RoomPath):
    """Which link of which room."""

    link_id: Annotated[str, Field(pattern=ULID_PATTERN)]


class NewLink(Body):
    """A link to make."""

    role: GivenRole = Field(description="What it gives")
    label: Search = Field(default="", description="To tell it from others")
    expires_at: Moment | None = Field(default=None, description="When it stops opening; null: never")
    max_uses: Annotated[int, Field(ge=1, le=MOST_USES), WHOLE] | None = Field(
        default=None, description="How many people it lets in; null: any number"
    )
    password: str | None = Field(
        default=None,
        min_length=MIN_PASSWORD_CHARS,
        max_length=MAX_PASSWORD_CHARS,
        description="Asked of who enters; only a hash of it is kept",
    )


class LinkOut(Out):
    """A link without its token."""

    id: str
    role: GivenRole
    label: str
    created_by: UserOut
    created_at: datetime
    expires_at: datetime | None
    max_uses: int | None
    uses: int = Field(ge=0)
    has_password: bool
    is_open: bool = Field(description="Whether it lets anybody new in: not expired, not used up")


class MadeLink(LinkOut):
    """A link, this once with its token."""

    token: str = Field(description="It is not shown again")
    url: str = Field(description="What to give to people")


class LinkList(Out):
    """A page of links, newest first."""

    items: list[LinkOut]
    next_cursor: str | None


class LinkView(Out):
    """Where a link leads."""

    room: RoomRef | None = Field(description="null while it needs a password")
    role: GivenRole
    needs_password: bool


class Redeem(TokenBody):
    """The token of a link, and its password if it has one."""

    password: str | None = Field(default=None, max_length=MAX_PASSWORD_CHARS)


def _fields(link: Link, now: datetime) -> dict[str, object]:
    return {
        "id": link.id,
        "role": link.role,
        "label": link.label,
        "created_by": UserOut(id=link.created_by, name=link.creator_name),
        "created_at": link.created_at,
        "expires_at": link.expires_at,
        "max_uses": link.max_uses,
        "uses": link.uses,
        "has_password": link.password_hash is not None,
        "is_open": link.has_uses and not link.has_expired(now),
    }


def _normal(password: str) -> str:
    # the same keys give different code points on different machines
    return unicodedata.normalize("NFKC", password)


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/links",
    summary="Make a share link",
    tag="sharing",
    replies=[Reply(201, "The link; its token is shown this once", MadeLink)],
    errors=[Forbidden, TooManyLinks],
    audit="link.create",
)
async def make_link(call: Call, path: RoomPath, body: NewLink) -> Response:
    """Whoever has it may enter with its role, until it expires, is used up or revoked. Only a hash of the
    token is kept."""
    services, identity, now = call.services, call.identity, call.services.now()
    if body.expires_at is not None and body.expires_at <= now:
        raise invalid_field("/expires_at", "moment", "Give a time that is still to come.")
    token, token_hash = make_token(PREFIX)
    # a stranger's request is no reason to work for 50 ms
    check = partial(get_access, room_id=path.room_id, actor=call.actor, action="share")
    await call.database.read(check)
    password_hash = None
    if body.password is not None:
        await services.rates.take(UNLOCK, host=host_of(call.request))
        password_hash = await asyncio.to_thread(hash_password, _normal(body.password))

    def make(conn: Connection) -> Link:
        room = get_access(conn, path.room_id, call.actor, "share", is_to_change=True).room
        check_kept_out(conn, call, room.id)
        if queries.count_links(conn, room.id) >= MAX_LINKS:
            raise TooManyLinks
        made = queries.insert_link(
            conn,
            id=str(ULID.from_datetime(now)).lower(),
            room_id=room.id,
            role=body.role,
            label=body.label,
            token_hash=token_hash,
            password_hash=password_hash,
            created_by=identity.user_id,
            expires_at=body.expires_at,
            max_uses=body.max_uses,
            now=now,
        )
        details = {"role": body.role, "max_uses": body.max_uses, "has_password": password_hash is not None}
        call.record(conn, "link.create", room_id=room.id, target=made.id, details=details)
        return made

    made = await call.database.write(make)
    services.people.tell(path.room_id)
    url = f"{shown_origin(call.request, services.settings)}/l/{token}"
    return answer(MadeLink.model_validate({**_fields(made, now), "token": token, "url": url}), status=201)


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/links",
    summary="List the links into a room",
    tag="sharing",
    replies=[Reply(200, "One page", LinkList)],
    errors=[Forbidden],
)
async def list_room_links(call: Call, path: RoomPath, query: PageQuery) -> Response:
    """Those that were not revoked, for who may share the room. Their tokens are not known here."""
    before = decode_cursor(query.cursor, ULID_PATTERN) if query.cursor is not None else None
    now = call.services.now()

    def read(conn: Connection) -> list[Link]:
        room = get_access(conn, path.room_id, call.actor, "share").room
        return queries.list_links(conn, room.id, before=before, limit=query.limit + 1)

    found = await call.database.read(read)
    page = found[: query.limit]
    return answer(
        LinkList(
            items=[LinkOut.model_validate(_fields(one, now)) for one in page],
            next_cursor=encode_cursor(page[-1].created_at, page[-1].id) if len(found) > len(page) else None,
        )
    )


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}/links/{link_id}",
    summary="Revoke a link",
    tag="sharing",
    replies=[Reply(204, "It opens nothing any more")],
    errors=[Forbidden, LinkNotFound],
    audit="link.revoke",
)
async def revoke_room_link(call: Call, path: LinkPath) -> Response:
    """Who came by it loses the role at once, but for what they have besides: a role from an invitation, or
    one you gave them."""
    now = call.services.now()

    def revoke(conn: Connection) -> None:
        room = get_access(conn, path.room_id, call.actor, "share", is_to_change=True).room
        if not queries.revoke_link(conn, room.id, path.link_id, now):
            raise LinkNotFound
        lost = end_link(conn, room.id, path.link_id)
        if lost:
            touch_access(conn, room.id, now)
        call.record(conn, "link.revoke", room_id=room.id, target=path.link_id, details={"members": lost})

    await call.database.write(revoke)
    await call.services.access.changed(path.room_id)
    call.services.people.tell(path.room_id)
    return no_content()


def _is_good(link: Link | None, token: str, now: datetime) -> bool:
    stored = link.token_hash if link is not None else b""
    return is_token(token, stored) and link is not None and not link.has_expired(now)


@api.route(
    "POST",
    "/api/v1/links/look",
    summary="Look where a link leads",
    tag="sharing",
    needs_user=False,
    replies=[Reply(200, "Where it leads", LinkView)],
    errors=[LinkNotFound],
)
async def look_at_link(call: Call, body: TokenBody) -> Response:
    """Needs no sign-in, and counts no use. One that is unknown, expired, revoked or used up is always the
    same 404; used up it still leads those in who came by it."""
    identity, now = await find_identity(call), call.services.now()

    def look(conn: Connection) -> Link:
        link = queries.find_link(conn, hash_token(body.token))
        if link is None or not _is_good(link, body.token, now):
            raise LinkNotFound
        is_in = identity is not None and find_member(conn, link.room_id, identity.user_id) is not None
        if not link.has_uses and not is_in:
            raise LinkNotFound
        return link

    link = await as_system(call.services.database).read(look)
    is_shut = link.password_hash is not None
    room = None if is_shut else RoomRef(id=link.room_id, title=link.room_title)
    return answer(LinkView(room=room, role=link.role, needs_password=is_shut))


@api.route(
    "POST",
    "/api/v1/links/redeem",
    summary="Enter by a link",
    tag="sharing",
    replies=[Reply(200, "You are in", Entered)],
    errors=[LinkNotFound, WrongPassword, RoomFull],
    audit="link.redeem",
)
async def redeem_link(call: Call, body: Redeem) -> Response:
    """Your role in the room is the higher one of the link's and what you had. It costs one use, and none when
    it adds nothing: enter twice, and it counts once."""
    services, identity, now = call.services, call.identity, call.services.now()
    token_hash = hash_token(body.token)
    system = as_system(services.database)
    link = await system.read(partial(queries.find_link, token_hash=token_hash))
    if link is None or not _is_good(link, body.token, now):
        raise LinkNotFound
    await _check_password(call, link, body.password)

    def redeem(conn: Connection) -> tuple[Entered, bool]:
        room = find_room(conn, link.room_id, is_to_change=True)
        # revoked meanwhile, perhaps
        current = queries.find_link(conn, token_hash)
        if room is None or current is None:
            raise LinkNotFound
        member = find_member(conn, room.id, identity.user_id)
        if not current.has_uses and member is None:
            raise LinkNotFound
        seat = find_seat(conn, room, identity.user_id, current.role, current.id)
        if seat is not None:
            if not queries.use_link(conn, current.id):
                raise LinkNotFound
            take_seat(conn, room, identity, seat, now=now)
            details = {"role": current.role}
            call.record(conn, "link.redeem", room_id=room.id, target=current.id, details=details)
        role = find_role(conn, room.id, identity.user_id)
        if role is None:
            raise LinkNotFound
        return Entered(room_id=room.id, role=role), seat is not None

    entered, is_changed = await system.write(redeem)
    if is_changed:
        await services.access.changed(entered.room_id)
        services.people.tell(entered.room_id)
    return answer(entered)


async def _check_password(call: Call, link: Link, password: str | None) -> None:
    if link.password_hash is None:
        return
    if password is None:
        words = "This link asks for a password; send it along."
        raise WrongPassword(words, room_id=link.room_id, target=link.id)
    rates, host = call.services.rates, host_of(call.request)
    # before the password is looked at, so that guesses at once are counted too; by address first, so that
    # nobody keeps the others out from one place
    await rates.take(UNLOCK, host=host)
    await rates.take(GUESS, host=host, user_id=link.id)
    if not await asyncio.to_thread(check_password, _normal(password), link.password_hash):
        raise WrongPassword(room_id=link.room_id, target=link.id)

"""Routes of invitations: ask somebody in by e-mail or user id, withdraw, accept, decline.

Owns: /api/v1/rooms/{room_id}/invitations and /api/v1/invitations. Does not own: sending mails (the job
`mail`), members (members.py), SQL (db/invitations.py). Rules kept: E2, E3, E4, E7, E8.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db import invitations as queries
from db.access import find_role, get_access
from db.invitations import Invitation
from db.locks import lock_mailbox
from db.members import GivenRole, find_member
from db.queue import enqueue
from db.rooms import Room, find_room
from db.scopes import as_system
from party.errors import Forbidden
from server.accounts.errors import EmailOff
from server.auth import host_of
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.letters import MAIL, invitation_letter
from server.mail.addresses import Email
from server.origin import NoPublicUrl, mailed_origin
from server.rates.actions import MAILED
from server.rates.base import RateLimited
from server.registry import Api, Body, Call, Out, Path, Reply, answer, no_content
from server.rooms import RoomPath, check_kept_out
from server.sealed import hash_token, is_token, make_token
from server.sharing import (
    MAX_INVITATIONS,
    ULID_PATTERN,
    AlreadyMember,
    Entered,
    InvitationNotFound,
    RoomFull,
    RoomRef,
    TokenBody,
    TooManyInvitations,
    UserId,
    find_identity,
    find_seat,
    take_seat,
)
from server.sign_in import UserOut

api = Api()

PREFIX: Final = "kvi_"
OPEN_FOR: Final = timedelta(days=14)
MAILS_A_DAY: Final = 10
"""Invitations mailed to one address, whoever asks for them."""

DAY: Final = timedelta(days=1)
MAX_MESSAGE_CHARS: Final = 500
MESSAGE_PATTERN: Final = (
    r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]*$"
)
_MESSAGE: Final = re.compile(MESSAGE_PATTERN.removesuffix("$") + r"\Z")


def _check_message(value: str) -> str:
    if not _MESSAGE.match(value):
        raise PydanticCustomError("text", "Leave the control characters out.")
    return value.strip()


Message = Annotated[
    str,
    Field(max_length=MAX_MESSAGE_CHARS, json_schema_extra={"pattern": MESSAGE_PATTERN}),
    AfterValidator(_check_message),
]


class InvitationPath(Path):
    """Which invitation."""

    missing = InvitationNotFound
    invitation_id: Annotated[str, Field(pattern=ULID_PATTERN)]


class RoomInvitationPath(RoomPath):
    """Which invitation into which room."""

    invitation_id: Annotated[str, Field(pattern=ULID_PATTERN)]


class NewInvitation(Body):
    """Whom to ask in, by `email` or by `user_id`, and as what."""

    email: Email | None = Field(default=None, description="Gets a mail with a link")
    user_id: UserId | None = Field(default=None, description="Finds it among their invitations")
    role: GivenRole
    message: Message | None = Field(default=None, description="A few words for the mail")

    @model_validator(mode="after")
    def _check_whom(self) -> Self:
        if (self.email is None) == (self.user_id is None):
            raise PydanticCustomError("whom", "Give either email or user_id.")
        return self


class InvitationOut(Out):
    """An open invitation, as those see it who share the room."""

    id: str
    email: str | None
    user_id: str | None
    role: GivenRole
    invited_by: UserOut
    created_at: datetime
    expires_at: datetime


class InvitationList(Out):
    """A page of open invitations, newest first."""

    items: list[InvitationOut]
    next_cursor: str | None


class MyInvitationOut(Out):
    """An open invitation, as who is invited sees it."""

    id: str
    room: RoomRef
    role: GivenRole
    invited_by: UserOut
    created_at: datetime
    expires_at: datetime


class MyInvitationList(Out):
    """A page of what you are invited to, newest first."""

    items: list[MyInvitationOut]
    next_cursor: str | None


def _out(one: Invitation) -> InvitationOut:
    return InvitationOut(
        id=one.id,
        email=one.email,
        user_id=one.user_id,
        role=one.role,
        invited_by=UserOut(id=one.invited_by, name=one.inviter_name),
        created_at=one.created_at,
        expires_at=one.expires_at,
    )


def _out_to_invited(one: Invitation) -> MyInvitationOut:
    return MyInvitationOut(
        id=one.id,
        room=RoomRef(id=one.room_id, title=one.room_title),
        role=one.role,
        invited_by=UserOut(id=one.invited_by, name=one.inviter_name),
        created_at=one.created_at,
        expires_at=one.expires_at,
    )


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/invitations",
    summary="Invite somebody",
    tag="sharing",
    replies=[Reply(201, "The open invitation", InvitationOut)],
    errors=[Forbidden, AlreadyMember, TooManyInvitations, EmailOff, NoPublicUrl],
    audit="invitation.create",
)
async def invite(call: Call, path: RoomPath, body: NewInvitation) -> Response:
    """By e-mail: the mail holds a link that lets whoever has it in, once, within 14 days. By user id: they
    find the invitation in their list. A second invitation for the same takes the place of the first."""
    services, identity, now = call.services, call.identity, call.services.now()
    token, token_hash = make_token(PREFIX)
    origin = ""
    if body.email is not None:
        if services.mailer is None:
            raise EmailOff
        origin = mailed_origin(call.request, services.settings)
        await services.rates.take(MAILED, host=host_of(call.request))
    until = now + OPEN_FOR

    def ask_in(conn: Connection) -> Invitation:
        room = get_access(conn, path.room_id, call.actor, "share", is_to_change=True).room
        check_kept_out(conn, call, room.id)
        if body.user_id is not None and find_member(conn, room.id, body.user_id) is not None:
            raise AlreadyMember
        made = queries.insert_invitation(
            conn,
            id=str(ULID.from_datetime(now)).lower(),
            room_id=room.id,
            email=body.email,
            user_id=body.user_id,
            role=body.role,
            token_hash=token_hash if body.email is not None else None,
            invited_by=identity.user_id,
            expires_at=until,
            now=now,
        )
        if queries.count_open(conn, room.id, now) > MAX_INVITATIONS:
            raise TooManyInvitations
        if body.email is not None:
            _mail(conn, call, room, body.email, made, f"{origin}/i/{token}", body.message)
        details = {"role": body.role, "email": body.email, "user_id": body.user_id}
        call.record(conn, "invitation.create", room_id=room.id, target=made.id, details=details)
        return made

    made = await call.database.write(ask_in)
    services.people.tell(path.room_id)
    if body.email is not None:
        services.jobs.wake()
    return answer(_out(made), status=201)


def _mail(
    conn: Connection, call: Call, room: Room, email: str, made: Invitation, address: str, message: str | None
) -> None:
    now = made.created_at
    lock_mailbox(conn, email)
    if queries.count_mailed(conn, email, now - DAY) > MAILS_A_DAY:
        raise RateLimited(
            "This address got as many invitations as it may in a day; send a link yourself, or wait.",
            retry_after_s=DAY.total_seconds() / MAILS_A_DAY,
        )
    letter = invitation_letter(
        email,
        inviter=call.identity.name,
        title=room.title,
        role=made.role,
        message=message,
        address=address,
        until=made.expires_at,
    )
    enqueue(conn, kind=MAIL, payload=letter.payload(), now=now, room_id=room.id)


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/invitations",
    summary="List open invitations into a room",
    tag="sharing",
    replies=[Reply(200, "One page", InvitationList)],
    errors=[Forbidden],
)
async def list_room_invitations(call: Call, path: RoomPath, query: PageQuery) -> Response:
    """For who may share the room."""
    before, now = _cursor(query), call.services.now()

    def read(conn: Connection) -> list[Invitation]:
        room = get_access(conn, path.room_id, call.actor, "share").room
        return queries.list_of_room(conn, room.id, now=now, before=before, limit=query.limit + 1)

    found = await call.database.read(read)
    page = found[: query.limit]
    return answer(InvitationList(items=[_out(one) for one in page], next_cursor=_next(found, page)))


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}/invitations/{invitation_id}",
    summary="Withdraw an invitation",
    tag="sharing",
    replies=[Reply(204, "It opens nothing any more")],
    errors=[Forbidden, InvitationNotFound],
    audit="invitation.withdraw",
)
async def withdraw_invitation(call: Call, path: RoomInvitationPath) -> Response:
    """For who may share the room."""
    now = call.services.now()

    def withdraw(conn: Connection) -> None:
        room = get_access(conn, path.room_id, call.actor, "share", is_to_change=True).room
        if not queries.close_invitation(conn, room.id, path.invitation_id, "withdrawn", now):
            raise InvitationNotFound
        call.record(conn, "invitation.withdraw", room_id=room.id, target=path.invitation_id)

    await call.database.write(withdraw)
    call.services.people.tell(path.room_id)
    return no_content()


@api.route(
    "GET",
    "/api/v1/invitations",
    summary="List what you are invited to",
    tag="sharing",
    replies=[Reply(200, "One page", MyInvitationList)],
)
async def list_my_invitations(call: Call, query: PageQuery) -> Response:
    """Open invitations by your id, or by the e-mail address you signed in with."""
    before, now = _cursor(query), call.services.now()
    mine = partial(
        queries.list_of_user,
        user_id=call.identity.user_id,
        now=now,
        before=before,
        limit=query.limit + 1,
    )
    found = await as_system(call.services.database).read(mine)
    page = found[: query.limit]
    return answer(
        MyInvitationList(items=[_out_to_invited(one) for one in page], next_cursor=_next(found, page))
    )


def _find_by_token(conn: Connection, token: str, now: datetime) -> Invitation | None:
    return _compare(queries.find_by_token(conn, hash_token(token), now), token)


def _find_entered_by_token(conn: Connection, token: str, user_id: str) -> Invitation | None:
    return _compare(queries.find_entered_by_token(conn, hash_token(token), user_id), token)


def _compare(found: Invitation | None, token: str) -> Invitation | None:
    """What was found, if it has this token: the same work whether anything was."""
    stored = found.token_hash if found is not None else None
    return found if is_token(token, stored or b"") else None


@api.route(
    "POST",
    "/api/v1/invitations/look",
    summary="Look where a mailed invitation leads",
    tag="sharing",
    needs_user=False,
    replies=[Reply(200, "What it is", MyInvitationOut)],
    errors=[InvitationNotFound],
)
async def look_at_invitation(call: Call, body: TokenBody) -> Response:
    """Needs no sign-in, and changes nothing. Who accepted it is shown it as long as they are in."""
    identity, now = await find_identity(call), call.services.now()

    def look(conn: Connection) -> Invitation | None:
        found = _find_by_token(conn, body.token, now)
        if found is None and identity is not None:
            found = _find_entered_by_token(conn, body.token, identity.user_id)
        return found

    found = await as_system(call.services.database).read(look)
    if found is None:
        raise InvitationNotFound
    return answer(_out_to_invited(found))


@api.route(
    "POST",
    "/api/v1/invitations/accept",
    summary="Accept a mailed invitation",
    tag="sharing",
    replies=[Reply(200, "You are in", Entered)],
    errors=[InvitationNotFound, RoomFull],
    audit="invitation.accept",
)
async def accept_mailed_invitation(call: Call, body: TokenBody) -> Response:
    """With the token of the mail, whoever you are signed in as: having it proves the mailbox. It counts
    once."""
    now = call.services.now()
    return await _accept(
        call,
        now,
        lambda conn: _find_by_token(conn, body.token, now),
        lambda conn: _find_entered_by_token(conn, body.token, call.identity.user_id),
    )


@api.route(
    "POST",
    "/api/v1/invitations/{invitation_id}/accept",
    summary="Accept an invitation",
    tag="sharing",
    replies=[Reply(200, "You are in", Entered)],
    errors=[RoomFull],
    audit="invitation.accept",
)
async def accept_invitation(call: Call, path: InvitationPath) -> Response:
    """One of your list. Your role in the room is the higher one of this and what you had."""
    now, me = call.services.now(), call.identity.user_id
    return await _accept(
        call,
        now,
        lambda conn: queries.find_for(conn, path.invitation_id, me, now),
        lambda conn: queries.find_entered(conn, path.invitation_id, me),
    )


async def _accept(
    call: Call,
    now: datetime,
    find_open: Callable[[Connection], Invitation | None],
    find_entered: Callable[[Connection], Invitation | None],
) -> Response:
    identity = call.identity

    def accept(conn: Connection) -> tuple[Entered, bool]:
        found = find_open(conn)
        room = find_room(conn, found.room_id, is_to_change=True) if found is not None else None
        # what was read before the lock may have changed
        if (
            found is None
            or room is None
            or not queries.close_invitation(conn, room.id, found.id, "accepted", now)
        ):
            # the answer to the first time may have been lost
            entered = find_entered(conn)
            if entered is None:
                raise InvitationNotFound
            return _entered(conn, entered.room_id, identity.user_id), False
        seat = find_seat(conn, room, identity.user_id, found.role)
        if seat is not None:
            take_seat(conn, room, identity, seat, invited_by=found.invited_by, now=now)
        details = {"role": found.role}
        call.record(conn, "invitation.accept", room_id=room.id, target=found.id, details=details)
        return _entered(conn, room.id, identity.user_id), seat is not None

    entered, is_changed = await as_system(call.services.database).write(accept)
    if is_changed:
        await call.services.access.changed(entered.room_id)
    # also where no role changed: an invitation less is open
    call.services.people.tell(entered.room_id)
    return answer(entered)


def _entered(conn: Connection, room_id: str, user_id: str) -> Entered:
    role = find_role(conn, room_id, user_id)
    if role is None:
        raise InvitationNotFound
    return Entered(room_id=room_id, role=role)


@api.route(
    "POST",
    "/api/v1/invitations/{invitation_id}/decline",
    summary="Decline an invitation",
    tag="sharing",
    replies=[Reply(204, "It is out of your list")],
    audit="invitation.decline",
)
async def decline_invitation(call: Call, path: InvitationPath) -> Response:
    """One of your list."""
    now = call.services.now()

    def decline(conn: Connection) -> str:
        found = queries.find_for(conn, path.invitation_id, call.identity.user_id, now)
        room = find_room(conn, found.room_id, is_to_change=True) if found is not None else None
        if room is None or not queries.close_invitation(conn, room.id, path.invitation_id, "declined", now):
            raise InvitationNotFound
        call.record(conn, "invitation.decline", room_id=room.id, target=path.invitation_id)
        return room.id

    call.services.people.tell(await as_system(call.services.database).write(decline))
    return no_content()


def _cursor(query: PageQuery) -> tuple[datetime, str] | None:
    return decode_cursor(query.cursor, ULID_PATTERN) if query.cursor is not None else None


def _next(found: list[Invitation], page: list[Invitation]) -> str | None:
    return encode_cursor(page[-1].created_at, page[-1].id) if len(found) > len(page) else None

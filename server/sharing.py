"""What members, invitations and links have in common: the roles that can be given, limits, errors, seats.

Owns: these, and letting somebody into a room. Does not own: the routes (members.py, invitations.py,
links.py), SQL (db/members.py). Rules kept: E2, E3.

Who is let in by a token can't see the room yet, so that what decides about it runs as the system itself
(`as_system`): the token, or being named by an invitation, is the right to it.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from db.access import touch_access
from db.members import Seat, count_members, find_member, put_member, raise_seat, write_owner
from db.rooms import Room
from db.users import add_user
from party.errors import Conflict, Forbidden, NotFound, Unauthenticated
from party.ports import Role
from server.auth import Identity, find_token
from server.registry import Body, Call, Out

MAX_MEMBERS: Final = 1_000
MAX_LINKS: Final = 100
MAX_INVITATIONS: Final = 200
MAX_TOKEN_CHARS: Final = 200

ULID_PATTERN: Final = r"^[0-9a-hjkmnp-tv-z]{26}$"
UserId = Annotated[str, Field(min_length=1, max_length=255)]


class MemberNotFound(NotFound):
    """Nobody of this id has a role of their own in this room."""

    code = "member_not_found"


class OwnerStays(Conflict):
    """A room has one owner: hand it over first, with POST /api/v1/rooms/{id}/transfer."""

    code = "owner_stays"


class AlreadyMember(Conflict):
    """This user is a member of the room; change the role instead."""

    code = "already_member"


class RoomFull(Conflict):
    """This room has as many members as a room can have (1,000); its owner can remove some."""

    code = "room_full"


class TooManyLinks(Conflict):
    """This room has as many links as a room can have (100); revoke those nobody needs."""

    code = "too_many_links"


class TooManyInvitations(Conflict):
    """As many invitations into this room are open as can be (200); withdraw some, or make a link."""

    code = "too_many_invitations"


class InvitationNotFound(NotFound):
    """This invitation is not for you, or it is over; ask for another."""

    code = "invitation_not_found"


class LinkNotFound(NotFound):
    """This link opens nothing (any more); ask who gave it to you for another."""

    code = "link_not_found"


class WrongPassword(Forbidden):
    """This is not the password of the link; ask who gave it to you.

    It knows which link of which room, for the audit log; who is told does not learn it.
    """

    code = "wrong_password"

    def __init__(self, message: str | None = None, *, room_id: str | None = None, target: str = "") -> None:
        super().__init__(message)
        self.room_id = room_id
        self.target = target


class TokenBody(Body):
    """The token of a link or an invitation."""

    token: str = Field(max_length=MAX_TOKEN_CHARS, description="The last part of its address")


class RoomRef(Out):
    """A room by its name."""

    id: str
    title: str


class Entered(Out):
    """You are in."""

    room_id: str
    role: Literal["owner", "editor", "commenter", "viewer"] = Field(description="Yours in this room now")


def find_seat(
    connection: Connection, room: Room, user_id: str, role: Role, link_id: str | None = None
) -> Seat | None:
    """The seat that `role` gives this user, None when it adds nothing to what they have. Raises RoomFull.

    To be called with the lock of the room, before `take_seat`.
    """
    write_owner(connection, room)
    member = find_member(connection, room.id, user_id)
    if member is None and count_members(connection, room.id) >= MAX_MEMBERS:
        raise RoomFull
    had = None if member is None else member.seat
    seat = raise_seat(had, role, link_id)
    return None if seat == had else seat


def take_seat(
    connection: Connection,
    room: Room,
    identity: Identity,
    seat: Seat,
    *,
    invited_by: str | None = None,
    now: datetime,
) -> None:
    """Let somebody in; the processes look at who is in the room (G4)."""
    # a token made by the operator has no row yet
    add_user(connection, identity.user_id, identity.name, now)
    put_member(connection, room, identity.user_id, seat, invited_by=invited_by, now=now)
    touch_access(connection, room.id, now)


async def find_identity(call: Call) -> Identity | None:
    """Who is asking on a route that does not need to know."""
    try:
        found = find_token(call.request)
        return None if found is None else await call.services.tokens.verify(found[0])
    except Unauthenticated:
        return None

"""Routes of a room's members: who they are, their roles, leaving, handing the room over.

Owns: /api/v1/rooms/{room_id}/members and /transfer. Does not own: how people get in (invitations.py,
links.py), what a role allows (party/policy.py), SQL (db/members.py). Rules kept: E1, E2, E9.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from db.access import get_access, touch_access
from db.invitations import withdraw_all_for
from db.members import (
    GivenRole,
    Member,
    Seat,
    find_member,
    hand_over,
    list_members,
    put_member,
    remove_member,
    write_owner,
)
from party.errors import Forbidden
from party.policy import can
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.registry import Api, Body, Call, Out, Reply, answer, no_content
from server.rooms import RoomPath, check_kept_out
from server.sharing import MemberNotFound, OwnerStays, UserId
from server.sign_in import UserOut

api = Api()

ANY_ID = r"(?s).{1,255}"


class MemberPath(RoomPath):
    """Which member."""

    user_id: str


class MemberOut(Out):
    """Somebody with a role of their own in the room."""

    user: UserOut
    role: Literal["owner", "editor", "commenter", "viewer"]
    since: datetime
    via: Literal["owner", "invitation", "link"] = Field(
        description="owner: they made the room or owned it; link: the role ends when the link is revoked"
    )
    link_id: str | None = Field(description="Which link, for those who may share the room")


class MemberList(Out):
    """A page of members, in the order they came."""

    items: list[MemberOut]
    next_cursor: str | None


class RoleChange(Body):
    """The new role."""

    role: GivenRole


class NewOwner(Body):
    """To whom the room is handed over."""

    user_id: Annotated[UserId, Field(description="A member of the room")]


def member_out(member: Member, *, with_link: bool) -> MemberOut:
    """The member as others see them."""
    seat = member.seat
    via: Literal["owner", "invitation", "link"] = "owner"
    if seat.link_id is not None:
        via = "link"
    elif seat.role != "owner" and member.invited_by is not None:
        via = "invitation"
    return MemberOut(
        user=UserOut(id=member.user_id, name=member.name),
        role=seat.role,
        since=member.since,
        via=via,
        link_id=seat.link_id if with_link else None,
    )


def _get_member(conn: Connection, room_id: str, user_id: str) -> Member:
    member = find_member(conn, room_id, user_id)
    if member is None:
        raise MemberNotFound
    return member


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/members",
    summary="Who has a role of their own in a room",
    tag="sharing",
    replies=[Reply(200, "One page", MemberList)],
    errors=[Forbidden],
)
async def list_room_members(call: Call, path: RoomPath, query: PageQuery) -> Response:
    """In the order they came. Where the room does not show who only looks, its viewers are left out, but for
    who may share it."""
    after = decode_cursor(query.cursor, ANY_ID) if query.cursor is not None else None
    actor = call.actor

    def read(conn: Connection) -> tuple[list[Member], bool]:
        access = get_access(conn, path.room_id, actor, "see")
        may_share = can(access.role, "share", is_admin=actor.is_admin)
        seen_by = None if may_share else actor.user_id
        found = list_members(conn, access.room, seen_by=seen_by, after=after, limit=query.limit + 1)
        return found, may_share

    found, may_share = await call.database.read(read)
    page = found[: query.limit]
    return answer(
        MemberList(
            items=[member_out(one, with_link=may_share) for one in page],
            next_cursor=encode_cursor(page[-1].since, page[-1].user_id) if len(found) > len(page) else None,
        )
    )


@api.route(
    "PATCH",
    "/api/v1/rooms/{room_id}/members/{user_id}",
    summary="Change the role of a member",
    tag="sharing",
    replies=[Reply(200, "The member as they are now", MemberOut)],
    errors=[Forbidden, MemberNotFound, OwnerStays],
    audit="member.change",
)
async def change_member(call: Call, path: MemberPath, body: RoleChange) -> Response:
    """The role is their own from now on: it stays when the link they came by is revoked. Open connections go
    on with it within a second."""
    now = call.services.now()

    def change(conn: Connection) -> Member:
        room = get_access(conn, path.room_id, call.actor, "share", is_to_change=True).room
        check_kept_out(conn, call, room.id)
        write_owner(conn, room)
        member = _get_member(conn, room.id, path.user_id)
        if member.seat.role == "owner":
            raise OwnerStays
        seat = Seat(body.role)
        if member.seat == seat:
            return member
        # who came by a link is from now on somebody whom the owner wants here
        by = call.identity.user_id if member.seat.link_id is not None else None
        put_member(conn, room, member.user_id, seat, invited_by=by, now=now)
        touch_access(conn, room.id, now)
        details = {"from": member.seat.role, "to": seat.role}
        call.record(conn, "member.change", room_id=room.id, target=member.user_id, details=details)
        return _get_member(conn, room.id, member.user_id)

    member = await call.database.write(change)
    await call.services.access.changed(path.room_id)
    call.services.people.tell(path.room_id)
    return answer(member_out(member, with_link=True))


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}/members/{user_id}",
    summary="Remove a member, or leave",
    tag="sharing",
    replies=[Reply(204, "The role is gone")],
    errors=[Forbidden, MemberNotFound, OwnerStays],
    audit="member.remove",
)
async def remove_room_member(call: Call, path: MemberPath) -> Response:
    """Everybody may leave, with their own id; removing others is for the owner, and withdraws what
    invitations are open for them. What is left to them is the role that everybody with the address has. A
    link that is not revoked lets them in again."""
    now = call.services.now()
    is_leaving = path.user_id == call.identity.user_id

    def remove(conn: Connection) -> None:
        action: Literal["see", "share"] = "see" if is_leaving else "share"
        room = get_access(conn, path.room_id, call.actor, action, is_to_change=True).room
        write_owner(conn, room)
        member = _get_member(conn, room.id, path.user_id)
        if member.seat.role == "owner":
            raise OwnerStays
        remove_member(conn, room.id, member.user_id)
        if not is_leaving:
            withdraw_all_for(conn, room.id, member.user_id, now)
        touch_access(conn, room.id, now)
        done = "member.leave" if is_leaving else "member.remove"
        details = {"role": member.seat.role}
        call.record(conn, done, room_id=room.id, target=member.user_id, details=details)

    await call.database.write(remove)
    await call.services.access.changed(path.room_id)
    call.services.people.tell(path.room_id)
    return no_content()


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/transfer",
    summary="Hand a room over",
    tag="sharing",
    replies=[Reply(200, "The owner", MemberOut)],
    errors=[Forbidden, MemberNotFound],
    audit="room.transfer",
)
async def transfer_room(call: Call, path: RoomPath, body: NewOwner) -> Response:
    """To a member, who is its owner from now on; you become an editor."""
    now = call.services.now()

    def transfer(conn: Connection) -> Member:
        room = get_access(conn, path.room_id, call.actor, "transfer", is_to_change=True).room
        check_kept_out(conn, call, room.id)
        write_owner(conn, room)
        member = _get_member(conn, room.id, body.user_id)
        if member.seat.role == "owner":
            return member
        hand_over(conn, room, member.user_id)
        touch_access(conn, room.id, now)
        details = {"role": member.seat.role}
        call.record(conn, "room.transfer", room_id=room.id, target=member.user_id, details=details)
        return _get_member(conn, room.id, member.user_id)

    member = await call.database.write(transfer)
    await call.services.access.changed(path.room_id)
    call.services.people.tell(path.room_id)
    return answer(member_out(member, with_link=True))

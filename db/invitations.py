"""Queries on invitations into rooms.

Owns: `invitations`. Does not own: mails and tokens (server/invitations.py), what accepting one gives
(members.py).

Rules kept (E in party/SPEC.md): an invitation is open until it is accepted, declined, withdrawn or its time
is over; it is for the user it names, in whatever guest they were before, or for who proved to have the
mailbox. Whoever closes one holds the room's lock, so that it is closed once.
"""

# ruff: noqa: A002 - an invitation's id is `id` everywhere

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from db.members import GivenRole
from db.scopes import as_server
from db.tables import UtcDateTime, invitations, room_members, rooms, users

Closed = Literal["accepted", "declined", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation. Either `email` or `user_id` says for whom. Times are aware, in UTC."""

    id: str
    room_id: str
    room_title: str
    email: str | None
    user_id: str | None
    role: GivenRole
    invited_by: str
    inviter_name: str
    created_at: datetime
    expires_at: datetime
    token_hash: bytes | None = field(repr=False)
    """Of the token that was mailed; None: nothing was."""


def insert_invitation(
    connection: Connection,
    *,
    id: str,
    room_id: str,
    email: str | None,
    user_id: str | None,
    role: GivenRole,
    token_hash: bytes | None,
    invited_by: str,
    expires_at: datetime,
    now: datetime,
) -> Invitation:
    """Ask somebody in; an open one of the same room for the same is withdrawn. `email` is folded."""
    c = invitations.c
    same = c.email == email if email is not None else c.user_id == user_id
    connection.execute(
        update(invitations)
        .where(same, c.room_id == room_id, c.closed_as.is_(None))
        .values(closed_as="withdrawn", closed_at=now)
    )
    connection.execute(
        invitations.insert().values(
            id=id,
            room_id=room_id,
            email=email,
            user_id=user_id,
            role=role,
            token_hash=token_hash,
            invited_by=invited_by,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return _invitation(connection.execute(_select().where(c.id == id)).one())


def count_open(connection: Connection, room_id: str, now: datetime) -> int:
    """Open invitations into a room."""
    counted = (
        select(func.count()).select_from(invitations).where(invitations.c.room_id == room_id, _is_open(now))
    )
    return int(connection.execute(counted).scalar_one())


def count_mailed(connection: Connection, email: str, since: datetime) -> int:
    """Invitations of all rooms that were mailed to this address since then."""
    c = invitations.c
    counted = select(func.count()).select_from(invitations).where(c.email == email, c.created_at >= since)
    # those of others count, though they are not shown
    with as_server(connection):
        return int(connection.execute(counted).scalar_one())


def list_of_room(
    connection: Connection, room_id: str, *, now: datetime, before: tuple[datetime, str] | None, limit: int
) -> list[Invitation]:
    """Open ones into a room, newest first by (created_at, id), at most `limit`, older than `before`."""
    return _page(connection, _select().where(invitations.c.room_id == room_id, _is_open(now)), before, limit)


def list_of_user(
    connection: Connection, user_id: str, *, now: datetime, before: tuple[datetime, str] | None, limit: int
) -> list[Invitation]:
    """Open ones for somebody, newest first, as `list_of_room`; not those into rooms in the trash."""
    chosen = (_is_for(user_id), _is_open(now), rooms.c.deleted_at.is_(None))
    return _page(connection, _select().where(*chosen), before, limit)


def find_by_token(connection: Connection, token_hash: bytes, now: datetime) -> Invitation | None:
    """The open one whose mailed token has this hash; not one into a room in the trash."""
    return _find(connection, invitations.c.token_hash == token_hash, now)


def find_for(connection: Connection, id: str, user_id: str, now: datetime) -> Invitation | None:
    """The open one of this id, if it is for this user; not one into a room in the trash."""
    return _find(connection, and_(invitations.c.id == id, _is_for(user_id)), now)


def find_entered_by_token(connection: Connection, token_hash: bytes, user_id: str) -> Invitation | None:
    """The one with this token that was accepted, if the user is a member of its room."""
    return _find_entered(connection, invitations.c.token_hash == token_hash, user_id)


def find_entered(connection: Connection, id: str, user_id: str) -> Invitation | None:
    """The one of this id that the user, who is a member of its room, accepted."""
    return _find_entered(connection, and_(invitations.c.id == id, _is_for(user_id)), user_id)


def close_invitation(connection: Connection, room_id: str, id: str, closed_as: Closed, now: datetime) -> bool:
    """False when there is no open one of this id in the room."""
    statement = (
        update(invitations)
        .where(invitations.c.id == id, invitations.c.room_id == room_id, _is_open(now))
        .values(closed_as=closed_as, closed_at=now)
    )
    return connection.execute(statement).rowcount > 0


def withdraw_all_for(connection: Connection, room_id: str, user_id: str, now: datetime) -> int:
    """Withdraw what is open for a user in a room; how many."""
    statement = (
        update(invitations)
        .where(invitations.c.room_id == room_id, _is_for(user_id), _is_open(now))
        .values(closed_as="withdrawn", closed_at=now)
    )
    return connection.execute(statement).rowcount


def purge_invitations(connection: Connection, before: datetime, limit: int) -> int:
    """Forget at most `limit` invitations that expired before this, closed or not; return how many."""
    old = select(invitations.c.id).where(invitations.c.expires_at < before).limit(limit)
    return connection.execute(delete(invitations).where(invitations.c.id.in_(old))).rowcount


def _is_open(now: datetime) -> ColumnElement[bool]:
    return and_(invitations.c.closed_as.is_(None), invitations.c.expires_at > now)


def _is_for(user_id: str) -> ColumnElement[bool]:
    c = invitations.c
    mailbox = select(users.c.email).where(users.c.id == user_id).scalar_subquery()
    before = select(users.c.id).where(users.c.alias_of == user_id)
    return or_(c.user_id == user_id, c.user_id.in_(before), c.email == mailbox)


def _find(connection: Connection, chosen: ColumnElement[bool], now: datetime) -> Invitation | None:
    statement = _select().where(chosen, _is_open(now), rooms.c.deleted_at.is_(None))
    row = connection.execute(statement).one_or_none()
    return None if row is None else _invitation(row)


def _find_entered(connection: Connection, chosen: ColumnElement[bool], user_id: str) -> Invitation | None:
    is_in = exists().where(room_members.c.room_id == invitations.c.room_id, room_members.c.user_id == user_id)
    statement = _select().where(
        chosen, invitations.c.closed_as == "accepted", rooms.c.deleted_at.is_(None), is_in
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else _invitation(row)


def _page(
    connection: Connection,
    statement: Select[*tuple[object, ...]],
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Invitation]:
    c = invitations.c
    if before is not None:
        at, last_id = before
        cursor = tuple_(literal(at, UtcDateTime), literal(last_id, c.id.type))
        statement = statement.where(tuple_(c.created_at, c.id) < cursor)
    statement = statement.order_by(c.created_at.desc(), c.id.desc()).limit(limit)
    return [_invitation(row) for row in connection.execute(statement)]


def _select() -> Select[*tuple[object, ...]]:
    c = invitations.c
    inviter = users.alias("inviter")
    return (
        select(
            c.id,
            c.room_id,
            rooms.c.title.label("room_title"),
            c.email,
            c.user_id,
            c.role,
            c.invited_by,
            func.coalesce(inviter.c.name, c.invited_by).label("inviter_name"),
            c.created_at,
            c.expires_at,
            c.token_hash,
        )
        .join(rooms, rooms.c.id == c.room_id)
        .outerjoin(inviter, inviter.c.id == c.invited_by)
    )


def _invitation(row: Row[*tuple[object, ...]]) -> Invitation:
    values = dict(row._mapping)
    return Invitation(**{**values, "role": cast("GivenRole", values["role"])})

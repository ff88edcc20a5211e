"""Queries on mentions: who may be mentioned in a room, and where somebody was.

Owns: those two questions. Does not own: mentions as part of a comment (comments.py), roles (access.py).

Rule kept: only who was in the room, or is a member of it, and may see it now is mentioned or offered, so that
nobody learns here who else there is; and who may no longer see a room is shown nothing of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, exists, literal, or_, select, tuple_

from db.comments import Author, Comment
from db.rooms import Room, find_room, fold
from db.tables import (
    UtcDateTime,
    comment_mentions,
    comment_reads,
    comment_threads,
    comments,
    room_members,
    room_participants,
    rooms,
    users,
)
from party.policy import ROLES, can

SEEING: Final = tuple(role for role in ROLES if can(role, "see"))
SHOWN: Final = tuple(role for role in ROLES if can(role, "comment"))
"""Those that others are shown in every room; where viewers are not shown they are not offered either."""

MOST_LOOKED_AT: Final = 2_000
"""Of a room's people, for one list of names."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A comment that mentions somebody, and where it is."""

    room_id: str
    room_title: str
    thread_id: str
    comment: Comment
    is_unread: bool


def list_mentionable(connection: Connection, room_id: str, q: str, limit: int) -> list[Author]:
    """People whose name holds `q` (in any case) and who may be mentioned in the room, by name."""
    room = find_room(connection, room_id)
    if room is None:
        return []
    statement = select(users.c.id, users.c.name).where(_known_in(room)).order_by(users.c.name, users.c.id)
    wanted, found = fold(q), []
    # SQLite folds ASCII alone, so names are compared here; a page is a few dozen of them
    for row in connection.execute(statement.limit(MOST_LOOKED_AT)):
        if wanted in fold(row.name):
            found.append(Author(row.id, row.name))
            if len(found) == limit:
                break
    return found


def find_mentionable(connection: Connection, room: Room, ids: Collection[str]) -> set[str]:
    """Those of these people who may be mentioned in the room."""
    statement = select(users.c.id).where(users.c.id.in_(ids), _known_in(room))
    return set(connection.execute(statement).scalars())


def list_mentions(
    connection: Connection, user_id: str, before: tuple[datetime, str] | None, limit: int
) -> list[Mention]:
    """Where the user is mentioned, newest first by (created_at, id) of the comment, in rooms they may see."""
    m, t, r = comment_mentions, comment_threads, comment_reads
    statement = (
        select(
            comments,
            rooms.c.title.label("room_title"),
            users.c.name.label("author_name"),
            r.c.read_at.label("read_at"),
        )
        .join(m, m.c.comment_id == comments.c.id)
        .join(t, t.c.id == comments.c.thread_id)
        .join(rooms, rooms.c.id == comments.c.room_id)
        .outerjoin(users, users.c.id == comments.c.author_id)
        .outerjoin(r, and_(r.c.thread_id == t.c.id, r.c.user_id == user_id))
        .where(
            m.c.user_id == user_id,
            t.c.deleted_at.is_(None),
            rooms.c.deleted_at.is_(None),
            _has_role(user_id, SEEING),
        )
    )
    if before is not None:
        at, comment_id = literal(before[0], UtcDateTime), literal(before[1], comments.c.id.type)
        statement = statement.where(tuple_(comments.c.created_at, comments.c.id) < tuple_(at, comment_id))
    rows = connection.execute(
        statement.order_by(comments.c.created_at.desc(), comments.c.id.desc()).limit(limit)
    ).all()
    mentioned: dict[str, list[str]] = {}
    for row in connection.execute(
        select(m.c.comment_id, m.c.user_id)
        .where(m.c.comment_id.in_([row.id for row in rows]))
        .order_by(m.c.comment_id, m.c.user_id)
    ):
        mentioned.setdefault(row.comment_id, []).append(row.user_id)
    return [
        Mention(
            room_id=row.room_id,
            room_title=row.room_title,
            thread_id=row.thread_id,
            comment=Comment(
                id=row.id,
                author=Author(row.author_id, row.author_name or "Somebody"),
                body=row.body,
                created_at=row.created_at,
                edited_at=row.edited_at,
                mentions=tuple(mentioned.get(row.id, ())),
            ),
            is_unread=row.author_id != user_id and (row.read_at is None or row.created_at > row.read_at),
        )
        for row in rows
    ]


def _known_in(room: Room) -> ColumnElement[bool]:
    """Whether the user of this row was in the room or is a member of it, and may see it."""
    m, p = room_members, room_participants
    is_member = exists().where(m.c.room_id == room.id, m.c.user_id == users.c.id)
    was_there = exists().where(p.c.room_id == room.id, p.c.user_id == users.c.id)
    is_let_in = exists().where(
        rooms.c.id == room.id,
        _has_role(users.c.id, SEEING),
        or_(rooms.c.shows_viewers, _has_role(users.c.id, SHOWN)),
    )
    return and_(or_(is_member, was_there), is_let_in)


def _has_role(user_id: str | ColumnElement[str], roles: Collection[str]) -> ColumnElement[bool]:
    """Whether this person has one of these roles in the room of this row, as `access.find_role` finds it."""
    own, owner = room_members.alias("own"), room_members.alias("owner")
    return or_(
        rooms.c.default_role.in_(roles),
        # said, for by itself a query is of the one right around it alone, and the person may be further out
        exists()
        .where(own.c.room_id == rooms.c.id, own.c.user_id == user_id, own.c.role.in_(roles))
        .correlate_except(own),
        and_(
            rooms.c.creator_id == user_id,
            ~exists().where(owner.c.room_id == rooms.c.id, owner.c.role == "owner"),
        ),
    )

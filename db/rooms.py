"""Queries on rooms and who was in them.

Owns: `rooms` and `room_participants`, and the `room_heads` row that every room is born with. Does not own:
what is drawn in a room (journal.py), who may do what (the edge), who is in it right now (the engine's
presence).

Rules kept: `revision` goes up by one at each change of title, visibility or trash, and is the ETag; a room
in the trash is not found unless asked for; a room and its head are made in one transaction, and so is its
end.
"""

# ruff: noqa: A002 - a room's id is `id` everywhere

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    exists,
    literal,
    or_,
    select,
    update,
)

from db.tables import room_heads, room_members, room_participants, rooms, users
from db.upsert import insert_into
from party.errors import Conflict, PreconditionFailed, RoomNotFound
from party.ports import Role, Schema

Visibility = Literal["public", "unlisted"]
DefaultRole = Literal["none", "viewer", "commenter", "editor"]

PURGED_MOST = 100
NAMES_AT_ONCE = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True)
class Room:
    """A room as listings and its own page show it. Times are aware, in UTC."""

    id: str
    title: str
    visibility: Visibility
    schema: Schema
    epoch: int
    revision: int
    creator_id: str
    creator_name: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    default_role: DefaultRole = "editor"
    """Of everybody who has its address."""
    shows_viewers: bool = True


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who was in a room, with the present name. Times are aware, in UTC."""

    user_id: str
    name: str
    role: Role
    first_seen_at: datetime
    last_seen_at: datetime


def insert_room(
    connection: Connection,
    *,
    id: str,
    title: str,
    visibility: Visibility,
    schema: Schema,
    creator_id: str,
    now: datetime,
    default_role: DefaultRole = "editor",
    shows_viewers: bool = True,
) -> Room:
    """Make a room, its journal's head, and its creator (who must be a user) its owner.

    Raises Conflict if `id` is taken, be it by a room in the trash.
    """
    statement = insert_into(connection, rooms).values(
        id=id,
        title=title,
        title_folded=fold(title),
        visibility=visibility,
        schema=schema,
        creator_id=creator_id,
        created_at=now,
        updated_at=now,
        default_role=default_role,
        shows_viewers=shows_viewers,
    )
    if connection.execute(statement.on_conflict_do_nothing(index_elements=[rooms.c.id])).rowcount == 0:
        raise Conflict("There already is a room with this id (perhaps in the trash); choose another.")
    connection.execute(
        room_members.insert().values(
            room_id=id, user_id=creator_id, role="owner", room_created_at=now, created_at=now
        )
    )
    connection.execute(room_heads.insert().values(room_id=id))
    connection.execute(
        room_participants.insert().values(
            room_id=id,
            user_id=creator_id,
            role="owner",
            first_seen_at=now,
            last_seen_at=now,
            room_created_at=now,
        )
    )
    return _get_room(connection, id)


def find_room(
    connection: Connection, id: str, *, deleted: bool = False, is_to_change: bool = False
) -> Room | None:
    """The room; `deleted=True` finds it in the trash as well.

    With `is_to_change` nobody else changes it until the end of the transaction.
    """
    statement = select_rooms().where(rooms.c.id == id)
    if is_to_change:
        # its key stays, so that appends, whose rows point to it, go on
        statement = statement.with_for_update(of=rooms, key_share=True)
    if not deleted:
        statement = statement.where(rooms.c.deleted_at.is_(None))
    row = connection.execute(statement).one_or_none()
    return None if row is None else room_of(row)


def find_names(connection: Connection, ids: Sequence[str]) -> dict[str, Room]:
    """Those of these rooms that are there and not in the trash, by id."""
    found: dict[str, Room] = {}
    for at in range(0, len(ids), NAMES_AT_ONCE):
        some = ids[at : at + NAMES_AT_ONCE]
        rows = connection.execute(select_rooms().where(rooms.c.id.in_(some), rooms.c.deleted_at.is_(None)))
        found |= {row.id: room_of(row) for row in rows}
    return found


def list_public(connection: Connection, ids: Sequence[str]) -> list[Room]:
    """Those of `ids` that are listed for everybody, in no order."""
    chosen = (rooms.c.id.in_(ids), rooms.c.visibility == "public", rooms.c.deleted_at.is_(None))
    return [room_of(row) for row in connection.execute(select_rooms().where(*chosen))]


def update_room(
    connection: Connection,
    id: str,
    *,
    title: str | None = None,
    visibility: Visibility | None = None,
    default_role: DefaultRole | None = None,
    shows_viewers: bool | None = None,
    revision: int | None = None,
    now: datetime,
) -> Room:
    """Change what is given.

    Raises RoomNotFound; PreconditionFailed when `revision` is given and is not the room's.
    """
    _check(connection, id, revision=revision)
    changes: dict[str, object] = {}
    if title is not None:
        changes |= {"title": title, "title_folded": fold(title)}
    if visibility is not None:
        changes["visibility"] = visibility
    if default_role is not None:
        changes["default_role"] = default_role
    if shows_viewers is not None:
        changes["shows_viewers"] = shows_viewers
    return _change(connection, id, changes, now)


def trash_room(connection: Connection, id: str, *, revision: int | None = None, now: datetime) -> Room:
    """Put the room into the trash; its journal takes nothing more. Raises as update_room does."""
    _check(connection, id, revision=revision)
    return _change(connection, id, {"deleted_at": now}, now)


def restore_room(connection: Connection, id: str, *, revision: int | None = None, now: datetime) -> Room:
    """Take the room out of the trash; one that is not in it stays as it is. Raises as update_room does."""
    room = _check(connection, id, revision=revision, deleted=True)
    return room if room.deleted_at is None else _change(connection, id, {"deleted_at": None}, now)


def purge_trash(
    connection: Connection,
    before: datetime,
    release: Callable[[Connection, list[str]], None] | None = None,
    limit: int = PURGED_MOST,
) -> list[str]:
    """Delete for good, journal and participants too, what was trashed before `before`; return the ids.

    At most `limit` at a time, for a transaction must end.

    `release` is called with them first, in the same transaction: a room with assets can't be deleted.
    """
    due = select(rooms.c.id).where(rooms.c.deleted_at < before).order_by(rooms.c.id).limit(limit)
    found = list(connection.execute(due.with_for_update()).scalars())
    if release is not None and found:
        release(connection, found)
    connection.execute(delete(rooms).where(rooms.c.id.in_(found), rooms.c.deleted_at < before))
    return found


def record_participant(connection: Connection, room_id: str, user_id: str, now: datetime) -> None:
    """Note that the user is in the room at `now`: an editor, unless known already. Raises RoomNotFound."""
    room = find_room(connection, room_id)
    if room is None:
        raise RoomNotFound
    statement = insert_into(connection, room_participants).values(
        room_id=room_id,
        user_id=user_id,
        role="editor",
        first_seen_at=now,
        last_seen_at=now,
        room_created_at=room.created_at,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[room_participants.c.room_id, room_participants.c.user_id],
            # a version before 0010 left the room's time out
            set_={"last_seen_at": now, "room_created_at": room.created_at},
        )
    )


def list_participants(connection: Connection, room_id: str) -> list[Participant]:
    """Everybody who ever was in the room, in the order they came."""
    p = room_participants
    rows = connection.execute(
        select(p.c.user_id, users.c.name, p.c.role, p.c.first_seen_at, p.c.last_seen_at)
        .join(users, users.c.id == p.c.user_id)
        .where(p.c.room_id == room_id)
        .order_by(p.c.first_seen_at, p.c.user_id)
    )
    return [
        Participant(row.user_id, row.name, cast("Role", row.role), row.first_seen_at, row.last_seen_at)
        for row in rows
    ]


def share_room(connection: Connection, user_id: str, other_id: str) -> bool:
    """Whether there is a room out of the trash that both were in, and that `user_id` may see still."""
    mine, theirs = room_participants.alias("mine"), room_participants.alias("theirs")
    statement = (
        select(literal(1))
        .select_from(mine)
        .join(theirs, theirs.c.room_id == mine.c.room_id)
        .join(rooms, rooms.c.id == mine.c.room_id)
        .where(mine.c.user_id == user_id, theirs.c.user_id == other_id, rooms.c.deleted_at.is_(None))
        .where(_lets_in(user_id))
    )
    return connection.execute(statement.limit(1)).first() is not None


def find_known_room(connection: Connection, id: str, user_id: str) -> Room | None:
    """The room, if it is listed for everybody, or the user was in it and may see it still."""
    room = find_room(connection, id)
    if room is None or room.visibility == "public":
        return room
    was_in = (
        select(literal(1))
        .select_from(room_participants)
        .join(rooms, rooms.c.id == room_participants.c.room_id)
        .where(room_participants.c.room_id == id, room_participants.c.user_id == user_id, _lets_in(user_id))
    )
    return room if connection.execute(was_in).first() is not None else None


def _lets_in(user_id: str) -> ColumnElement[bool]:
    """Whether the room has a role for this user."""
    own = exists().where(room_members.c.room_id == rooms.c.id, room_members.c.user_id == user_id)
    # a room made by a version before 0009 lets everybody in
    return or_(rooms.c.default_role != "none", own)


def fold(title: str) -> str:
    """The title as search compares it: Unicode case folding, compatible forms made equal."""
    return unicodedata.normalize("NFKC", title).casefold()


def select_rooms() -> Select[*tuple[object, ...]]:
    """What `room_of` takes, of all rooms."""
    statement = select(
        rooms.c.id,
        rooms.c.title,
        rooms.c.visibility,
        rooms.c.schema,
        rooms.c.epoch,
        rooms.c.revision,
        rooms.c.creator_id,
        users.c.name.label("creator_name"),
        rooms.c.created_at,
        rooms.c.updated_at,
        rooms.c.deleted_at,
        rooms.c.default_role,
        rooms.c.shows_viewers,
    )
    return statement.join(users, users.c.id == rooms.c.creator_id)


def room_of(row: Row[*tuple[object, ...]]) -> Room:
    """The room of a row of `select_rooms`."""
    return Room(**row._mapping)


def _get_room(connection: Connection, id: str) -> Room:
    room = find_room(connection, id, deleted=True)
    if room is None:
        raise RoomNotFound
    return room


def _check(connection: Connection, id: str, *, revision: int | None, deleted: bool = False) -> Room:
    # Nobody changes it between this look and the change (SQLite's writer is alone anyway).
    room = find_room(connection, id, deleted=deleted, is_to_change=True)
    if room is None:
        raise RoomNotFound
    if revision is not None and revision != room.revision:
        raise PreconditionFailed
    return room


def _change(connection: Connection, id: str, changes: dict[str, object], now: datetime) -> Room:
    connection.execute(
        update(rooms).where(rooms.c.id == id).values(**changes, revision=rooms.c.revision + 1, updated_at=now)
    )
    return _get_room(connection, id)

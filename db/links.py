"""Queries on share links.

Owns: `share_links`. Does not own: tokens and passwords, of which it keeps hashes (server/sealed.py), who came
by a link (members.py). Rules kept (E in party/SPEC.md): a use is counted under the lock of the room, and
never beyond what there are; a link that was revoked is found by nobody.
"""

# ruff: noqa: A002 - a link's id is `id` everywhere

from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, Row, Select, delete, func, literal, or_, select, tuple_, update

from db.members import GivenRole
from db.tables import UtcDateTime, rooms, share_links, users


@dataclass(frozen=True, slots=True)
class Link:
    """A link into a room that was not revoked. Times are aware, in UTC."""

    id: str
    room_id: str
    room_title: str
    role: GivenRole
    label: str
    token_hash: bytes = field(repr=False)
    password_hash: str | None = field(repr=False)
    created_by: str
    creator_name: str
    created_at: datetime
    expires_at: datetime | None
    max_uses: int | None
    uses: int

    @property
    def has_uses(self) -> bool:
        """Whether anybody new gets in by it."""
        return self.max_uses is None or self.uses < self.max_uses

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


def insert_link(
    connection: Connection,
    *,
    id: str,
    room_id: str,
    role: GivenRole,
    label: str,
    token_hash: bytes,
    password_hash: str | None,
    created_by: str,
    expires_at: datetime | None,
    max_uses: int | None,
    now: datetime,
) -> Link:
    """Make a link; who makes it must be a user."""
    connection.execute(
        share_links.insert().values(
            id=id,
            room_id=room_id,
            role=role,
            label=label,
            token_hash=token_hash,
            password_hash=password_hash,
            created_by=created_by,
            created_at=now,
            expires_at=expires_at,
            max_uses=max_uses,
        )
    )
    return _link(connection.execute(_live().where(share_links.c.id == id)).one())


def count_links(connection: Connection, room_id: str) -> int:
    """Those of a room that were not revoked."""
    counted = (
        select(func.count())
        .select_from(share_links)
        .where(share_links.c.room_id == room_id, share_links.c.revoked_at.is_(None))
    )
    return int(connection.execute(counted).scalar_one())


def list_links(
    connection: Connection, room_id: str, *, before: tuple[datetime, str] | None, limit: int
) -> list[Link]:
    """Those of a room, newest first by (created_at, id), at most `limit`, all older than `before`."""
    c = share_links.c
    statement = _live().where(c.room_id == room_id)
    if before is not None:
        at, last_id = before
        cursor = tuple_(literal(at, UtcDateTime), literal(last_id, c.id.type))
        statement = statement.where(tuple_(c.created_at, c.id) < cursor)
    statement = statement.order_by(c.created_at.desc(), c.id.desc()).limit(limit)
    return [_link(row) for row in connection.execute(statement)]


def find_link(connection: Connection, token_hash: bytes) -> Link | None:
    """The link with this hash, be it expired or used up; not one of a room in the trash."""
    statement = _live().where(share_links.c.token_hash == token_hash, rooms.c.deleted_at.is_(None))
    row = connection.execute(statement).one_or_none()
    return None if row is None else _link(row)


def use_link(connection: Connection, id: str) -> bool:
    """Count one use; False when there is none left."""
    c = share_links.c
    statement = (
        update(share_links)
        .where(c.id == id, c.revoked_at.is_(None), or_(c.max_uses.is_(None), c.uses < c.max_uses))
        .values(uses=c.uses + 1)
    )
    return connection.execute(statement).rowcount > 0


def revoke_link(connection: Connection, room_id: str, id: str, now: datetime) -> bool:
    """From now on it opens nothing; False when there was no such link in the room."""
    c = share_links.c
    statement = (
        update(share_links)
        .where(c.id == id, c.room_id == room_id, c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return connection.execute(statement).rowcount > 0


def purge_links(connection: Connection, before: datetime, limit: int) -> int:
    """Forget at most `limit` links that were revoked before this; return how many."""
    old = select(share_links.c.id).where(share_links.c.revoked_at < before).limit(limit)
    return connection.execute(delete(share_links).where(share_links.c.id.in_(old))).rowcount


def _live() -> Select[*tuple[object, ...]]:
    c = share_links.c
    return (
        select(
            c.id,
            c.room_id,
            rooms.c.title.label("room_title"),
            c.role,
            c.label,
            c.token_hash,
            c.password_hash,
            c.created_by,
            func.coalesce(users.c.name, c.created_by).label("creator_name"),
            c.created_at,
            c.expires_at,
            c.max_uses,
            c.uses,
        )
        .join(rooms, rooms.c.id == c.room_id)
        .outerjoin(users, users.c.id == c.created_by)
        .where(c.revoked_at.is_(None))
    )


def _link(row: Row[*tuple[object, ...]]) -> Link:
    values = dict(row._mapping)
    return Link(**{**values, "role": cast("GivenRole", values["role"])})

"""Queries on users. Owns: the `users` table. Does not own: tokens, or who may do what."""

# ruff: noqa: A002 - a user's id is `id` everywhere

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from db.tables import users
from db.upsert import insert_into


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program, known by the `sub` of its token. Times are aware, in UTC."""

    id: str
    name: str
    created_at: datetime
    seen_at: datetime


def put_user(connection: Connection, id: str, name: str, now: datetime) -> User:
    """Add the user, or give it this name and mark it seen at `now`."""
    statement = insert_into(connection, users).values(id=id, name=name, created_at=now, seen_at=now)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[users.c.id], set_={"name": name, "seen_at": now})
    )
    row = connection.execute(select(users).where(users.c.id == id)).one()
    return User(row.id, row.name, row.created_at, row.seen_at)


def add_user(connection: Connection, id: str, name: str, now: datetime) -> None:
    """Add the user; one that is known keeps its name."""
    statement = insert_into(connection, users).values(id=id, name=name, created_at=now, seen_at=now)
    connection.execute(statement.on_conflict_do_nothing(index_elements=[users.c.id]))


def find_user(connection: Connection, id: str) -> User | None:
    row = connection.execute(select(users).where(users.c.id == id)).one_or_none()
    return None if row is None else User(row.id, row.name, row.created_at, row.seen_at)


def find_first_created(connection: Connection) -> datetime | None:
    """When the first user came, which is before anything else here was made; None before that."""
    first: datetime | None = connection.execute(select(func.min(users.c.created_at))).scalar_one()
    return first

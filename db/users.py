"""Queries on users. Owns: the `users` table. Does not own: tokens, sign-in by e-mail (accounts.py), or who
may do what."""

# ruff: noqa: A002 - a user's id is `id` everywhere

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, func, select

from db.tables import users
from db.upsert import insert_into


@dataclass(frozen=True, slots=True)
class User:
    """A person or a program, known by the `sub` of its token. Times are aware, in UTC.

    `email` is of who signs in with it; `alias_of` is the account a guest became.
    """

    id: str
    name: str
    created_at: datetime
    seen_at: datetime
    email: str | None = None
    is_admin: bool = False
    is_guest: bool = False
    alias_of: str | None = None


def put_user(connection: Connection, id: str, name: str, now: datetime, *, is_guest: bool = False) -> User:
    """Add the user, or give it this name and mark it seen at `now`."""
    statement = insert_into(connection, users).values(
        id=id, name=name, created_at=now, seen_at=now, is_guest=is_guest
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=[users.c.id], set_={"name": name, "seen_at": now})
    )
    return _user(connection.execute(select(users).where(users.c.id == id)).one())


def add_user(connection: Connection, id: str, name: str, now: datetime) -> None:
    """Add the user; one that is known keeps its name."""
    statement = insert_into(connection, users).values(id=id, name=name, created_at=now, seen_at=now)
    connection.execute(statement.on_conflict_do_nothing(index_elements=[users.c.id]))


def find_user(connection: Connection, id: str) -> User | None:
    row = connection.execute(select(users).where(users.c.id == id)).one_or_none()
    return None if row is None else _user(row)


def find_first_created(connection: Connection) -> datetime | None:
    """When the first user came, which is before anything else here was made; None before that."""
    first: datetime | None = connection.execute(select(func.min(users.c.created_at))).scalar_one()
    return first


def _user(row: Row[*tuple[object, ...]]) -> User:
    return User(**row._mapping)

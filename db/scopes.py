"""Whose eyes a transaction sees the database with.

Owns: actors, and the two ways into the database: as somebody, and as the system itself. Does not own: the
policies (policies.py), how a statement is held to them (walls.py).

A transaction of neither finds the tables shut (PolicyMissing). What the server does on somebody's behalf in
their own transaction, and is not theirs to see (the audit log, a job), stands in a `with as_server(...)`.
Cancel-safe as Database is. A scope costs 1 us for each transaction, and on PostgreSQL somebody's one
statement more. Keeps rule V3.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Text, bindparam, func, literal, select

from db import eyes as names
from db.database import Database
from db.walls import SCOPE, SYSTEM, Walls

T = TypeVar("T")

# For the transaction only; the connection itself is the system's (postgres.py).
_BECOME = select(
    func.set_config(names.SYSTEM, bindparam("system", type_=Text), literal(True)),
    func.set_config(names.USER, bindparam("user", type_=Text), literal(True)),
    func.set_config(names.ADMIN, bindparam("admin", type_=Text), literal(True)),
)
_SET_SYSTEM = select(func.set_config(names.SYSTEM, bindparam("system", type_=Text), literal(True)))


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who asks; an operator sees all tenants."""

    user_id: str
    is_admin: bool = False


class Transactions(Protocol):
    """The verbs of Database, for one pair of eyes."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """As Database.read."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """As Database.write."""


class Scoped:
    """A database through one pair of eyes; None: the system's."""

    __slots__ = ("actor", "database")

    def __init__(self, database: Database, actor: Actor | None) -> None:
        self.database = database
        self.actor = actor

    @property
    def url(self) -> str:
        """Of the database."""
        return self.database.url

    def __getattr__(self, name: str) -> Any:
        # verbs that only one adapter has
        return getattr(self.database, name)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.database.read(partial(within, self.actor, work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self.database.write(partial(within, self.actor, work))


def as_user(database: Database, actor: Actor) -> Scoped:
    """Transactions that see what `actor` may see, and write what is theirs to write.

    Raise PolicyMissing for a statement that can't be held to the policies, RowRefused for rows that are not
    theirs to make.
    """
    return Scoped(database.database if isinstance(database, Scoped) else database, actor)


def as_system(database: Database) -> Scoped:
    """Transactions of the server's own: the journal, jobs, clean-up, sign-in."""
    return Scoped(database.database if isinstance(database, Scoped) else database, None)


def within(actor: Actor | None, work: Callable[[Connection], T], connection: Connection) -> T:
    """Run `work` in this transaction, seen by these eyes."""
    # kept at hand: a connection that broke has none any more
    info = connection.info
    if actor is None:
        info[SCOPE] = SYSTEM
    else:
        info[SCOPE] = SYSTEM
        if connection.dialect.name == "postgresql":
            admin = "on" if actor.is_admin else "off"
            connection.execute(_BECOME, {"system": "off", "user": actor.user_id, "admin": admin})
        info[SCOPE] = Walls(actor.user_id, actor.is_admin)
    try:
        return work(connection)
    finally:
        info.pop(SCOPE, None)


@contextmanager
def as_server(connection: Connection) -> Iterator[None]:
    """Within somebody's transaction, for what the server itself does there; nothing where it is its own.

    An error inside is one of the whole transaction: it must not be caught within it.
    """
    info = connection.info
    scope = info.get(SCOPE)
    if not isinstance(scope, Walls):
        yield
        return
    is_server = connection.dialect.name == "postgresql"
    info[SCOPE] = SYSTEM
    if is_server:
        connection.execute(_SET_SYSTEM, {"system": "on"})
    try:
        yield
        if is_server:
            connection.execute(_SET_SYSTEM, {"system": "off"})
    finally:
        info[SCOPE] = scope

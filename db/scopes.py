"""Whose eyes a transaction sees the database with.

Owns: actors, and the two ways into the database: as somebody, and as the system itself. Does not own: the
policies (policies.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from db.database import Database

T = TypeVar("T")


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


def as_user(database: Database, actor: Actor) -> Transactions:
    """Transactions that see what `actor` may see."""
    del actor
    return database


def as_system(database: Database) -> Transactions:
    """Transactions of the server's own: the journal, jobs, clean-up, sign-in."""
    return database

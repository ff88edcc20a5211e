"""Queries on personal access tokens.

Owns: the `personal_tokens` table. Does not own: the tokens' text (server/sealed.py), what scopes mean.
"""

# ruff: noqa: A002 - a token's id is `id` everywhere

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Row, func, or_, select, update

from db.tables import personal_tokens as tokens
from db.tables import users

USE_EVERY: Final = timedelta(minutes=1)
"""The last use is noted no more often."""


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """One token without its text. Times are aware, in UTC; None: it does not end, was never used."""

    id: str
    user_id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose a token is, and its hash to compare with."""

    token: PersonalToken
    token_hash: bytes
    user_name: str
    is_admin: bool
    is_guest: bool


def insert_token(
    connection: Connection,
    *,
    id: str,
    user_id: str,
    name: str,
    token_hash: bytes,
    scopes: frozenset[str],
    expires_at: datetime | None,
    now: datetime,
) -> PersonalToken:
    """Add a token of a user, who must be there."""
    connection.execute(
        tokens.insert().values(
            id=id,
            user_id=user_id,
            name=name,
            token_hash=token_hash,
            scopes=" ".join(sorted(scopes)),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return PersonalToken(id, user_id, name, scopes, now, expires_at, None, None, None)


def list_tokens(connection: Connection, user_id: str) -> list[PersonalToken]:
    """Those of a user that were not revoked, the newest first."""
    statement = select(tokens).where(tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None))
    rows = connection.execute(statement.order_by(tokens.c.created_at.desc(), tokens.c.id.desc()))
    return [_token(row) for row in rows]


def count_tokens(connection: Connection, user_id: str) -> int:
    """How many of a user were not revoked."""
    statement = select(func.count()).where(tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None))
    return connection.execute(statement).scalar_one()


def find_bearer(connection: Connection, token_hash: bytes) -> Bearer | None:
    """The token with this hash, be it ended or revoked."""
    statement = (
        select(tokens, users.c.name.label("user_name"), users.c.is_admin, users.c.is_guest)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.token_hash == token_hash)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return Bearer(_token(row), row.token_hash, row.user_name, row.is_admin, row.is_guest)


def note_use(connection: Connection, id: str, address: str, now: datetime) -> None:
    """It was used, from there; what was noted within the last minute stays."""
    is_old = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < now - USE_EVERY)
    connection.execute(
        update(tokens).where(tokens.c.id == id, is_old).values(last_used_at=now, last_used_from=address)
    )


def revoke_token(connection: Connection, user_id: str, id: str, now: datetime) -> PersonalToken | None:
    """End a token of the user; None when they have no such token that still counts."""
    mine = (tokens.c.id == id, tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None))
    row = connection.execute(select(tokens).where(*mine)).one_or_none()
    if row is None or not connection.execute(update(tokens).where(*mine).values(revoked_at=now)).rowcount:
        return None
    return _token(row)


def revoke_tokens_of(connection: Connection, user_id: str, now: datetime) -> int:
    """End all tokens of the user; return how many there were."""
    all_of_them = (tokens.c.user_id == user_id, tokens.c.revoked_at.is_(None))
    return connection.execute(update(tokens).where(*all_of_them).values(revoked_at=now)).rowcount


def _token(row: Row[*tuple[object, ...]]) -> PersonalToken:
    return PersonalToken(
        row.id,
        row.user_id,
        row.name,
        frozenset(row.scopes.split()),
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.last_used_from,
        row.revoked_at,
    )

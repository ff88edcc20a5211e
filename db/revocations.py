"""Queries on revocations: which tokens ended before their time.

Owns: the `revocations` table. Does not own: tokens, sockets, who may revoke what.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, delete, or_, select

from db.tables import revocations
from db.upsert import insert_into

USER_KEPT: Final = timedelta(days=3660)
"""One row for each user at most, kept as long as the longest token there can be."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One row. `issued_before` is None for a token; `subject` is a token id, or the user id. Times in UTC."""

    subject: str
    user_id: str
    issued_before: datetime | None
    revoked_at: datetime


def put_token(
    connection: Connection, token_id: str, user_id: str, now: datetime, expires_at: datetime
) -> None:
    """End this token and all that was renewed from it. Twice is harmless."""
    statement = insert_into(connection, revocations).values(
        kind="token", subject=token_id, user_id=user_id, revoked_at=now, expires_at=expires_at
    )
    connection.execute(
        statement.on_conflict_do_nothing(index_elements=[revocations.c.kind, revocations.c.subject])
    )


def put_user_until(connection: Connection, user_id: str, now: datetime) -> None:
    """End every token of the user whose session began up to `now`."""
    changed = {"issued_before": now, "revoked_at": now, "expires_at": now + USER_KEPT}
    statement = insert_into(connection, revocations).values(
        kind="user", subject=user_id, user_id=user_id, **changed
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[revocations.c.kind, revocations.c.subject],
            set_=changed,
            # a clock that lags must not give back what ended
            where=revocations.c.issued_before < now,
        )
    )


def find_since(connection: Connection, since: datetime | None, limit: int) -> list[Revocation]:
    """The rows written since then, or the newest of all, the oldest first; at most `limit`, the newest."""
    statement = select(revocations).order_by(revocations.c.revoked_at.desc()).limit(limit)
    if since is not None:
        statement = statement.where(revocations.c.revoked_at >= since)
    rows = connection.execute(statement).all()
    return [Revocation(row.subject, row.user_id, row.issued_before, row.revoked_at) for row in reversed(rows)]


def is_revoked(
    connection: Connection, token_ids: Collection[str], user_id: str, signed_in_at: datetime
) -> bool:
    """Whether a token with one of these ids, or of this user and sign-in, has ended."""
    ended = or_(
        and_(revocations.c.kind == "token", revocations.c.subject.in_(sorted(token_ids))),
        and_(
            revocations.c.kind == "user",
            revocations.c.subject == user_id,
            revocations.c.issued_before >= signed_in_at,
        ),
    )
    return connection.execute(select(revocations.c.subject).where(ended).limit(1)).first() is not None


def purge_revocations(connection: Connection, now: datetime) -> int:
    """Forget what can't matter any more; return how many."""
    return connection.execute(delete(revocations).where(revocations.c.expires_at < now)).rowcount

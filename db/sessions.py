"""Queries on where somebody is signed in.

Owns: the `user_sessions` table. Does not own: tokens, and ending them (revocations.py): what ends a session
there takes its row away in the same transaction. Keeps rule T6.
"""

# ruff: noqa: A002 - a session's id is `id` everywhere

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import Connection, delete, select, update

from db.tables import user_sessions
from db.upsert import insert_into

Kind = Literal["guest", "email", "provider", "token"]

MAX_AGENT_CHARS = 300


@dataclass(frozen=True, slots=True)
class UserSession:
    """A sign-in with all its renewals. `id` is the session id of its tokens; times are aware, in UTC."""

    id: str
    user_id: str
    kind: Kind
    address: str
    user_agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


def note_session(
    connection: Connection,
    *,
    id: str,
    user_id: str,
    kind: Kind,
    address: str,
    user_agent: str,
    now: datetime,
    expires_at: datetime,
) -> bool:
    """Write down a sign-in, or that it was renewed just now, from where and until when it lasts.

    True: it is new, which of many at once is told to one.
    """
    seen = {
        "address": address[:64],
        "user_agent": "".join(one if one.isprintable() else " " for one in user_agent)[:MAX_AGENT_CHARS],
        "seen_at": now,
        "expires_at": expires_at,
    }
    statement = insert_into(connection, user_sessions).values(
        id=id, user_id=user_id, kind=kind, created_at=now, **seen
    )
    statement = statement.on_conflict_do_nothing(index_elements=[user_sessions.c.id])
    if connection.execute(statement).rowcount == 1:
        return True
    # an id of a token is nobody else's
    whose = (user_sessions.c.id == id, user_sessions.c.user_id == user_id)
    connection.execute(update(user_sessions).where(*whose).values(seen))
    return False


def list_sessions(connection: Connection, user_id: str, now: datetime, limit: int = 100) -> list[UserSession]:
    """Those of a user that have not ended, the one seen last first."""
    rows = connection.execute(
        select(user_sessions)
        .where(user_sessions.c.user_id == user_id, user_sessions.c.expires_at > now)
        .order_by(user_sessions.c.seen_at.desc(), user_sessions.c.id)
        .limit(limit)
    )
    return [UserSession(**{**row._mapping, "kind": cast("Kind", row.kind)}) for row in rows]


def find_session(connection: Connection, id: str, user_id: str) -> UserSession | None:
    """A session of this user."""
    row = connection.execute(
        select(user_sessions).where(user_sessions.c.id == id, user_sessions.c.user_id == user_id)
    ).one_or_none()
    return None if row is None else UserSession(**{**row._mapping, "kind": cast("Kind", row.kind)})


def remove_session(connection: Connection, id: str) -> None:
    """It was ended."""
    connection.execute(delete(user_sessions).where(user_sessions.c.id == id))


def remove_sessions(connection: Connection, user_id: str, until: datetime) -> None:
    """All of the user that began up to then were ended."""
    connection.execute(
        delete(user_sessions).where(user_sessions.c.user_id == user_id, user_sessions.c.created_at <= until)
    )


def purge_sessions(connection: Connection, now: datetime) -> int:
    """Forget those that ended by themselves; how many."""
    return connection.execute(delete(user_sessions).where(user_sessions.c.expires_at <= now)).rowcount

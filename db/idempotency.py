"""Answers remembered for `Idempotency-Key`, so that a request repeated after a lost answer changes nothing
twice.

Owns: the `idempotency_keys` table. Does not own: what a request's hash covers, how long answers are kept,
or what to say when a key comes back with another request (the edge).

Rule: look and store in the transaction of the change itself; then the answer exists exactly if the change
does.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from db.locks import lock_answer
from db.tables import idempotency_keys as keys
from db.upsert import insert_into
from party.errors import Conflict


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. `headers_json` is JSON text; compare `request_hash` before giving it again."""

    request_hash: str
    status: int
    headers_json: str
    body: bytes
    created_at: datetime


def find_answer(connection: Connection, user_id: str, key: str) -> Answer | None:
    """What was answered to this key, if anything; nobody else is at it until the transaction ends."""
    lock_answer(connection, user_id, key)
    row = connection.execute(select(keys).where(keys.c.user_id == user_id, keys.c.key == key)).one_or_none()
    if row is None:
        return None
    return Answer(row.request_hash, row.status, row.headers, row.body, row.created_at)


def store_answer(
    connection: Connection,
    user_id: str,
    key: str,
    request_hash: str,
    status: int,
    headers_json: str,
    body: bytes,
    now: datetime,
) -> None:
    """Remember the answer. Raises Conflict (and so undoes the change) when the key was used meanwhile."""
    statement = insert_into(connection, keys).values(
        user_id=user_id,
        key=key,
        request_hash=request_hash,
        status=status,
        headers=headers_json,
        body=body,
        created_at=now,
    )
    if connection.execute(statement.on_conflict_do_nothing()).rowcount == 0:
        raise Conflict(
            "A request with this Idempotency-Key was answered meanwhile; send it again to get that answer."
        )


def purge_answers(connection: Connection, before: datetime) -> int:
    """Forget answers given before `before`; return how many."""
    return connection.execute(delete(keys).where(keys.c.created_at < before)).rowcount
